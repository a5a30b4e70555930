"""What a made-up market sends: books of two symbols with gaps and snapshots, trades, our orders.

Prices follow the pressure that the sizes of their book show, which goes on for some seconds: there
is something to learn. Numbers of updates are lost now and then, and a snapshot ends that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping

START_NS = 1_700_000_000 * 10**9
#: Levels of a side.
DEPTH = 8
_TIME = pa.timestamp("ns", tz="UTC")
_EXACT = pa.decimal128(18, 8)
_TEXT, _INT, _BOOL = pa.string(), pa.int64(), pa.bool_()
_COMMON = {"at": _TIME, "received": _TIME, "symbol": _TEXT}
SCHEMAS: Mapping[str, Mapping[str, pa.DataType]] = {
    "depth": {"depth_id": _TEXT, **_COMMON, "last_update": _INT},
    "changes": {
        "change_id": _TEXT,
        **_COMMON,
        "bid": _BOOL,
        "price": _EXACT,
        "size": _EXACT,
        "first_update": _INT,
        "last_update": _INT,
        "place": _INT,
        "is_snapshot": _BOOL,
        "is_last": _BOOL,
    },
    "trades": {
        "trade_id": _TEXT,
        **_COMMON,
        "price": _EXACT,
        "size": _EXACT,
        "buyer_took": _BOOL,
        "hidden": _BOOL,
    },
    "orders": {
        "update_id": _TEXT,
        **_COMMON,
        "order_id": _TEXT,
        "buy": _BOOL,
        "quantity": _EXACT,
        "price": _EXACT,
        "status": _TEXT,
        "fee": _EXACT,
    },
    "switches": {"switch_id": _TEXT, **_COMMON, "halted": _BOOL, "reason": _TEXT},
}


def market_feed(messages: int, seed: int) -> dict[str, pa.Table]:
    """A table of each stream, in order of time, the decided one first."""
    feed = _Feed(np.random.default_rng(seed))
    books = {name: _Book(name, feed) for name in ("A", "B")}
    for number in range(messages):
        feed.at += int(feed.dice.integers(1, 300)) * 1_000_000
        book = books["AB"[int(feed.dice.integers(2))]]
        book.message()
        if feed.dice.random() < 0.3:
            book.trade()
        if feed.dice.random() < 0.02:
            book.order()
        if number in (messages // 2, messages // 2 + messages // 20):
            halted = {"halted": number == messages // 2, "reason": None}
            feed.row("switches", "A", **halted)
    return {
        name: pa.Table.from_pylist(feed.rows[name], schema=pa.schema(list(fields.items())))
        for name, fields in SCHEMAS.items()
    }


@dataclass
class _Feed:
    dice: np.random.Generator
    at: int = START_NS
    rows: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {name: [] for name in SCHEMAS}
    )

    def row(self, stream: str, symbol: str, **more: Any) -> None:
        rows = self.rows[stream]
        identity = next(iter(SCHEMAS[stream]))
        times = {"at": self.at, "received": self.at + 5_000_000}
        rows.append({identity: f"{stream[0]}{len(rows)}", **times, "symbol": symbol, **more})


@dataclass
class _Book:
    symbol: str
    feed: _Feed
    mid: int = 10_000
    trend: int = 1
    pressure: float = 0.0
    update: int = 100
    sent: int = 0
    lost: bool = True
    levels: dict[tuple[bool, int], int] = field(default_factory=dict)

    def message(self) -> None:
        """The book after a move that its pressure had shown: what changed, or all of it."""
        dice = self.feed.dice
        if dice.random() < min(0.9, abs(self.pressure)):
            self.mid += 1 if self.pressure > 0 else -1
        if dice.random() < 0.02:
            self.trend = -self.trend
        self.pressure = 0.6 * self.trend + float(dice.normal(0.0, 0.3))
        held = self._drawn()
        self.update += 1
        if dice.random() < 0.02:  # what changed here, nobody hears of
            self.levels, self.lost = held, True
            self.update += 1
        whole = self.sent % 25 == 0 or (self.lost and dice.random() < 0.2)
        changes = {level: size for level, size in held.items() if self.levels.get(level) != size}
        changes |= {level: 0 for level in self.levels if level not in held}
        told = held if whole else changes
        for place, ((bid, price), size) in enumerate(told.items()):
            self.feed.row(
                "changes",
                self.symbol,
                bid=bid,
                price=Decimal(price) / 100,
                size=Decimal(size),
                first_update=self.update,
                last_update=self.update,
                place=place,
                is_snapshot=whole,
                is_last=place == len(told) - 1,
            )
        self.feed.row("depth", self.symbol, last_update=self.update)
        self.levels, self.lost, self.sent = held, self.lost and not whole, self.sent + 1

    def _drawn(self) -> dict[tuple[bool, int], int]:
        dice = self.feed.dice
        held: dict[tuple[bool, int], int] = {}
        for bid, sign in ((True, -1), (False, 1)):
            strength = 100 * (1 + (self.pressure if bid else -self.pressure) / 2)
            for away in range(1, DEPTH + 1):
                level = (bid, self.mid + sign * away)
                kept = self.levels.get(level)
                if kept is None or away == 1 or dice.random() < 0.05:
                    kept = max(1, round(strength + dice.normal(0, 9)))
                held[level] = kept
        return held

    def trade(self) -> None:
        """Somebody takes the best level."""
        bought = bool(self.feed.dice.random() < 0.5 + self.pressure / 3)
        price = Decimal(self.mid + (1 if bought else -1)) / 100
        size = Decimal(int(self.feed.dice.integers(1, 50)))
        self.feed.row(
            "trades", self.symbol, price=price, size=size, buyer_took=bought, hidden=False
        )

    def order(self) -> None:
        """We send an order, and it is filled or taken back."""
        buy = bool(self.feed.dice.random() < 0.5)
        name = f"o{len(self.feed.rows['orders'])}"
        price = Decimal(self.mid + (1 if buy else -1)) / 100
        ends = "filled" if self.feed.dice.random() < 0.7 else "cancelled"
        for status, fee in (("new", "0"), (ends, "0.05")):
            self.feed.row(
                "orders",
                self.symbol,
                order_id=name,
                buy=buy,
                quantity=Decimal(100),
                price=price,
                status=status,
                fee=Decimal(fee),
            )
