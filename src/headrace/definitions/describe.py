"""What definitions say, and what their state can weigh at most."""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter
from typing import TYPE_CHECKING

from headrace.core.columns import Kind
from headrace.core.durations import duration_text, duration_words
from headrace.core.errors import DefinitionError
from headrace.definitions.plan import Function, Hold, Op
from headrace.definitions.terms import (
    Among,
    Applied,
    BookRead,
    Constant,
    Converted,
    FeatureValue,
    FieldOf,
    InCalendar,
    LookedUp,
    Outside,
    Term,
    Windowed,
)

if TYPE_CHECKING:
    from headrace.core.errors import SourceLine
    from headrace.definitions.plan import Book, Group, Plan
    from headrace.definitions.sequence_plan import SequencePlan

#: Beyond so many levels an expression is named, not spelled out.
_DEEPEST = 6

_INFIX = {
    Op.ADD_I: "plus",
    Op.ADD_F: "plus",
    Op.SUB_I: "minus",
    Op.SUB_F: "minus",
    Op.MUL_F: "times",
    Op.DIV_F: "over",
    Op.POW_F: "to the power of",
    Op.EQ_I: "=",
    Op.EQ_F: "=",
    Op.NE_I: "≠",
    Op.NE_F: "≠",
    Op.LT_I: "<",
    Op.LT_F: "<",
    Op.LE_I: "≤",
    Op.LE_F: "≤",
    Op.AND: "and",
    Op.OR: "or",
}
_PREFIX = {
    Op.NEG_I: "minus",
    Op.NEG_F: "minus",
    Op.ABS_I: "size of",
    Op.ABS_F: "size of",
    Op.SQRT_F: "square root of",
    Op.LOG_F: "log of",
    Op.LOG1P_F: "log of 1 plus",
    Op.EXP_F: "exponential of",
    Op.FLOOR_F: "whole part of",
    Op.NOT: "not",
}
_LISTED = {
    Op.MIN_I: "the lesser of",
    Op.MIN_F: "the lesser of",
    Op.MAX_I: "the greater of",
    Op.MAX_F: "the greater of",
    Op.COALESCE: "the first known of",
}
_SAME_VALUE = frozenset({Op.TO_FLOAT, Op.SCALE_UP_I})
_MOMENTS = {
    Function.MEAN: "mean",
    Function.VARIANCE: "variance",
    Function.STD: "standard deviation",
}
_PICKED = {
    Function.SUM: "sum of",
    Function.MIN: "least",
    Function.MAX: "greatest",
    Function.FIRST: "first",
    Function.LAST: "latest",
    Function.DISTINCT: "count of different",
}


def feature_text(term: Term) -> str:
    """A template of what a feature says in a reason; `{value}` stands for its value."""
    if term.text:
        says_value = any(name == "value" for _, name, _, _ in Formatter().parse(term.text))
        return term.text if says_value else f"{term.text}: {{value}}"
    return f"{words(term).replace('{', '{{').replace('}', '}}')}: {{value}}"


def check_text(text: object, term: Term, at: SourceLine | None) -> None:
    """See that a text of the user's can say a value of the term.

    Raises:
        DefinitionError: If it has another placeholder, or a format for values of another kind.
    """
    kind = term.type.kind
    sample: object = 1 if kind in (Kind.INT, Kind.BOOL) else 1.5
    if kind in (Kind.TEXT, Kind.COUNTRY, Kind.CURRENCY):
        sample = "DE"
    why = "it is no text"
    if isinstance(text, str):
        try:
            names = [name for _, name, _, _ in Formatter().parse(text) if name is not None]
            text.format(value=sample)
            why = "" if set(names) <= {"value"} else "it may hold {value} alone"
        except (LookupError, AttributeError):
            why = "it may hold {value} alone"
        except (ValueError, TypeError) as error:
            why = f"{term.type} as {sample!r} gives: {error}"
    if why:
        raise DefinitionError(
            f"{text!r} is no text for a reason: {why}",
            at=at,
            fix='write as in "spend is {value} times usual"; a brace itself is written twice',
        )


def words(term: Term, depth: int = 0) -> str:  # noqa: PLR0911 - one way for each node
    """A term as a reader would say it."""
    node = term.node
    if depth > _DEEPEST:
        return "a computed value"
    deeper = depth + 1
    if isinstance(node, FieldOf):
        return node.name
    if isinstance(node, Constant):
        return node.words
    if isinstance(node, Converted):
        return f"{words(node.amount, deeper)} in {node.target}"
    if isinstance(node, LookedUp):
        return f"the {node.field} of the {node.table.name.replace('_', ' ')} table"
    if isinstance(node, InCalendar | BookRead):
        return node.words
    if isinstance(node, Among):
        return f"{words(node.argument, deeper)} among {node.words}"
    if isinstance(node, FeatureValue | Outside):
        return node.name
    if isinstance(node, Windowed):
        return _window_words(node, deeper)
    return _applied_words(node, deeper)


