"""What an event, or a row of a reference table, is made of: data, made from a user's class.

A `Schema` is all that the rest of Headrace knows of an event class. It is plain and frozen, and
`canonical()` writes it down the same way on every machine, so that its hash names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from headrace.core.columns import Batch, Fixed, Kind, Text
from headrace.core.errors import DefinitionError, SourceLine

#: Integers, exact decimals and money hold values up to this, either sign: what a JSON number
#: carries safely (RFC 8259, section 6), and what leaves room for exact sums and squares.
EXACT_LIMIT = 2**53 - 1


class Role(StrEnum):
    """What a field is for, beyond how it is stored."""

    ID = "id"
    EVENT_TIME = "event_time"
    KNOWN_AT = "known_at"
    KEY = "key"
    CATEGORY = "category"
    REF = "ref"
    VALUE = "value"
    GIVEN = "given"  # worked out by a side stage: no part of what came in


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an event.

    Attributes:
        name: As it stands in the class, in JSON and in columns.
        kind: How it is stored.
        role: What it is for.
        scale: Digits after the point, of a DECIMAL; of MONEY in a fixed currency, its minor unit.
        currency: Of MONEY: the fixed currency (`"EUR"`), or "" when `currency_field` names it.
        currency_field: Of MONEY: the field that holds each event's currency.
        refers_to: Of a REF: the name of the event class whose id it holds.
        optional: Whether it may be missing.
        pii: Whether it is personal data, replaced by a surrogate at the door.
        subject: Whether it names the person whose data this event is.
        protected: Whether no feature and no rule may read it: it is there to measure fairness.
        minimum: Least value accepted, in the field's own integer units; None for the kind's own.
        maximum: Greatest value accepted, likewise.
        longest: Of TEXT, the most bytes of UTF-8 accepted.
    """

    name: str
    kind: Kind
    role: Role = Role.VALUE
    scale: int = 0
    currency: str = ""
    currency_field: str = ""
    refers_to: str = ""
    optional: bool = False
    pii: bool = False
    subject: bool = False
    minimum: int | float | None = None
    maximum: int | float | None = None
    longest: int = 1024
    protected: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """The fields of an event class or a table row, in the order of the class.

    Attributes:
        name: The name of the class.
        fields: In order; the order is part of the canonical bytes of an event.
        at: Where the class stands in the user's file, for messages.
    """

    name: str
    fields: tuple[Field, ...]
    at: SourceLine | None = None

    def field(self, name: str) -> Field:
        """The field called `name`, or a `DefinitionError` that lists what there is."""
        for field in self.fields:
            if field.name == name:
                return field
        known = ", ".join(field.name for field in self.fields)
        raise DefinitionError(f"{self.name} has no field {name!r}; it has {known}", at=self.at)

    def having(self, role: Role) -> Field | None:
        """The one field of that role; None if there is none."""
        return next((field for field in self.fields if field.role is role), None)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields, in order."""
        return tuple(field.name for field in self.fields)

    def no_rows(self) -> Batch:
        """A batch of this schema without any row.

        >>> Schema("Tick", (Field("n", Kind.INT),)).no_rows().fixed("n").values.dtype.name
        'int64'
        """
        none = {kind: Text.of([]) if kind is Kind.TEXT else Fixed.of([]) for kind in Kind}
        return Batch({field.name: none[field.kind] for field in self.fields}, 0)

    def canonical(self) -> bytes:
        """The schema as JSON with sorted keys: what its hash is taken of."""
        return msgspec.json.encode(
            {"name": self.name, "fields": [_plain(field) for field in self.fields]}, order="sorted"
        )


def _plain(field: Field) -> dict[str, object]:
    plain: dict[str, object] = {name: getattr(field, name) for name in Field.__slots__}
    plain["kind"] = int(field.kind)
    plain["role"] = field.role.value
    if not field.protected:
        del plain["protected"]
    return plain
