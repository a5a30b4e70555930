"""The plan: what definitions compile to, and all that the engine knows of them.

A plan is pure data with a canonical hash. It says three things, in the order in which a run of
inputs goes through them:

1. for every stream, a **row program**: instructions over the fields of one event, which give the
   values and conditions that windows are kept over;
2. for every **group** (a stream, the key it is kept by, and the size of its buckets if it has
   any), the columns that are held for each event, and the **aggregates** read from them;
3. for the decided stream, a **feature program**: instructions over fields, row values and
   aggregates, which give the features.

Values live in *registers*: a register is a column of 64-bit words (integers, or the bits of
floats) with validity, one per row. Which of the two a register holds is known when the plan is
made; there is no type at run time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum, IntEnum, StrEnum

import msgspec

from headrace.core.columns import Kind  # noqa: TC001 - a plan is decoded by its annotations
from headrace.core.errors import ArtefactError, InvariantBroken
from headrace.definitions.sequence_plan import SequencePlan  # noqa: TC001 - as above
from headrace.events.schema import Role, Schema

#: Marks an attribute that canonical bytes leave out where it is false.
_SAID_IF_SO = "said if so"


class Op(IntEnum):
    """What one instruction does.

    `_I` works on integers, `_F` on floats; a missing argument gives a missing result except where
    said. A float result that is not finite is missing.
    """

    CONST = 0  # immediate: the 64 bits
    ADD_I = 1
    SUB_I = 2
    NEG_I = 3
    ABS_I = 4
    SCALE_UP_I = 5  # times 10 ** immediate; the compiler has proved that it fits
    TO_FLOAT = 6  # integer / 10 ** immediate, correctly rounded
    SCALE_DOWN_I = 7  # by 10 ** immediate, rounded down
    ADD_F = 10
    SUB_F = 11
    MUL_F = 12
    DIV_F = 13  # by zero: missing
    NEG_F = 14
    ABS_F = 15
    SQRT_F = 16
    LOG_F = 17  # of 0 or less: missing
    LOG1P_F = 18
    EXP_F = 19
    POW_F = 20
    FLOOR_F = 21
    MIN_F = 22
    MAX_F = 23
    MIN_I = 24
    MAX_I = 25
    EQ_I = 30
    NE_I = 31
    LT_I = 32
    LE_I = 33
    EQ_F = 34
    NE_F = 35
    LT_F = 36
    LE_F = 37
    AND = 40  # Kleene: false and missing is false
    OR = 41  # Kleene: true or missing is true
    NOT = 42
    IS_MISSING = 43  # never missing
    SELECT = 44  # arguments condition, then, otherwise; a missing condition takes otherwise
    COALESCE = 45
    IS_IN = 46  # integer among `Plan.sets[immediate]`
    CALENDAR = 50  # argument time; immediate: index in `Plan.calendars`
    CONVERT = 51  # amount (minor units), currency, time; immediate: index in `Plan.conversions`
    LOOK_UP = 52  # argument time, then the key registers; immediate: index in `Plan.lookups`
    GREAT_CIRCLE = 53  # latitude, longitude, latitude, longitude in degrees: kilometres
    SECONDS_BETWEEN = 54  # (second time - first time) / 1e9, correctly rounded


@dataclass(frozen=True, slots=True)
class Instruction:
    """`out = op(arguments, immediate)` over whole columns of registers."""

    op: Op
    out: int
    arguments: tuple[int, ...] = ()
    immediate: int = 0


@dataclass(frozen=True, slots=True)
class Program:
    """Instructions over registers, each of which is written once.

    Attributes:
        loads: Which columns the first registers hold: register `i` is `loads[i]`. In a row
            program they are names of fields; in a feature program `"field:NAME"`, `"row:N"`
            (register N of the decided stream's row program) or `"aggregate:N"`; in both `"book:N"`
            is a value of an order book.
        instructions: In order.
        registers: How many there are.
    """

    loads: tuple[str, ...]
    instructions: tuple[Instruction, ...]
    registers: int

    def loaded_fields(self) -> tuple[tuple[int, str], ...]:
        """Of a row program: the registers that hold fields, with these."""
        loads = enumerate(self.loads)
        return tuple((register, name) for register, name in loads if ":" not in name)


class Function(StrEnum):
    """What is read from a window."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    VARIANCE = "variance"
    STD = "std"
    MIN = "min"
    MAX = "max"
    FIRST = "first"
    LAST = "last"
    PREVIOUS = "previous"
    DISTINCT = "distinct"
    SECONDS_SINCE_LAST = "seconds_since_last"


class Hold(StrEnum):
    """How a value is held for each event of a key."""

    COUNT = "count"  # how many so far satisfy the condition and have the value
    SUM = "sum"  # running integer sum, modulo 2 ** 64
    SQUARES = "squares"  # running sum of squares, modulo 2 ** 128
    VALUE = "value"  # the value itself


@dataclass(frozen=True, slots=True)
class Held:
    """One thing held for each event of a group.

    Attributes:
        hold: How.
        value: Register of the stream's row program; -1 for a bare count.
        where: Register of the condition; -1 for none. Where it is false or missing, the event
            does not count for this column.
        floating: Whether the value is a float.
    """

    hold: Hold
    value: int = -1
    where: int = -1
    floating: bool = False


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One value read from a group's window for every decided event.

    COUNT, DISTINCT give integers; SUM, MEAN, VARIANCE, STD, SECONDS_SINCE_LAST give floats, the
    exact value (in units, that is divided by `10 ** scale`) rounded once (STD is the root of the
    rounded sample variance); MIN, MAX, FIRST, LAST and PREVIOUS give what is held.

    The window of an event at time t is `t - delay - window < h.at <= t - delay`, over what is
    known before it, and itself unless `include_current` is False.
    """

    function: Function
    group: int
    value: int = -1
    where: int = -1
    floating: bool = False
    scale: int = 0
    window_ns: int = 0
    delay_ns: int = 0
    include_current: bool = True


@dataclass(frozen=True, slots=True)
class Group:
    """Events of one stream kept by one key.

    Attributes:
        stream: Its name.
        key: Names of the stream's fields that make the key.
        asked_by: Names of the decided stream's fields that are looked up in it, in the same order.
        every_ns: Size of the buckets that events are gathered into; 0 holds each event by itself.
        held: What is held for each event (or bucket).
    """

    stream: str
    key: tuple[str, ...]
    asked_by: tuple[str, ...]
    every_ns: int
    held: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One stream: its schema, its tolerance for disorder, and its row program."""

    name: str
    schema: Schema
    lateness_ns: int
    max_ahead_ns: int
    dedupe_ns: int
    arrives_after_ns: int
    program: Program

    @property
    def event_time(self) -> str:
        """The name of the field that says when an event was."""
        found = self.schema.having(Role.EVENT_TIME)
        if found is None:
            raise InvariantBroken(f"events of {self.name} have a time")
        return found.name


@dataclass(frozen=True, slots=True)
class TablePlan:
    """A reference table: read as of event time among the rows known."""

    name: str
    schema: Schema
    key: tuple[str, ...]
    valid_from: str


@dataclass(frozen=True, slots=True)
class Calendar:
    """A part of a time in a zone or calendar, as steps: `values[i]` holds from `starts[i]` (ns) on.

    Attributes:
        part: `hour`, `weekday` (Monday is 0), `day`, `month`, `minute`, `is_weekend`,
            `is_holiday`, `is_session`, ...
        zone: Of a part of local time: the IANA zone whose offsets (seconds east) the steps give;
            the part is worked out from the local time. "" when the steps give the part itself.
        starts: Nanoseconds since 1970, ascending, the first at the least representable time.
        values: As many.
        version: Of the table that the steps were made from (`tzdata 2025b`, ...).
    """

    part: str
    zone: str
    starts: tuple[int, ...]
    values: tuple[int, ...]
    version: str


@dataclass(frozen=True, slots=True)
class Conversion:
    """Money into one currency by a table of rates; ties round to the even minor unit.

    Attributes:
        table: Index of the rates table, keyed (base, quote).
        rate: Its field that holds the rate.
        rate_scale: Digits after the point of the rate.
        target: Packed letters of the currency converted into.
        target_digits: Its minor unit.
        digits: Minor unit of every currency, by packed letters: pairs.
    """

    table: int
    rate: str
    rate_scale: int
    target: int
    target_digits: int
    digits: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class LookUp:
    """A field of a reference table, as of a time."""

    table: int
    field: str


class BookPart(StrEnum):
    """What is read of an order book; the order is that of the kernels' numbers."""

    PRICE = "price"  # of the nth best level, in the units of the field
    SIZE = "size"  # likewise
    DEPTH = "depth"  # the sum of sizes of the best n levels
    FLOW = "flow"  # what the last message added at the best price, less what it took
    PREVIOUS_PRICE = "previous_price"  # the best price before the last message
    UPDATED_AT = "updated_at"  # event time of the last message
    MOVED_AT = "moved_at"  # of the last that moved a best price
    STATUS = "status"  # a `BookStatus`
    GAPS = "gaps"  # the rest are counts since the book began
    CROSSINGS = "crossings"
    SNAPSHOTS = "snapshots"
    IGNORED = "ignored"  # changes that were not applied
    DROPPED = "dropped"  # levels that were too far to be held
    CORRECTIONS = "corrections"  # snapshots that a book in sync did not agree with


class BookStatus(IntEnum):
    """What can be said of an order book at a time."""

    IN_SYNC = 0
    WAITING = 1  # for its first snapshot
    GAP = 2  # updates are missing, and no snapshot came since
    CROSSED = 3  # the best bid is not below the best ask
    STALE = 4  # no message for longer than is allowed
    IN_MESSAGE = 5  # some changes of a message are applied, and others are to come
    BROKEN = 6  # a change that cannot be: a negative size, more orders than are held


@dataclass(frozen=True, slots=True)
class Book:
    """Order books kept from one stream of changes, one for each key.

    Attributes:
        stream: Its name; each event of it is one change.
        key: The field of text that tells books apart.
        levels: The most that are held on a side.
        orders: The most that are held of a book that is told of each order; 0 for one that is told
            of levels.
        stale_ns: How long after its last message a book is stale; 0 for never.
        starts_empty: Whether a book is known to be empty before its first message; else it waits
            for a snapshot.
        snapshot_levels: How many levels of a side a snapshot tells at most: where it tells so many,
            those that are farther stay as they were. 0 where a snapshot tells all.
        bid: The field that says whether a change is of a bid; likewise the others, "" for none:
            price; size; first and last update id of the message; whether the message is a
            snapshot; whether this is its last change; the change's place in it, from 0; the id of
            the order; whether it is reduced by the size; whether it is removed with it.
    """

    stream: str
    key: str
    levels: int
    orders: int
    stale_ns: int
    starts_empty: bool
    snapshot_levels: int
    bid: str
    price: str
    size: str
    first: str = ""
    last: str = ""
    snapshot: str = ""
    ends: str = ""
    place: str = ""
    order: str = ""
    reduces: str = ""
    removes: str = ""

    def fields(self) -> list[str]:
        """The fields of its stream that it is made of."""
        named = (self.key, self.bid, self.price, self.size, self.first, self.last, self.snapshot)
        more = (self.ends, self.place, self.order, self.reduces, self.removes)
        return [name for name in (*named, *more) if name]


@dataclass(frozen=True, slots=True)
class BookValue:
    """One value read from a book for every event of a stream.

    Attributes:
        book: Its number.
        stream: Whose events ask; one that is a change of this book is applied before it asks.
        asked_by: The field with the key.
        part: What.
        side: 0 of bids, 1 of asks.
        level: Which, from 1; of a depth, how many.
    """

    book: int
    stream: str
    asked_by: str
    part: BookPart
    side: int = 0
    level: int = 1


@dataclass(frozen=True, slots=True)
class Feature:
    """A named value of the feature program.

    Attributes:
        name: Unique within the use case.
        register: Of the feature program.
        kind: FLOAT and INT give numbers; BOOL 0 or 1; TEXT, COUNTRY and CURRENCY are categories,
            whose codes the state's dictionary (TEXT) or packing gives.
        scale: Of MONEY and DECIMAL: digits after the point.
        text: What the feature says in a reason: a template with `{value}`.
    """

    name: str
    register: int
    kind: Kind
    scale: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a use case's features. `on` is the stream that is decided.

    The rank of a stream is its place in `streams`; tables rank after all streams, in order.

    Attributes:
        admitted: Whether the inputs were judged by another lane before, as those of a side stage
            are (`headrace.definitions.stages`): then each counts, and one that is further than its
            stream's lateness behind has no features. Said in the canonical bytes where it is so.
        sequence: The last vectors of features for each key, where models read them; likewise.
        books: Order books, likewise.
        book_values: What is read of them; `book:N` among a program's loads is the Nth.
    """

    on: str
    streams: tuple[StreamPlan, ...]
    tables: tuple[TablePlan, ...]
    groups: tuple[Group, ...]
    aggregates: tuple[Aggregate, ...]
    program: Program
    features: tuple[Feature, ...]
    sets: tuple[tuple[int, ...], ...] = ()
    texts: tuple[str, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    conversions: tuple[Conversion, ...] = ()
    lookups: tuple[LookUp, ...] = ()
    admitted: bool = field(default=False, metadata={_SAID_IF_SO: True})
    sequence: SequencePlan | None = field(default=None, metadata={_SAID_IF_SO: True})
    books: tuple[Book, ...] = field(default=(), metadata={_SAID_IF_SO: True})
    book_values: tuple[BookValue, ...] = field(default=(), metadata={_SAID_IF_SO: True})

    def stream(self, name: str) -> StreamPlan:
        """The stream called `name`."""
        return next(stream for stream in self.streams if stream.name == name)

    def read(self) -> tuple[str, ...]:
        """The streams and tables that features read, the decided stream first."""
        names = [self.on, *(group.stream for group in self.groups)]
        names += [book.stream for book in self.books]
        return tuple(dict.fromkeys([*names, *(table.name for table in self.tables)]))

    def canonical(self) -> bytes:
        """The plan as JSON with sorted keys; line numbers of definitions are left out."""
        return msgspec.json.encode(_plain(self), order="sorted")

    @staticmethod
    def from_canonical(data: bytes) -> Plan:
        """The plan that `canonical()` wrote down.

        Raises:
            ArtefactError: When the bytes are no plan.
        """
        try:
            return _PLAN.decode(data)
        except msgspec.MsgspecError as error:
            raise ArtefactError(
                f"these {len(data)} bytes are not a plan of this version ({error});"
                " replay with the version of Headrace that wrote them"
            ) from error

    def digest(self) -> str:
        """SHA-256 of `canonical()`, in hexadecimal: the name of this definition."""
        return hashlib.sha256(b"headrace/plan/v1\0" + self.canonical()).hexdigest()


_PLAN = msgspec.json.Decoder(Plan)


def _plain(value: object) -> object:
    """`value` as JSON-ready data."""
    if isinstance(value, Schema):
        return msgspec.Raw(value.canonical())
    if is_dataclass(value):
        said = {item.name: getattr(value, item.name) for item in fields(value)}
        silent = [n.name for n in fields(value) if _SAID_IF_SO in n.metadata and not said[n.name]]
        return {name: _plain(item) for name, item in said.items() if name not in silent}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, IntEnum):
        return int(value)
    if isinstance(value, Enum):
        return value.value
    return value
