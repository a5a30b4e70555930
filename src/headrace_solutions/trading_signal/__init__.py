"""Trading signals: order books and trades as streams, a simulated market, readers of real feeds."""

from headrace_solutions.trading_signal.case import trading_signal
from headrace_solutions.trading_signal.closed_loop import counterparty
from headrace_solutions.trading_signal.files import simulate_lines, simulate_to
from headrace_solutions.trading_signal.formats import FORMATS, convert_to
from headrace_solutions.trading_signal.report import report_sections

#: The feature that says what an event is worth, and its currency: for reports.
WORTH = ("mid", "USD")
#: What the label says of an event, and of several.
POSITIVE = ("move", "moves")
#: How large a demo is: messages, sessions, and sessions of history.
DEMO = (60_000, 4, 3)

__all__ = [
    "DEMO",
    "FORMATS",
    "POSITIVE",
    "WORTH",
    "convert_to",
    "counterparty",
    "report_sections",
    "simulate_lines",
    "simulate_to",
    "trading_signal",
]
