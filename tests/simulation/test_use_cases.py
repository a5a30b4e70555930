"""Every use case under disorder and crashes, and what comes back from its quarantine: seeded.

A seed draws a history with events that come late, twice, changed and cut off, and the crashes of
the lane that decides it. What comes out is what a lane without crashes gives, byte for byte, and
what becomes of each event is judged by hand.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.session_folder import session_folder

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))
import cases
from by_hand import UseCaseByHand  # type: ignore[import-not-found]  # on the path above
from crashing_lane import CrashingLane  # type: ignore[import-not-found]  # on the path above
from journaled import copied
from stepped import Stepped

from headrace.events.reasons import Reason
from headrace.journal.batch import MARK_BACKFILLED, InputKind
from headrace.journal.canonical import records
from headrace.journal.reader import stored_batches
from headrace.journal.verification import verify
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.local_lane import LaneSettings, LocalLane, signing_key
from headrace.runtime.models import model_of
from headrace.runtime.quarantine import SOURCE, quarantined, retry
from headrace.runtime.replaying import recorded_definitions, replay

if TYPE_CHECKING:
    import headrace as hr
    from headrace.runtime.home import Home

SECONDS = float(os.environ.get("HEADRACE_SIMULATION_SECONDS", "5")) / len(cases.CASES)
#: Of a usual history.
SHARE = 0.25
MOST = 300


@pytest.fixture(params=cases.CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> hr.UseCase:
    found: hr.UseCase = request.param
    cases.skipped_without_libraries(found)
    return found


@pytest.fixture
def home(case: hr.UseCase, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """With a model and nothing else."""
    return cases.home_with_model(case, session_folder(tmp_path_factory))


def simulate(case: hr.UseCase, home: Home, folder: Path, seed: int) -> set[tuple[InputKind, int]]:
    """Decide a history of that seed with crashes and without; what became of events, and why."""
    dice = np.random.default_rng(seed)
    folder.mkdir()
    stepped = Stepped.of(case, home, cases.history(case, folder, share=SHARE, seed=seed))
    count = len(stepped.intake)
    calm = [
        record
        for batch in stepped.batches([1_000] * count)
        for record in records(batch, stepped.header)
    ]
    by_hand = UseCaseByHand(case.plan)
    lane = CrashingLane(stepped.definition, stepped.header, stepped.inputs, dice)
    found: set[tuple[InputKind, int]] = set()
    for batch in lane.batches(count, MOST):
        where = f"seed {seed}, inputs from {batch.first_seq}"
        assert records(batch, stepped.header) == calm[batch.first_seq : batch.next_seq], where
        told = list(zip(batch.inputs.kind.tolist(), batch.inputs.reason.tolist(), strict=True))
        by_contract = list(by_hand.judged(batch))
        assert told == by_contract, where
        found |= set(by_contract)
    return found


@pytest.mark.parametrize("seed", [20, 21])
def test_disorder_and_crashes(case: hr.UseCase, home: Home, tmp_path: Path, seed: int) -> None:
    found = simulate(case, home, tmp_path / "history", seed)
    assert {(InputKind.ACCEPTED, 0), (InputKind.DUPLICATE, 0)} < found
    assert {(InputKind.QUARANTINED, reason) for reason in (Reason.LATE, Reason.ID_CONFLICT)} < found


@pytest.mark.slow
def test_disorder_and_crashes_for_longer(case: hr.UseCase, home: Home, tmp_path: Path) -> None:
    end = time.monotonic() + SECONDS
    seed = 1_000
    while time.monotonic() < end:
        simulate(case, home, tmp_path / str(seed), seed)
        seed += 1


@pytest.mark.parametrize("seed", [30])
def test_what_is_retried(case: hr.UseCase, home: Home, tmp_path: Path, seed: int) -> None:
    """Some of what was refused comes back in the midst of a history, and it goes on."""
    dice = np.random.default_rng(seed)
    history = cases.history(case, tmp_path, share=SHARE, seed=seed)
    home = copied(home, tmp_path)
    settings = RunSettings(lane=LaneSettings(durability="os"), batch_rows=1_024)
    for _ in range(2):  # a batch each
        begun = LocalRun(case, home, history.sources, settings=settings)
        begun.stop()
        begun.go()
    journal = home.journal(case.name)
    refused = quarantined(journal)
    chosen = [item for item in refused if dice.random() < 0.7]
    with LocalLane(case.definition(model_of(case, home)), home, (SOURCE,), settings.lane) as local:
        retry(local, chosen)
    rest = LocalRun(case, home, history.sources, settings=settings)
    assert rest.total
    rest.go()

    by_hand = UseCaseByHand(case.plan)
    back: list[int] = []
    kinds: set[int] = set()
    for stored in stored_batches(journal):
        batch, sources = stored.batch(), stored.header.sources
        retried = sources.index(SOURCE) if SOURCE in sources else None
        told = list(zip(batch.inputs.kind.tolist(), batch.inputs.reason.tolist(), strict=True))
        assert told == list(by_hand.judged(batch, retried)), f"inputs from {batch.first_seq}"
        back += batch.inputs.position[batch.inputs.source == retried].tolist()
        kinds |= set(batch.inputs.kind.tolist())
        marked = batch.decisions.seq[batch.decisions.marks & MARK_BACKFILLED != 0]
        kind = batch.inputs.kind[marked - batch.first_seq]
        assert (kind == InputKind.BACKFILL).all()
    assert sorted(back) == [item.seq for item in chosen]
    assert InputKind.BACKFILL in kinds
    found = replay(journal, recorded_definitions(home, case.name))
    assert found.difference is None
    assert verify(journal, signing_key(home).public).require().records == found.inputs
