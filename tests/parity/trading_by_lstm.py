"""Trading signals by a net that reads the last vectors of a symbol's book."""

import headrace as hr
from headrace_solutions.trading_signal.case import trading_signal_by

trading_by_lstm = trading_signal_by(
    hr.Lstm(hidden=8, epochs=6, learning_rate=0.02), name="trading-by-lstm"
)