def _applied_words(node: Applied, depth: int) -> str:  # noqa: PLR0911 - one way for each form
    parts = node.arguments
    if node.op in _SAME_VALUE:
        return words(parts[0], depth - 1)
    if node.op in _INFIX:
        left, right = (words(part, depth) for part in parts)
        if node.op in (Op.DIV_F, Op.SUB_F):
            # "amount over the card's 30-day mean": of what is clear from what stands before
            right = right.removesuffix(f" of {left}")
        sign = _INFIX[node.op]
        return " ".join(
            (_bracketed(parts[0], left, depth), sign, _bracketed(parts[1], right, depth))
        )
    if node.op in _PREFIX:
        return f"{_PREFIX[node.op]} {_bracketed(parts[0], words(parts[0], depth), depth)}"
    if node.op in _LISTED:
        return f"{_LISTED[node.op]} {' and '.join(words(part, depth) for part in parts)}"
    if node.op is Op.IS_MISSING:
        return f"{words(parts[0], depth)} is missing"
    if node.op is Op.SELECT:
        condition, then, otherwise = (words(part, depth) for part in parts)
        return f"{then} if {condition}, otherwise {otherwise}"
    if node.op is Op.SECONDS_BETWEEN:
        return f"seconds from {words(parts[0], depth)} to {words(parts[1], depth)}"
    return f"kilometres from {_place(parts[:2], depth)} to {_place(parts[2:], depth)}"


def _place(parts: tuple[Term, ...], depth: int) -> str:
    return f"({', '.join(words(part, depth) for part in parts)})"


def _bracketed(term: Term, said: str, depth: int) -> str:
    """A part that is itself made by a sign, in brackets."""
    node = term.node
    while isinstance(node, Applied) and node.op in _SAME_VALUE:
        node = node.arguments[0].node
    is_signed = isinstance(node, Applied) and (node.op in _INFIX or node.op is Op.SELECT)
    return f"({said})" if is_signed and depth <= _DEEPEST else said


def _window_words(node: Windowed, depth: int) -> str:
    whose = f"the {' and '.join(name.replace('_', ' ') for name in node.key)}'s"
    event = node.stream.name.replace("_", " ")
    span = f"in the last {duration_words(node.window_ns)}"
    value = words(node.value, depth) if node.value is not None else ""
    after = _condition_words(node, depth)
    if node.function is Function.COUNT:
        plural = event if event.endswith("s") else f"{event}s"
        return f"{whose} {plural} {span}{after}"
    if node.function is Function.SECONDS_SINCE_LAST:
        return f"seconds since {whose} previous {event}{after}"
    if node.function is Function.PREVIOUS:
        return f"{whose} previous {value}{after}"
    if node.function in _MOMENTS:
        number, unit = duration_words(node.window_ns).split(" ")
        length = f"{number}-{unit.removesuffix('s')}"
        return f"{whose} {length} {_MOMENTS[node.function]}{after} of {value}"
    return f"{whose} {_PICKED[node.function]} {value} {span}{after}"


def _condition_words(node: Windowed, depth: int) -> str:
    said = ""
    if node.delay_ns:
        said += f", up to {duration_words(node.delay_ns)} before"
    elif not node.include_current and node.function not in (
        Function.PREVIOUS,
        Function.SECONDS_SINCE_LAST,
    ):
        said += ", before this one"
    if node.where is not None:
        said += f", where {words(node.where, depth)}"
    return said


def feature_table(plan: Plan) -> str:
    """The features of a plan as lines of text: name, kind, meaning."""
    rows = [("feature", "kind", "meaning")]
    rows += [
        (feature.name, feature.kind.name.lower(), feature.text.removesuffix(": {value}"))
        for feature in plan.features
    ]
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    return "\n".join(f"{name:<{first}}  {kind:<{second}}  {text}" for name, kind, text in rows)


#: Words of an entity beside its events: hash, ring, bounds, running totals, and its slots in the
#: table of keys.
ENTITY_WORDS = 48

#: What a group takes at once: a piece for each of its 16 parts.
_BEGUN_BYTES = 16 << 16

#: The fewest entries that a key has room for.
_LEAST_ENTRIES = 4

#: Words of an entry for what is held; a running sum takes two where it may not fit one.
_HELD_WORDS = {Hold.COUNT: 1, Hold.SUM: 2, Hold.SQUARES: 2, Hold.VALUE: 2}


@dataclass(frozen=True, slots=True)
class GroupSize:
    """The worst case of one group's state.

    Attributes:
        group: Its name, as in `payment by card`.
        horizon_ns: How far back its events are held.
        entry_bytes: Of one event (or bucket).
        entries: For each key, rounded up to a power of two as memory is, and 4 at least.
        total_bytes: For all keys, with the smaller memory that each of them has outgrown.
    """

    group: str
    horizon_ns: int
    entry_bytes: int
    entries: int
    total_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.group}: {self.entries} entries of {self.entry_bytes} bytes for each key over "
            f"{duration_text(self.horizon_ns)}, {self.total_bytes / 1e6:,.1f} MB in all"
        )


