"""The engine against windows by definition, for generated plans and events."""

from __future__ import annotations

import dataclasses
import math
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from oracle import Input, aggregate

from headrace.core.columns import Batch, Column, Fixed, Kind, Text
from headrace.core.compiled import float_bits
from headrace.core.errors import ArtefactError, DefinitionError, LimitReached
from headrace.definitions.describe import worst_case_bytes
from headrace.definitions.plan import (
    Aggregate,
    Feature,
    Function,
    Group,
    Held,
    Hold,
    Plan,
    Program,
    StreamPlan,
)
from headrace.engine.engine import Engine
from headrace.engine.rows import StreamRows
from headrace.events.schema import Field, Role, Schema

if TYPE_CHECKING:
    from collections.abc import Sequence

SECOND = 1_000_000_000
LEAST = -(2**63)
LOADS = ("amount", "score", "flag", "shop", "count")
AMOUNT, SCORE, FLAG, SHOP, COUNTED = range(5)
FLOATING = {SCORE}
SCALES = {AMOUNT: 2}
LATENESS = 20

SCHEMA = Schema(
    "Payment",
    (
        Field("id", Kind.INT, Role.ID),
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("card", Kind.TEXT, Role.KEY, optional=True),
        Field("partner", Kind.TEXT, Role.KEY, optional=True),
        Field("region", Kind.INT, Role.KEY, optional=True),
        Field("amount", Kind.MONEY, scale=2, currency="EUR", optional=True),
        Field("score", Kind.FLOAT, optional=True),
        Field("flag", Kind.BOOL, optional=True),
        Field("shop", Kind.TEXT, Role.CATEGORY, optional=True),
        Field("count", Kind.INT, minimum=-1000, maximum=1000),
    ),
)
NUMBERS = [AMOUNT, SCORE, COUNTED]


def stream(name: str) -> StreamPlan:
    return StreamPlan(name, SCHEMA, LATENESS, 0, 0, 0, Program(LOADS, (), len(LOADS)))


MOMENTS = {Function.SUM, Function.MEAN, Function.VARIANCE, Function.STD}
BUCKETED = [Function.COUNT, *MOMENTS, Function.MIN, Function.MAX]


def aggregate_drawn(drawn: random.Random, group: int, every: int) -> Aggregate:
    function = drawn.choice(sorted(BUCKETED) if every else sorted(Function))
    value = drawn.randrange(5)
    if function in {*MOMENTS, Function.MIN, Function.MAX}:
        exact = every and function in MOMENTS
        value = drawn.choice([AMOUNT, COUNTED] if exact else NUMBERS)
    elif function is Function.SECONDS_SINCE_LAST or (
        function is Function.COUNT and drawn.random() < 0.5
    ):
        value = -1
    return Aggregate(
        function=function,
        group=group,
        value=value,
        where=drawn.choice([-1, -1, FLAG]),
        floating=value in FLOATING,
        scale=SCALES.get(value, 0),
        window_ns=drawn.choice([1, 5, 30, 100, 1000]),
        delay_ns=drawn.choice([0, 0, 0, 7]),
        include_current=drawn.random() < 0.5,
    )


def plan_drawn(drawn: random.Random) -> Plan:
    groups: list[Group] = []
    items: list[Aggregate] = []
    for g in range(drawn.randint(1, 3)):
        key = drawn.choice([("card",), ("card", "region"), ("region",)])
        asked_by = drawn.choice([key, key, ("partner",) if key == ("card",) else key])
        every = drawn.choice([0, 0, 0, 10])
        groups.append(Group(drawn.choice(["p", "p", "q"]), key, asked_by, every, ()))
        items += [aggregate_drawn(drawn, g, every) for _ in range(drawn.randint(1, 5))]
    return plan_of(tuple(groups), tuple(items))


