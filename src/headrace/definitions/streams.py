"""Streams and reference tables: what expressions start from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from headrace.core.columns import Kind
from headrace.core.durations import duration_ns
from headrace.core.errors import DefinitionError, SourceLine
from headrace.definitions import books, conversions
from headrace.definitions.books import LEVELS, Book
from headrace.definitions.calls import checked, checked_methods
from headrace.definitions.expressions import Expression, operand
from headrace.definitions.labels import LabelOf
from headrace.definitions.literals import literal
from headrace.definitions.source_lines import user_line
from headrace.definitions.suggestions import known_field
from headrace.definitions.terms import (
    TIME,
    StreamDefinition,
    TableDefinition,
    Term,
    field_term,
    stored_type,
)
from headrace.definitions.windows import Keyed
from headrace.events.event import Event, Row, schema_of
from headrace.events.schema import Role, Schema

if TYPE_CHECKING:
    from datetime import timedelta

    from headrace.definitions.expressions import Value

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@checked_methods
class Stream:
    """A declared stream; its attributes are the fields of an event of it.

    `payments.amount` is the field `amount`; `payments["by"]` is a field whose name is also a
    method's.
    """

    def __init__(self, definition: StreamDefinition) -> None:
        self._definition = definition

    @property
    def definition(self) -> StreamDefinition:
        """The stream as data."""
        return self._definition

    def __repr__(self) -> str:
        return f"<stream {self._definition.name} of {self._definition.schema.name}>"

    def __getattr__(self, name: str) -> Expression:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Expression:
        at = user_line()
        spec = known_field(self._definition.schema, name, at)
        return Expression(field_term(self._definition, spec, at))

    def by(self, *key: str, asked_by: str | tuple[str, ...] | None = None) -> Keyed:
        """The stream kept by a key.

        Args:
            key: Names of fields of this stream.
            asked_by: Names of the decided stream's fields that it is looked up by, where they are
                called otherwise there.

        Raises:
            DefinitionError: If a field is unknown or is no key.
        """
        at = user_line()
        if not key:
            raise DefinitionError("by() without a key", at=at, fix='name one, as in by("card")')
        if len(set(key)) < len(key):
            raise DefinitionError(f"by{key!r} names a field twice", at=at, fix="name each once")
        for name in key:
            spec = known_field(self._definition.schema, name, at)
            if spec.kind is Kind.FLOAT:
                raise DefinitionError(
                    f"{name!r} is a float, which is no key",
                    at=at,
                    fix="keep by text, a code, a whole number or an exact decimal",
                )
        asked = (asked_by,) if isinstance(asked_by, str) else asked_by
        if asked is not None and (not isinstance(asked, tuple) or len(asked) != len(key)):
            raise DefinitionError(
                f"by{key!r} is asked by {asked!r}",
                at=at,
                fix="name one for each of the key",
            )
        return Keyed(self._definition, key, asked or key, at)

    def book(  # noqa: PLR0913 - one name for each of a change's fields
        self,
        key: str = "symbol",
        *,
        bid: str = "bid",
        price: str = "price",
        size: str = "size",
        first: str | None = None,
        last: str | None = None,
        snapshot: str | None = None,
        ends: str | None = None,
        place: str | None = None,
        order: str | None = None,
        reduces: str | None = None,
        removes: str | None = None,
        levels: int = LEVELS,
        orders: int = 0,
        stale_after: str | timedelta | None = None,
        starts_empty: bool = False,
        snapshot_levels: int = 0,
    ) -> Book:
        """Order books kept from this stream, each event of which changes one price level or order.

        A book waits for a snapshot before it can be read, and again after a gap in update ids.

        Args:
            key: The field that tells books apart.
            bid: The field that says whether it is a bid (else an ask).
            price: An exact decimal or whole number; a message that changes nothing has none.
            size: What there is now at the price, or remains of the order; 0 takes it out.
            first: The first update id that the message covers: one more than the message before
                ended with. By default the last.
            last: The last update id of the message; without one, no gap can be seen.
            snapshot: Whether the message is a snapshot, which replaces the book.
            ends: Whether this is the last change of its message; by default each is.
            place: The change's place in its message, from 0: a change that was quarantined or lost
                is seen by it, and breaks the book until the next snapshot.
            order: Of a book that is told of each order: its id; without one, it is about a level.
            reduces: Of such a book: whether the size is what the order is reduced by.
            removes: Of such a book: whether the order is removed, with the size that it still had.
            levels: How many are held on a side. Of a full side the farthest is dropped, and what
                is as far is not held until the next snapshot.
            orders: How many orders are held; with one more the book is broken until the next
                snapshot.
            stale_after: How long without a message a book can be read.
            starts_empty: Whether a book is known to be empty before its first message.
            snapshot_levels: How many levels of a side a snapshot tells at most, if not all: what is
                farther than the last of so many stays as it was.

        Raises:
            DefinitionError: If a field is unknown, or of another kind.
        """
        fields = {"key": key, "bid": bid, "price": price, "size": size, "first": first}
        fields |= {"last": last, "snapshot": snapshot, "ends": ends, "place": place}
        return books.declared(
            self._definition,
            {**fields, "order": order, "reduces": reduces, "removes": removes},
            levels=levels,
            orders=orders,
            stale_after=stale_after,
            starts_empty=starts_empty,
            snapshot_levels=snapshot_levels,
            at=user_line(),
        )

    def of(self, stream: Stream, *, reference: str | None = None) -> LabelOf:
        """This stream as labels of another: `chargebacks.of(payments).within("60d")`.

        Args:
            stream: The stream that is labelled.
            reference: The field with the id of the event labelled; found by its type if left out.
        """
        at = user_line()
        if not isinstance(stream, Stream):
            raise DefinitionError(
                f"of({stream!r}) is of no stream",
                at=at,
                fix="give what hr.stream(...) made, as in chargebacks.of(payments)",
            )
        return LabelOf.between(self._definition, stream.definition, reference, at)


@checked
def stream(
    events: type[Event] | Schema,
    *,
    name: str | None = None,
    lateness: str | timedelta = "0s",
    max_ahead: str | timedelta = "1h",
    dedupe: str | timedelta = "1d",
    arrives_after: str | timedelta | None = None,
) -> Stream:
    """Declare a stream of events.

    Args:
        events: Their class.
        name: What it is called in files, topics and the journal; by default the class's name in
            small letters (`Payment` is `payment`, `CardPayment` is `card_payment`).
        lateness: How far behind the watermark an event may be and still be accepted.
        max_ahead: How far ahead of its receive time an event may be.
        dedupe: How long an id is remembered, so as not to count it again.
        arrives_after: Of history without a receive time: how long after it happened an event is
            assumed to be known.

    Raises:
        DefinitionError: If a length is no duration, or the class has no event time.

    >>> from headrace.events.schema import Field
    >>> payments = stream(Schema("Payment", (
    ...     Field("id", Kind.TEXT, Role.ID), Field("at", Kind.TIME, Role.EVENT_TIME),
    ...     Field("card", Kind.TEXT, Role.KEY))), lateness="10m")
    >>> payments.by("card").count("5m")
    <Expression: a whole number>
    """
    at = user_line()
    schema = _schema(events, Event, at)
    definition = StreamDefinition(
        name=_named(name, schema, at),
        schema=schema,
        lateness_ns=duration_ns(lateness, what="lateness", at=at),
        max_ahead_ns=duration_ns(max_ahead, what="max_ahead", at=at),
        dedupe_ns=duration_ns(dedupe, what="dedupe", at=at),
        arrives_after_ns=duration_ns(arrives_after or "0s", what="arrives_after", at=at),
        at=at,
    )
    if schema.having(Role.EVENT_TIME) is None:
        raise DefinitionError(
            f"{schema.name} has no event time", at=at, fix="give it a field `at: hr.EventTime`"
        )
    return Stream(definition)


@checked_methods
class Table:
    """A declared reference table, read by `as_of`."""

    def __init__(self, definition: TableDefinition) -> None:
        self._definition = definition

    @property
    def definition(self) -> TableDefinition:
        """The table as data."""
        return self._definition

    def __repr__(self) -> str:
        return f"<table {self._definition.name} by {', '.join(self._definition.key)}>"

    def as_of(self, at: Value, **key: Value) -> TableRow:
        """The row that is valid at a time, among those known: `merchants.as_of(...).risk`.

        Args:
            at: The time, as in `payments.at`.
            **key: For each field of the table's key, the value to look it up by.

        Raises:
            DefinitionError: If the key is not the table's, or its values are of other types.
        """
        line = user_line()
        time = operand(at)
        if not isinstance(time, Term) or time.type != TIME:
            raise DefinitionError(
                f"as_of({at!r}) is no time", at=line, fix="give a time first, as in `payments.at`"
            )
        if set(key) != set(self._definition.key):
            raise DefinitionError(
                f"table {self._definition.name!r} is keyed by {self._definition.key}, "
                f"and asked by {tuple(sorted(key))}",
                at=line,
                fix=f"give {', '.join(f'{name}=...' for name in self._definition.key)}",
            )
        keys = tuple(self._key_term(name, key[name], line) for name in self._definition.key)
        return TableRow(self._definition, time, keys)

    def _key_term(self, name: str, value: Value, at: SourceLine | None) -> Term:
        kind = stored_type(self._definition.schema.field(name), self._definition.name)
        given = operand(value)
        term = given if isinstance(given, Term) else literal(given, kind, at)
        if (term.type.kind, term.type.scale) != (kind.kind, kind.scale):
            raise DefinitionError(
                f"{name}= is {term.type}, and the key of {self._definition.name!r} is {kind}",
                at=at,
                fix="look it up by a value of the same type",
            )
        return term


class TableRow:
    """The row of a table as of a time; its attributes are the row's fields."""

    def __init__(self, table: TableDefinition, time: Term, keys: tuple[Term, ...]) -> None:
        self._table = table
        self._time = time
        self._keys = keys

    def __repr__(self) -> str:
        return f"<row of {self._table.name}>"

    def __getattr__(self, name: str) -> Expression:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Expression:
        return Expression(
            conversions.look_up(self._table, name, self._time, self._keys, user_line())
        )


