"""Lines of JSON: the fast reader and the general way give the same verdict and the same bytes."""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.adapters.line_kernels import line_starts
from headrace.core.columns import Fixed, Kind
from headrace.core.compiled import float_bits
from headrace.events.json_lines import LONGEST_HELD, JsonLines, WholeLines
from headrace.events.json_object import read_object
from headrace.events.json_table import SchemaTable
from headrace.events.reasons import LONGEST_EVENT, Reason, Rejected
from headrace.events.schema import Field, Role, Schema
from headrace.events.times import Reading

SCHEMA = Schema(
    "Payment",
    (
        Field("payment_id", Kind.TEXT, Role.ID),
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("card", Kind.TEXT, Role.KEY, longest=20),
        Field("amount", Kind.MONEY, currency_field="currency", optional=True),
        Field("currency", Kind.CURRENCY, optional=True),
        Field("fee", Kind.MONEY, currency="EUR", scale=2, optional=True, minimum=-500),
        Field("country", Kind.COUNTRY, Role.CATEGORY, optional=True),
        Field("rate", Kind.DECIMAL, scale=8, optional=True),
        Field("risk", Kind.FLOAT, optional=True, maximum=1e6),
        Field("count", Kind.INT, optional=True, minimum=-5, maximum=10**15),
        Field("ok", Kind.BOOL, optional=True),
        Field("note", Kind.TEXT, optional=True),
    ),
)
PLAIN = (
    '{"payment_id":"p1","at":"2026-01-31T12:00:00.123Z","card":"c1","amount":12.34,'
    '"currency":"EUR","fee":"-0.10","country":"DE","rate":1.08125,"risk":0.25,"count":3,'
    '"ok":true,"note":"Käse 買 🧀"}'
)


def _bits(field: Field, value: Any) -> Any:
    if field.kind is Kind.FLOAT and value is not None:
        return float_bits(value)
    return value


def check(data: bytes, schema: Schema = SCHEMA, reading: Reading | None = None) -> None:
    """Read `data`, and each of its lines in the general way, and compare all there is."""
    reading = reading or Reading()
    parsed = JsonLines(schema, reading).parse(data)
    lines = [line.removesuffix(b"\r") for line in data.split(b"\n")]
    lines = [line for line in lines if line]
    assert parsed.received == len(lines)
    assert len(parsed.rows) + len(parsed.rejections) == len(lines)
    columns = {
        name: column.values.tolist() if isinstance(column, Fixed) else column.strings()
        for name, column in parsed.batch.columns.items()
    }
    valid = {name: column.valid for name, column in parsed.batch.columns.items()}
    kept = {int(row): i for i, row in enumerate(parsed.rows)}
    refused = {int(row): i for i, row in enumerate(parsed.rejections.rows)}
    for row, line in enumerate(lines):
        expected = read_object(schema, np.frombuffer(line, np.uint8), LONGEST_EVENT, reading)
        if isinstance(expected, Rejected):
            assert parsed.rejections[refused[row]] == expected
            continue
        for field in schema.fields:
            want = _bits(field, expected[field.name])
            got = columns[field.name][kept[row]]
            assert valid[field.name][kept[row]] == (want is not None), (line, field.name)
            assert got == (want if want is not None or field.kind is Kind.TEXT else 0), line


NUMBERS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(
        [
            *["0", "-0", "-0.0", "01", "1.", ".5", "1e", "+1", "1e400", "NaN", "Infinity", "1e0"],
            *["9007199254740991", "9007199254740992", "0e999", "1e-999", "-Infinity", "10.0"],
            *["9223372036854775807", "9223372036854775808", "18446744073709551616"],
        ]
    ),
    st.sampled_from(["9" * 30, "1" * 5000]),
)
TIMES = st.one_of(
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.from_regex(
        r"(16|19|20|22)[0-9]{2}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9]"
        r"(\.[0-9]{1,10})?(Z|z|[+-][0-2][0-9]:?[0-6][0-9])?",
        fullmatch=True,
    ),
)
SCALARS = st.one_of(
    NUMBERS,
    NUMBERS.map(lambda text: f'"{text}"'),
    TIMES.map(lambda text: f'"{text}"'),
    st.text(max_size=24).map(json.dumps),
    st.text(max_size=24).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from(
        [
            *["true", "false", "null", '"EUR"', '"JPY"', '"BHD"', '"XXX"', '"DE"', '"UK"', '""'],
            *["[]", "{}", "tru", '"open', "[1,]", "nul"],
            *['{"a":}', '"\\ud800"', '"\\u0000"', '"a\\nb"'],
        ]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(
            lambda items: "{" + ",".join(f'"{k}" :{v}' for k, v in items.items()) + "}"
        ),
    ),
    max_leaves=6,
)
KINDRED: dict[str, st.SearchStrategy[str]] = {
    "at": TIMES.map(lambda text: f'"{text}"'),
    "amount": NUMBERS,
    "fee": NUMBERS,
    "rate": NUMBERS,
    "risk": NUMBERS,
    "count": NUMBERS,
}


