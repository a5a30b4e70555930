"""A run that is killed at any moment and started again decides as one that was not."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
from tests import paper_case
from tests.session_folder import session_folder
from tests.warm import headrace

from headrace.journal.verification import verify
from headrace.runtime.home import Home
from headrace.runtime.local_lane import signing_key
from headrace_solutions.card_fraud.lines import write
from headrace_solutions.card_fraud.simulator import SimulationSettings, simulate
from headrace_solutions.credit_risk import credit_risk
from headrace_solutions.trading_signal.case import trading_signal

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))
import cases
from killed_run import Work  # type: ignore[import-not-found]  # on the path above

if TYPE_CHECKING:
    import headrace as hr

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-c", "from headrace.cli import main; main()"]
#: How often a run is killed.
KILLS = int(os.environ.get("HEADRACE_CHAOS_KILLS", "5"))

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


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed")
    (folder / "case.py").write_text(CASE)
    (folder / "scored.py").write_text(SCORED)
    settings = SimulationSettings(
        events=40_000, cards=2_000, merchants=100, days=20, seed=3, invalid=0.002, late=0.02
    )
    write(simulate(settings), folder / "payments.jsonl")
    return folder


@pytest.fixture
def payments(workplace: Path) -> Work:
    return Work(workplace, "case.py", "killed", ("payments.jsonl",))


@pytest.fixture
def piped(workplace: Path) -> Work:
    return Work(workplace, "case.py", "killed", ("-",), feed=workplace / "payments.jsonl")


@pytest.fixture
def scored(workplace: Path) -> Work:
    pytest.importorskip("onnxruntime")
    return Work(workplace, "scored.py", "killed", ("payments.jsonl",))


def ready_made(
    case: hr.UseCase, folder: Path, shared: Path, personal: tuple[str, ...] = ()
) -> Work:
    """A ready-made use case with its model."""
    history = cases.history(case, folder, share=2.0)
    return Work(
        folder,
        cases.FILES[case],
        case.name,
        tuple(history.sources),
        trained=cases.home_with_model(case, shared).folder,
        personal=personal,
    )


@pytest.fixture
def credit(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    return ready_made(credit_risk, tmp_path, session_folder(tmp_path_factory), ("applicant",))


@pytest.fixture
def trading(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    return ready_made(trading_signal, tmp_path, session_folder(tmp_path_factory))


@pytest.fixture
def paper(tmp_path: Path) -> Work:
    """A closed loop: a paper venue answers, and comes back with the journal after each kill."""
    sources = []
    for name, table in paper_case.frames(4_000, seed=9).items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
        sources.append(f"{name}={tmp_path / name}.parquet")
    more = ("--closed-loop",)
    return Work(tmp_path, paper_case.__file__, "loop", tuple(sources), personal=(), more=more)


@pytest.mark.parametrize("name", ["payments", "piped", "scored", "credit", "trading", "paper"])
def test_killed_at_random_moments(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    work: Work = request.getfixturevalue(name)
    calm, calm_sink = work.home(tmp_path / "calm"), tmp_path / "calm.jsonl"
    work.finished(calm, calm_sink)
    home, sink = work.home(tmp_path / "killed"), tmp_path / "killed.jsonl"
    kills = work.killed(home, sink, work.written(calm), KILLS, random.Random(7))
    assert kills > 1
    work.finished(home, sink)
    assert work.decided(home) == work.decided(calm)
    assert work.without_surrogates(sink) == work.without_surrogates(calm_sink)
    verify(Home(home).journal(work.name), signing_key(Home(home)).public).require()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_in_good_order(
    sent: signal.Signals, piped: Work, tmp_path: Path
) -> None:
    """Standard input stays open, so that nothing but the signal ends the run."""
    home, sink = tmp_path / "home", tmp_path / "sink.jsonl"
    lines = piped.feed.read_bytes().splitlines(keepends=True)
    process = subprocess.Popen(
        [*COMMAND, *piped.arguments(home, sink)],
        cwd=piped.folder,
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
    assert process.wait(timeout=300) == 0
    said, errors = process.communicate()
    assert b"Traceback" not in errors
    assert b"decisions" in said
    vouched = verify(Home(home).journal("killed"), signing_key(Home(home)).public)
    vouched.require()
    assert vouched.next_seq > 0
    assert not vouched.tails
    piped.finished(home, sink)
    piped.finished(tmp_path / "calm", tmp_path / "calm.jsonl")
    assert piped.decided(home) == piped.decided(tmp_path / "calm")
    assert piped.without_surrogates(sink) == piped.without_surrogates(tmp_path / "calm.jsonl")


@pytest.mark.parametrize(
    ("damage", "ending"), [("garbage", "jsonl"), ("cut short", "jsonl"), ("changed", "csv")]
)
def test_an_unvouched_tail_is_named_and_kept(
    damage: str, ending: str, payments: Work, tmp_path: Path
) -> None:
    home, calm = tmp_path / "home", tmp_path / "calm"
    sink, calm_sink = tmp_path / f"sink.{ending}", tmp_path / f"calm.{ending}"
    payments.finished(calm, calm_sink)
    payments.finished(home, sink)
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
    done = headrace(payments.arguments(home, sink), payments.folder)
    said = " ".join(done.stderr.split())
    assert done.returncode == 0, said
    assert "bytes past the last good head" in said
    assert "were moved to" in said

    (kept,) = (folder / "unvouched").iterdir()
    begin = int(kept.name.split("-")[2])
    assert kept.read_bytes() == damaged[begin:]
    assert last.read_bytes()[:begin] == damaged[:begin]
    assert payments.decided(home) == payments.decided(calm)
    # the sink had what the journal lost: that is kept beside it, and nothing is in it twice
    assert payments.without_surrogates(sink) == payments.without_surrogates(calm_sink)
    aside = tmp_path / f"sink.{ending}.unvouched"
    assert aside.exists() == (damage != "garbage")
    assert damage == "garbage" or before.endswith(aside.read_bytes())
    found = verify(folder, signing_key(Home(home)).public)
    found.require()
    assert [tail.name for tail in found.tails] == [kept.name]
