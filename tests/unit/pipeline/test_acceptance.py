from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from headrace.core.columns import Batch, Fixed, Kind, Text
from headrace.core.errors import ArtefactError, DefinitionError, LimitReached
from headrace.definitions.plan import Program, StreamPlan
from headrace.events.reasons import Reason
from headrace.events.schema import Field, Role, Schema
from headrace.pipeline import acceptance_kernels as kernels
from headrace.pipeline.acceptance import BYTES_PER_ID, NO_WATERMARK, Acceptance, Verdict, Verdicts
from headrace.pipeline.inputs import Inputs, Refused

FIELDS = (
    Field("id", Kind.TEXT, Role.ID),
    Field("at", Kind.TIME, Role.EVENT_TIME),
    Field("note", Kind.TEXT, optional=True),
    Field("amount", Kind.INT, optional=True),
    Field("received", Kind.TIME, Role.KNOWN_AT),
)


def stream(name: str, lateness: int = 10, ahead: int = 5, dedupe: int = 20) -> StreamPlan:
    return StreamPlan(
        name, Schema(name.title(), FIELDS), lateness, ahead, dedupe, 0, Program((), (), 0)
    )


PAYMENTS, REFUNDS = stream("payment"), stream("refund", lateness=3, dedupe=4)
STREAMS = (PAYMENTS, REFUNDS)


@dataclass(frozen=True)
class Event:
    """One input: rank 2 is a row of a table, `refused` one that could not be read."""

    rank: int
    id: str
    at: int
    note: str | None = None
    amount: int | None = None
    received: int = 0
    refused: bool = False


def gathered(events: list[Event], *, retried: bool = False) -> Inputs:
    rows: list[int] = []
    batches: dict[str, Batch] = {}
    so_far: Counter[int] = Counter()
    for event in events:
        rows.append(-1 if event.refused else so_far[event.rank])
        so_far[event.rank] += not event.refused
    for rank, plan in enumerate(STREAMS):
        mine = [event for event in events if event.rank == rank and not event.refused]
        if mine:
            columns: dict[str, Text | Fixed] = {
                "id": Text.of([e.id for e in mine]),
                "at": Fixed.of([e.at for e in mine]),
                "note": Text.of([e.note for e in mine]),
                "amount": Fixed.of([e.amount for e in mine]),
                "received": Fixed.of([e.received for e in mine]),
            }
            batches[plan.name] = Batch(columns, len(mine))
    refused = [index for index, event in enumerate(events) if event.refused]
    texts = ("",) * len(refused)
    return Inputs(
        stream=np.array([e.rank for e in events], dtype=np.uint8),
        row=np.array(rows, dtype=np.int32),
        source=np.zeros(len(events), dtype=np.uint16),
        position=np.arange(len(events), dtype=np.int64),
        received_ns=np.array([e.received for e in events], dtype=np.int64),
        read_ns=np.zeros(len(events), dtype=np.int64),
        batches=batches,
        refused=Refused(
            np.array(refused, dtype=np.int64),
            np.full(len(refused), Reason.MALFORMED, dtype=np.uint16),
            texts,
            texts,
            texts,
            texts,
            np.zeros(len(refused), dtype=np.int64),
        ),
        retried=retried,
    )


class Oracle:
    """The rules, one event at a time, with nothing ever forgotten but by the rule."""

    def __init__(self) -> None:
        self.watermarks: dict[int, int] = {}
        self.seen: dict[tuple[int, str], tuple[object, int, int]] = {}
        self.sequence = 0

    def judge(self, event: Event, *, retried: bool = False) -> tuple[int, int, int, int]:
        verdict, reason, original = self.decide(event, retried=retried)
        self.sequence += 1
        return verdict, reason, original, self.watermarks.get(0, NO_WATERMARK)

    def decide(self, event: Event, *, retried: bool) -> tuple[int, int, int]:
        if event.refused:
            return 2, Reason.MALFORMED, -1
        if event.rank >= len(STREAMS):
            return 0, 0, -1
        plan = STREAMS[event.rank]
        watermark = self.watermarks.get(event.rank)
        content = (event.at, event.note, event.amount)
        if watermark is not None and (event.rank, event.id) in self.seen:
            before, sequence, mark = self.seen[event.rank, event.id]
            if watermark - mark <= plan.dedupe_ns:
                return (1, 0, sequence) if before == content else (2, Reason.ID_CONFLICT, sequence)
        if event.at > event.received + plan.max_ahead_ns:
            return 2, Reason.EARLY, -1
        late = watermark is not None and event.at < watermark - plan.lateness_ns
        if late and not retried:
            return 2, Reason.LATE, -1
        mark = event.at if watermark is None else max(watermark, event.at)
        self.watermarks[event.rank] = mark
        self.seen[event.rank, event.id] = (content, self.sequence, mark)
        return 0, 0, -1