@st.composite
def near_lines(draw: st.DrawFn) -> bytes:
    """A line near to a good one: some values replaced, members moved, dropped, added, repeated."""
    members = [(name, json.dumps(value)) for name, value in json.loads(PLAIN).items()]
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(members) - 1))
        name = members[at][0]
        members[at] = (name, draw(st.one_of(VALUES, KINDRED.get(name, SCALARS))))
    if draw(st.booleans()):
        members = draw(st.permutations(members))
    if draw(st.integers(0, 3)) == 0:
        members.insert(draw(st.integers(0, 5)), ("extra", draw(VALUES)))
    if draw(st.integers(0, 5)) == 0:
        del members[draw(st.integers(0, len(members) - 1))]
    if draw(st.integers(0, 9)) == 0:
        members.append(draw(st.sampled_from(members)))
    space = draw(st.sampled_from(["", " ", "\t", " \r"]))
    inside = f",{space}".join(f'"{name}"{space}:{space}{value}' for name, value in members)
    text = f"{space}{{{inside}}}{space}"
    return text.encode("utf-8", "surrogatepass").replace(b"\n", b" ")


@settings(deadline=None, max_examples=150)
@given(lines=st.lists(near_lines(), max_size=6), end=st.sampled_from([b"\n", b"\r\n", b"\n\n"]))
@example(lines=[PLAIN.encode()] * 3, end=b"\r\n")
def test_fast_and_general_agree_on_near_lines(lines: list[bytes], end: bytes) -> None:
    check(end.join(lines))
    check(end.join(lines), reading=Reading(zone="Europe/Berlin", epoch="ms"))


@settings(deadline=None, max_examples=200)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_counted_and_refused_alike(data: bytes) -> None:
    check(data)


def mutated(rng: random.Random, line: bytes) -> bytes:
    """Some bytes of a line changed, cut, doubled or moved."""
    data = bytearray(line)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.randint(1, 9)]
            case 2:
                data[at:at] = rng.choice(
                    [b'"', b"\\", b"{", b"}", b"[", b",", b"\0", b"\xff", b"9", b"e", b"\n", b"-"]
                )
            case 3:
                other = rng.randrange(len(data) + 1)
                data[at:at] = data[other : other + rng.randint(1, 30)]
            case _:
                data[at : at + 1] = b"%d" % rng.randrange(10)
    return bytes(data)


def _fuzz(rng: random.Random, seconds: float, rounds: int) -> None:
    end = time.monotonic() + seconds
    base = PLAIN.encode()
    done = 0
    while done < rounds or time.monotonic() < end:
        check(b"\n".join(mutated(rng, base) for _ in range(rng.randint(1, 40))))
        done += 1


def test_mutated_bytes_agree() -> None:
    _fuzz(random.Random(1), 0, 60)


