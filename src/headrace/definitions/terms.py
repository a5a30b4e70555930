"""Terms: what an expression is, as typed data.

A `Term` is a node with what is known of its value: its type, a bound on its magnitude where it is
an integer, the stream whose event it reads, and whether windows are read on the way. Terms are
primitive: conversions between integers and floats stand in the tree, each is one `Op` of the
plan, so the compiler only numbers them. `expressions.Expression` is the shell that users handle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError, SourceLine
from headrace.events.schema import EXACT_LIMIT, Field, Role, Schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.definitions.plan import Book, BookPart, Calendar, Function, Op

#: The greatest magnitude of a register of integers.
WORD_LIMIT = 2**63 - 1

INTEGER_KINDS = frozenset({Kind.INT, Kind.DECIMAL, Kind.MONEY})
NUMBER_KINDS = INTEGER_KINDS | {Kind.FLOAT}


@dataclass(frozen=True, slots=True)
class ValueType:
    """What a value means.

    Attributes:
        kind: How it is stored.
        scale: Of DECIMAL and of MONEY in a fixed currency: digits after the point.
        unit: Of MONEY, and of a FLOAT that came from it: `"EUR"`, or `"payment.currency"` where
            each event has its own; "" for a plain number.
        varying: Whether the unit differs from event to event. A FLOAT of a varying unit is in
            minor units, since the currency's digits are not known before the event is.
    """

    kind: Kind
    scale: int = 0
    unit: str = ""
    varying: bool = False

    def __str__(self) -> str:
        if self.kind is Kind.MONEY or self.unit:
            return f"money in {'each ' if self.varying else ''}{self.unit}"
        if self.kind is Kind.DECIMAL:
            return f"a decimal with {self.scale} digits"
        return _KIND_NAMES[self.kind]

    @property
    def is_integer(self) -> bool:
        """Whether its registers hold integers with a magnitude: numbers, not codes."""
        return self.kind in INTEGER_KINDS

    @property
    def is_number(self) -> bool:
        """Whether arithmetic is defined on it."""
        return self.kind in NUMBER_KINDS


_KIND_NAMES = {
    Kind.BOOL: "a condition",
    Kind.INT: "a whole number",
    Kind.FLOAT: "a number",
    Kind.TIME: "a time",
    Kind.CURRENCY: "a currency",
    Kind.COUNTRY: "a country",
    Kind.TEXT: "text",
}

BOOL = ValueType(Kind.BOOL)
INT = ValueType(Kind.INT)
FLOAT = ValueType(Kind.FLOAT)
TIME = ValueType(Kind.TIME)
TEXT = ValueType(Kind.TEXT)


@dataclass(frozen=True, slots=True)
class StreamDefinition:
    """A stream as it was declared; times in nanoseconds, see `plan.StreamPlan`."""

    name: str
    schema: Schema
    lateness_ns: int
    max_ahead_ns: int
    dedupe_ns: int
    arrives_after_ns: int
    at: SourceLine | None = field(default=None, compare=False)

    @property
    def event_time(self) -> str:
        """The name of the field of event time."""
        found = self.schema.having(Role.EVENT_TIME)
        if found is None:
            raise DefinitionError(
                f"{self.schema.name} has no event time",
                at=self.schema.at or self.at,
                fix="give it a field `at: hr.EventTime`",
            )
        return found.name


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """A reference table as it was declared."""

    name: str
    schema: Schema
    key: tuple[str, ...]
    valid_from: str
    at: SourceLine | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class BookDefinition:
    """Order books as they were declared."""

    stream: StreamDefinition
    book: Book
    at: SourceLine | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, eq=False)
class FieldOf:
    """A field of the event."""

    stream: StreamDefinition
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A value written in the definition: the 64 bits, or the text of a category."""

    bits: int
    words: str
    category: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Applied:
    """One instruction on other terms."""

    op: Op
    arguments: tuple[Term, ...]
    immediate: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Among:
    """Whether a value is one of a set, of integers or of texts."""

    argument: Term
    numbers: tuple[int, ...]
    texts: tuple[str, ...]
    words: str


@dataclass(frozen=True, slots=True, eq=False)
class InCalendar:
    """A part of a time in a zone or calendar."""

    argument: Term
    calendar: Calendar
    words: str


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """Money converted by a table of rates."""

    amount: Term
    currency: Term
    time: Term
    table: TableDefinition
    rate: str
    rate_scale: int
    target: str
    target_digits: int


