"""The meaning of a value: how one value of a source becomes the value of a field, or is refused.

This is the reference. The fast readers (columns of Arrow, lines of JSON) accept on their own only
what they are certain of, and ask here for everything else, so there is one meaning.

A value comes in as Python holds it: `str`, `bytes` (UTF-8), `bool`, `int`, `float`,
`decimal.Decimal`, `datetime`, `date`, `Stamp`, `Number` (the digits of a JSON number as written),
`MinorUnits` or None. It goes out as the field's canonical value: an `int` (minor units,
nanoseconds, packed letters, 0 and 1), a `float` for FLOAT, a `str` for TEXT, None for missing.

Rules that hold for every source:

* Missing is None, an absent member, and a binary NaN (what frames write for missing).
* Text is kept as it is: no trimming, no case folding, no Unicode normalisation. It may not hold
  NUL, which many stores cut at. An Id, Key or Ref may not be empty.
* A whole number is accepted as text by its digits, since ids are often numbers.
* Numbers, times and truth values are accepted as text too, since CSV has nothing else.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from headrace.core.columns import Kind, pack_letters, unpack_letters
from headrace.events import countries, currencies
from headrace.events.decimals import Refused, exact_units, is_number, near_units, nearest_units
from headrace.events.reasons import Reason, Rejected, shown
from headrace.events.schema import EXACT_LIMIT, Field, Role, Schema
from headrace.events.times import (
    NS_PER_DAY,
    STRICT,
    TIME_MAX,
    Reading,
    Stamp,
    read_count,
    read_stamp,
    read_time_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Value: TypeAlias = int | float | str | None

#: Fields that state is kept by, or that are referred to: an empty text would join strangers.
NEVER_EMPTY = frozenset({Role.ID, Role.KEY, Role.REF})

TRUTHS = {"true": 1, "True": 1, "TRUE": 1, "1": 1, "false": 0, "False": 0, "FALSE": 0, "0": 0}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()


class Number(str):
    """A JSON number by its digits as written, told apart from text.

    Give it to `json.loads` as `parse_int` and `parse_float`.
    """

    __slots__ = ()


class MinorUnits(int):
    """An amount as a count of the minor units of its currency: 1234 is 12.34 EUR, or 1234 JPY."""

    __slots__ = ()


def read_value(
    field: Field, value: object, *, currency: str = "", reading: Reading = STRICT
) -> Value | Rejected:
    """Read one value into `field`.

    Args:
        field: What it should be.
        value: As the source gave it.
        currency: For an amount whose currency another field holds, that currency's code.
        reading: What the source says of its times.

    >>> amount = Field("amount", Kind.MONEY, currency="EUR", scale=2)
    >>> read_value(amount, Number("12.34"))
    1234
    >>> read_value(amount, "12.345").reason.text
    'too many digits'
    """
    if is_missing(value):
        if field.optional:
            return None
        return Rejected(Reason.MISSING, field.name, "null", expected(field, currency))
    try:
        given = _decoded(value) if isinstance(value, bytes) else value
        read: Value = _READERS[field.kind](field, given, currency, reading)
        _check_limits(field, read)
    except Refused as refused:
        return Rejected(refused.reason, field.name, shown(value), expected(field, currency))
    return read


def read_row(
    schema: Schema, values: Mapping[str, object], reading: Reading = STRICT
) -> dict[str, Value] | Rejected:
    """Read one event; the first bad field in the order of the schema says why it is refused.

    An amount whose currency could not be read is not judged: the currency is what is wrong.
    """
    read, wrong = read_fields(schema, values, reading)
    return wrong[0] if wrong else read


def read_fields(
    schema: Schema, values: Mapping[str, object], reading: Reading = STRICT
) -> tuple[dict[str, Value], list[Rejected]]:
    """Read one event; the values that could be read, and every field that could not.

    Both are in the order of the schema.
    """
    read: dict[str, Value] = {}
    wrong: dict[str, Rejected] = {}
    amounts = [field for field in schema.fields if field.currency_field]
    for field in schema.fields:
        if not field.currency_field:
            _keep(read_value(field, values.get(field.name), reading=reading), field, read, wrong)
    for field in amounts:
        value = values.get(field.name)
        if is_missing(value):
            _keep(read_value(field, value), field, read, wrong)
        elif field.currency_field not in wrong:
            letters = read[field.currency_field]
            if letters is None:
                wrong[field.name] = Rejected(
                    Reason.CURRENCY_MISSING, field.name, shown(value), expected(field)
                )
                continue
            code = unpack_letters(int(letters), 3)
            _keep(read_value(field, value, currency=code), field, read, wrong)
    return (
        {field.name: read[field.name] for field in schema.fields if field.name in read},
        [wrong[field.name] for field in schema.fields if field.name in wrong],
    )


def is_missing(value: object) -> bool:
    """Whether a source's value stands for "not there"."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def expected(field: Field, currency: str = "") -> str:
    """What `field` accepts, as people read it.

    >>> expected(Field("country", Kind.COUNTRY))
    'a country of ISO 3166-1, as DE'
    """
    return _expected_kind(field, currency) + _expected_limits(field, currency)


