"""Trading signals: order books and trades as streams, the use case, and readers of real feeds."""

from headrace_solutions.trading_signal.case import trading_signal
from headrace_solutions.trading_signal.report import report_sections

__all__ = ["report_sections", "trading_signal"]