@dataclass(frozen=True, slots=True, eq=False)
class LookedUp:
    """A field of a reference table as of a time."""

    table: TableDefinition
    field: str
    time: Term
    keys: tuple[Term, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Windowed:
    """An aggregate over a window of a stream's events with the same key."""

    function: Function
    stream: StreamDefinition
    key: tuple[str, ...]
    asked_by: tuple[str, ...]
    every_ns: int
    value: Term | None
    where: Term | None
    scale: int
    window_ns: int
    delay_ns: int
    include_current: bool
    keyed_at: SourceLine | None


@dataclass(frozen=True, slots=True, eq=False)
class BookRead:
    """What an order book says as an event of a stream is known."""

    book: BookDefinition
    stream: StreamDefinition
    asked_by: str
    part: BookPart
    side: int
    level: int
    words: str


@dataclass(frozen=True, slots=True, eq=False)
class FeatureValue:
    """A feature by its name, standing for its definition."""

    name: str
    definition: Term


@dataclass(frozen=True, slots=True, eq=False)
class Outside:
    """A value that is made after the features: the score."""

    name: str


Node: TypeAlias = (
    FieldOf
    | Constant
    | Applied
    | Among
    | InCalendar
    | Converted
    | LookedUp
    | Windowed
    | BookRead
    | FeatureValue
    | Outside
)


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """A node and what is known of its value.

    Attributes:
        node: What it is made of.
        type: What the value means.
        at: The user's line.
        bound: The greatest magnitude of the integer in the register; `WORD_LIMIT` if none is known.
        stream: The stream whose event is read directly (not through a window); None for none.
        windowed: Whether a window is read anywhere in it.
        currency: Of a varying unit: the term that gives each event's currency.
        text: What the user says it means in a reason, a template with `{value}`; "" for default.
    """

    node: Node
    type: ValueType
    at: SourceLine | None
    bound: int = WORD_LIMIT
    stream: StreamDefinition | None = None
    windowed: bool = False
    currency: Term | None = None
    text: str = ""


def made_of(node: Node, kind: ValueType, at: SourceLine | None, parts: Iterable[Term]) -> Term:
    """A term over other terms, without a bound of its own.

    Raises:
        DefinitionError: If its parts read events of two streams.
    """
    stream: StreamDefinition | None = None
    windowed = False
    currency: Term | None = None
    for part in parts:
        windowed = windowed or part.windowed
        if kind.varying and part.type.unit == kind.unit and currency is None:
            currency = part.currency
        if part.stream is None:
            continue
        if stream is not None and stream != part.stream:
            raise DefinitionError(
                f"one expression reads an event of {stream.name!r} and of {part.stream.name!r}",
                at=at,
                fix=f"read {part.stream.name!r} through a key and a window, as in "
                '`other.by("card").last(other.amount, "30d")`',
            )
        stream = part.stream
    return Term(node, kind, at, stream=stream, windowed=windowed, currency=currency)


def field_term(stream: StreamDefinition, spec: Field, at: SourceLine | None) -> Term:
    """A field of a stream's event."""
    currency = None
    if spec.currency_field:
        currency = field_term(stream, stream.schema.field(spec.currency_field), at)
    return Term(
        FieldOf(stream, spec.name),
        stored_type(spec, stream.name),
        at,
        bound=field_bound(spec),
        stream=stream,
        currency=currency,
    )


def stored_type(spec: Field, owner: str) -> ValueType:
    """The type of a field of the stream or row called `owner`."""
    if spec.kind is Kind.MONEY:
        if spec.currency:
            return ValueType(Kind.MONEY, spec.scale, spec.currency)
        return ValueType(Kind.MONEY, 0, f"{owner}.{spec.currency_field}", varying=True)
    return ValueType(spec.kind, spec.scale if spec.kind is Kind.DECIMAL else 0)


def field_bound(spec: Field) -> int:
    """The greatest magnitude that a field of integers can hold."""
    if spec.kind not in INTEGER_KINDS:
        return WORD_LIMIT
    ends = (spec.minimum, spec.maximum)
    if all(isinstance(end, int) for end in ends):
        return min(EXACT_LIMIT, max(abs(int(end)) for end in ends if end is not None))
    return EXACT_LIMIT
