"""Order books: declared on a stream of changes, read as an event of any stream is known.

    book = changes.book(first="first_id", last="last_id", snapshot="is_snapshot", ends="is_last")
    at_depth = book.at(depth)
    hr.features(mid=at_depth.mid, imbalance=at_depth.imbalance(levels=5))

What is read is an expression like any other: features may be made of it, and windows kept over it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from headrace.core.columns import Kind
from headrace.core.durations import duration_ns
from headrace.core.errors import DefinitionError
from headrace.definitions.calls import checked_methods
from headrace.definitions.expressions import Expression, seconds_between
from headrace.definitions.plan import Book as BookPlan
from headrace.definitions.plan import BookPart, BookStatus
from headrace.definitions.source_lines import user_line
from headrace.definitions.suggestions import known_field, no_attribute
from headrace.definitions.terms import (
    INT,
    TIME,
    WORD_LIMIT,
    BookDefinition,
    BookRead,
    StreamDefinition,
    Term,
    ValueType,
    field_term,
    made_of,
)
from headrace.events.schema import EXACT_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from headrace.core.errors import SourceLine
    from headrace.definitions.streams import Stream

#: Of a side, and of a book; and how many sizes, added, fit 64 bits.
MOST_LEVELS, MOST_ORDERS, MOST_ADDED = 1 << 16, 1 << 20, 1_000
LEVELS = 1_000
_SIDES = {"bid": 0, "ask": 1}
_TEXTS = {
    BookPart.PRICE: "the price of the {side} at level {level}",
    BookPart.SIZE: "the size of the {side} at level {level}",
    BookPart.DEPTH: "the size of the best {level} {side}s",
    BookPart.FLOW: "what came to the best {side}, less what left it",
    BookPart.PREVIOUS_PRICE: "the best {side} before",
    BookPart.UPDATED_AT: "the time of the book's last message",
    BookPart.MOVED_AT: "the time of the last move of a best price",
    BookPart.STATUS: "the status of the book",
    BookPart.GAPS: "gaps in the book's updates",
    BookPart.CROSSINGS: "times that the book was crossed",
    BookPart.SNAPSHOTS: "snapshots of the book",
    BookPart.IGNORED: "changes of the book that were not applied",
    BookPart.DROPPED: "levels of the book that were too far to be held",
    BookPart.CORRECTIONS: "snapshots that the book did not agree with",
}
_KINDS = {
    "key": (Kind.TEXT,),
    "bid": (Kind.BOOL,),
    "price": (Kind.DECIMAL, Kind.INT),
    "size": (Kind.DECIMAL, Kind.INT),
    "first": (Kind.INT,),
    "last": (Kind.INT,),
    "snapshot": (Kind.BOOL,),
    "ends": (Kind.BOOL,),
    "place": (Kind.INT,),
    "order": (Kind.INT,),
    "reduces": (Kind.BOOL,),
    "removes": (Kind.BOOL,),
}
#: What may be missing in an event: a message that changes nothing is told by one without a price,
#: and one without an order is about a level.
_MAY_MISS = frozenset({"price", "first", "last", "order"})


@checked_methods
class Book:
    """Order books kept from a stream of changes; made by `Stream.book`."""

    def __init__(self, definition: BookDefinition) -> None:
        self._definition = definition

    def __repr__(self) -> str:
        return f"<order books of {self._definition.stream.name}>"

    def at(self, stream: Stream, *, asked_by: str | None = None) -> BookView:
        """The book as it is when an event of a stream is known.

        Of events that were known at the same moment, changes of books come first.

        Args:
            stream: Whose events ask. One that is itself a change of the book sees what it did.
            asked_by: Its field with the book's key; by default it has the key's own name.

        Raises:
            DefinitionError: If the stream has no such field.
        """
        at = user_line()
        asked, name = stream.definition, asked_by or self._definition.book.key
        known_field(asked.schema, name, at)
        _check("asked_by", name, asked, at, kinds=(Kind.TEXT,))
        return BookView(self._definition, asked, name)


@checked_methods
class BookView:
    """An order book as events of one stream see it; its attributes are expressions.

    Prices and sizes are exact. While the book is not in sync, crossed or stale, or in the midst of
    a message, all of them are missing; `status`, times and counters are not.
    """

    def __init__(self, book: BookDefinition, stream: StreamDefinition, asked_by: str) -> None:
        self._book = book
        self._stream = stream
        self._asked_by = asked_by

    def __repr__(self) -> str:
        return f"<order books of {self._book.stream.name} at {self._stream.name}>"

    def __getattr__(self, name: str) -> NoReturn:
        raise no_attribute(self, name)

    def price(self, side: str, level: int = 1) -> Expression:
        """The price of the best bid or ask, or of a further level; missing if there is none."""
        return self._leveled(BookPart.PRICE, side, level)

    def size(self, side: str, level: int = 1) -> Expression:
        """The size at a level, likewise."""
        return self._leveled(BookPart.SIZE, side, level)

    def depth(self, side: str, levels: int) -> Expression:
        """The sum of the sizes of the best levels, or of those that there are."""
        return self._leveled(BookPart.DEPTH, side, levels)

    @property
    def mid(self) -> Expression:
        """Half way between the best bid and the best ask."""
        return _called("the mid price", (self.price("bid") + self.price("ask")) / 2)

    @property
    def spread(self) -> Expression:
        """The best ask less the best bid, exact."""
        return _called("the spread", self.price("ask") - self.price("bid"))

    @property
    def micro_price(self) -> Expression:
        """The best prices, each weighted by the size on the other side."""
        bids, asks = self.size("bid"), self.size("ask")
        weighted = self.price("bid") * asks + self.price("ask") * bids
        return _called("the micro-price", weighted / (bids + asks))

    def imbalance(self, levels: int = 1) -> Expression:
        """The bids' share of the best levels' size less the asks', from -1 to 1."""
        bids, asks = self.depth("bid", levels), self.depth("ask", levels)
        name = "the best level" if levels == 1 else f"the best {levels} levels"
        return _called(f"the imbalance of {name}", (bids - asks) / (bids + asks))

    def queue_change(self, side: str) -> Expression:
        """What the last message added at the best price of a side, less what it took.

        A better price counts with its whole size, a worse one takes the size that was there.
        """
        return self._leveled(BookPart.FLOW, side, 1)

    @property
    def order_flow(self) -> Expression:
        """Order-flow imbalance of the last message: the change of the bid less that of the ask."""
        flow = self.queue_change("bid") - self.queue_change("ask")
        return _called("the order-flow imbalance of the last message", flow)

    @property
    def log_return(self) -> Expression:
        """The logarithm of the mid over the mid before the last message."""
        before = [self._leveled(BookPart.PREVIOUS_PRICE, side, 1) for side in _SIDES]
        change = (self.price("bid") + self.price("ask")) / (before[0] + before[1])
        return _called("the log return of the mid price by the last message", change.log())

    @property
    def seconds_since_move(self) -> Expression:
        """Seconds since a best price last moved; missing until one has moved."""
        return self._seconds_since(BookPart.MOVED_AT)

    @property
    def seconds_since_update(self) -> Expression:
        """Seconds since the last message."""
        return self._seconds_since(BookPart.UPDATED_AT)

    @property
    def status(self) -> Expression:
        """What can be said of the book, a number of `BookStatus`."""
        return self._read(BookPart.STATUS, INT, max(BookStatus))

    @property
    def in_sync(self) -> Expression:
        """Whether the book can be read: nothing is missing, it is neither crossed nor stale."""
        return self._is(BookStatus.IN_SYNC)

    @property
    def has_gap(self) -> Expression:
        """Whether updates are missing, and no snapshot came since."""
        return self._is(BookStatus.GAP)

    @property
    def is_crossed(self) -> Expression:
        """Whether the best bid is not below the best ask."""
        return self._is(BookStatus.CROSSED)

    @property
    def is_stale(self) -> Expression:
        """Whether there was no message for longer than is allowed."""
        return self._is(BookStatus.STALE)

    @property
    def gaps(self) -> Expression:
        """How many gaps in update ids there were."""
        return self._read(BookPart.GAPS, INT)

    @property
    def crossings(self) -> Expression:
        """How often the book became crossed."""
        return self._read(BookPart.CROSSINGS, INT)

    @property
    def snapshots(self) -> Expression:
        """How many snapshots were taken."""
        return self._read(BookPart.SNAPSHOTS, INT)

    @property
    def ignored(self) -> Expression:
        """How many changes were not applied: behind what is known already, or impossible."""
        return self._read(BookPart.IGNORED, INT)

    @property
    def dropped(self) -> Expression:
        """How many levels were too far from the best price to be held."""
        return self._read(BookPart.DROPPED, INT)

    @property
    def corrections(self) -> Expression:
        """How many snapshots said otherwise than the book, which was in sync.

        Of a book whose snapshots tell `snapshot_levels`; others are not compared.
        """
        return self._read(BookPart.CORRECTIONS, INT)

    def _is(self, status: BookStatus) -> Expression:
        return self.status == int(status)

    def _seconds_since(self, part: BookPart) -> Expression:
        now = field_term(self._stream, self._stream.schema.field(self._stream.event_time), None)
        return seconds_between(Expression(self._made(part, TIME)), Expression(now))

    def _leveled(self, part: BookPart, side: str, level: int) -> Expression:
        at = user_line()
        if side not in _SIDES:
            raise DefinitionError(f"side {side!r}", at=at, fix='give "bid" or "ask"')
        most = self._book.book.levels
        if part is BookPart.DEPTH:
            most = min(most, MOST_ADDED)
        if not isinstance(level, int) or isinstance(level, bool) or not 1 <= level <= most:
            raise DefinitionError(
                f"level {level!r} of a book",
                at=at,
                fix=f"give a whole number from 1 to {most}",
            )
        schema, book = self._book.stream.schema, self._book.book
        of_price = part in (BookPart.PRICE, BookPart.PREVIOUS_PRICE)
        spec = schema.field(book.price if of_price else book.size)
        kind = field_term(self._book.stream, spec, None).type
        bound = EXACT_LIMIT * (level if part is BookPart.DEPTH else 1)
        term = self._made(part, kind, side=_SIDES[side], level=level)
        return Expression(replace(term, bound=min(bound, WORD_LIMIT)))

    def _read(self, part: BookPart, kind: ValueType, bound: int = EXACT_LIMIT) -> Expression:
        return Expression(replace(self._made(part, kind), bound=bound))

    def _made(self, part: BookPart, kind: ValueType, side: int = 0, level: int = 1) -> Term:
        name = list(_SIDES)[side]
        words = _TEXTS[part].format(side=name, level=level)
        if part is BookPart.PRICE and level == 1:
            words = f"the best {name}"
        elif level == 1 and part in (BookPart.SIZE, BookPart.DEPTH):
            words = f"the size of the best {name}"
        node = BookRead(self._book, self._stream, self._asked_by, part, side, level, words)
        return replace(made_of(node, kind, user_line(), ()), stream=self._stream)


