"""What a market sends: changes of order books, the ends of their messages, quotes, trades.

And what a venue says of our own orders. Prices and sizes have eight digits after the point, so that
feeds of all venues fit.
"""

from __future__ import annotations

import headrace as hr


class LevelChange(hr.Event):
    """The size at one price of a book has changed, or a snapshot says what it is."""

    change_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    symbol: hr.Key
    bid: hr.Bool
    price: hr.Decimal | None = hr.field(scale=8)
    size: hr.Decimal = hr.field(scale=8, minimum=0)
    first_update: hr.Int | None
    last_update: hr.Int | None
    place: hr.Int
    is_snapshot: hr.Bool
    is_last: hr.Bool


class Depth(hr.Event):
    """All changes of one message of a book are known: the moment at which a book is looked at."""

    depth_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    symbol: hr.Key
    last_update: hr.Int | None


class Quote(hr.Event):
    """The best bid and ask, as the venue says them itself."""

    quote_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    symbol: hr.Key
    update: hr.Int | None
    bid_price: hr.Decimal = hr.field(scale=8)
    bid_size: hr.Decimal = hr.field(scale=8, minimum=0)
    ask_price: hr.Decimal = hr.field(scale=8)
    ask_size: hr.Decimal = hr.field(scale=8, minimum=0)


class Trade(hr.Event):
    """Somebody bought from somebody."""

    trade_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    symbol: hr.Key
    price: hr.Decimal = hr.field(scale=8)
    size: hr.Decimal = hr.field(scale=8, minimum=0)
    buyer_took: hr.Bool | None
    hidden: hr.Bool | None


class OrderUpdate(hr.Event):
    """What a venue says of one of our orders: it has come, was filled in part or whole, or is gone.

    `status` is a word of FIX's OrdStatus: `new`, `partially_filled`, `filled`, `cancelled`,
    `rejected`. `quantity` is what the update is about: of `new` and `rejected` the whole order, of
    a fill what was filled, of `cancelled` what was left of it. So what still works is the sum over
    `new` less that over fills and cancels. `price` is the limit, if there is one; of a fill, what
    it was made at. `reason` says why it was rejected or cancelled.
    """

    update_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    symbol: hr.Key
    order_id: hr.Key
    buy: hr.Bool
    quantity: hr.Decimal = hr.field(scale=8, minimum=0)
    price: hr.Decimal | None = hr.field(scale=8)
    status: hr.Category
    fee: hr.Decimal = hr.field(scale=8)
    reason: hr.Text | None


class Switch(hr.Event):
    """A person lets a symbol be traded, or stops it: the kill switch."""

    switch_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    symbol: hr.Key
    halted: hr.Bool
    reason: hr.Text | None


changes = hr.stream(LevelChange, name="changes", lateness="10s", dedupe="1m")
depth = hr.stream(Depth, name="depth", lateness="10s", dedupe="1m")
quotes = hr.stream(Quote, name="quotes", lateness="10s", dedupe="1m")
trades = hr.stream(Trade, name="trades", lateness="10s", dedupe="1m")
orders = hr.stream(OrderUpdate, name="orders", lateness="10s", dedupe="1m")
switches = hr.stream(Switch, name="switches", lateness="10s", dedupe="1m")

book = changes.book(
    first="first_update",
    last="last_update",
    snapshot="is_snapshot",
    ends="is_last",
    place="place",
    levels=10_000,
    stale_after="10s",
)
