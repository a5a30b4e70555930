"""Card fraud: the ready-made use case, and a simulator of card payments to try it on."""

from headrace_solutions.card_fraud.case import card_fraud
from headrace_solutions.card_fraud.files import simulate_lines, simulate_to

#: The feature that says what an event is worth, and its currency: for reports.
WORTH = ("amount", "EUR")
#: What the label says of an event, and of several.
POSITIVE = ("fraud", "frauds")
#: How large a demo is: payments, days, and days of history.
DEMO = (300_000, 180, 130)

__all__ = ["DEMO", "POSITIVE", "WORTH", "card_fraud", "simulate_lines", "simulate_to"]
