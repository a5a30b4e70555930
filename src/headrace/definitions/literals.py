"""Values written in a definition, as terms.

What a literal means follows from what it meets: `5` beside money in euro is five euro, `"DE"`
beside a country is a country. Decimals are exact, from integers, text and `Decimal`; a float
meets an exact value through its shortest spelling (`0.1` is one tenth).
"""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, TypeAlias

from headrace.core.columns import Kind, pack_letters
from headrace.core.errors import DefinitionError
from headrace.definitions.plan import Op
from headrace.definitions.terms import (
    BOOL,
    FLOAT,
    INT,
    TEXT,
    TIME,
    WORD_LIMIT,
    Applied,
    Constant,
    Term,
    ValueType,
)
from headrace.events.countries import codes
from headrace.events.currencies import digits_by_code

if TYPE_CHECKING:
    from headrace.core.errors import SourceLine

Literal: TypeAlias = bool | int | float | Decimal | str | datetime | None
Operand: TypeAlias = Term | Literal

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def float_bits(value: float) -> int:
    """The 64 bits of a float as a signed integer."""
    bits: int = struct.unpack("<q", struct.pack("<d", value))[0]
    return bits


def float_constant(value: float, at: SourceLine | None) -> Term:
    """A number."""
    if not math.isfinite(value):
        raise DefinitionError(
            f"{value!r} is not a number", at=at, fix="missing is written None, in then/otherwise"
        )
    return Term(Constant(float_bits(value), f"{value:g}"), FLOAT, at)


def integer_constant(value: int, kind: ValueType, at: SourceLine | None, words: str) -> Term:
    """A whole number of the smallest units of `kind`."""
    if abs(value) > WORD_LIMIT:
        raise DefinitionError(
            f"{words} does not fit 64 bits", at=at, fix="write it as a float, as in 1e30"
        )
    return Term(Constant(value, words), kind, at, bound=abs(value))


def missing(kind: ValueType, at: SourceLine | None) -> Term:
    """A missing value of any type: nought by nought, which `DIV_F` leaves missing."""
    nought = float_constant(0.0, at)
    return Term(Applied(Op.DIV_F, (nought, nought)), kind, at, bound=0)


def exact(value: object, at: SourceLine | None) -> Decimal | None:
    """The exact decimal that a literal spells; None if it spells no number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        number = Decimal(repr(float(value)))
    elif isinstance(value, (int, str, Decimal)):
        try:
            number = Decimal(value)
        except InvalidOperation:
            return None
    else:
        return None
    if not number.is_finite():
        raise DefinitionError(f"{value!r} is not a number", at=at, fix="give a finite number")
    return number


def scaled(value: Decimal, scale: int) -> Decimal:
    """`value * 10 ** scale`, exactly."""
    sign, digits, exponent = value.as_tuple()
    return Decimal((sign, digits, int(exponent) + scale))


def natural(value: Literal, at: SourceLine | None) -> Term:  # noqa: PLR0911 - one way for each type
    """A literal by its Python type alone."""
    if value is None:
        return missing(FLOAT, at)
    if isinstance(value, bool):
        return Term(Constant(int(value), "true" if value else "false"), BOOL, at)
    if isinstance(value, int):
        return integer_constant(value, INT, at, str(value))
    if isinstance(value, float):
        return float_constant(value, at)
    if isinstance(value, Decimal):
        number = exact(value, at)
        scale = max(0, -int(value.as_tuple().exponent)) if number is not None else 0
        whole = int(scaled(value, scale))
        return integer_constant(whole, ValueType(Kind.DECIMAL, scale), at, str(value))
    if isinstance(value, str):
        return Term(Constant(0, repr(value), category=value), TEXT, at)
    if isinstance(value, datetime):
        return _time(value, at)
    raise DefinitionError(
        f"{value!r} ({type(value).__name__}) can't stand in an expression",
        at=at,
        fix="use a number, Decimal, text, bool, an aware datetime, or another expression",
    )


def _time(value: datetime, at: SourceLine | None) -> Term:
    if value.tzinfo is None:
        raise DefinitionError(
            f"{value!r} has no time zone", at=at, fix="give it one, as in tzinfo=UTC"
        )
    nanoseconds = (value - _EPOCH) // timedelta(microseconds=1) * 1_000
    if abs(nanoseconds) > WORD_LIMIT:
        raise DefinitionError(
            f"{value!r} is beyond the years 1678 to 2262", at=at, fix="use one within"
        )
    return Term(Constant(nanoseconds, value.isoformat()), TIME, at)


def literal(value: Literal, like: ValueType, at: SourceLine | None) -> Term:
    """A literal that meets a value of type `like`.

    Raises:
        DefinitionError: If it can't be of that type; what a number meets need not be exact here,
            so an integer beside a float stays an integer.
    """
    if value is None:
        return missing(like, at)
    if like.kind in (Kind.CURRENCY, Kind.COUNTRY):
        return _letters(value, like, at)
    if like.kind is Kind.MONEY:
        return money(value, like, at)
    if like.is_number and isinstance(value, str):
        number = exact(value, at)
        if number is None:
            raise _unlike(value, like, at)
        value = number
    if like.kind is Kind.TIME and isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise _unlike(value, like, at) from None
    term = natural(value, at)
    if term.type.kind is not like.kind and not (term.type.is_number and like.is_number):
        raise _unlike(value, like, at)
    return term


def money(value: Literal, like: ValueType, at: SourceLine | None) -> Term:
    """An amount in major units of a fixed currency, which must come out whole in minor ones."""
    if like.varying:
        raise DefinitionError(
            f"{value!r} beside {like}: each event has its own currency",
            at=at,
            fix='convert first, as in `.in_currency("EUR", rates)`',
        )
    number = exact(value, at)
    if number is None:
        raise _unlike(value, like, at)
    minor = scaled(number, like.scale)
    if minor != minor.to_integral_value():
        raise DefinitionError(
            f"{value!r} is finer than the {like.scale} digits of {like.unit}",
            at=at,
            fix=f"round it to {like.scale} digits",
        )
    return integer_constant(int(minor), like, at, f"{number:f} {like.unit}")


def _letters(value: Literal, like: ValueType, at: SourceLine | None) -> Term:
    known = digits_by_code() if like.kind is Kind.CURRENCY else codes()
    what, example = ("ISO 4217", "EUR") if like.kind is Kind.CURRENCY else ("ISO 3166-1", "DE")
    if not isinstance(value, str) or value not in known:
        raise DefinitionError(
            f"{value!r} is no code of {like}",
            at=at,
            fix=f"write its {what} code, as in {example!r}",
        )
    return Term(Constant(pack_letters(value), repr(value)), like, at)


def _unlike(value: Literal, like: ValueType, at: SourceLine | None) -> DefinitionError:
    return DefinitionError(
        f"{value!r} meets {like}", at=at, fix=f"give {like} on both sides, or None for missing"
    )
