"""Every way to run the same inputs gives the same records, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cases
import numpy as np
import pytest
from journaled import column_of, copied, decided, decided_stream, run
from msgspec.structs import replace

import headrace as hr
from headrace.core.columns import CATEGORICAL
from headrace.core.errors import DataError
from headrace.events.schema import Role
from headrace.journal.canonical import records
from headrace.journal.reader import stored_batches
from headrace.journal.tables import tables
from headrace.models.onnx_model import OnnxModel
from headrace.models.scores import Scores
from headrace.pipeline.inputs import Inputs, Refused
from headrace.pipeline.lane import Lane, LaneLimits
from headrace.pipeline.replay import first_difference, inputs_of
from headrace.pipeline.step import accept, step
from headrace.runtime.audit import explain
from headrace.runtime.definitions import Definitions
from headrace.runtime.journals import Place
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.local_lane import LaneSettings
from headrace.runtime.replaying import recorded_definitions, replay

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.journal.batch import JournalBatch
    from headrace.models.artefact import Artefact
    from headrace.runtime.home import Home


def test_the_history_has_every_fault(undisturbed: tuple[Home, list[JournalBatch]]) -> None:
    kinds = np.bincount(np.concatenate([b.inputs.kind for b in undisturbed[1]]), minlength=3)
    assert (kinds[:3] > 0).all()
    outcomes = np.bincount(np.concatenate([b.decisions.outcome for b in undisturbed[1]]))
    assert np.count_nonzero(outcomes) > 1


@pytest.mark.parametrize(("rows", "threads"), [(7, 1), (100_000, 2), (1_000, 2)])
def test_batches_and_threads_change_nothing(  # noqa: PLR0917 - fixtures
    rows: int,
    threads: int,
    tmp_path: Path,
    case: hr.UseCase,
    seed_home: Home,
    history: cases.History,
    undisturbed: tuple[Home, list[JournalBatch]],
) -> None:
    batches = run(case, copied(seed_home, tmp_path), history, rows=rows, threads=threads)
    assert decided(batches) == decided(undisturbed[1])


def test_one_input_at_a_time_changes_nothing(
    case: hr.UseCase, undisturbed: tuple[Home, list[JournalBatch]]
) -> None:
    home, batches = undisturbed
    folder = home.journal(case.name)
    header = next(stored_batches(folder)).header
    lane = Lane(recorded_definitions(home, case.name)(header), (1, 2), LaneLimits(threads=1))
    for batch in batches[:1]:
        expected = records(batch, header)
        whole = inputs_of(batch)
        for index in range(len(whole)):
            (record,) = records(step(lane, one_of(case, whole, index)), header)
            assert record == expected[index], f"input {batch.first_seq + index}"


def one_of(case: hr.UseCase, whole: Inputs, index: int) -> Inputs:
    """One input of a batch, as a batch of its own."""
    at = np.array([index])
    names = [s.name for s in case.plan.streams]
    names += [table.name for table in case.plan.tables]
    row = int(whole.row[index])
    name = names[int(whole.stream[index])]
    refused = np.flatnonzero(whole.refused.index == index)

    def told(items: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(items[k] for k in refused)

    return Inputs(
        stream=whole.stream[at],
        row=np.array([0 if row >= 0 else -1], dtype=np.int32),
        source=whole.source[at],
        position=whole.position[at],
        received_ns=whole.received_ns[at],
        read_ns=whole.read_ns[at],
        batches={name: whole.batches[name].take(np.array([row]))} if row >= 0 else {},
        refused=Refused(
            index=np.zeros(len(refused), dtype=np.int64),
            reasons=whole.refused.reasons[refused],
            fields=told(whole.refused.fields),
            values=told(whole.refused.values),
            expected=told(whole.refused.expected),
            references=told(whole.refused.references),
            lengths=whole.refused.lengths[refused],
        ),
    )


def test_a_replay_is_the_same_byte_for_byte(
    case: hr.UseCase, undisturbed: tuple[Home, list[JournalBatch]]
) -> None:
    home, batches = undisturbed
    name = case.name
    found = replay(home.journal(name), recorded_definitions(home, name))
    assert found.difference is None
    # scores of another library are inputs: on the machine that made them they are the same again
    assert found.furthest == (0.0 if cases.is_scored_elsewhere(case) else None)
    assert found.inputs == sum(len(batch) for batch in batches)


def test_a_score_that_recomputes_too_far_from_the_journaled_one_is_told(
    case: hr.UseCase,
    undisturbed: tuple[Home, list[JournalBatch]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another processor gives other last bits: decisions stay as they were, up to a tolerance."""
    if not cases.is_scored_elsewhere(case):
        pytest.skip("its scores are the same everywhere")
    home = undisturbed[0]
    folder = home.journal(case.name)
    scored = OnnxModel.score

    def by(apart: float) -> None:
        def elsewhere(model: OnnxModel, *given: Any) -> Scores:
            made = scored(model, *given)
            return Scores(made.margin, made.probability + apart, made.classes - apart)

        monkeypatch.setattr(OnnxModel, "score", elsewhere)

    by(1e-7)
    near = replay(folder, recorded_definitions(home, case.name))
    assert near.difference is None
    assert near.furthest == pytest.approx(1e-7, rel=1e-3)
    by(1e-3)
    far = replay(folder, recorded_definitions(home, case.name))
    assert far.difference is not None
    monkeypatch.setattr(OnnxModel, "is_scored_here", False)
    without = replay(folder, recorded_definitions(home, case.name))
    assert (without.difference, without.furthest) == (None, None)
    assert "recomputes 0.001 away, and the model says 1e-05 at most" in str(far.difference)


