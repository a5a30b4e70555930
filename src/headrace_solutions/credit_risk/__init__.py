"""Credit risk: the ready-made use case, a simulated loan book to try it on, and public data."""

from headrace_solutions.credit_risk.case import credit_risk
from headrace_solutions.credit_risk.files import simulate_lines, simulate_to
from headrace_solutions.credit_risk.portfolio import report_sections

#: The feature that says what an event is worth, and its currency: for reports.
WORTH = ("amount", "USD")
#: Of a decision: a look at it costs 20 USD, a default loses some 60 % of the amount, and a good
#: loan earns 4 % of it in half a year.
ECONOMICS = (20.0, 0.6, 0.04)
#: What the label says of an event, and of several.
POSITIVE = ("default", "defaults")
#: How large a demo is: applications, days, and days of history.
DEMO = (20_000, 720, 540)

__all__ = [
    "DEMO",
    "ECONOMICS",
    "POSITIVE",
    "WORTH",
    "credit_risk",
    "report_sections",
    "simulate_lines",
    "simulate_to",
]
