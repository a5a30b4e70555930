"""A run that is killed at any moment and started again decides as one that was not."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.warm import headrace

from headrace.journal.reader import stored_batches
from headrace.journal.verification import verify
from headrace.runtime.home import Home
from headrace.runtime.kernels import is_compiled
from headrace.runtime.local_lane import signing_key

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("HEADRACE_CHAOS_SECONDS", "20"))

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

payments = hr.stream(Payment, name="payments", lateness="10m")
card = payments.by("card")
features = hr.features(
    card_count_1h=card.count("1h"),
    card_count_1d=card.count("1d"),
    merchant_count_1h=payments.by("merchant").count("1h"),
    since_last=card.seconds_since_last(within="30d"),
    hour=payments.at.hour("UTC"),
)
killed = hr.UseCase(
    name="killed",
    on=payments,
    features=features,
    policy=hr.Policy(
        hr.block("burst", features.card_count_1h > 4),
        hr.review("often", features.card_count_1d > 3),
        otherwise=hr.approve(),
    ),
)
"""

#: The same, scored by a model in ONNX that reads the last vectors of the card.
SCORED = CASE.replace(
    """
killed = hr.UseCase(
    name="killed",
    on=payments,
    features=features,
""",
    f"""
killed = hr.UseCase(
    name="killed",
    on=payments,
    features=features,
    sequence=hr.sequence(
        features,
        key="card",
        length=6,
        within="30d",
        only=("card_count_1h", "card_count_1d", "merchant_count_1h", "since_last"),
    ),
    model=hr.Onnx(
        {str(Path(__file__).parent.parent / "golden" / "models" / "sequence.onnx")!r},
        classes=("fraud", "genuine"),
        flat="flat",
        sequence="sequence",
        mask="mask",
        features=("card_count_1h", "card_count_1d", "merchant_count_1h", "since_last", "hour"),
    ),
""",
)

COMMAND = [sys.executable, "-c", "from headrace.cli import main; main()"]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from headrace_solutions.card_fraud.lines import write  # noqa: PLC0415 - made once
    from headrace_solutions.card_fraud.simulator import (  # noqa: PLC0415 - the same
        SimulationSettings,
        simulate,
    )

    folder = tmp_path_factory.mktemp("killed")
    (folder / "case.py").write_text(CASE)
    (folder / "scored.py").write_text(SCORED)
    settings = SimulationSettings(
        events=60_000, cards=2_000, merchants=100, days=20, seed=3, invalid=0.002, late=0.02
    )
    write(simulate(settings), folder / "payments.jsonl")
    # how long a run takes says when to kill it: no run should compile
    if not is_compiled():
        subprocess.run([*COMMAND, "compile"], check=True, stdout=subprocess.DEVNULL)
    return folder


def started(
    folder: Path, home: Path, source: str, sink: Path, case: str = "case.py"
) -> subprocess.Popen[bytes]:
    options = [f"--source={source}", f"--home={home}", f"--sink={sink}"]
    with (folder / "payments.jsonl").open("rb") as lines:
        return subprocess.Popen(
            [*COMMAND, "run", case, *options],
            cwd=folder,
            stdin=lines if source == "-" else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )


def finished(folder: Path, home: Path, source: str, sink: Path, case: str = "case.py") -> None:
    feed = (folder / "payments.jsonl").read_bytes() if source == "-" else b""
    options = [f"--source={source}", f"--home={home}", f"--sink={sink}"]
    done = headrace(["run", case, *options], folder, feed=feed)
    assert done.returncode == 0, done.stderr


def decided(home: Path) -> list[tuple[object, ...]]:
    """What became of every input, in order; surrogates differ from home to home."""
    rows: list[tuple[object, ...]] = []
    for stored in stored_batches(Home(home).journal("killed")):
        batch = stored.batch()
        inputs, made = batch.inputs, batch.decisions
        place = {int(seq): at for at, seq in enumerate(made.seq)}
        for index in range(len(batch)):
            at = place.get(batch.first_seq + index)
            rows.append(
                (
                    batch.first_seq + index,
                    int(inputs.kind[index]),
                    int(inputs.reason[index]),
                    int(inputs.position[index]),
                    int(inputs.original_seq[index]),
                    None if at is None else made.features[:, at].tobytes(),
                    None if at is None else (int(made.outcome[at]), int(made.rules[at])),
                )
            )
    return rows


def without_surrogates(sink: Path) -> list[dict[str, object]]:
    """The lines of a sink, without what differs from home to home."""
    with sink.open() as file:
        lines = csv.DictReader(file) if sink.suffix == ".csv" else map(json.loads, file)
        return [{k: v for k, v in line.items() if k != "card"} for line in lines]


