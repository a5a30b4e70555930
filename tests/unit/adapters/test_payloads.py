"""Avro and Protobuf payloads give the columns that lines of JSON give, and nothing raises."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from event_rows import (
    PAYMENT,
    ROW,
    AvroWriter,
    ProtobufWriter,
    assert_same,
    json_payload,
    lines,
    rows_of,
    schemas,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.adapters.avro import AvroPayloads
from headrace.adapters.payloads import FEW
from headrace.adapters.protobuf import ProtobufPayloads
from headrace.events.json_lines import JsonLines
from headrace.events.reasons import Reason
from headrace.events.row_bytes import RowBytes

if TYPE_CHECKING:
    from headrace.events.parsed import Parsed

Item = TypeVar("Item")

FORMS: dict[str, tuple[Any, Any]] = {
    "avro": (AvroPayloads, AvroWriter),
    "protobuf": (ProtobufPayloads, ProtobufWriter),
}
each_form = pytest.mark.parametrize("form", FORMS)


def one_by_one(codec: Any, payloads: list[bytes]) -> Parsed:
    """Every payload read by the form's own library."""
    parsed: Parsed = codec.row_by_row(RowBytes.of(payloads))
    return parsed


def many(payloads: list[Item]) -> list[Item]:
    """So many that they are read by columns."""
    return payloads * (FEW // max(len(payloads), 1) + 1)


@each_form
@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_a_batch_reads_as_its_lines_of_json_do(form: str, data: st.DataObject) -> None:
    schema = data.draw(schemas())
    rows = data.draw(st.lists(rows_of(schema), min_size=1, max_size=6))
    codec, writer = FORMS[form][0](schema), FORMS[form][1](schema)
    payloads = [writer.payload(row) for row in rows]
    expected = JsonLines(schema).parse(lines([json_payload(schema, row) for row in rows]))
    assert len(expected.rejections) == 0
    assert_same(codec.parse(payloads), expected)
    twice = many(rows)
    expected = JsonLines(schema).parse(lines([json_payload(schema, row) for row in twice]))
    assert_same(codec.parse(many(payloads)), expected)
    # what was plainly written is read by columns
    parsed, good = codec.by_columns(RowBytes.of(payloads))
    assert good.all()
    assert_same(parsed, one_by_one(codec, payloads))


@each_form
@settings(deadline=None, max_examples=150)
@given(payloads=st.lists(st.binary(max_size=60), max_size=4))
def test_random_bytes_are_refused_or_read_and_never_raise(form: str, payloads: list[bytes]) -> None:
    codec = FORMS[form][0](PAYMENT)
    assert codec.parse(payloads).received == len(payloads)
    assert_same(codec.parse(many(payloads)), one_by_one(codec, many(payloads) if payloads else []))


def mutated(rng: random.Random, payload: bytes) -> bytes:
    """Some bytes changed, cut, added or moved."""
    data = bytearray(payload)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.randint(1, 9)]
            case 2:
                data[at:at] = rng.randbytes(rng.randint(1, 4))
            case 3:
                other = rng.randrange(len(data) + 1)
                data[at:at] = data[other : other + rng.randint(1, 30)]
            case _:
                data[at:at] = b"\xff" * rng.randint(1, 10)
    return bytes(data)


def _fuzz(form: str, seed: int, payloads: int) -> None:
    rng = random.Random(seed)
    codec, writer = FORMS[form][0](PAYMENT), FORMS[form][1](PAYMENT)
    good = writer.payload(ROW)
    drawn = [mutated(rng, good) if rng.randrange(4) else good for _ in range(payloads)]
    parsed = codec.parse(drawn)
    assert_same(parsed, one_by_one(codec, drawn))
    assert len(parsed.rows) > payloads // 5
    assert len(parsed.rejections) > payloads // 5


@each_form
def test_damaged_payloads_get_the_verdict_of_the_forms_own_library(form: str) -> None:
    _fuzz(form, 1, 3000)


