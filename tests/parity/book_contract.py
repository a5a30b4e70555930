"""What an order book must say, in plain Python: dictionaries of levels, messages kept in a list.

No Headrace in here. A message is worked on when it has ended. A book that is not in sync holds the
messages since its last gap, and puts them over the snapshot that ends it: the way that exchanges
describe. The contract is docs/concepts/order-books.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

IN_SYNC, WAITING, GAP, CROSSED, STALE, IN_MESSAGE, BROKEN = range(7)
SIDES = ("bid", "ask")


@dataclass
class Message:
    """Changes that belong together."""

    first: int
    last: int
    snapshot: bool
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    next: int = 0
    lost: bool = False


@dataclass
class Side:
    """The levels of one side."""

    sign: int
    most: int
    levels: dict[int, int] = field(default_factory=dict)
    horizon: int | None = None

    def best(self) -> list[int]:
        """Prices, the best first."""
        return sorted(self.levels, key=lambda price: -self.sign * price)

    def set(self, price: int, size: int) -> None:
        """What there is now at a price."""
        if price in self.levels or size == 0:
            self.levels[price] = size
            if size == 0:
                del self.levels[price]
            return
        if self.horizon is not None and self.sign * price <= self.sign * self.horizon:
            return
        self.levels[price] = size
        if len(self.levels) > self.most:
            self.horizon = self.best()[-1]
            del self.levels[self.horizon]


class PlainBook:
    """One book.

    Args:
        levels: The most on a side.
        stale: Nanoseconds.
        partial: How many levels of a side a snapshot tells at most; 0 is all.
    """

    def __init__(self, levels: int, stale: int, partial: int = 0) -> None:
        self.most, self.stale, self.partial = levels, stale, partial
        self.state = WAITING
        self.open: Message | None = None
        self.run: list[Message] = []
        self.run_first = 0
        self.last: int | None = None
        self.counts = dict.fromkeys(("gaps", "crossings", "snapshots", "corrections"), 0)
        self.updated: int | None = None
        self.moved: int | None = None
        self.top: tuple[tuple[int, int], ...] | None = None
        self.before: tuple[tuple[int, int], ...] | None = None
        self.crossed = False
        self.clear()

    def clear(self) -> None:
        """No levels."""
        self.sides = {"bid": Side(1, self.most), "ask": Side(-1, self.most)}

    def take(self, row: Mapping[str, Any]) -> None:
        """One change, its numbers whole."""
        now = self.open
        if now is not None and (now.last != row["last_id"] or row["place"] < now.next):
            now.lost = True
            self.work(now, None)
            now = None
        if now is None:
            now = self.open = Message(row["first_id"], row["last_id"], row["is_snapshot"])
        now.lost = now.lost or row["place"] != now.next or row["size"] < 0
        now.next = row["place"] + 1
        now.rows.append(row)
        if row["is_last"]:
            self.work(now, row["at"])
            self.open = None

    def work(self, message: Message, at: int | None) -> None:
        """A whole message; or one that never ended (at None)."""
        done = self.snapshot(message) if message.snapshot else self.update(message)
        if done and at is not None:
            self.end(at)
        elif self.state != IN_SYNC:
            self.top = None

    def leave(self, state: int) -> None:
        """Something is missing."""
        if self.state != WAITING:
            self.state = state

    def lose(self) -> None:
        """A change is lost: only a snapshot from here on is of use."""
        self.leave(BROKEN)
        self.run, self.run_first = [], (self.last or 0) + 1

    def update(self, message: Message) -> bool:
        """Whether it was applied."""
        if message.first > message.last:
            self.lose()
            return False
        if self.last is None:
            self.run_first = message.first
        elif message.last <= self.last:
            return False
        elif message.first > self.last + 1:
            self.counts["gaps"] += 1
            self.run, self.run_first = [], message.first
            self.leave(GAP)
        self.last = message.last
        if message.lost:
            self.lose()
        elif self.state == IN_SYNC:
            self.apply(message)
        else:
            self.run.append(message)
        return True

    def snapshot(self, message: Message) -> bool:
        """Whether it was taken."""
        behind = self.last is not None and message.last < self.last
        if behind and (self.state == IN_SYNC or self.run_first > message.last + 1):
            return False
        if not behind:
            self.last, self.run_first, self.run = message.last, message.last + 1, []
        if message.lost:
            self.lose()
            return False
        before = {name: dict(side.levels) for name, side in self.sides.items()}
        beyond = self.beyond(message) if self.partial and self.state == IN_SYNC else {}
        self.clear()
        self.apply(message)
        for name, levels in beyond.items():
            self.sides[name].levels |= levels
        after = {name: dict(side.levels) for name, side in self.sides.items()}
        if self.partial and self.state == IN_SYNC:
            self.counts["corrections"] += before != after
        for later in self.run:
            if later.last > message.last:
                self.apply(later)
        self.run = []
        self.state = IN_SYNC
        self.counts["snapshots"] += 1
        return True

    def beyond(self, message: Message) -> dict[str, dict[int, int]]:
        """The levels that a snapshot of the best ones says nothing of."""
        found: dict[str, dict[int, int]] = {}
        for name, side in self.sides.items():
            told = [row for row in message.rows if row["bid"] == (name == "bid")]
            prices = [row["price"] for row in told if row["price"] is not None]
            if len(prices) >= self.partial:
                farthest = min(side.sign * price for price in prices)
                found[name] = {p: s for p, s in side.levels.items() if side.sign * p < farthest}
        return found

    def apply(self, message: Message) -> None:
        """Set its levels."""
        for row in message.rows:
            if row["price"] is not None:
                self.sides["bid" if row["bid"] else "ask"].set(row["price"], row["size"])

    def end(self, at: int) -> None:
        """What is at the top now."""
        best = [self.sides[name].best() for name in SIDES]
        known = self.state == IN_SYNC and all(best)
        crossed = known and best[0][0] >= best[1][0]
        self.counts["crossings"] += crossed and not self.crossed
        self.crossed = crossed
        self.before = self.top
        self.top = None
        if known and not crossed:
            self.top = tuple(
                (prices[0], self.sides[name].levels[prices[0]])
                for name, prices in zip(SIDES, best, strict=True)
            )
        if self.top is None:
            self.moved = None
        elif self.before is not None and any(
            now[0] != then[0] for now, then in zip(self.top, self.before, strict=True)
        ):
            self.moved = at
        self.updated = at

    def status(self, at: int) -> int:
        """What can be said of it at a time."""
        if self.state != IN_SYNC:
            return self.state
        if self.open is not None:
            return IN_MESSAGE
        if self.updated is not None and at - self.updated > self.stale:
            return STALE
        return CROSSED if self.crossed else IN_SYNC

    def level(self, side: str, number: int) -> tuple[int, int] | None:
        """Price and size of the nth best level."""
        prices = self.sides[side].best()
        if number > len(prices):
            return None
        return prices[number - 1], self.sides[side].levels[prices[number - 1]]

    def depth(self, side: str, levels: int) -> int | None:
        """The sum of sizes of the best levels."""
        held = self.sides[side]
        if levels > len(held.levels) and held.horizon is not None:
            return None
        return sum(held.levels[price] for price in held.best()[:levels])

    def flow(self, side: str) -> int | None:
        """What came to the best price, less what left it."""
        if self.top is None or self.before is None:
            return None
        place, sign = SIDES.index(side), self.sides[side].sign
        (price, size), (old, old_size) = self.top[place], self.before[place]
        came = size if sign * price >= sign * old else 0
        return came - (old_size if sign * price <= sign * old else 0)
