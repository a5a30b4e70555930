"""What the operands of a policy are, and which of them can be compared, for one schema."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING

from headrace.core.columns import Kind, Text, pack_letters, unpack_letters
from headrace.core.errors import DefinitionError
from headrace.policy import decide_kernels as kernels
from headrace.policy.conditions import Constant, Operand, Relation, Source
from headrace.policy.policy import Rule, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.columns import Column
    from headrace.definitions.plan import Feature
    from headrace.events.schema import Schema
    from headrace.policy.explain import Seen

LETTERS = {Kind.CURRENCY: 3, Kind.COUNTRY: 2}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
#: No integer of an event is as large; a threshold beyond it compares the same as it.
_FAR = 2**62


@dataclass(frozen=True, slots=True)
class Value:
    """Where an operand lies and what it is.

    Of money, `currency` is its currency, or the field that holds it where `varies`.
    """

    place: int
    index: int
    kind: Kind
    scale: int = 0
    currency: str = ""
    varies: bool = False
    pii: bool = False

    @property
    def is_text(self) -> bool:
        """Whether it is held as bytes of text."""
        return self.place == kernels.FIELD and self.kind is Kind.TEXT

    @property
    def is_whole(self) -> bool:
        """Whether it is held as an integer, so that comparisons are exact."""
        return self.place == kernels.FIELD and self.kind not in (Kind.TEXT, Kind.FLOAT)

    def of_feature(self, number: float) -> Seen:
        """A feature's number as a person writes it; None where it is missing."""
        if math.isnan(number):
            return None
        if self.kind is Kind.BOOL:
            return number != 0.0
        if self.kind in LETTERS:
            return unpack_letters(int(number), LETTERS[self.kind])
        return number

    def of_field(self, column: Column) -> Seen:  # noqa: PLR0911 - one way for each kind
        """The first row of a field's column as a person writes it; None where it is missing."""
        if isinstance(column, Text):
            return column.strings()[0]
        if not column.valid[0]:
            return None
        word = int(column.values[0])
        if self.kind is Kind.FLOAT:
            return float(column.floats()[0])
        if self.kind is Kind.BOOL:
            return word != 0
        if self.kind in LETTERS:
            return unpack_letters(word, LETTERS[self.kind])
        if self.kind is Kind.TIME:
            return _EPOCH + dt.timedelta(microseconds=word // 1000)
        return word if self.kind is Kind.INT else Decimal(word).scaleb(-self.scale)


class Values:
    """Finds operands among the features and the fields of one schema."""

    def __init__(self, features: Sequence[Feature | str], schema: Schema) -> None:
        self._schema = schema
        self.features = len(features)
        self.fields: list[str] = []
        self._by_name: dict[str, Value] = {}
        self._found: dict[Operand, Value] = {}
        for i, item in enumerate(features):
            if isinstance(item, str):
                self._by_name[item] = Value(kernels.FEATURE, i, Kind.FLOAT)
            else:
                self._by_name[item.name] = Value(kernels.FEATURE, i, item.kind, item.scale)

    def known(self, operand: Operand) -> Value:
        """Where `operand` lies; it has been found before."""
        return self._found[operand]

    def whole(self) -> set[Operand]:
        """The operands that are whole numbers."""
        return {operand for operand, value in self._found.items() if value.kind is Kind.INT}

    def find(self, operand: Operand, rule: Rule) -> Value:
        """Where `operand` lies.

        Raises:
            DefinitionError: When there is nothing of that name.
        """
        known = self._found.get(operand)
        if known is not None:
            return known
        if operand.source is Source.SCORE:
            value = Value(kernels.SCORE, 0, Kind.FLOAT)
        elif operand.source is Source.FEATURE:
            if operand.name not in self._by_name:
                raise _in_rule(rule, unknown("feature", operand.name, self._by_name, None))
            value = self._by_name[operand.name]
        else:
            value = self._field(operand.name, rule)
        self._found[operand] = value
        return value

    def _field(self, name: str, rule: Rule) -> Value:
        if name not in self._schema.names:
            error = unknown(f"field of {self._schema.name} called", name, self._schema.names, None)
            raise _in_rule(rule, error)
        described = self._schema.field(name)
        place = kernels.FLOAT_FIELD if described.kind is Kind.FLOAT else kernels.FIELD
        self.fields.append(name)
        return Value(
            place,
            len(self.fields) - 1,
            described.kind,
            described.scale,
            described.currency or described.currency_field,
            varies=described.currency_field != "",
            pii=described.pii,
        )


def _in_rule(rule: Rule, error: DefinitionError) -> DefinitionError:
    return DefinitionError(f"rule {rule.name}: {error}", at=rule.at)


class CannotCompare(Exception):
    """Two things that cannot be compared; becomes a `DefinitionError` of the rule."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


def check_equality(what: str, relation: Relation) -> None:
    """Refuse an order among values that have none."""
    if relation not in (Relation.EQ, Relation.NE):
        raise CannotCompare(f"{what} have no order", "compare with == or !=, or use is_in")


def check_alike(pair: str, one: Value, other: Value) -> None:
    """Refuse a comparison of two operands of unlike kinds or currencies."""
    if (
        (one.currency, one.varies) != (other.currency, other.varies)
        and one.is_whole
        and other.is_whole
    ):
        raise CannotCompare(
            f"{pair} are in unlike currencies", "convert both to one currency as features"
        )
    apart = {Kind.TIME, Kind.CURRENCY, Kind.COUNTRY, Kind.BOOL, Kind.TEXT}
    if one.kind is not other.kind and (one.kind in apart or other.kind in apart):
        raise CannotCompare(
            f"{pair} are a {one.kind.name.lower()} and a {other.kind.name.lower()}",
            "compare values of one kind",
        )
    if one.kind is Kind.TEXT:
        raise CannotCompare(
            f"{pair} cannot be compared as text features", "compare the event's fields"
        )


def number_of(
    operand: Operand, value: Value, relation: Relation, constant: Constant
) -> Decimal | None:
    """The constant as a number of the operand's kind; None for a text."""
    given = constant.value
    if isinstance(given, bool):
        if value.kind is not Kind.BOOL and not (
            value.kind is Kind.FLOAT and value.place == kernels.FEATURE
        ):
            raise CannotCompare(
                f"{operand} is a {value.kind.name.lower()}, not true or false",
                "compare it with a value of its kind",
            )
        check_equality(str(operand), relation)
        return Decimal(int(given))
    if isinstance(given, dt.datetime):
        if not (value.is_whole and value.kind is Kind.TIME):
            raise CannotCompare(
                f"{operand} is a {value.kind.name.lower()}, not a time",
                "compare a time field with a time",
            )
        since = given - _EPOCH
        return Decimal((since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000)
    if isinstance(given, str):
        return _of_text(operand, value, relation, given)
    if value.kind in (Kind.TEXT, Kind.COUNTRY, Kind.CURRENCY, Kind.TIME, Kind.BOOL):
        raise CannotCompare(
            f"{operand} is a {value.kind.name.lower()}, compared with the number {given}",
            "compare it with a value of its kind",
        )
    if value.varies:
        raise CannotCompare(
            f"{operand} is money in the currency of {value.currency}: {given} has no fixed worth",
            f"make a feature of it, {operand}.in_currency('EUR', rates), and compare that",
        )
    return given


def _of_text(operand: Operand, value: Value, relation: Relation, given: str) -> Decimal | None:
    check_equality(str(operand), relation)
    if value.is_text:
        return None
    letters = LETTERS.get(value.kind)
    if letters is None:
        raise CannotCompare(
            f"{operand} is a {value.kind.name.lower()}, compared with the text {given!r}",
            "compare the event's own field"
            if value.kind is Kind.TEXT
            else "compare it with a value of its kind",
        )
    if len(given) != letters or not (given.isascii() and given.isalpha() and given.isupper()):
        raise CannotCompare(
            f"{given!r} is no {value.kind.name.lower()} code", f"write {letters} capital letters"
        )
    return Decimal(pack_letters(given))


def integer_bound(
    operand: Operand, value: Value, relation: Relation, number: Decimal
) -> tuple[Relation, int]:
    """The comparison of integer units that is true where that with `number` is.

    x < 10.5 is x <= 10, and x >= 10.5 is x > 10; equality with 10.5 cannot be.
    """
    places = 0 if value.kind is Kind.TIME else value.scale
    sign, digits, exponent = number.as_tuple()
    scaled = Decimal((sign, digits, int(exponent) + places))
    floor = int(scaled.to_integral_value(ROUND_FLOOR))
    if floor != scaled:
        if relation in (Relation.EQ, Relation.NE):
            raise CannotCompare(
                f"{operand} has {places} digits after the point and is never {number}",
                "compare with a value that it can have, or use < or >",
            )
        relation = Relation.LE if relation in (Relation.LT, Relation.LE) else Relation.GT
    return relation, max(-_FAR, min(_FAR, floor))
