"""The types that the fields of an event class are declared with, and what can be said of a field.

A type stands as it is (`at: EventTime`), with its parameter (`amount: Money("EUR")`,
`rate: Decimal(8)`), or with the same said beside it, which type checkers understand
(`amount: Money = field(currency="EUR")`). `X | None` marks what may be missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from headrace.core.columns import Kind
from headrace.events.schema import Role

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal as ExactDecimal

Subject = TypeVar("Subject")


class FieldType:
    """What every type of field has: how it is stored and what it is for."""

    kind: ClassVar[Kind]
    role: ClassVar[Role] = Role.VALUE


class Id(FieldType):
    """Text that names this event among all of its stream."""

    kind = Kind.TEXT
    role = Role.ID


class EventTime(FieldType):
    """When it happened; of a reference row, from when it is valid."""

    kind = Kind.TIME
    role = Role.EVENT_TIME


class KnownAt(FieldType):
    """When we learned it.

    It may be missing: live, the clock at the door stands in for it; in finished history, the event
    time plus what the stream assumes of arrival.
    """

    kind = Kind.TIME
    role = Role.KNOWN_AT


class Time(FieldType):
    """Any other time."""

    kind = Kind.TIME


class Key(FieldType):
    """Text that state can be kept by: a card, a merchant, an account."""

    kind = Kind.TEXT
    role = Role.KEY


class Category(FieldType):
    """Text out of a limited vocabulary."""

    kind = Kind.TEXT
    role = Role.CATEGORY


class Text(FieldType):
    """Any other text."""

    kind = Kind.TEXT


class Ref(FieldType, Generic[Subject]):
    """The id of an event of another class: `Ref[Payment]`."""

    kind = Kind.TEXT
    role = Role.REF


class Float(FieldType):
    """A finite binary float, for measurements; amounts are `Money`."""

    kind = Kind.FLOAT


class Int(FieldType):
    """A whole number within ±(2 ** 53 - 1)."""

    kind = Kind.INT


class Bool(FieldType):
    """True or false."""

    kind = Kind.BOOL


class Currency(FieldType):
    """A code of ISO 4217."""

    kind = Kind.CURRENCY


class Country(FieldType):
    """A code of ISO 3166-1, two letters."""

    kind = Kind.COUNTRY


class _Parametrised(FieldType):
    """A type that takes a parameter; `X(...) | None` marks it as optional."""

    def __or__(self, other: object) -> OptionalType:
        if other is not None:
            return NotImplemented
        return OptionalType(self)

    __ror__ = __or__


class Money(_Parametrised):
    """An exact amount: whole minor units of a currency.

    `Money("EUR")` is always in euro; plain `Money` is in what the class's one `Currency` field
    says, or the field named by `field(currency_field=...)`.
    """

    kind = Kind.MONEY

    def __init__(self, currency: str) -> None:
        self.currency = currency


class Decimal(_Parametrised):
    """An exact number with that many digits after the point: `Decimal(8)`."""

    kind = Kind.DECIMAL

    def __init__(self, scale: int) -> None:
        self.scale = scale


@dataclass(frozen=True, slots=True)
class OptionalType:
    """A type with a parameter that may be missing."""

    of: _Parametrised


@dataclass(frozen=True, slots=True)
class FieldOptions:
    """What `field` was told; see there."""

    pii: bool
    subject: bool
    protected: bool
    minimum: Limit | None
    maximum: Limit | None
    longest: int | None
    currency: str | None
    currency_field: str | None
    scale: int | None


if TYPE_CHECKING:
    Limit = int | float | str | ExactDecimal | datetime


def field(  # noqa: PLR0913 - what can be said of a field, each by its name
    *,
    pii: bool = False,
    subject: bool = False,
    protected: bool = False,
    minimum: Limit | None = None,
    maximum: Limit | None = None,
    longest: int | None = None,
    currency: str | None = None,
    currency_field: str | None = None,
    scale: int | None = None,
) -> Any:
    """Say more of a field than its type does.

    Args:
        pii: It is personal data: a random surrogate takes its place at the door. Text only.
        subject: It names the person whose personal data the event is. At most one, and `pii`.
        protected: It is an attribute that the law protects (sex, age, origin, ...): no feature and
            no rule may read it. It is journaled, to measure by it what decisions did.
        minimum: The least value accepted, as it is written (`"0.01"`, `0`, `"2020-01-01T00:00Z"`).
        maximum: The greatest value accepted, likewise.
        longest: The most bytes of UTF-8 accepted of a text; 1,024 unless told.
        currency: Of `Money`: its fixed currency.
        currency_field: Of `Money`: the field that holds each event's currency.
        scale: Of `Decimal`: digits after the point.

    >>> field(pii=True, subject=True).subject
    True
    """
    return FieldOptions(
        pii=pii,
        subject=subject,
        protected=protected,
        minimum=minimum,
        maximum=maximum,
        longest=longest,
        currency=currency,
        currency_field=currency_field,
        scale=scale,
    )
