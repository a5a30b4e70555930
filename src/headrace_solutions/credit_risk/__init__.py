"""Credit risk: the ready-made use case, a simulated loan book to try it on, and public data."""

from headrace_solutions.credit_risk.case import credit_risk
from headrace_solutions.credit_risk.files import simulate_lines, simulate_to
from headrace_solutions.credit_risk.portfolio import report_sections

#: The feature that says what an event is worth, and its currency: for reports.
WORTH = ("amount", "USD")
#: What the label says of an event, and of several.
POSITIVE = ("default", "defaults")
#: How large a demo is: applications, days, and days of history.
DEMO = (20_000, 720, 540)

__all__ = [
    "DEMO",
    "POSITIVE",
    "WORTH",
    "credit_risk",
    "report_sections",
    "simulate_lines",
    "simulate_to",
]