def plan_of(groups: tuple[Group, ...], items: tuple[Aggregate, ...]) -> Plan:
    """A plan whose features are its aggregates, as they come."""
    features = []
    for n, item in enumerate(items):
        kind = Kind.INT
        if (
            item.function in {Function.SUM, Function.MEAN, Function.VARIANCE, Function.STD}
            or item.function is Function.SECONDS_SINCE_LAST
        ):
            kind = Kind.FLOAT
        elif item.function not in {Function.COUNT, Function.DISTINCT}:
            kind = [Kind.INT, Kind.FLOAT, Kind.BOOL, Kind.TEXT, Kind.INT][item.value]
        features.append(Feature(f"f{n}", n, kind))
    loads = tuple(f"aggregate:{n}" for n in range(len(items)))
    return Plan(
        on="p",
        streams=(stream("p"), stream("q")),
        tables=(),
        groups=groups,
        aggregates=items,
        program=Program(loads, (), len(loads)),
        features=tuple(features),
        texts=("grocer",),
    )


def history_drawn(drawn: random.Random) -> list[Input]:
    """Events in known order, mostly forward in time, some late, a few far too late (backfills)."""
    clock = 1000
    inputs = []
    huge, one_card = drawn.random() < 0.4, drawn.random() < 0.5
    cards = ["a"] if one_card else ["a", "a", "a", "bb", "a card of some length", None]
    for n in range(drawn.randint(1, 150)):
        clock += drawn.choice([0, 0, 1, 1, 3, 10, 40])
        late = drawn.choice([0, 0, 0, 0, 5, 20]) if drawn.random() < 0.97 else 300
        amount = drawn.randint(2**53 - 9, 2**53 - 1) if huge else drawn.randint(-500, 500)
        fields = {
            "id": n,
            "card": drawn.choice(cards),
            "partner": drawn.choice(cards),
            "region": drawn.choice([1, 1, 2, None]),
            "amount": None if drawn.random() < 0.1 else amount * drawn.choice([1, 1, -1]),
            "score": drawn.choice([0.1, 0.2, -0.3, 3.3, 1e300, -1e300, 5e-324, -0.0, 0.0, None]),
            "flag": drawn.choice([1, 1, 0, None]),
            "shop": drawn.choice(["grocer", "petrol", "caf\u00e9", None]),
            "count": drawn.randint(-1000, 1000),
        }
        inputs.append(Input(drawn.choice("pppq"), clock - late, fields))
    return inputs


def column(name: str, inputs: Sequence[Input]) -> Column:
    values = [event.at if name == "at" else event.fields[name] for event in inputs]
    kind = SCHEMA.field(name).kind
    if kind is Kind.TEXT:
        return Text.of(values)  # type: ignore[arg-type]  # texts only
    if kind is Kind.FLOAT:
        return Fixed.of([None if v is None else float_bits(float(v)) for v in values])
    return Fixed.of(values)  # type: ignore[arg-type]  # integers only


def watermarks(inputs: Sequence[Input]) -> list[int]:
    marks, mark = [], LEAST
    for event in inputs:
        mark = max(mark, event.at) if event.stream == "p" else mark
        marks.append(mark)
    return marks


def feed(engine: Engine, inputs: Sequence[Input], first: int, last: int) -> np.ndarray:
    """Give inputs first to last - 1 as one batch; the features, event by event."""
    marks = watermarks(inputs)
    given = {}
    for name in ("p", "q"):
        places = [n for n in range(first, last) if inputs[n].stream == name]
        events = [inputs[n] for n in places]
        batch = Batch({field: column(field, events) for field in SCHEMA.names}, len(events))
        given[name] = StreamRows(
            batch,
            np.array(places, dtype=np.int64),
            np.array([marks[n] for n in places], dtype=np.int64),
        )
    return engine.compute(given).values.T


def run(plan: Plan, inputs: Sequence[Input], size: int, threads: int = 1) -> np.ndarray:
    engine = Engine(plan, threads=threads)
    parts = [
        feed(engine, inputs, first, min(first + size, len(inputs)))
        for first in range(0, len(inputs), size)
    ]
    return np.concatenate(parts)