@pytest.mark.slow
def test_mutated_bytes_agree_for_long() -> None:
    seconds = float(os.environ.get("HEADRACE_FUZZ_SECONDS", "10"))
    _fuzz(random.Random(2), seconds, 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[" * 100_00, Reason.MALFORMED),
        (b'{"x":' + b"[" * 70 + b"]" * 70 + b"}", Reason.MALFORMED),
        (b"7", Reason.NOT_AN_OBJECT),
        (b" ", Reason.MALFORMED),
        (PLAIN.encode().replace(b'"p1"', b'"\xff"'), Reason.BAD_UTF8),
        (PLAIN.encode().replace(b"12.34", b"NaN"), Reason.MALFORMED),
        (PLAIN.encode().replace(b"12.34", b"12.345"), Reason.TOO_MANY_DIGITS),
        (PLAIN.encode().replace(b'"EUR"', b"null"), Reason.CURRENCY_MISSING),
        (PLAIN.encode().replace(b'"p1"', b'"\\ud800"'), Reason.BAD_UTF8),
        (PLAIN.encode().replace(b'"p1"', b'"\\u0000"'), Reason.NUL_CHARACTER),
        (PLAIN.encode().replace(b'"ok"', b'"card"'), Reason.DUPLICATE_NAME),
        (PLAIN.encode().replace(b'"ok"', b'"' + b"x" * 10_000_000 + b'"'), Reason.OVERSIZE),
    ],
)
def test_hostile_lines_are_refused_and_their_neighbours_are_not(
    line: bytes, reason: Reason
) -> None:
    plain = PLAIN.encode()
    parsed = JsonLines(SCHEMA).parse(plain + b"\n\n" + line + b"\r\n" + plain)
    assert parsed.rows.tolist() == [0, 2]
    assert parsed.rejections.rows.tolist() == [1]
    assert parsed.rejections[0].reason is reason
    assert parsed.batch.text("note").strings() == ["Käse 買 🧀"] * 2


@pytest.mark.parametrize("spaced", [False, True])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_valid_lines_take_the_fast_way(*, spaced: bool, ascii_only: bool) -> None:
    """All that a line may plainly hold is read by the kernel; only escapes need the general way."""
    rng = random.Random(5)
    lines = []
    for _ in range(200):
        members = list(json.loads(PLAIN).items())
        for _ in range(rng.randrange(4)):
            del members[rng.randrange(2, len(members))]
        members += [("more", rng.choice([None, "x", 1.5, [1, {"a": [True]}], {"é": "\n"}]))]
        if rng.randrange(2):
            members += [("extra", rng.randrange(10**9))]
        rng.shuffle(members)
        line = dict(members)
        if "currency" not in line or "card" not in line:
            continue
        if rng.randrange(3) == 0:
            line |= {
                "card": rng.randrange(10**15),
                "risk": "0.125",
                "note": "a" * rng.randrange(99),
            }
        separators = (", ", ": ") if spaced else (",", ":")
        lines.append(json.dumps(line, separators=separators, ensure_ascii=ascii_only).encode())
    data = b"\n".join(lines)
    check(data)
    taken = SchemaTable(SCHEMA, Reading(), LONGEST_EVENT).read(np.frombuffer(data, np.uint8))
    escaped = sum(b'"note":' in line.replace(b" ", b"") and b"\\u" in line for line in lines)
    assert taken.easy + len(taken.hard) == len(lines) > 100
    assert len(taken.hard) <= escaped


def test_most_valid_lines_of_the_fuzz_take_the_fast_way() -> None:
    rng = random.Random(3)
    data = b"\n".join(mutated(rng, PLAIN.encode()) for _ in range(3000))
    parsed = JsonLines(SCHEMA).parse(data)
    taken = SchemaTable(SCHEMA, Reading(), LONGEST_EVENT).read(np.frombuffer(data, np.uint8))
    assert len(parsed.rows) > 100
    assert taken.easy > 0.9 * len(parsed.rows)


def test_times_counted_in_a_unit_take_the_fast_way() -> None:
    schema = Schema("Tick", (Field("at", Kind.TIME), Field("n", Kind.INT)))
    for epoch, count in (("ms", "1700000000123"), ("ns", "1700000000123456789"), ("s", "1.7e9")):
        data = f'{{"at":{count},"n":1}}\n{{"at":-{count},"n":1}}\n{{"at":"{count}","n":1}}'.encode()
        check(data, schema, Reading(epoch=epoch))
        taken = SchemaTable(schema, Reading(epoch=epoch), 999).read(np.frombuffer(data, np.uint8))
        assert taken.easy == 2


def test_chunks_of_many_blocks_keep_every_text_in_its_place() -> None:
    rng = random.Random(9)
    notes = ["é" * rng.randrange(100) if i % 7 else "x" * rng.randrange(1024) for i in range(6000)]
    notes[4321] = 'needs "escapes"'
    schema = Schema("Note", (Field("n", Kind.INT), Field("note", Kind.TEXT), Field("k", Kind.TEXT)))
    data = b"".join(
        json.dumps({"note": note, "n": i, "k": str(i)}, ensure_ascii=False).encode() + b"\n"
        for i, note in enumerate(notes)
    )
    assert len(data) > 4 * 2**18
    for given_data in (data, data[:-1], memoryview(data), np.frombuffer(b" " + data, np.uint8)[1:]):
        parsed = JsonLines(schema).parse(given_data)
        assert parsed.batch.text("note").strings() == notes
        assert parsed.batch.text("k").strings() == [str(i) for i in range(len(notes))]
        assert parsed.rows.tolist() == parsed.batch.fixed("n").values.tolist()