@each_form
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 4))
def test_many_damaged_payloads_get_that_verdict(form: str, seed: int) -> None:
    _fuzz(form, seed, 30_000)


@each_form
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("payment_id", "", Reason.EMPTY),
        ("card", "c" * 21, Reason.TOO_LONG),
        ("note", "a\0b", Reason.NUL_CHARACTER),
        ("at", 2**63 - 1, Reason.OUT_OF_RANGE),
        ("amount", 2**53, Reason.OUT_OF_RANGE),
        ("amount", -(2**63), Reason.OUT_OF_RANGE),
        ("currency", "XYZ", Reason.UNKNOWN_CURRENCY),
        ("country", "UK", Reason.UNKNOWN_COUNTRY),
        ("fee", -501, Reason.OUT_OF_RANGE),
        ("risk", float("inf"), Reason.NOT_FINITE),
        ("risk", 1e7, Reason.OUT_OF_RANGE),
        ("count", -6, Reason.OUT_OF_RANGE),
    ],
)
def test_a_bad_value_is_refused_with_its_field(
    form: str, field: str, value: object, reason: Reason
) -> None:
    codec, writer = FORMS[form][0](PAYMENT), FORMS[form][1](PAYMENT)
    good, bad = writer.payload(ROW), writer.payload({**ROW, field: value})
    for payloads in ([good, bad], [good, bad] * FEW):
        parsed = codec.parse(payloads)
        assert parsed.rows.tolist() == list(range(0, len(payloads), 2))
        assert parsed.rejections.rows.tolist() == list(range(1, len(payloads), 2))
        rejected = parsed.rejections[0]
        assert (rejected.field, rejected.reason) == (field, reason)
        assert rejected.expected


@each_form
@pytest.mark.parametrize("many_rows", [False, True])
def test_invalid_utf8_is_refused_with_its_field(form: str, *, many_rows: bool) -> None:
    codec, writer = FORMS[form][0](PAYMENT), FORMS[form][1](PAYMENT)
    bad = writer.payload({**ROW, "card": "kart"}).replace(b"kart", b"k\xff\xfet")
    parsed = codec.parse(many([bad]) if many_rows else [bad])
    assert len(parsed.rows) == 0
    assert parsed.rejections[0].field == "card"
    assert parsed.rejections[0].reason is Reason.BAD_UTF8


@each_form
def test_a_nan_is_missing_and_a_huge_payload_is_refused(form: str) -> None:
    codec, writer = FORMS[form][0](PAYMENT), FORMS[form][1](PAYMENT)
    payloads = [
        writer.payload({**ROW, "risk": float("nan")}),
        writer.payload({**ROW, "note": "x" * 70_000}),
        b"",
    ]
    for repeated in (payloads, payloads * FEW):
        parsed = codec.parse(repeated)
        assert_same(parsed, one_by_one(codec, repeated))
        assert parsed.batch.fixed("risk").valid.tolist() == [0] * (len(repeated) // 3)
        assert parsed.rejections[0].reason is Reason.OVERSIZE
    assert codec.parse([]).received == 0


@each_form
def test_many_blocks_keep_every_row_in_its_place(form: str) -> None:
    codec, writer = FORMS[form][0](PAYMENT), FORMS[form][1](PAYMENT)
    rng = random.Random(4)
    payloads = [
        writer.payload({**ROW, "count": i, "note": "é" * rng.randrange(30)}) for i in range(200)
    ]
    payloads = [payloads[i % 200] for i in range(20_000)]
    payloads[11_111] = b"\xff"
    parsed = codec.parse(payloads)
    assert parsed.rejections.rows.tolist() == [11_111]
    assert parsed.batch.fixed("count").values.tolist() == [
        i % 200 for i in range(20_000) if i != 11_111
    ]
    assert parsed.rows.tolist() == [i for i in range(20_000) if i != 11_111]
