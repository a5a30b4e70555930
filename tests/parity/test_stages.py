"""A use case in stages: what comes out, whatever the order in which lanes go on."""

from __future__ import annotations

import dataclasses
import json
from random import Random
from typing import TYPE_CHECKING, Any

from contract import Contract, Input
from contract_expressions import FUNCTIONS, Evaluation
from contract_values import read_event
from drawn import (
    CODES,
    EXACT,
    FLOATS,
    LIMIT,
    RATE,
    WINDOWS,
    field,
    histories,
    mentioned,
    use_cases,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from staged import ADMISSION, MAIN, Partitioned, Staged
from vectors import told
from ways import Prepared

from headrace.core.errors import DefinitionError
from headrace.journal.batch import InputKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from contract_values import Data, Value

QUIET = settings(
    max_examples=40,
)
KEYS = [None, "card", "card", "merchant", "country", "payment_id"]


@st.composite
def side_windows(draw: st.DrawFn) -> list[Any]:
    """A window by a key that payments are hardly partitioned by, of a value of every width."""
    said: dict[str, Any] = {
        "of": "payments",
        "by": [draw(st.sampled_from(["merchant", "country"]))],
    }
    said["window"] = draw(st.sampled_from(WINDOWS))
    function = draw(st.sampled_from(["count", "sum", "last", "last", "first", "max", "distinct"]))
    if function == "count":
        return ["count", said]
    values = [*EXACT, *FLOATS]
    if function in ("first", "last", "distinct"):
        values += [*CODES, *CODES]
    if function in ("first", "last") and draw(st.booleans()):
        return ["seconds_between", [function, field("due"), said], field("at")]
    return [function, draw(st.sampled_from(values)), said]


@st.composite
def staged(draw: st.DrawFn, *, partitions: int | None = None) -> tuple[Staged, Partitioned]:
    """A use case in stages, and a history of it in partitions."""
    case: dict[str, Any] = dict(draw(use_cases()))
    more = draw(st.lists(side_windows(), min_size=1, max_size=4))
    case["features"] = {**case["features"], **{f"s{n}": said for n, said in enumerate(more)}}
    used = mentioned(list(case["features"].values()))
    for name, said in {
        "rates": {"fields": RATE, "key": ["base", "quote"]},
        "limits": {"fields": LIMIT, "key": ["card"]},
    }.items():
        if name in used:
            case["tables"].setdefault(name, said)
    prepared = Prepared.of(case, draw(histories(case)))
    try:
        stages = prepared.case.stages(draw(st.sampled_from(KEYS), label="key"))
    except DefinitionError as error:
        # an event that enters by its card and asks by its partner
        assume("partner" not in json.dumps(case["features"]) or "two partitions" not in str(error))
        raise
    count = partitions or draw(st.integers(1, 3), label="partitions")
    sides = partitions or draw(st.integers(1, 3), label="partitions of side stages")
    made = Staged(prepared, stages, count, sides)
    return made, Partitioned.of(prepared, stages, count, Random(draw(st.integers(0, 99))))


def windows(said: Any) -> Iterator[list[Any]]:
    """Every window that an expression reads."""
    if isinstance(said, dict):
        said = list(said.values())
    if not isinstance(said, list):
        return
    if said and isinstance(said[0], str) and said[0] in FUNCTIONS:
        yield said
        return
    for part in said:
        yield from windows(part)


def home(said: Data, key: str, all_of: Sequence[Data]) -> str:
    """The stage of a window, from what documents say: the main key first, then a stage there is."""
    by = said["by"]
    if key in by:
        return MAIN
    alone: list[str] = [other["by"][0] for other in all_of if len(other["by"]) == 1]
    return next((name for name in alone if name in by), str(by[0]))


class StageContract(Contract):
    """The contract of one lane: windows that are kept elsewhere are what was given."""

    def __init__(self, made: Staged, stage: str, features: Data) -> None:
        case = {**made.prepared.data, "features": features}
        if stage != MAIN:
            case["policy"] = None
        super().__init__(case, made.prepared.names)
        self.stage = stage
        every = [w[-1] for w in windows(made.prepared.data["features"])]
        self.homes = {json.dumps(said): home(said, made.stages.key, every) for said in every}
        self.given: dict[tuple[int, str], Value] = {}

    def aggregate(self, function: str, args: list[Any], now: Evaluation) -> Value:
        if self.homes[json.dumps(args[-1])] == self.stage:
            return super().aggregate(function, args, now)
        return self.given[now.event.seq, json.dumps([function, *args])]


def event_of(
    made: Staged, parts: Partitioned, part: int, name: str, position: int, known: int
) -> Input:
    """An input as the contract takes it."""
    values, refused = read_event(made.prepared.fields(name), parts.lines[part][name][position])
    return Input(name, position, known, values, refused)


def admitted(made: Staged, parts: Partitioned, part: int) -> list[Input]:
    """What the contract says of the inputs of one partition, in the order of its journal."""
    contract = StageContract(made, ADMISSION, {})
    for batch in made.journals[ADMISSION, part]:
        inputs = batch.inputs
        for index in range(len(batch)):
            name = made.prepared.names[int(inputs.stream[index])]
            position, known = int(inputs.position[index]), int(inputs.received_ns[index])
            event = event_of(made, parts, part, name, position, known)
            contract.take(event)
            kind = InputKind(int(inputs.kind[index])).name.lower()
            assert (event.seq, event.verdict) == (batch.first_seq + index, kind)
    return contract.inputs


def computed(
    made: Staged, side: str, number: int, known: list[list[Input]]
) -> dict[tuple[int, int], dict[str, Value]]:
    """The windows of a lane of a side stage, in the order of its journal, by lane and seq."""
    contract = StageContract(made, side, {})
    prepared, plan = made.prepared, made.side(side).plan
    names = [*(s.name for s in plan.streams), *(t.name for t in plan.tables)]
    mine = [
        window
        for window in windows(prepared.data["features"])
        if contract.homes[json.dumps(window[-1])] == side
    ]
    found = {}
    for batch in made.journals[side, number]:
        for index in range(len(batch)):
            name = names[int(batch.inputs.stream[index])]
            position, lane = int(batch.inputs.position[index]), int(batch.inputs.source[index])
            if name in prepared.data["tables"]:
                line = prepared.lines[name][position]
                values, refused = read_event(prepared.fields(name), line)
                event = Input(name, position, 0, values, refused)
                if refused is not None:
                    event.verdict = "quarantined"
                    contract.inputs.append(event)
                    continue
            else:
                original = known[lane][position]
                assert original.verdict == "accepted"
                event = dataclasses.replace(original, memory={}, features={})
            event.seq = len(contract.inputs)
            contract.inputs.append(event)
            stream = contract.streams[name]
            stream.accepted.append(event)
            if name == prepared.data["on"]:
                at = stream.time(event)
                stream.watermark = max(at, stream.watermark or at)
                late = stream.watermark - at > stream.lateness
                found[lane, position] = {
                    json.dumps(window): None if late else Evaluation(contract, event).of(window)
                    for window in mine
                }
    return found


@QUIET
@given(staged(), st.integers(0, 999))
def test_features_are_what_the_contract_says_in_the_orders_that_were_journaled(
    drawn: tuple[Staged, Partitioned], seed: int
) -> None:
    made, parts = drawn
    made.run(parts, Random(seed))
    known = [admitted(made, parts, part) for part in range(made.partitions)]
    given_back: dict[tuple[int, int], dict[str, Value]] = {}
    for side in made.stages.sides:
        for number in range(made.side_partitions):
            for place, values in computed(made, side.name, number, known).items():
                given_back.setdefault(place, {}).update(values)
    for part in range(made.partitions):
        contract = StageContract(made, MAIN, made.prepared.data["features"])
        contract.given = {
            (seq, window): value
            for (lane, seq), values in given_back.items()
            if lane == part
            for window, value in values.items()
        }
        for event in known[part]:
            contract.take(dataclasses.replace(event, memory={}, verdict="", reason=None))
        expected = [told(event, list(made.prepared.case.features)) for event in contract.inputs]
        lane, batches = made.state((MAIN, part)), made.journals[MAIN, part]
        assert made.prepared.told(lane, batches) == expected


@QUIET
@given(staged(), st.integers(0, 999))
def test_each_journal_replays_alone_byte_for_byte(
    drawn: tuple[Staged, Partitioned], seed: int
) -> None:
    made, parts = drawn
    made.run(parts, Random(seed))
    for place, journal in made.journals.items():
        assert made.records(place, made.replayed(place)) == made.records(place, journal)


@QUIET
@given(staged(partitions=1))
def test_in_one_partition_undisturbed_stages_decide_as_one_lane(
    drawn: tuple[Staged, Partitioned],
) -> None:
    made, parts = drawn
    made.run_undisturbed(parts)
    lane, batches = made.prepared.run(made.prepared.intake(), 10_000)
    place = (MAIN, 0)
    single = made.prepared.told(lane, batches)
    assert made.prepared.told(made.state(place), made.journals[place]) == single
