"""Bodies of requests: every one is so many events, or a problem."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.ipc
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.columns import Kind
from headrace.events.json_lines import JsonLines
from headrace.events.reasons import LONGEST_EVENT
from headrace.events.schema import Field, Schema
from headrace.runtime.http.bodies import Events, events_of
from headrace.runtime.http.problems import Problem

LINES = JsonLines(Schema("Tick", (Field("n", Kind.INT), Field("text", Kind.TEXT, optional=True))))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
events = st.fixed_dictionaries({"n": st.integers(-(2**40), 2**40)}, optional={"text": st.text()})
kinds = st.sampled_from(["application/json", "application/x-ndjson", "", "text/plain"])


def test_an_event_that_is_too_long_is_refused_and_says_which() -> None:
    fits = json.dumps({"n": 1, "text": "x" * (LONGEST_EVENT - 17)}, separators=(",", ":"))
    assert len(fits) == LONGEST_EVENT
    long = fits.replace("x", "xx", 1)
    small = '{"n":2}'
    for body, kind in (
        (fits, "application/json"),
        (f"[{small},{fits}]", "application/json"),
        (f"{small}\n{fits}\n", "application/x-ndjson"),
    ):
        assert isinstance(events_of(body.encode(), kind), Events)
        found = events_of(body.replace(fits, long).encode(), kind)
        assert isinstance(found, Problem)
        assert found.status == 413
        number = 2 if small in body else 1
        assert f"event {number} of the body has {LONGEST_EVENT + 1:,} bytes" in found.detail


@settings(deadline=None)
@given(st.binary(max_size=200), kinds)
def test_any_bytes_are_as_many_rows_as_events_or_a_problem(body: bytes, kind: str) -> None:
    found = events_of(body, kind)
    if isinstance(found, Problem):
        assert found.status in (400, 415)
        return
    assert LINES.parse(found.lines).received == found.count > 0
    assert found.lines.count(b"\n") == found.count


@settings(deadline=None)
@given(values, st.sampled_from([None, 2]), st.sampled_from(["\n", "\r\n"]))
def test_any_json_is_one_row_for_each_event(value: object, indent: int | None, end: str) -> None:
    body = json.dumps(value, indent=indent).replace("\n", end).encode()
    found = events_of(body, "application/json; charset=utf-8")
    if isinstance(value, list) and not value:
        assert isinstance(found, Problem)
        return
    assert isinstance(found, Events)
    assert found.single != isinstance(value, list)
    assert found.count == (len(value) if isinstance(value, list) else 1)
    assert LINES.parse(found.lines).received == found.count


@settings(deadline=None)
@given(st.lists(events, min_size=1, max_size=5), st.sampled_from([None, 1]))
def test_every_form_holds_the_same_events(
    given: list[dict[str, object]], indent: int | None
) -> None:
    array = events_of(json.dumps(given, indent=indent).encode(), "application/json")
    lines = events_of("\r\n".join(map(json.dumps, given)).encode(), "application/x-ndjson")
    assert isinstance(array, Events)
    assert isinstance(lines, Events)
    one, other = LINES.parse(array.lines), LINES.parse(lines.lines)
    assert one.batch.fixed("n").values.tolist() == other.batch.fixed("n").values.tolist()
    assert one.batch.text("text").strings() == other.batch.text("text").strings()
    assert len(one.rejections) == len(other.rejections)


@settings(deadline=None)
@given(st.lists(events, min_size=1, max_size=5), st.binary(max_size=60), st.integers(0, 2000))
def test_an_arrow_stream_holds_the_same_events(
    given: list[dict[str, object]], noise: bytes, at: int
) -> None:
    table = pa.Table.from_pylist(given, pa.schema([("n", pa.int64()), ("text", pa.string())]))
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table, max_chunksize=2)
    found = events_of(sink.getvalue(), "application/vnd.apache.arrow.stream")
    lines = events_of("\n".join(map(json.dumps, given)).encode(), "application/x-ndjson")
    assert isinstance(found, Events)
    assert isinstance(lines, Events)
    one, other = LINES.parse(found.lines), LINES.parse(lines.lines)
    assert one.batch.fixed("n").values.tolist() == other.batch.fixed("n").values.tolist()
    assert one.batch.text("text").strings() == other.batch.text("text").strings()
    # whatever is written over it, it is so many events or a problem
    whole = bytearray(sink.getvalue())
    whole[at : at + len(noise)] = noise
    damaged = events_of(bytes(whole), "application/vnd.apache.arrow.stream")
    if isinstance(damaged, Events):
        assert LINES.parse(damaged.lines).received == damaged.count