def told(verdicts: Verdicts) -> list[tuple[int, int, int, int]]:
    columns = (verdicts.verdict, verdicts.reason, verdicts.original, verdicts.watermark)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def fresh(budget: int = 1 << 20, key: tuple[int, int] = (5, 6)) -> Acceptance:
    return Acceptance(STREAMS, "payment", key, budget)


def events(times: st.SearchStrategy[int]) -> st.SearchStrategy[Event]:
    return st.builds(
        Event,
        rank=st.sampled_from([0, 0, 0, 1, 1, 2]),
        id=st.sampled_from(["a", "b", "c", "d", "", "a long id, more than a word"]),
        at=times,
        note=st.sampled_from([None, "", "x"]),
        amount=st.sampled_from([None, 0, 1]),
        received=times,
        refused=st.sampled_from([False, False, False, False, True]),
    )


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(events(st.integers(0, 60)), st.sampled_from([0, 0, 0, 1])), max_size=60),
    st.integers(0, 2**64 - 1),
)
def test_verdicts_are_those_of_the_rules_in_any_batches(
    drawn: list[tuple[Event, int]], key: int
) -> None:
    oracle = Oracle()
    expected = [oracle.judge(event, retried=bool(retried)) for event, retried in drawn]
    for size in (1, 7, len(drawn) or 1):
        acceptance = fresh(key=(key, 1))
        found: list[tuple[int, int, int, int]] = []
        start = 0
        while start < len(drawn):
            retried = drawn[start][1]
            end = start
            while end < len(drawn) and end < start + size and drawn[end][1] == retried:
                end += 1
            batch = gathered([event for event, _ in drawn[start:end]], retried=bool(retried))
            found += told(acceptance.judge(batch, start))
            if size == 7:
                # a restart between any two batches changes nothing
                again = fresh(key=(key, 1))
                again.restore(acceptance.snapshot())
                assert again.snapshot() == acceptance.snapshot()
                acceptance = again
            start = end
        assert found == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(events(st.sampled_from([-(2**63) + 1, -(2**62), 0, 2**62, 2**63 - 1])), max_size=20)
)
def test_times_at_the_ends_of_their_range_do_not_wrap(drawn: list[Event]) -> None:
    oracle = Oracle()
    expected = [oracle.judge(event) for event in drawn]
    assert told(fresh().judge(gathered(drawn), 0)) == expected


def test_the_horizon_leaves_no_way_to_be_counted_twice() -> None:
    """With dedupe >= lateness, an event that comes again is a duplicate, or late."""
    acceptance = fresh()
    first = Event(0, "a", 100, received=100)
    acceptance.judge(gathered([first]), 0)
    for step in range(1, 60):
        moved = Event(0, f"m{step}", 100 + step, received=200)
        verdicts = acceptance.judge(gathered([moved, first]), 2 * step)
        assert verdicts.verdict[0] == Verdict.ACCEPTED
        assert verdicts.verdict[1] != Verdict.ACCEPTED
        assert verdicts.reason[1] == (0 if step <= PAYMENTS.dedupe_ns else Reason.LATE)


def test_retried_events_are_marked_and_do_not_move_the_watermark_back() -> None:
    acceptance = fresh()
    acceptance.judge(gathered([Event(0, "a", 100, received=100)]), 0)
    verdicts = acceptance.judge(gathered([Event(0, "b", 1), Event(0, "b", 1)], retried=True), 1)
    assert verdicts.backfill
    assert told(verdicts) == [(0, 0, -1, 100), (1, 0, 1, 100)]
    assert acceptance.watermark("payment") == 100
    assert acceptance.watermark("refund") is None
    assert verdicts.count(Verdict.ACCEPTED) == 1


