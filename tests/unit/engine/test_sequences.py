"""Sequences against their definition: every event looked at, for generated plans and events."""

from __future__ import annotations

import dataclasses
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

import test_engine as windows
from oracle import Input

from headrace.core.columns import Batch, Kind
from headrace.core.sequences import Sequences
from headrace.definitions.describe import group_sizes
from headrace.definitions.plan import Aggregate, Function, Group, Plan
from headrace.definitions.sequence_plan import SequencePlan
from headrace.engine.engine import Engine
from headrace.engine.rows import Features, StreamRows

if TYPE_CHECKING:
    from collections.abc import Sequence

SEEDS = st.integers(0, 2**32).map(random.Random)
QUIET = settings(deadline=None, max_examples=100)


def plan_drawn(drawn: random.Random) -> Plan:
    plan = windows.plan_drawn(drawn)
    numbers = [n for n, feature in enumerate(plan.features) if feature.kind is not Kind.TEXT]
    chosen = drawn.sample(numbers, min(len(numbers), 3)) or [0]
    sequence = SequencePlan(
        key=drawn.choice([("card",), ("card", "region")]),
        features=tuple(chosen),
        length=drawn.choice([1, 2, 3, 8]),
        within_ns=drawn.choice([1, 30, 1000]),
    )
    return dataclasses.replace(plan, sequence=sequence)


def feed(engine: Engine, inputs: Sequence[Input], first: int, last: int) -> Features:
    """Give inputs first to last - 1 as one batch."""
    marks = windows.watermarks(inputs)
    taken = {}
    for name in ("p", "q"):
        places = [n for n in range(first, last) if inputs[n].stream == name]
        events = [inputs[n] for n in places]
        columns = {field: windows.column(field, events) for field in windows.SCHEMA.names}
        taken[name] = StreamRows(
            Batch(columns, len(events)),
            np.array(places, dtype=np.int64),
            np.array([marks[n] for n in places], dtype=np.int64),
        )
    return engine.compute(taken)


def run(plan: Plan, inputs: Sequence[Input], size: int, threads: int = 1) -> Features:
    engine = Engine(plan, threads=threads)
    return joined(
        [
            feed(engine, inputs, first, min(first + size, len(inputs)))
            for first in range(0, len(inputs), size)
        ]
    )


def joined(parts: Sequence[Features]) -> Features:
    found = [part.sequences for part in parts if part.sequences is not None]
    return Features(
        np.concatenate([part.values for part in parts], axis=1),
        [],
        Sequences(
            np.concatenate([part.lengths for part in found]),
            np.concatenate([part.vectors for part in found]),
        ),
    )


def expected(plan: Plan, inputs: Sequence[Input], values: np.ndarray) -> list[np.ndarray | None]:
    """The vectors of each decided event; None where it came too late for state to be held."""
    said = plan.sequence
    assert said is not None
    lateness, marks = plan.stream("p").lateness_ns, windows.watermarks(inputs)
    decided = [n for n, event in enumerate(inputs) if event.stream == "p"]
    row_of = {n: row for row, n in enumerate(decided)}
    found: list[np.ndarray | None] = []
    for now in decided:
        event = inputs[now]
        key = [event.fields[name] for name in said.key]
        if event.at < marks[now] - lateness:
            found.append(None)
            continue
        # no further back than `within` of the latest event that may still come
        oldest = max(event.at, marks[now] - lateness) - said.within_ns
        seen = [
            n
            for n in decided
            if n <= now
            and None not in key
            and [inputs[n].fields[name] for name in said.key] == key
            and oldest < inputs[n].at <= event.at
        ]
        last = sorted(seen, key=lambda n: inputs[n].at)[-said.length :]
        vectors = values[list(said.features)][:, [row_of[n] for n in last]]
        # the two zeros are one value
        found.append((vectors.T + 0.0).astype(np.float32))
    return found


@QUIET
@given(SEEDS)
def test_a_sequence_is_the_last_vectors_of_its_key(drawn: random.Random) -> None:
    plan, inputs = plan_drawn(drawn), windows.history_drawn(drawn)
    made = run(plan, inputs, len(inputs))
    assert made.sequences is not None
    assert plan.sequence is not None
    with np.errstate(over="ignore"):
        wanted = expected(plan, inputs, made.values)
    for row, vectors in enumerate(wanted):
        if vectors is None:
            continue
        whole = np.full(made.sequences.vectors.shape[1:], np.nan, dtype=np.float32)
        whole[len(whole) - len(vectors) :] = vectors
        assert made.sequences.lengths[row] == len(vectors)
        np.testing.assert_array_equal(made.sequences.vectors[row], whole)


