"""The use case: what a book looks like at the end of each message, and the paper order it makes.

A team copies this file, takes away what it does not have, and adds what it knows. The score of each
direction comes from boosting by default; `trading_signal_by` takes another model.

Decided is the stream `depth`: a feature is computed once for a message of a book, and never in the
midst of one. A decision is what a paper venue acts on: buy, sell, hold, or halt (cancel all, and
send nothing). What comes of its orders comes back as events of the stream `orders`, over which
position, profit and order rate are features like any other.
"""

from __future__ import annotations

import headrace as hr
from headrace_solutions.trading_signal.market import depth, orders, quotes, switches
from headrace_solutions.trading_signal.measures import (
    kyle_lambda,
    level_imbalance,
    liquidity,
    order_flow,
    realised_volatility,
    roll_spread,
    seen,
    symbol,
    trade_imbalance,
    volatility_of_volatility,
)

#: How far ahead a signal looks.
HORIZON = "2s"
#: Shares of an order, and the most to hold, long or short.
LOT, POSITION_MOST = 100, 500
#: In the currency of prices: the most that may be held, and lost, of a symbol.
NOTIONAL_MOST, LOSS_MOST = 100_000, 1_000
#: The score of a direction from which on it is acted upon.
SIGNAL = 0.55
#: Orders of a symbol within ten seconds.
ORDERS_MOST = 10
#: Of a vector of a sequence: what does not say at which price a symbol trades.
SEQUENCE = ("spread", "micro_off_mid", "imbalance", "imbalance_5", "order_flow", "messages_1s")

_orders = orders.by("symbol")
_filled = orders.status.is_in(["filled", "partially_filled"])
_side = hr.when(orders.buy).then(1).otherwise(-1)
_position = _orders.sum(_side * orders.quantity, "24h", where=_filled)
_paid = _orders.sum(_side * orders.quantity * orders.price + orders.fee, "24h", where=_filled)
_sent = orders.status.is_in(["new"])
_done = orders.status.is_in(["filled", "partially_filled", "cancelled"])
_working = _orders.sum(orders.quantity, "24h", where=_sent) - _orders.sum(
    orders.quantity, "24h", where=_done
)


features = hr.features(
    mid=seen.mid,
    spread=seen.spread,
    micro_off_mid=(seen.micro_price - seen.mid).described(
        "the micro-price is {value:.4f} off the mid"
    ),
    imbalance=seen.imbalance().described("the imbalance of the best level is {value:+.2f}"),
    imbalance_5=seen.imbalance(levels=5).described(
        "the imbalance of the best 5 levels is {value:+.2f}"
    ),
    imbalance_at_2=level_imbalance(2),
    imbalance_at_3=level_imbalance(3),
    bid_change=seen.queue_change("bid"),
    ask_change=seen.queue_change("ask"),
    order_flow=seen.order_flow,
    order_flow_1s=order_flow("1s"),
    order_flow_10s=order_flow("10s"),
    trade_imbalance_1s=trade_imbalance("1s"),
    trade_imbalance_10s=trade_imbalance("10s"),
    volatility_10s=realised_volatility("10s"),
    volatility_60s=realised_volatility("60s"),
    volatility_of_volatility=volatility_of_volatility("60s"),
    liquidity_10s=liquidity("10s"),
    roll_spread=roll_spread(),
    kyle_lambda=kyle_lambda(),
    seconds_since_move=seen.seconds_since_move,
    messages_1s=symbol.count("1s"),
    book_status=seen.status,
    position=_position.described("we hold {value:.0f}"),
    working=_working.described("{value:.0f} are on order"),
    notional=(_position * seen.mid).described("we hold {value:,.0f} in money"),
    profit=(_position * seen.mid - _paid).described("the day's profit is {value:.2f}"),
    orders_10s=_orders.count("10s", where=_sent).described("{value} orders within 10 s"),
    halted=switches.by("symbol").last(switches.halted, "365d").described("halted: {value}"),
)

_halt = hr.outcome("halt", severity=100)
_buy, _sell = hr.outcome("buy", severity=40), hr.outcome("sell", severity=40)
_hold = hr.outcome("hold", severity=0)
_up, _down = hr.score_of("up"), hr.score_of("down")

policy = hr.Policy(
    _halt("kill_switch", features.halted == True),  # noqa: E712 - a condition, made into a rule
    _halt("loss_limit", features.profit < -LOSS_MOST),
    _hold("book_unsound", features.book_status != 0),
    _hold("order_rate", features.orders_10s >= ORDERS_MOST),
    _hold("order_at_work", features.working > 0),
    _hold("long_enough", (features.position >= POSITION_MOST) & (_up >= SIGNAL)),
    _hold("short_enough", (features.position <= -POSITION_MOST) & (_down >= SIGNAL)),
    _hold("notional_long", (features.notional >= NOTIONAL_MOST) & (_up >= SIGNAL)),
    _hold("notional_short", (features.notional <= -NOTIONAL_MOST) & (_down >= SIGNAL)),
    _buy("up", _up >= SIGNAL),
    _sell("down", _down >= SIGNAL),
    otherwise=_hold,
)


def trading_signal_by(
    model: hr.XGBoost | hr.LogisticRegression | hr.Lstm, name: str = "trading-signal"
) -> hr.UseCase:
    """The use case with that model; a net that reads a sequence gets one.

    Args:
        model: What scores.
        name: Of the use case; two of them in one home need two names.

    >>> trading_signal_by(hr.Lstm(), name="trading-by-lstm").sequence is None
    False
    """
    reads_sequence = isinstance(model, hr.Lstm)
    return hr.UseCase(
        name=name,
        on=depth,
        features=features,
        sequence=hr.sequence(features, key="symbol", length=32, within="1m", only=SEQUENCE)
        if reads_sequence
        else None,
        beside=(quotes,),
        label=hr.direction(features.mid, key="symbol", after=HORIZON, read_value=False),
        model=model,
        policy=policy,
    )


trading_signal = trading_signal_by(
    hr.XGBoost(
        trees=200,
        max_depth=4,
        learning_rate=0.08,
        min_child_weight=20,
        subsample=0.8,
        colsample=0.6,
        early_stopping=20,
        class_weight="balanced",
        seed=7,
    )
)
