"""Trading signals: order books and trades as streams, the use case, and readers of real feeds."""

from headrace_solutions.trading_signal.case import trading_signal

__all__ = ["trading_signal"]
