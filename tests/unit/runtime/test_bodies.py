"""Bodies of requests: every one is so many events, or a problem."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.columns import Kind
from headrace.events.json_lines import JsonLines
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