def test_forgotten_ids_give_their_memory_back() -> None:
    acceptance = fresh(budget=8_192 * BYTES_PER_ID)
    start = acceptance.memory()
    peak = 0
    for step in range(60):
        batch = [Event(0, f"{step}-{n}", 30 * step, received=10**6) for n in range(2_000)]
        verdicts = acceptance.judge(gathered(batch), 2_000 * step)
        assert verdicts.count(Verdict.ACCEPTED) == 2_000
        peak = max(peak, acceptance.memory())
    assert peak - start < 8_192 * BYTES_PER_ID
    assert acceptance._counts[kernels.HELD] <= 6_000
    again = fresh()
    again.restore(acceptance.snapshot())
    assert again._counts[kernels.HELD] == 2_000
    assert again.snapshot() == acceptance.snapshot()


def test_a_full_budget_stops_intake_and_evicts_nothing() -> None:
    acceptance = fresh(budget=3 * BYTES_PER_ID)
    three = [Event(0, name, 1) for name in "abc"]
    acceptance.judge(gathered(three), 0)
    with pytest.raises(LimitReached, match=r"input 4 would be id 4 .* 288 bytes hold 3"):
        acceptance.judge(gathered([Event(0, "a", 1), Event(0, "d", 1)]), 3)
    assert told(acceptance.judge(gathered(three), 5)) == [(1, 0, n, 1) for n in range(3)]
    # an event that takes the watermark past the horizon needs room before it makes room
    small = fresh(budget=1)
    small.judge(
        gathered(
            [
                Event(1, "a", 1),
            ]
        ),
        0,
    )
    with pytest.raises(LimitReached):
        small.judge(gathered([Event(1, "b", 4)]), 1)
    with pytest.raises(LimitReached):
        small.restore(acceptance.snapshot())


def test_a_snapshot_that_does_not_fit_is_refused() -> None:
    acceptance = fresh()
    acceptance.judge(gathered([Event(0, "a", 1), Event(1, "b", 1)]), 0)
    snapshot = acceptance.snapshot()
    for wrong in (b"", snapshot[:-8], snapshot[:-1], snapshot + b"x" * 8, b"H" + snapshot[1:]):
        with pytest.raises(ArtefactError, match="not a whole snapshot"):
            fresh().restore(wrong)
    with pytest.raises(ArtefactError, match="another key"):
        fresh(key=(5, 7)).restore(snapshot)


def test_a_stream_without_an_id_or_a_time_cannot_be_meant() -> None:
    for left_out in ("id", "at"):
        fields = tuple(field for field in FIELDS if field.name != left_out)
        plan = replace(PAYMENTS, schema=Schema("Payment", fields))
        with pytest.raises(DefinitionError, match="has no field of role"):
            Acceptance((plan,), "payment", (1, 2), 1_000)


def test_content_tells_missing_from_zero_over_many_columns() -> None:
    """More than 63 columns: validity takes more than one word."""
    names = [f"f{n}" for n in range(130)]
    fields = FIELDS[:2] + tuple(Field(name, Kind.INT, optional=True) for name in names)
    plan = replace(PAYMENTS, schema=Schema("Payment", fields))
    for place in (0, 60, 61, 62, 63, 124, 129):
        acceptance = Acceptance((plan,), "payment", (1, 2), 10_000)
        columns: dict[str, Text | Fixed] = {"id": Text.of(["a"] * 3), "at": Fixed.of([1] * 3)}
        columns |= {name: Fixed.of([0, 0, 0]) for name in names}
        columns[names[place]] = Fixed.of([0, 0, None])
        inputs = structs.replace(
            gathered([Event(0, "a", 1)] * 3), batches={"payment": Batch(columns, 3)}
        )
        assert acceptance.judge(inputs, 0).verdict.tolist() == [0, 1, 2]


def test_the_numbers_of_the_kernels_are_those_of_the_reasons() -> None:
    assert (kernels.LATE, kernels.EARLY, kernels.ID_CONFLICT) == (
        Reason.LATE,
        Reason.EARLY,
        Reason.ID_CONFLICT,
    )