@pytest.mark.parametrize("rows", [1, 3, 5, 9])
def test_long_texts_go_over_the_ends_of_blocks(rows: int) -> None:
    notes = [letter * 60_000 for letter in "abcdefghi"[:rows]]
    schema = Schema("Note", (Field("note", Kind.TEXT, longest=60_000), Field("k", Kind.TEXT)))
    lines = [json.dumps({"k": note[:3], "note": note}).encode() for note in notes]
    parsed = JsonLines(schema).parse(b"\n".join(lines))
    assert parsed.batch.text("note").strings() == notes
    assert parsed.batch.text("k").strings() == [note[:3] for note in notes]


def test_limits_of_floats_that_are_no_doubles() -> None:
    odd = 2**53 + 1
    low = Schema("Low", (Field("x", Kind.FLOAT, minimum=odd),))
    high = Schema("High", (Field("x", Kind.FLOAT, maximum=odd),))
    for text in (
        "9007199254740992",
        "9007199254740994",
        "9007199254740993",
        "9.007199254740992e15",
    ):
        check(f'{{"x":{text}}}'.encode(), low)
        check(f'{{"x":{text}}}'.encode(), high)


@settings(deadline=None, max_examples=200)
@given(
    data=st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"x", b"{}", b" "]), max_size=12).map(
        b"".join
    )
)
@example(data=b"{}\n\r")
@example(data=b"{}\n{}\r")
def test_the_index_of_a_file_counts_lines_as_the_parser_does(data: bytes) -> None:
    held = np.frombuffer(data, np.uint8).copy()
    starts = np.empty(len(data) // 2 + 1, dtype=np.int64)
    ends = np.empty_like(starts)
    count = line_starts(held, 0, len(held), starts, ends)
    assert count == JsonLines(SCHEMA).parse(data).received
    found = [data[a:b] for a, b in zip(starts[:count], ends[:count], strict=True)]
    lines = (line.removesuffix(b"\r") for line in data.split(b"\n"))
    assert found == [line for line in lines if line]


def test_a_part_of_the_schema_passes_over_the_rest() -> None:
    part = Schema("Times", (SCHEMA.field("at"), SCHEMA.field("count")))
    nested = (
        b'{"deep": [{"at": "no", "x": [1, {"y": "\\u00e9\\n"}]}], "count": 7, '
        + PLAIN[1:].replace('"count":3,', "").encode()
    )
    parsed = JsonLines(part).parse(nested)
    assert parsed.batch.fixed("count").values.tolist() == [7]
    check(nested, part)


def cut(pieces: list[bytes]) -> list[bytes]:
    lines = WholeLines()
    chunks = [lines.take(piece) for piece in pieces]
    return [chunk for chunk in [*chunks, lines.rest()] if chunk]


@settings(deadline=None, max_examples=50)
@given(data=st.binary(max_size=200), cuts=st.lists(st.integers(0, 200), max_size=8))
def test_a_stream_is_cut_into_whole_lines(data: bytes, cuts: list[int]) -> None:
    data = data.replace(b"\x07", b"\n")
    bounds = [0, *sorted(cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(bounds)]
    chunks = cut(pieces)
    assert b"".join(chunks) == data.removeprefix(b"\xef\xbb\xbf")
    assert all(chunk.endswith(b"\n") for chunk in chunks[:-1])


def test_a_line_without_end_is_refused_not_kept() -> None:
    line = b"x" * (2 * LONGEST_HELD)
    chunks = [cut([line[:size]] * (len(line) // size) + [b"\n{}\n"]) for size in (65_536, 2**20)]
    assert chunks[0] == chunks[1] == [line[:LONGEST_HELD] + b"\n{}\n"]
    parsed = JsonLines(SCHEMA).parse(chunks[0][0])
    assert [parsed.rejections[i].reason for i in range(2)] == [Reason.OVERSIZE, Reason.MISSING]