def _called(name: str, value: Expression) -> Expression:
    """A value that is named in reasons, not spelled out."""
    return value.described(f"{name}: {{value}}")


def declared(
    stream: StreamDefinition,
    fields: Mapping[str, str | None],
    *,
    levels: int,
    orders: int,
    stale_after: str | timedelta | None,
    starts_empty: bool,
    snapshot_levels: int,
    at: SourceLine | None,
) -> Book:
    """The books that a stream's changes are kept in; see `Stream.book`."""
    if fields["first"] and not fields["last"]:
        raise DefinitionError("first= without last=", at=at, fix="name the field of the last id")
    of_orders = [name for name in ("order", "reduces", "removes") if fields[name]]
    if bool(fields["order"]) != bool(orders) or (of_orders and not orders):
        raise DefinitionError(
            "a book that is told of each order has order= and orders=, and others have neither",
            at=at,
            fix='write as in book(order="order_id", orders=10_000)',
        )
    for what, given, least, most in (
        ("levels", levels, 1, MOST_LEVELS),
        ("orders", orders, 0, MOST_ORDERS),
        ("snapshot_levels", snapshot_levels, 0, levels),
    ):
        if type(given) is not int or not least <= given <= most:
            raise DefinitionError(
                f"{what}={given!r}", at=at, fix=f"give a whole number from {least} to {most}"
            )
    for what, name in fields.items():
        if name:
            _check(what, name, stream, at, kinds=_KINDS[what])
    stale = 0 if stale_after is None else duration_ns(stale_after, what="stale_after", at=at)
    named = {what: name or "" for what, name in fields.items()}
    made = BookPlan(
        stream=stream.name,
        levels=levels,
        orders=orders,
        stale_ns=stale,
        starts_empty=bool(starts_empty),
        snapshot_levels=snapshot_levels,
        **named,
    )
    return Book(BookDefinition(stream, made, at))


def _check(
    what: str,
    name: str,
    stream: StreamDefinition,
    at: SourceLine | None,
    *,
    kinds: tuple[Kind, ...],
) -> None:
    """A field of the right kind, which is always there."""
    spec = known_field(stream.schema, name, at)
    if spec.kind not in kinds:
        raise DefinitionError(
            f"{what}={name!r} is a field of {spec.kind.name}",
            at=at,
            fix=f"name one of {' or '.join(kind.name for kind in kinds)}",
        )
    if spec.optional and what not in _MAY_MISS:
        raise DefinitionError(
            f"{what}={name!r} may be missing", at=at, fix="declare the field without `| None`"
        )