def expected(plan: Plan, inputs: Sequence[Input]) -> np.ndarray:
    codes = {text: n for n, text in enumerate(plan.texts)}
    for event in inputs:
        if event.fields["shop"] is not None:
            codes.setdefault(str(event.fields["shop"]), len(codes))
    marks, rows = watermarks(inputs), []
    for now, event in enumerate(inputs):
        if event.stream == "p":
            found = [aggregate(plan, item, inputs, now, marks[now]) for item in plan.aggregates]
            rows.append(
                [
                    math.nan if v is None else float(codes[v] if isinstance(v, str) else v)
                    for v in found
                ]
            )
    return np.array(rows, dtype=np.float64).reshape(-1, len(plan.aggregates))


SEEDS = st.integers(0, 2**32).map(random.Random)
QUIET = settings(deadline=None, max_examples=150)


@QUIET
@given(SEEDS)
def test_every_value_is_that_of_its_window(drawn: random.Random) -> None:
    plan, inputs = plan_drawn(drawn), history_drawn(drawn)
    np.testing.assert_array_equal(run(plan, inputs, len(inputs)), expected(plan, inputs))


@QUIET
@given(SEEDS, st.sampled_from([1, 7]), st.sampled_from([1, 2]))
def test_batches_and_threads_do_not_matter(drawn: random.Random, size: int, threads: int) -> None:
    plan, inputs = plan_drawn(drawn), history_drawn(drawn)
    whole = run(plan, inputs, len(inputs))
    assert run(plan, inputs, size, threads).tobytes() == whole.tobytes()


@QUIET
@given(SEEDS)
def test_a_restored_engine_goes_on_as_if_nothing_had_happened(drawn: random.Random) -> None:
    plan, inputs = plan_drawn(drawn), history_drawn(drawn)
    cut = drawn.randint(0, len(inputs))
    first = Engine(plan, threads=1)
    before = feed(first, inputs, 0, cut)
    snapshot = first.snapshot()
    second = Engine.restore(plan, snapshot, threads=2)
    assert second.snapshot() == snapshot
    after = feed(second, inputs, cut, len(inputs))
    whole = run(plan, inputs, len(inputs))
    assert np.concatenate([before, after]).tobytes() == whole.tobytes()


@QUIET
@given(SEEDS)
def test_state_has_the_same_bytes_however_it_came_about(drawn: random.Random) -> None:
    plan, inputs = plan_drawn(drawn), history_drawn(drawn)
    whole, single = Engine(plan, threads=1), Engine(plan, threads=2)
    feed(whole, inputs, 0, len(inputs))
    for n in range(len(inputs)):
        feed(single, inputs, n, n + 1)
    snapshot = whole.snapshot()
    assert single.snapshot() == snapshot
    for g, group in enumerate(plan.groups):
        for event in inputs:
            key = tuple(str(event.fields[name]) for name in group.key)
            state = None if "None" in key else single.key_state(g, key)
            if state is not None:
                single.put_key_state(g, key, state)
                assert single.key_state(g, key) == state
    assert single.snapshot() == snapshot


@QUIET
@given(SEEDS, st.sampled_from([1, 2]))
def test_a_frozen_state_is_not_moved_by_what_comes_later(
    drawn: random.Random, threads: int
) -> None:
    plan, inputs = plan_drawn(drawn), history_drawn(drawn)
    cut = drawn.randint(0, len(inputs))
    engine = Engine(plan, threads=threads)
    before = feed(engine, inputs, 0, cut)
    snapshot = engine.snapshot()
    frozen = engine.freeze(np.zeros(engine.room_words, dtype=np.int64))
    after = feed(engine, inputs, cut, len(inputs))
    size, pieces = frozen.content()
    content = b"".join(pieces)
    assert content == snapshot
    assert size == len(snapshot)
    whole = run(plan, inputs, len(inputs))
    assert np.concatenate([before, after]).tobytes() == whole.tobytes()