def _keep(
    result: Value | Rejected, field: Field, read: dict[str, Value], wrong: dict[str, Rejected]
) -> None:
    if isinstance(result, Rejected):
        wrong[field.name] = result
    else:
        read[field.name] = result


def _expected_kind(field: Field, currency: str) -> str:
    if field.kind is Kind.MONEY:
        code = field.currency or currency
        if not code:
            return f"an amount, with its currency in {field.currency_field}"
        return (
            f"an amount in {code} with at most {money_digits(field, code)} digits after the point"
        )
    if field.kind is Kind.DECIMAL:
        return f"a number with at most {field.scale} digits after the point"
    if field.kind is Kind.TEXT:
        least = "text that is not empty" if field.role in NEVER_EMPTY else "text"
        return f"{least}, at most {field.longest} bytes of UTF-8 without NUL"
    return {
        Kind.BOOL: "true or false",
        Kind.INT: f"a whole number within ±{EXACT_LIMIT}",
        Kind.FLOAT: "a finite number",
        Kind.TIME: "a time with its offset, as 2026-01-31T12:00:00Z, from 1678 to 2261",
        Kind.CURRENCY: "a currency of ISO 4217, as EUR",
        Kind.COUNTRY: "a country of ISO 3166-1, as DE",
    }[field.kind]


def _expected_limits(field: Field, currency: str) -> str:
    code = field.currency or currency
    within = ""
    if field.kind is Kind.DECIMAL or (field.kind is Kind.MONEY and code):
        digits = field.scale if field.kind is Kind.DECIMAL else money_digits(field, code)
        within = f", within ±{Decimal(EXACT_LIMIT).scaleb(-digits):f}"
    least = "" if field.minimum is None else f", at least {_limit_text(field, field.minimum)}"
    most = "" if field.maximum is None else f", at most {_limit_text(field, field.maximum)}"
    return within + least + most


def _limit_text(field: Field, limit: float) -> str:
    if field.kind is Kind.TIME:
        return str(Stamp(int(limit), zoned=True))
    if field.scale and isinstance(limit, int):
        return f"{Decimal(limit).scaleb(-field.scale):f}"
    return str(limit)


def money_digits(field: Field, currency: str) -> int:
    """Digits after the point of an amount of `field` in `currency` (a known code)."""
    return field.scale if field.currency else currencies.digits_by_code()[currency]


def _check_limits(field: Field, read: Value) -> None:
    if isinstance(read, str) or read is None:
        return
    below = field.minimum is not None and read < field.minimum
    above = field.maximum is not None and read > field.maximum
    if below or above:
        raise Refused(Reason.OUT_OF_RANGE)