@pytest.mark.parametrize(
    ("case", "source"),
    [("case.py", "payments.jsonl"), ("case.py", "-"), ("scored.py", "payments.jsonl")],
)
def test_killed_at_random_moments(case: str, source: str, workplace: Path, tmp_path: Path) -> None:
    if case == "scored.py":
        pytest.importorskip("onnxruntime")
    calm = tmp_path / "calm"
    begun = time.monotonic()
    process = started(workplace, calm, source, tmp_path / "calm.jsonl", case)
    _, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors.decode()
    alone = time.monotonic() - begun
    dice = random.Random(7)
    home, sink = tmp_path / "killed", tmp_path / "killed.jsonl"
    kills = 0
    end = time.monotonic() + SECONDS / 2
    while time.monotonic() < end:
        process = started(workplace, home, source, sink, case)
        try:
            process.wait(timeout=dice.uniform(0.3, 1.1) * alone)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
        else:
            assert process.returncode == 0
            break
        finally:
            if process.stderr:
                process.stderr.close()
    finished(workplace, home, source, sink, case)
    assert decided(home) == decided(calm)
    assert without_surrogates(sink) == without_surrogates(tmp_path / "calm.jsonl")
    verify(Home(home).journal("killed"), signing_key(Home(home)).public).require()
    assert kills > 0 or alone > SECONDS


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_in_good_order(
    sent: signal.Signals, workplace: Path, tmp_path: Path
) -> None:
    """Standard input stays open, so that nothing but the signal ends the run."""
    home, sink = tmp_path / "home", tmp_path / "sink.jsonl"
    lines = (workplace / "payments.jsonl").read_bytes().splitlines(keepends=True)
    process = subprocess.Popen(
        [*COMMAND, "run", "case.py", "--source=-", f"--home={home}", f"--sink={sink}"],
        cwd=workplace,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b"".join(lines[:5_000]))
    process.stdin.flush()
    while not (sink.exists() and sink.stat().st_size) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(sent)
    assert process.wait(timeout=120) == 0
    said, errors = process.communicate()
    assert b"Traceback" not in errors
    assert b"decisions" in said
    vouched = verify(Home(home).journal("killed"), signing_key(Home(home)).public)
    vouched.require()
    assert vouched.next_seq > 0
    assert not vouched.tails
    finished(workplace, home, "-", sink)
    finished(workplace, tmp_path / "calm", "-", tmp_path / "calm.jsonl")
    assert decided(home) == decided(tmp_path / "calm")
    assert without_surrogates(sink) == without_surrogates(tmp_path / "calm.jsonl")


@pytest.mark.parametrize(
    ("damage", "ending"), [("garbage", "jsonl"), ("cut short", "jsonl"), ("changed", "csv")]
)
def test_an_unvouched_tail_is_named_and_kept(
    damage: str, ending: str, workplace: Path, tmp_path: Path
) -> None:
    home, calm = tmp_path / "home", tmp_path / "calm"
    sink, calm_sink = tmp_path / f"sink.{ending}", tmp_path / f"calm.{ending}"
    finished(workplace, calm, "payments.jsonl", calm_sink)
    finished(workplace, home, "payments.jsonl", sink)
    before = sink.read_bytes()
    folder = Home(home).journal("killed")
    last = max(folder.glob("*.segment"))
    whole = last.read_bytes()
    damaged = {
        "garbage": whole + b"no frame",
        "cut short": whole[:-100],
        "changed": whole[:-300] + bytes([whole[-300] ^ 1]) + whole[-299:],
    }[damage]
    last.write_bytes(damaged)
    again = ["run", "case.py", "--source=payments.jsonl", f"--home={home}", f"--sink={sink}"]
    done = headrace(again, workplace)
    said = " ".join(done.stderr.split())
    assert done.returncode == 0, said
    assert "bytes past the last good head" in said
    assert "were moved to" in said

    (kept,) = (folder / "unvouched").iterdir()
    begin = int(kept.name.split("-")[2])
    assert kept.read_bytes() == damaged[begin:]
    assert last.read_bytes()[:begin] == damaged[:begin]
    assert decided(home) == decided(calm)
    # the sink had what the journal lost: that is kept beside it, and nothing is in it twice
    assert without_surrogates(sink) == without_surrogates(calm_sink)
    aside = tmp_path / f"sink.{ending}.unvouched"
    assert aside.exists() == (damage != "garbage")
    assert damage == "garbage" or before.endswith(aside.read_bytes())
    found = verify(folder, signing_key(Home(home)).public)
    found.require()
    assert [tail.name for tail in found.tails] == [kept.name]