def group_name(group: Group) -> str:
    """How a group is called in sizes, as in `payment by card`."""
    every = f" every {duration_text(group.every_ns)}" if group.every_ns else ""
    return f"{group.stream} by {', '.join(group.key)}{every}"


def sequence_name(plan: Plan, sequence: SequencePlan) -> str:
    """How a plan's sequence is called in sizes, as in `sequence of quote by symbol`."""
    return f"sequence of {plan.on} by {', '.join(sequence.key)}"


def kept_names(plan: Plan) -> list[str]:
    """The names of all that is kept by keys, in the order in which an engine counts it."""
    names = [group_name(group) for group in plan.groups]
    return names if plan.sequence is None else [*names, sequence_name(plan, plan.sequence)]


def horizon_ns(plan: Plan, number: int) -> int:
    """How far back group `number` holds events: its longest window with delay, and lateness."""
    reaches = [a.window_ns + a.delay_ns for a in plan.aggregates if a.group == number]
    return max(reaches, default=0) + plan.stream(plan.on).lateness_ns


def group_sizes(
    plan: Plan, keys: int | dict[str, int], events_per_key: int | dict[str, int]
) -> tuple[GroupSize, ...]:
    """The worst case of each group.

    Args:
        plan: The plan.
        keys: How many keys there are: for all groups, or by `group_name`.
        events_per_key: The most events of one key within the group's horizon, likewise.
    """
    made = []
    for number, group in enumerate(plan.groups):
        name = group_name(group)
        held = horizon_ns(plan, number)
        events = events_per_key if isinstance(events_per_key, int) else events_per_key[name]
        if group.every_ns:
            events = min(events, held // group.every_ns + 2)
        capacity = max(1 << (events - 1).bit_length(), _LEAST_ENTRIES)
        entry = 8 * (1 + sum(_HELD_WORDS[item.hold] for item in group.held))
        entities = keys if isinstance(keys, int) else keys[name]
        total = _BEGUN_BYTES + entities * _key_bytes(capacity, entry)
        made.append(GroupSize(name, held, entry, capacity, total))
    if plan.sequence is not None:
        made.append(_sequence_size(plan, plan.sequence, keys, events_per_key))
    return tuple(made)


def _key_bytes(capacity: int, entry: int) -> int:
    """Of one key; 4, 8, 16, ... entries were outgrown: together 4 less than there are now."""
    return 8 * ENTITY_WORDS + (2 * capacity - _LEAST_ENTRIES) * entry


def _sequence_size(
    plan: Plan,
    sequence: SequencePlan,
    keys: int | dict[str, int],
    events_per_key: int | dict[str, int],
) -> GroupSize:
    """The worst case of a sequence: `length` vectors of a key, and those that lateness adds."""
    name = sequence_name(plan, sequence)
    lateness = plan.stream(plan.on).lateness_ns
    vectors = sequence.length
    if lateness:
        vectors += events_per_key if isinstance(events_per_key, int) else events_per_key[name]
    capacity = max(1 << (vectors - 1).bit_length(), _LEAST_ENTRIES)
    entry = 8 * (1 + len(sequence.features))
    entities = keys if isinstance(keys, int) else keys[name]
    total = _BEGUN_BYTES + entities * _key_bytes(capacity, entry)
    return GroupSize(name, sequence.within_ns + lateness, entry, capacity, total)


#: Words of a book beside its levels and orders; of a level on each side; of an order at most.
BOOK_WORDS, _LEVEL_WORDS, _ORDER_WORDS = 47, 6, 16


def book_bytes(book: Book) -> int:
    """What one order book takes: as much as it ever will, from its first change on."""
    return 8 * (BOOK_WORDS + _LEVEL_WORDS * book.levels + _ORDER_WORDS * book.orders)


#: What a worst case is worked out for where nobody says otherwise.
KEYS, EVENTS_PER_KEY = 100_000, 100


def worst_case_bytes(
    plan: Plan,
    keys: int | dict[str, int] = KEYS,
    events_per_key: int | dict[str, int] = EVENTS_PER_KEY,
) -> int:
    """The most bytes that keyed state can take: the sum of `group_sizes`, and all order books.

    Texts, ids remembered against duplicates and reference rows are not in it.
    """
    books = 0
    for book in plan.books:
        books += book_bytes(book) * (keys if isinstance(keys, int) else keys[book_name(book)])
    return books + sum(size.total_bytes for size in group_sizes(plan, keys, events_per_key))


def book_name(book: Book) -> str:
    """How books are called in sizes, as in `books of changes by symbol`."""
    return f"books of {book.stream} by {book.key}"