def test_records_are_in_the_order_of_their_bytes() -> None:
    """Keys of every length, also beyond what is put in order at once."""
    engine = Engine(COUNT_PLAN, threads=1)
    names = [chr(97 + n % 26) * (n % 40) + str(n) for n in range(9_000)]
    events = [dataclasses.replace(ONE, fields={**ONE.fields, "card": name}) for name in names]
    feed(engine, events, 0, len(events))
    states = [engine.key_state(0, (name,)) for name in names]
    whole = b"".join(sorted(state for state in states if state is not None))
    snapshot = engine.snapshot()
    assert snapshot[:-32].endswith(len(whole).to_bytes(8, "little") + whole)
    # and of a copy whose pages have split many times, while the keys are emptied
    frozen = engine.freeze(np.zeros(engine.room_words, dtype=np.int64))
    feed(engine, [dataclasses.replace(item, at=10**6) for item in events], 0, len(events))
    assert b"".join(frozen.content()[1]) == snapshot


COUNT_PLAN = plan_of(
    (Group("p", ("card",), ("card",), 0, ()),), (Aggregate(Function.COUNT, 0, window_ns=10),)
)
ONE = Input("p", 5, dict.fromkeys(SCHEMA.names) | {"id": 1, "card": "a", "count": 0})


def test_a_damaged_or_foreign_snapshot_is_refused() -> None:
    engine = Engine(COUNT_PLAN, threads=1)
    feed(engine, [ONE], 0, 1)
    snapshot = engine.snapshot()
    for place in range(len(snapshot)):
        damaged = bytearray(snapshot)
        damaged[place] ^= 1
        with pytest.raises(ArtefactError):
            Engine.restore(COUNT_PLAN, bytes(damaged))
    with pytest.raises(ArtefactError, match="cut"):
        Engine.restore(COUNT_PLAN, snapshot[:-1])
    other = dataclasses.replace(COUNT_PLAN, texts=("other",))
    with pytest.raises(ArtefactError, match="of plan"):
        Engine.restore(other, snapshot)


def test_the_state_of_another_key_is_refused() -> None:
    engine = Engine(COUNT_PLAN, threads=1)
    feed(engine, [ONE], 0, 1)
    state = engine.key_state(0, ("a",))
    assert state is not None
    assert engine.key_state(0, ("b",)) is None
    for content in (state[:-8], state[:-1], b""):
        with pytest.raises(ArtefactError):
            engine.put_key_state(0, ("a",), content)
    with pytest.raises(ArtefactError):
        engine.put_key_state(0, ("b",), state)


def test_at_the_limit_nothing_is_taken() -> None:
    engine = Engine(COUNT_PLAN, threads=1, memory_limit_bytes=100_000)

    def feed_on() -> None:
        for n in range(1000):
            feed(engine, [dataclasses.replace(ONE, at=n)], 0, 1)

    with pytest.raises(LimitReached, match="its limit is"):
        feed_on()
    snapshot = engine.snapshot()
    with pytest.raises(LimitReached):
        feed(engine, [ONE], 0, 1)
    assert engine.snapshot() == snapshot


def test_a_batch_that_goes_past_the_limit_gives_nothing() -> None:
    engine = Engine(COUNT_PLAN, threads=1, memory_limit_bytes=100_000)
    with pytest.raises(LimitReached, match="its limit is 100,000"):
        feed(engine, [dataclasses.replace(ONE, at=n) for n in range(10_000)], 0, 10_000)
    with pytest.raises(LimitReached):
        feed(engine, [ONE], 0, 1)


@pytest.mark.parametrize("function", [Function.LAST, Function.DISTINCT, Function.MEAN])
def test_what_buckets_cannot_hold_is_refused(function: Function) -> None:
    item = Aggregate(function, 0, value=SCORE, floating=True, window_ns=10)
    with pytest.raises(DefinitionError, match="buckets"):
        Engine(plan_of((Group("p", ("card",), ("card",), 10, ()),), (item,)))


