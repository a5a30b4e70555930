"""Columns read at once mean the same as rows read one by one by the reference."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal as ExactDecimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.columns import Fixed, Kind, Text
from headrace.core.compiled import float_bits
from headrace.core.errors import DataError
from headrace.events.reasons import Reason, Rejected
from headrace.events.schema import Field, Role, Schema
from headrace.events.times import STRICT, Reading, Stamp
from headrace.events.validation import validate
from headrace.events.values import read_row

FIELDS = {
    "id": Field("id", Kind.TEXT, Role.ID, longest=12),
    "note": Field("note", Kind.TEXT, optional=True, longest=8),
    "at": Field("at", Kind.TIME, Role.EVENT_TIME),
    "seen": Field("seen", Kind.TIME, optional=True, minimum=0),
    "amount": Field("amount", Kind.MONEY, currency_field="currency"),
    "fee": Field("fee", Kind.MONEY, currency="EUR", scale=2, optional=True, maximum=10**9),
    "tip": Field("tip", Kind.MONEY, currency_field="currency", optional=True, minimum=0),
    "currency": Field("currency", Kind.CURRENCY),
    "other": Field("other", Kind.CURRENCY, optional=True),
    "country": Field("country", Kind.COUNTRY, optional=True),
    "rate": Field("rate", Kind.DECIMAL, scale=8),
    "x": Field("x", Kind.FLOAT, optional=True, maximum=1e6),
    "n": Field("n", Kind.INT, minimum=-5),
    "ok": Field("ok", Kind.BOOL),
    "far": Field("far", Kind.MONEY, currency_field="other", optional=True),
}

READINGS = [
    STRICT,
    Reading(zone="Europe/Berlin"),
    Reading(epoch="ms"),
    Reading(zone="UTC", epoch="s"),
]

_NUMBERS = st.one_of(
    st.integers(-(10**17), 10**17).map(str),
    st.decimals(-(10**6), 10**6, places=2).map(str),
    st.decimals(-(10**6), 10**6, places=9).map(str),
    st.floats().map(repr),
    st.from_regex(r"[+-]?[0-9]{1,3}(\.[0-9]{0,3})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.from_regex(r"-?[0-9]{14,19}(\.0{1,3})?", fullmatch=True),
)
_TIMES = st.one_of(
    st.datetimes(dt.datetime(1600, 1, 1), dt.datetime(2300, 1, 1)).map(lambda t: t.isoformat()),  # noqa: DTZ001 - wall clocks are the point
    st.datetimes(dt.datetime(2026, 1, 1), dt.datetime(2027, 1, 1)).map(lambda t: f"{t}Z"),  # noqa: DTZ001 - wall clocks are the point
    st.sampled_from(["2026-03-29T02:30:00", "2026-10-25T02:30:00", "2026-10-25 00:30:00"]),
    st.from_regex(
        r"(19[67][0-9]|20[0-3][0-9])-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9](:[0-6][0-9]"
        r"(\.[0-9]{1,10})?)?([Zz]|[+-][0-2][0-9](:?[0-6][0-9])?)?",
        fullmatch=True,
    ),
    st.dates().map(str),
)
_CODES = st.sampled_from(["EUR", "JPY", "BHD", "CLF", "eur", "XXX", "DE", "FR", "UK", "ÄÖ", "E\0"])
_TEXTS = st.one_of(
    st.text(max_size=13),
    _NUMBERS,
    _TIMES,
    _CODES,
    st.sampled_from(["true", "False", "1", "0", "TRUE", "yes", ""]),
)
_WHOLE = st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 2) | st.integers(0, 2**41)
_FLOATS = st.one_of(
    st.floats(),
    st.integers(-(2**54), 2**54).map(lambda n: n / 100),
    st.integers(-(2**54), 2**54).map(lambda n: n / 10**8),
    st.integers(-(10**6), 10**6).map(float),
)
_SOURCES: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.string(), _TEXTS),
    (pa.large_string(), _TEXTS),
    (pa.string_view(), _TEXTS),
    (pa.binary(), st.binary(max_size=9) | _TEXTS.map(lambda text: text.encode())),
    (pa.dictionary(pa.int32(), pa.string()), _TEXTS),
    (pa.int64(), _WHOLE),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.int8(), st.integers(-128, 127)),
    (pa.float64(), _FLOATS),
    (pa.float32(), st.floats(width=32)),
    (pa.decimal128(38, 4), st.integers(-(10**20), 10**20).map(lambda n: ExactDecimal(n) / 10**4)),
    (pa.decimal128(12, 2), st.decimals(-(10**9), 10**9, places=2)),
    (pa.decimal256(60, 3), st.integers(-(10**25), 10**25).map(lambda n: ExactDecimal(n) / 1000)),
    (pa.bool_(), st.booleans()),
    (pa.timestamp("ns", "UTC"), st.integers(-(2**63), 2**63 - 1)),
    (pa.timestamp("us", "Europe/Berlin"), st.integers(-(2**62), 2**62)),
    (pa.timestamp("s"), st.integers(-(2**36), 2**36) | st.integers(2**30, 2**31)),
    (pa.date32(), st.integers(-(2**31), 2**31 - 1) | st.integers(0, 30_000)),
    (pa.date64(), st.integers(0, 30_000).map(lambda day: day * 86_400_000)),
    (pa.null(), st.none()),
]
_TEMPORAL = {pa.date32(): pa.int32()}
_TICKS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}

# What most often reads well, so that whole rows get accepted too.
_FITTING: dict[Kind, st.SearchStrategy[tuple[pa.DataType, st.SearchStrategy[Any]]]] = {
    Kind.TEXT: st.just((pa.string(), st.text("abc", min_size=1, max_size=8))),
    Kind.TIME: st.just((pa.timestamp("ns", "UTC"), st.integers(0, 2**61))),
    Kind.MONEY: st.sampled_from(
        [
            (pa.string(), st.integers(0, 9999).map(str)),
            (pa.float64(), st.integers(0, 99999).map(lambda n: n / 100)),
        ]
    ),
    Kind.DECIMAL: st.just((pa.decimal128(12, 2), st.decimals(0, 10**6, places=2))),
    Kind.CURRENCY: st.just((pa.string(), st.sampled_from(["EUR", "JPY", "BHD"]))),
    Kind.COUNTRY: st.just((pa.string(), st.sampled_from(["DE", "FR"]))),
    Kind.FLOAT: st.just((pa.float64(), st.floats(-1e6, 1e6))),
    Kind.INT: st.just((pa.int64(), st.integers(-5, 100))),
    Kind.BOOL: st.just((pa.bool_(), st.booleans())),
}


def _array(kind: pa.DataType, values: list[Any]) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode()
    if pa.types.is_temporal(kind):
        return pa.array(values, pa.int32() if kind == pa.date32() else pa.int64()).cast(kind)
    return pa.array(values, kind)


def _given(kind: pa.DataType, array: pa.Array, value: Any, row: int) -> object:
    """The value as the reference takes it, worked out from the Arrow type alone."""
    if value is None:
        return None
    if pa.types.is_timestamp(kind):
        return Stamp(value * _TICKS[kind.unit], zoned=kind.tz is not None)
    if kind == pa.date32():
        return Stamp(value * 86_400 * 10**9, zoned=False)
    if kind == pa.date64():
        return Stamp(value * 10**6, zoned=False)
    return array[row].as_py()


@st.composite
def _tables(draw: st.DrawFn) -> tuple[Schema, pa.RecordBatch, list[dict[str, object]], Reading]:
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, max_size=5, unique=True))
    for holder in [FIELDS[name].currency_field for name in names]:
        if holder and holder not in names:
            names.append(holder)
    names = draw(st.permutations(names))
    rows = draw(st.integers(0, 12))
    arrays, given_rows = [], [dict[str, object]() for _ in range(rows)]
    for name in names:
        fitting = draw(st.booleans())
        kind, values = draw(_FITTING[FIELDS[name].kind] if fitting else st.sampled_from(_SOURCES))
        column = draw(st.lists(st.none() | values, min_size=rows, max_size=rows))
        if fitting and not FIELDS[name].optional:
            column = draw(st.lists(values, min_size=rows, max_size=rows))
        skipped = draw(st.integers(0, rows))
        array = _array(kind, [None] * skipped + column).slice(skipped)
        arrays.append(array)
        for row in range(rows):
            given_rows[row][name] = _given(kind, array, column[row], row)
    schema = Schema("Any", tuple(FIELDS[name] for name in names))
    batch = pa.RecordBatch.from_arrays(arrays, names=names)
    return schema, batch, given_rows, draw(st.sampled_from(READINGS))


@settings(deadline=None, max_examples=150)
@given(_tables())
def test_columns_mean_what_rows_mean(
    made: tuple[Schema, pa.RecordBatch, list[dict[str, object]], Reading],
) -> None:
    schema, batch, rows, reading = made
    parsed = validate(schema, batch, reading)
    wanted = [read_row(schema, row, reading) for row in rows]
    bad = [row for row, read in enumerate(wanted) if isinstance(read, Rejected)]
    good = [row for row, read in enumerate(wanted) if not isinstance(read, Rejected)]
    assert parsed.received == len(rows)
    assert parsed.rejections.rows.tolist() == bad
    assert [parsed.rejections[i] for i in range(len(bad))] == [wanted[row] for row in bad]
    assert parsed.rows.tolist() == good
    for field in schema.fields:
        expected = [wanted[row][field.name] for row in good]  # type: ignore[index]  # the good rows are dictionaries
        column = parsed.batch.columns[field.name]
        if isinstance(column, Text):
            assert column.strings() == expected
        else:
            assert column.valid.tolist() == [value is not None for value in expected]
            assert column.values.dtype == np.int64
            assert column.values.tolist() == [
                float_bits(value) if isinstance(value, float) else value or 0 for value in expected
            ]


def test_missing_text_holds_no_bytes() -> None:
    # Arrow lets a missing row keep bytes; the canonical column does not.
    data = pa.py_buffer(b"abcdef")
    offsets = pa.py_buffer(np.array([0, 2, 4, 6], dtype=np.int32))
    array = pa.Array.from_buffers(pa.string(), 3, [pa.py_buffer(b"\x05"), offsets, data])
    schema = Schema("Note", (FIELDS["note"],))
    column = validate(schema, pa.table({"note": array})).batch.text("note")
    assert column.strings() == ["ab", None, "ef"]
    assert column.data.tobytes() == b"abef"


def test_bytes_that_only_join_up_to_utf8_are_not_text() -> None:
    schema = Schema("Note", (FIELDS["note"],))
    split = pa.array([b"\xc3", b"\xa4", "ä".encode()], pa.binary())
    parsed = validate(schema, pa.table({"note": split}))
    assert parsed.rejections.reasons.tolist() == [Reason.BAD_UTF8] * 2
    assert parsed.rejections.values == ["\\xc3", "\\xa4"]
    assert parsed.batch.text("note").strings() == ["ä"]


def test_an_optional_field_needs_no_column() -> None:
    schema = Schema("Two", (FIELDS["id"], FIELDS["note"], FIELDS["fee"]))
    parsed = validate(schema, pa.table({"id": ["a", "b"], "unknown": [1, 2]}))
    assert parsed.batch.text("note").strings() == [None, None]
    assert isinstance(parsed.batch.columns["fee"], Fixed)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"ID": ["a"]}), "no column 'id', which Two requires; there are ID"),
        (pa.table({"id": [["a"]]}), "list<"),
        (pa.Table.from_arrays([pa.array(["a"])] * 2, names=["id", "id"]), "2 columns"),
    ],
)
def test_what_cannot_be_read_at_all_is_said(table: pa.Table, message: str) -> None:
    with pytest.raises(DataError, match=message):
        validate(Schema("Two", (FIELDS["id"],)), table)


@pytest.mark.parametrize(
    ("more", "hint"),
    [("other", "give it, or declare it as amount"), ("amuont", "rename 'amuont' to 'amount'")],
)
def test_a_column_that_a_field_has_is_not_to_be_renamed(more: str, hint: str) -> None:
    schema = Schema("Two", (Field("country", Kind.TEXT), Field("amount", Kind.INT)))
    with pytest.raises(DataError, match=hint):
        validate(schema, pa.table({"country": ["DE"], more: [5]}))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 4 * 365 * 86_400) | st.integers(63_590_000, 63_600_000), max_size=20),
    st.sampled_from(["Africa/Monrovia", "Europe/Berlin", "Pacific/Apia", "Etc/GMT+5"]),
)
def test_clocks_of_a_column_are_read_one_by_one(seconds: list[int], zone: str) -> None:
    # Liberia went from an offset of 44 minutes 30 seconds to none on 7 January 1972.
    schema = Schema("Seen", (FIELDS["at"],))
    reading = Reading(zone=zone)
    column = _array(pa.timestamp("s"), seconds)
    parsed = validate(schema, pa.table({"at": column}), reading)
    wanted = [read_row(schema, {"at": Stamp(s * 10**9, zoned=False)}, reading) for s in seconds]
    assert parsed.batch.fixed("at").values.tolist() == [
        read["at"] for read in wanted if not isinstance(read, Rejected)
    ]