def _decoded(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(Reason.BAD_UTF8) from error


def _read_text(field: Field, value: object, currency: str, reading: Reading) -> str:  # noqa: ARG001 - one signature for all kinds
    if isinstance(value, Number):
        if not value.removeprefix("-").isdigit():
            raise Refused(Reason.WRONG_TYPE)
        text = str(value)
    elif isinstance(value, str):
        text = value
    elif isinstance(value, int) and not isinstance(value, bool):
        text = _int_text(value)
    else:
        raise Refused(Reason.WRONG_TYPE)
    try:
        length = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise Refused(Reason.BAD_UTF8) from error
    if not text and field.role in NEVER_EMPTY:
        raise Refused(Reason.EMPTY)
    if "\0" in text:
        raise Refused(Reason.NUL_CHARACTER)
    if length > field.longest:
        raise Refused(Reason.TOO_LONG)
    return text


def _int_text(value: int) -> str:
    # Python refuses to print integers of very many digits; no field accepts them either.
    if value.bit_length() > 1024:
        raise Refused(Reason.OUT_OF_RANGE)
    return str(value)


def _number_text(value: object) -> str:
    """The digits of an exact number; `Refused` when `value` is not one."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        raise Refused(Reason.WRONG_TYPE)
    if isinstance(value, int):
        return _int_text(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise Refused(Reason.NOT_FINITE)
        return str(value)
    raise Refused(Reason.WRONG_TYPE)


def _read_money(field: Field, value: object, currency: str, reading: Reading) -> int:  # noqa: ARG001 - one signature for all kinds
    if isinstance(value, MinorUnits):
        return _whole_units(value)
    return _read_units(value, money_digits(field, currency))


def _whole_units(value: MinorUnits) -> int:
    if abs(value) > EXACT_LIMIT:
        raise Refused(Reason.OUT_OF_RANGE)
    return int(value)


def _read_decimal(field: Field, value: object, currency: str, reading: Reading) -> int:  # noqa: ARG001 - one signature for all kinds
    return _read_units(value, field.scale)


def _read_units(value: object, digits: int) -> int:
    if isinstance(value, float):
        return nearest_units(value, digits, EXACT_LIMIT)
    if isinstance(value, str):
        return near_units(value, digits, EXACT_LIMIT)
    return exact_units(_number_text(value), digits, EXACT_LIMIT)


def _read_int(field: Field, value: object, currency: str, reading: Reading) -> int:  # noqa: ARG001 - one signature for all kinds
    if isinstance(value, float):
        return _whole(value, EXACT_LIMIT)
    return exact_units(_number_text(value), 0, EXACT_LIMIT)


def _whole(value: float, limit: int) -> int:
    if not math.isfinite(value):
        raise Refused(Reason.NOT_FINITE)
    if not value.is_integer():
        raise Refused(Reason.NOT_EXACT)
    if abs(value) > limit:
        raise Refused(Reason.OUT_OF_RANGE)
    return int(value)


def _read_float(field: Field, value: object, currency: str, reading: Reading) -> float:  # noqa: ARG001 - one signature for all kinds
    if isinstance(value, float):
        number = value
    else:
        text = _number_text(value)
        if not is_number(text):
            raise Refused(Reason.WRONG_TYPE)
        number = float(text)
        if math.isinf(number):
            raise Refused(Reason.OUT_OF_RANGE)
    if math.isinf(number):
        raise Refused(Reason.NOT_FINITE)
    return number


def _read_bool(field: Field, value: object, currency: str, reading: Reading) -> int:  # noqa: ARG001 - one signature for all kinds
    if isinstance(value, str):
        truth = TRUTHS.get(value)
        if truth is None:
            raise Refused(Reason.WRONG_TYPE)
        return truth
    if isinstance(value, int) and value in (0, 1):
        return int(value)
    raise Refused(Reason.WRONG_TYPE)


def _read_time(field: Field, value: object, currency: str, reading: Reading) -> int:  # noqa: ARG001 - one signature for all kinds
    if isinstance(value, Stamp):
        return read_stamp(value, reading)
    if isinstance(value, Number):
        return read_count(value, reading)
    if isinstance(value, str):
        return read_time_text(value, reading)
    if isinstance(value, date):
        return read_stamp(stamp_of(value), reading)
    if isinstance(value, float):
        value = _whole(value, TIME_MAX)
    return read_count(_number_text(value), reading)


def stamp_of(value: date) -> Stamp:
    """A Python date (its midnight) or datetime as a stamp."""
    if not isinstance(value, datetime):
        return Stamp((value.toordinal() - _EPOCH_DAY) * NS_PER_DAY, zoned=False)
    zoned = value.utcoffset() is not None
    since = (value if zoned else value.replace(tzinfo=UTC)) - _EPOCH
    return Stamp(((since.days * 86_400 + since.seconds) * 10**6 + since.microseconds) * 1000, zoned)


def _read_currency(field: Field, value: object, currency: str, reading: Reading) -> int:  # noqa: ARG001 - one signature for all kinds
    if not isinstance(value, str) or isinstance(value, Number):
        raise Refused(Reason.WRONG_TYPE)
    if value not in currencies.digits_by_code():
        raise Refused(Reason.UNKNOWN_CURRENCY)
    return pack_letters(value)


def _read_country(field: Field, value: object, currency: str, reading: Reading) -> int:  # noqa: ARG001 - one signature for all kinds
    if not isinstance(value, str) or isinstance(value, Number):
        raise Refused(Reason.WRONG_TYPE)
    if value not in countries.codes():
        raise Refused(Reason.UNKNOWN_COUNTRY)
    return pack_letters(value)


_READERS: dict[Kind, Callable[[Field, object, str, Reading], Value]] = {
    Kind.BOOL: _read_bool,
    Kind.INT: _read_int,
    Kind.DECIMAL: _read_decimal,
    Kind.MONEY: _read_money,
    Kind.FLOAT: _read_float,
    Kind.TIME: _read_time,
    Kind.CURRENCY: _read_currency,
    Kind.COUNTRY: _read_country,
    Kind.TEXT: _read_text,
}