@checked
def table(
    rows: type[Row] | Schema, *, key: str | tuple[str, ...], name: str | None = None
) -> Table:
    """Declare a reference table.

    Args:
        rows: The class of its rows.
        key: The fields that tell its rows apart, beside the time from which each is valid.
        name: What it is called in files and the journal; by default as for `stream`.

    Raises:
        DefinitionError: If a field of the key is unknown, or the row has no time of validity.
    """
    at = user_line()
    schema = _schema(rows, Row, at)
    fields = (key,) if isinstance(key, str) else key
    if not isinstance(fields, tuple):
        raise DefinitionError(
            f"key={key!r} is no key", at=at, fix='name fields, as in key=("base", "quote")'
        )
    for field in fields:
        known_field(schema, field, at)
    if not fields or len(set(fields)) < len(fields):
        raise DefinitionError(f"key={key!r} is no key", at=at, fix="name each of its fields once")
    valid_from = schema.having(Role.EVENT_TIME)
    if valid_from is None:
        raise DefinitionError(
            f"{schema.name} does not say from when a row is valid",
            at=at,
            fix="give it a field `valid_from: hr.EventTime`",
        )
    return Table(TableDefinition(_named(name, schema, at), schema, fields, valid_from.name, at))


def _schema(declared: Any, base: type[Event | Row], at: SourceLine | None) -> Schema:
    if isinstance(declared, Schema):
        return declared
    if not isinstance(declared, type) or not issubclass(declared, base) or declared is base:
        what = "stream" if base is Event else "table"
        raise DefinitionError(
            f"a {what} of {declared!r}, which is no class of hr.{base.__name__}",
            at=at,
            fix=f"give a class that is declared by `class Name(hr.{base.__name__}): ...`",
        )
    return schema_of(declared)


def _named(name: str | None, schema: Schema, at: SourceLine | None) -> str:
    """The name given, or the class's in small letters with underscores."""
    found = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", schema.name).lower() if name is None else name
    if not isinstance(found, str) or not _NAME.fullmatch(found):
        raise DefinitionError(
            f"{found!r} is no name for a stream or table",
            at=at,
            fix='give name= in small letters, digits and underscores, as in name="payments"',
        )
    return found
