"""Card fraud: the ready-made use case, and a simulator of card payments to try it on."""

from headrace_solutions.card_fraud.case import card_fraud
from headrace_solutions.card_fraud.files import simulate_lines, simulate_to

#: The feature that says what an event is worth, and its currency: for reports.
WORTH = ("amount", "EUR")

__all__ = ["WORTH", "card_fraud", "simulate_lines", "simulate_to"]