def test_a_decision_is_explained_in_the_words_of_its_categories(
    case: hr.UseCase, undisturbed: tuple[Home, list[JournalBatch]]
) -> None:
    home, _ = undisturbed
    folder = home.journal(case.name)
    columns = {
        feature.name: column_of(case, feature.name)
        for feature in case.plan.features
        if feature.kind in CATEGORICAL
    }
    if not columns:
        pytest.skip("it has no category")
    read = tables(folder)["decisions"].select(["seq", *columns.values()])
    row = next(row for row in read.to_pylist() if None not in row.values())
    place = Place(folder, case.name, 0, row["seq"])
    told = explain(place, Definitions(home.definitions)).features
    for feature, column in columns.items():
        assert told[feature] == row[column]


def test_an_explanation_gives_the_sequence_that_was_scored(
    case: hr.UseCase, undisturbed: tuple[Home, list[JournalBatch]]
) -> None:
    """Put together from the journal, it is the tensor that the engine made."""
    home, batches = undisturbed
    folder = home.journal(case.name)
    lane = Lane(case.definition(None), (1, 2), LaneLimits(threads=1))
    every = sum(len(batch.decisions) for batch in batches) // 60
    checked = 0
    for stored in stored_batches(folder):
        batch = stored.batch()
        accepted = accept(lane, inputs_of(batch))
        made = accepted.features.sequences
        for row in range(0, len(accepted.seq), every):
            place = Place(folder, case.name, 0, int(accepted.seq[row]))
            found = explain(place, Definitions(home.definitions)).sequence
            if made is None:
                assert found == ()
                return
            told = [
                [np.nan if v is None else v for v in vector.values.values()] for vector in found
            ]
            assert len(told) == made.lengths[row]
            wanted = made.vectors[row][len(made.vectors[row]) - len(told) :]
            np.testing.assert_array_equal(np.array(told, dtype=np.float32), wanted)
            assert found[-1].decision == f"{case.name}/0/{int(accepted.seq[row])}"
            checked += 1
    assert checked > 50


def test_another_text_for_a_code_is_a_difference(
    case: hr.UseCase, undisturbed: tuple[Home, list[JournalBatch]]
) -> None:
    home, batches = undisturbed
    header = next(stored_batches(home.journal(case.name))).header
    changed = dict(batches[0].categories)
    if not changed:
        pytest.skip("it has no category")
    code = min(changed)
    changed[code] += "x"
    other = replace(batches[0], categories=changed)
    assert first_difference(batches[0], batches[0], header) is None
    assert first_difference(other, batches[0], header) is not None