def test_idle_keys_are_forgotten_and_their_memory_is_used_again() -> None:
    engine = Engine(COUNT_PLAN, threads=1)
    fields = dict(ONE.fields)
    for n in range(200):
        cards = [Input("p", 100 * n, fields | {"card": f"{n}-{i}"}) for i in range(100)]
        feed(engine, cards, 0, len(cards))
    assert engine.memory().keys[0] < 2_000


def test_a_window_may_begin_before_the_least_time() -> None:
    long = Aggregate(Function.COUNT, 0, window_ns=2**62)
    short = Aggregate(Function.LAST, 0, value=COUNTED, window_ns=2)
    plan = plan_of((Group("p", ("card",), ("card",), 0, ()),), (long, short))
    inputs = [Input("p", LEAST + 1 + n, dict(ONE.fields) | {"id": n, "count": n}) for n in range(3)]
    np.testing.assert_array_equal(run(plan, inputs, 3), [[1, 0], [2, 1], [3, 2]])
    np.testing.assert_array_equal(run(plan, inputs, 3), expected(plan, inputs))


def test_many_events_of_one_key_have_the_right_extremes() -> None:
    drawn = random.Random(1)
    items = tuple(
        Aggregate(f, 0, value=AMOUNT, window_ns=w)
        for f in (Function.MIN, Function.MAX)
        for w in (3, 40, 1500, 10**6)
    )
    plan = plan_of((Group("p", ("card",), ("card",), 0, ()),), items)
    inputs, clock = [], 0
    for n in range(3000):
        clock += drawn.randint(0, 3)
        late = drawn.randint(0, 20) if drawn.random() < 0.05 else 0
        fields = dict(ONE.fields) | {"id": n, "amount": drawn.randint(-(10**9), 10**9)}
        inputs.append(Input("p", clock - late, fields))
    found = run(plan, inputs, 500)
    for now in drawn.sample(range(3000), 60):
        for column_number, item in enumerate(items):
            low = inputs[now].at - item.window_ns
            taken = [
                int(event.fields["amount"] or 0)
                for event in inputs[: now + 1]
                if low < event.at <= inputs[now].at
            ]
            best = min(taken) if item.function is Function.MIN else max(taken)
            assert found[now, column_number] == best


@pytest.mark.parametrize("events", [1, 3, 9, 70, 600])
def test_state_is_no_larger_than_its_worst_case(events: int) -> None:
    keys = 3_000 // events + 1
    groups = (Group("p", ("card",), ("card",), 0, (Held(Hold.SUM), Held(Hold.VALUE))),)
    items = (
        Aggregate(Function.SUM, 0, value=AMOUNT, scale=2, window_ns=10**9),
        Aggregate(Function.MAX, 0, value=AMOUNT, scale=2, window_ns=10**9),
    )
    plan = plan_of(groups, items)
    engine = Engine(plan, threads=1)
    fields = {"amount": 5, "count": 0}
    inputs = [
        Input(
            "p", n, dict.fromkeys(SCHEMA.names) | fields | {"id": n, "card": f"card{n % keys:012}"}
        )
        for n in range(keys * events)
    ]
    feed(engine, inputs, 0, len(inputs))
    memory = engine.memory()
    assert memory.held == (keys * events,)
    assert memory.bytes_by["keys and events"] <= worst_case_bytes(plan, keys, events)


def test_a_key_longer_than_all_before_it_finds_room() -> None:
    cards = ["a", "b" * 5000, "a", "b" * 5000 + "c", "b" * 5000]
    inputs = [dataclasses.replace(ONE, fields={**ONE.fields, "card": card}) for card in cards]
    np.testing.assert_array_equal(run(COUNT_PLAN, inputs, 1), expected(COUNT_PLAN, inputs))
