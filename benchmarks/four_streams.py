"""The use case of the benchmark of four streams: orders, decided with what three others say.

A broker lets customers buy on credit. An order is decided with the customer's last orders, with the
market's ticks of the symbol, with what the customer did in the app, and with what the credit bureau
last said.
"""

from __future__ import annotations

import headrace as hr

LATENESS = "2s"


class Order(hr.Event):
    """A transaction: a customer buys."""

    order_id: hr.Id
    at: hr.EventTime
    account: hr.Key = hr.field(pii=True, subject=True)
    symbol: hr.Key
    amount: hr.Money("EUR")  # type: ignore[valid-type]  # a type with a parameter


class Tick(hr.Event):
    """A trade at the market."""

    tick_id: hr.Id
    at: hr.EventTime
    symbol: hr.Key
    price: hr.Decimal(4)  # type: ignore[valid-type]  # the same


class Action(hr.Event):
    """What a customer did in the app."""

    action_id: hr.Id
    at: hr.EventTime
    account: hr.Key = hr.field(pii=True, subject=True)
    kind: hr.Category


class Report(hr.Event):
    """What the credit bureau says of a customer."""

    report_id: hr.Id
    at: hr.EventTime
    account: hr.Key = hr.field(pii=True, subject=True)
    points: hr.Decimal(1)  # type: ignore[valid-type]  # the same


orders = hr.stream(Order, name="orders", lateness=LATENESS)
ticks = hr.stream(Tick, name="ticks", lateness=LATENESS)
actions = hr.stream(Action, name="actions", lateness=LATENESS)
reports = hr.stream(Report, name="reports", lateness=LATENESS)

of_account, of_symbol = orders.by("account"), ticks.by("symbol")
features = hr.features(
    orders_in_window=of_account.count("1h"),
    ticks_in_window=of_symbol.count("30s"),
    actions_in_window=actions.by("account").count("10m"),
    reports_in_window=reports.by("account").count("30d"),
    spent=of_account.sum(orders.amount, "1h"),
    over_usual=orders.amount / of_account.mean(orders.amount, "1h"),
    price=of_symbol.last(ticks.price, "30s"),
    highest=of_symbol.max(ticks.price, "30s"),
    price_spread=of_symbol.std(ticks.price, "30s"),
    seconds_since_action=actions.by("account").seconds_since_last("10m"),
    points=reports.by("account").last(reports.points, "30d"),
)

case = hr.UseCase(
    on=orders,
    features=features,
    policy=hr.Policy(
        hr.block("overspent", features.spent > 60_000),
        hr.review("poor_credit", features.points < 350),
        hr.review("in_a_hurry", features.orders_in_window > 12),
        otherwise=hr.approve(),
    ),
    name="orders",
)
