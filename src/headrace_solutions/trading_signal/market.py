"""What a market sends: changes of order books, the ends of their messages, quotes, trades.

Prices and sizes have eight digits after the point, so that feeds of all venues fit.
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


changes = hr.stream(LevelChange, name="changes", lateness="10s", dedupe="1m")
depth = hr.stream(Depth, name="depth", lateness="10s", dedupe="1m")
quotes = hr.stream(Quote, name="quotes", lateness="10s", dedupe="1m")
trades = hr.stream(Trade, name="trades", lateness="10s", dedupe="1m")

book = changes.book(
    first="first_update",
    last="last_update",
    snapshot="is_snapshot",
    ends="is_last",
    place="place",
    levels=10_000,
    stale_after="10s",
)