def test_frames_give_what_is_served(
    tmp_path: Path, case: hr.UseCase, seed_home: Home, model: Artefact
) -> None:
    """What is trained on and tried in a notebook is what the lane serves, to the last bit."""
    clean = cases.history(case, tmp_path, share=0.5, seed=6, broken=False)
    on = decided_stream(case)
    identity = on.schema.having(Role.ID)
    assert identity is not None
    batches = run(case, copied(seed_home, tmp_path), clean, rows=4_096, threads=2)
    table = hr.decide(case, clean.frames, model=model)
    frame = table.filter(table["score"].is_valid()).sort_by("id")
    names: list[str | None] = []
    for batch in batches:
        rows = batch.inputs.row[batch.decisions.seq - batch.first_seq]
        names += batch.events[on.name].text(identity.name).take(rows).strings()
    order = np.argsort(np.array(names))
    scores = np.concatenate([batch.decisions.score for batch in batches])[order]
    assert frame["id"].to_pylist() == sorted(str(name) for name in names)
    assert frame["score"].to_numpy().tobytes() == scores.tobytes()
    served = np.concatenate([batch.decisions.features for batch in batches], axis=1)[:, order]
    read = tables(tmp_path / "home" / "journal" / case.name / "0")["decisions"]
    read = read.sort_by(identity.name)
    for number, feature in enumerate(case.plan.features):
        if feature.kind in CATEGORICAL:
            texts = read[column_of(case, feature.name)].to_pylist()
            assert texts == frame[feature.name].to_pylist(), feature.name
            assert any(texts), feature.name
            continue
        mine = frame[feature.name].to_numpy(zero_copy_only=False).astype(np.float64)
        np.testing.assert_array_equal(mine, served[number], err_msg=feature.name)


def test_a_state_goes_to_another_lane_byte_for_byte(
    tmp_path: Path, case: hr.UseCase, seed_home: Home, history: cases.History
) -> None:
    """Windows, ids, books in the midst of a message: each lane begins with what one left."""
    home = copied(seed_home, tmp_path)
    batches = run(case, home, history, rows=701, threads=1)
    header = next(stored_batches(home.journal(case.name))).header
    definition, state = recorded_definitions(home, case.name)(header), None
    for number, batch in enumerate(batches):
        lane = Lane(definition, (1, 2), LaneLimits(threads=1 + number % 2))
        if state is not None:
            lane.restore(state)
            assert lane.snapshot() == state
        assert records(step(lane, inputs_of(batch)), header) == records(batch, header)
        state = lane.snapshot()


def test_stopping_and_going_on_changes_nothing(
    tmp_path: Path,
    case: hr.UseCase,
    seed_home: Home,
    history: cases.History,
    undisturbed: tuple[Home, list[JournalBatch]],
) -> None:
    """A run that is stopped after each few batches goes on from snapshot and journal."""
    home = copied(seed_home, tmp_path)
    settings = RunSettings(lane=LaneSettings(durability="os"), batch_rows=900)
    for _ in range(40):
        started = LocalRun(case, home, history.sources, settings=settings)
        if started.total == 0:
            started.go()
            break
        started.stop()
        started.go()
    batches = [stored.batch() for stored in stored_batches(home.journal(case.name))]
    assert decided(batches) == decided(undisturbed[1])


def test_other_files_under_the_same_name_are_refused(
    tmp_path: Path,
    case: hr.UseCase,
    undisturbed: tuple[Home, list[JournalBatch]],
    history: cases.History,
) -> None:
    home = copied(undisturbed[0], tmp_path)
    original = history.decided.read_bytes()
    try:
        history.decided.write_bytes(b"".join(original.splitlines(keepends=True)[:10]))
        with pytest.raises(DataError, match="is not what it was when"):
            LocalRun(case, home, history.sources).go()
    finally:
        history.decided.write_bytes(original)
