"""Known order against Python's own sort, whole and chunk by chunk."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.events.order import Ordered, Times, is_ordered, known_order, known_times

_SMALL = st.integers(0, 4)
_STREAMS = st.lists(st.lists(st.tuples(_SMALL, _SMALL), max_size=12), max_size=4)


def _times(rank: int, rows: list[tuple[int, int]]) -> Times:
    at = np.array([row[0] for row in rows], dtype=np.int64)
    known = np.array([row[1] for row in rows], dtype=np.int64)
    return Times.of(rank, at, known)


def _oracle(streams: list[list[tuple[int, int]]]) -> list[tuple[int, int, int]]:
    rows = [
        (known, at, rank, position)
        for rank, stream in enumerate(streams)
        for position, (at, known) in enumerate(stream)
    ]
    return [(rank, position, known) for known, _, rank, position in sorted(rows)]


def _listed(ordered: Ordered) -> list[tuple[int, int, int]]:
    columns = ordered.ranks.tolist(), ordered.positions.tolist(), ordered.known.tolist()
    return list(zip(*columns, strict=True))


@settings(deadline=None)
@given(_STREAMS)
def test_the_order_is_by_known_then_event_time_then_rank_then_position(
    streams: list[list[tuple[int, int]]],
) -> None:
    found = known_order([_times(rank, rows) for rank, rows in enumerate(streams)])
    assert _listed(found) == _oracle(streams)


@settings(deadline=None)
@given(st.lists(st.tuples(_SMALL, _SMALL), max_size=6))
def test_a_stream_is_ordered_when_sorting_changes_nothing(rows: list[tuple[int, int]]) -> None:
    places = [position for _, position, _ in _oracle([rows])]
    assert is_ordered(_times(0, rows)) == (places == sorted(places))


def test_the_last_moment_does_not_wrap_round() -> None:
    latest = np.array([np.iinfo(np.int64).max])
    nothing = np.zeros(1, dtype=np.uint8)
    assert known_times(latest, latest, nothing, 10).tolist() == latest.tolist()
