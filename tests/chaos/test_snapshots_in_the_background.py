"""States are kept while a lane goes on; a disk that does not take them stops nothing."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from small_disk import volume, writable  # type: ignore[import-not-found]  # on the path above

from headrace.journal.reader import stored_batches
from headrace.journal.verification import verify
from headrace.pipeline.lane import Lane
from headrace.pipeline.replay import RecordedScores, rebuild
from headrace.runtime.home import Home
from headrace.runtime.loading import load_case
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.local_lane import LaneSettings, LocalLane, signing_key
from headrace.runtime.snapshots import Snapshots
from headrace_solutions.card_fraud.lines import write
from headrace_solutions.card_fraud.simulator import SimulationSettings, simulate

if TYPE_CHECKING:
    from headrace.pipeline.use_case import UseCase

EVENTS = 12_000
CASE = """
import headrace as hr

class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    card: hr.Key = hr.field(pii=True, subject=True)
    merchant: hr.Key
    amount: hr.Money
    currency: hr.Currency
    channel: hr.Category

payments = hr.stream(Payment, name="payments", lateness="10m")
card = payments.by("card")
kept = hr.UseCase(
    name="kept",
    on=payments,
    features=hr.features(
        card_count_1d=card.count("1d"),
        merchant_count_1h=payments.by("merchant").count("1h"),
        channel=payments.channel,
    ),
)
"""
COMMAND = [sys.executable, "-c", "from headrace.cli import main; main()"]
SETTINGS = RunSettings(lane=LaneSettings(durability="os", snapshot_every=500), batch_rows=200)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kept")
    (folder / "case.py").write_text(CASE)
    write(
        simulate(SimulationSettings(events=EVENTS, cards=900, merchants=60, days=9, seed=3)),
        folder / "payments.jsonl",
    )
    return folder


@pytest.fixture(scope="module")
def case(workplace: Path) -> UseCase:
    return load_case(str(workplace / "case.py"))


def went(
    case: UseCase, home: Home, workplace: Path, settings: RunSettings = SETTINGS
) -> tuple[LocalRun, list[str]]:
    """A run over all payments, and what it said."""
    said: list[str] = []
    run = LocalRun(
        case, home, [str(workplace / "payments.jsonl")], settings=settings, say=said.append
    )
    run.go()
    return run, said


def states(case: UseCase, home: Home) -> dict[int, bytes]:
    """The states that are kept, by place."""
    snapshots = Snapshots(home.snapshots(case.name), case.plan.digest())
    return {item.next_seq: item.state for item in snapshots.usable(10**9, pytest.fail)}


def rebuilt(case: UseCase, home: Home, places: set[int]) -> dict[int, bytes]:
    """The states at these places, made from the journal alone."""
    lane = Lane(case.definition(None), key_of(home))
    found = {}
    for stored in stored_batches(home.journal(case.name)):
        rebuild(lane, stored.batch(), RecordedScores())
        if lane.next_seq in places:
            found[lane.next_seq] = lane.snapshot()
    return found


def key_of(home: Home) -> tuple[int, int]:
    raw = (home.keys / "dedupe.key").read_bytes()
    return int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:16], "little")


def test_every_state_is_what_the_journal_makes(
    case: UseCase, workplace: Path, tmp_path: Path
) -> None:
    """Kept by a thread while others decided, read and recorded the next batches."""
    home = Home(tmp_path)
    run, said = went(case, home, workplace)
    assert not said
    written = run.local.newest_snapshot
    assert written is not None
    kept = states(case, home)
    assert len(kept) == 2
    assert max(kept) == written.next_seq == run.local.journal.next_seq
    assert min(kept) % 200 == 0
    assert rebuilt(case, home, set(kept)) == kept


def test_with_both_states_damaged_the_journal_is_read_from_its_start(
    case: UseCase, workplace: Path, tmp_path: Path
) -> None:
    home = Home(tmp_path)
    went(case, home, workplace)
    whole = states(case, home)
    for path in home.snapshots(case.name).iterdir():
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    with LocalLane(case.definition(None), home) as again:
        assert again.recovery.from_snapshot == 0
        assert again.recovery.replayed == max(whole)
        assert len([word for word in again.recovery.words if "is damaged" in word]) == 2
        assert again.lane.snapshot() == whole[max(whole)]
        assert "inputs of the journal, from its start" in str(again.recovery)


def test_a_full_disk_is_said_and_decisions_go_on(
    case: UseCase, workplace: Path, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    with volume(home.snapshots(case.name), "96k"):
        run, said = went(case, home, workplace)
        assert said
        assert all("no snapshot was written: [Errno 28] No space left" in word for word in said)
        assert run.meters.received == run.local.journal.next_seq >= EVENTS
        assert not list(home.snapshots(case.name).glob("*.draft"))
    _nothing_was_lost(case, home)


def test_a_folder_that_cannot_be_written_is_said_and_decisions_go_on(
    case: UseCase, workplace: Path, tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    folder = home.snapshots(case.name)
    with volume(folder, "8m"):
        writable(folder, yes=False)
        _, said = went(case, home, workplace)
        assert said
        assert all("no snapshot was written: [Errno 30] Read-only file system" in w for w in said)
        assert f"make {folder} writable" in said[0]
    _nothing_was_lost(case, home)


def _nothing_was_lost(case: UseCase, home: Home) -> None:
    """Without any state the lane stands where it would stand with one, and keeps one again."""
    with LocalLane(case.definition(None), home) as again:
        assert again.recovery.from_snapshot == 0
        place, state = again.lane.next_seq, again.lane.snapshot()
    assert states(case, home) == rebuilt(case, home, {place}) == {place: state}


def test_a_fault_in_the_background_stops_the_run(
    case: UseCase, workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no fault of the disk is a fault of the program: no one decides on beside it."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Snapshots, "write", broken)
    with pytest.raises(ZeroDivisionError):
        went(case, Home(tmp_path), workplace)


@pytest.mark.slow
def test_killed_while_a_snapshot_is_written(workplace: Path, tmp_path: Path) -> None:
    """Snapshots follow each other as fast as they can, so that a kill meets one half written."""
    home = tmp_path / "home"
    command = [*COMMAND, "run", "case.py", "--source=payments.jsonl", f"--home={home}"]
    command += ["--recover-within=1ms"]
    snapshots = Home(home).snapshots("kept")
    drafts = 0
    for attempt in range(12):
        process = subprocess.Popen(
            command, cwd=workplace, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None:
            # by turns at the first that is written, and at one that follows another
            after = attempt % 2 == 0 or any(snapshots.glob("*.state"))
            if after and any(snapshots.glob("*.draft")):
                process.send_signal(signal.SIGKILL)
                drafts += 1
                break
            time.sleep(0.0005)
        process.wait()
        if process.returncode == 0:
            if drafts:
                break
            shutil.rmtree(home)  # it was done before anybody saw it write one
    last = subprocess.run(command, cwd=workplace, check=True, capture_output=True, text=True)
    told = " ".join(last.stderr.split())
    assert "recovered in " in told
    assert "a state of " in told
    assert drafts > 0
    assert not any(snapshots.glob("*.draft"))
    case = load_case(str(workplace / "case.py"))
    kept = states(case, Home(home))
    assert rebuilt(case, Home(home), set(kept)) == kept
    verify(Home(home).journal("kept"), signing_key(Home(home)).public).require()