@QUIET
@given(SEEDS, st.sampled_from([1, 7]), st.sampled_from([1, 2]))
def test_batches_and_threads_do_not_matter(drawn: random.Random, size: int, threads: int) -> None:
    plan, inputs = plan_drawn(drawn), windows.history_drawn(drawn)
    whole, other = run(plan, inputs, len(inputs)), run(plan, inputs, size, threads)
    assert whole.sequences is not None
    assert other.sequences is not None
    assert other.sequences.vectors.tobytes() == whole.sequences.vectors.tobytes()
    assert other.sequences.lengths.tobytes() == whole.sequences.lengths.tobytes()


@QUIET
@given(SEEDS)
def test_a_restored_engine_goes_on_as_if_nothing_had_happened(drawn: random.Random) -> None:
    plan, inputs = plan_drawn(drawn), windows.history_drawn(drawn)
    cut = drawn.randint(0, len(inputs))
    first = Engine(plan, threads=1)
    before = feed(first, inputs, 0, cut)
    snapshot = first.snapshot()
    second = Engine.restore(plan, snapshot, threads=2)
    assert second.snapshot() == snapshot
    after = joined([before, feed(second, inputs, cut, len(inputs))])
    whole = run(plan, inputs, len(inputs))
    assert whole.sequences is not None
    assert after.sequences is not None
    assert after.sequences.vectors.tobytes() == whole.sequences.vectors.tobytes()


@QUIET
@given(SEEDS)
def test_state_has_the_same_bytes_however_it_came_about(drawn: random.Random) -> None:
    plan, inputs = plan_drawn(drawn), windows.history_drawn(drawn)
    one, other = Engine(plan, threads=1), Engine(plan, threads=2)
    feed(one, inputs, 0, len(inputs))
    for first in range(0, len(inputs), 5):
        feed(other, inputs, first, min(first + 5, len(inputs)))
        other = Engine.restore(plan, other.snapshot(), threads=2)
    assert other.snapshot() == one.snapshot()


@QUIET
@given(SEEDS)
def test_the_vectors_of_a_key_move_with_it(drawn: random.Random) -> None:
    plan, inputs = plan_drawn(drawn), windows.history_drawn(drawn)
    assert plan.sequence is not None
    plan = dataclasses.replace(plan, sequence=dataclasses.replace(plan.sequence, key=("card",)))
    engine, empty = Engine(plan, threads=1), Engine(plan, threads=1)
    feed(engine, inputs, 0, len(inputs))
    feed(empty, inputs, 0, 0)
    number = len(plan.groups)
    for card in ("a", "bb"):
        content = engine.key_state(number, (card,))
        if content is not None:
            # the watermark is no key's: a record counts from where the other engine stands
            empty.put_key_state(number, (card,), content)
            assert empty.key_state(number, (card,)) == content


def test_so_many_vectors_are_held_for_each_key_and_no_more() -> None:
    plan = windows.plan_of(
        (Group("p", ("card",), ("card",), 0, ()),),
        (Aggregate(Function.COUNT, 0, window_ns=5),),
    )
    streams = tuple(dataclasses.replace(item, lateness_ns=0) for item in plan.streams)
    sequence = SequencePlan(("card",), (0,), 8, 10**12)
    plan = dataclasses.replace(plan, streams=streams, sequence=sequence)
    fields = dict.fromkeys(windows.SCHEMA.names, None) | {"count": 1, "id": 0}
    inputs = [Input("p", 1_000 + n, {**fields, "card": f"c{n % 3}"}) for n in range(3_000)]
    engine = Engine(plan, threads=1)
    feed(engine, inputs, 0, len(inputs))
    assert engine.memory().held[-1] == 3 * (8 - 1)
    assert engine.memory().keys[-1] == 3
    size = group_sizes(plan, 3, 8)[-1]
    assert size.group == "sequence of p by card"
    assert engine.memory().total <= size.total_bytes + group_sizes(plan, 3, 8)[0].total_bytes * 4
