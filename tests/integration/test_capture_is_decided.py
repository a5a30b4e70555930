"""A net over a real capture: trained, exported, decided, journaled, explained, replayed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from headrace.cli import build
from headrace.journal.tables import tables
from headrace.lifecycle.registry import Registry
from headrace.models.onnx_model import opened
from headrace.runtime.home import Home
from headrace.runtime.replaying import recorded_definitions, replay
from headrace_solutions.trading_signal import lead_lag
from headrace_solutions.trading_signal.binance import read_capture

DATA = Path(os.environ.get("HEADRACE_DATA", "data")) / "lob_binance_ws"
CAPTURES = {
    "spot:BTCUSDT": "spot/btcusdt_20240808.gz",
    "usdm:BTCUSDT": "usdm/btcusdt_20240808.gz",
    "cm:BTCUSD_PERP": "cm/btcusd_perp_20240808.gz",
}
CASE = str(Path(lead_lag.__file__))
SECONDS = 75
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.exists(), reason="HEADRACE_DATA has no captures"),
]


def headrace(*tokens: str) -> None:
    """Run a command as its user does; it must end well."""
    try:
        build()(tokens)
    except SystemExit as ended:
        assert ended.code in (0, None)  # noqa: PT017 - a command that ends well may say so by leaving


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Files of the first seconds of the capture."""
    feeds = [
        read_capture(DATA / path, venue=symbol.partition(":")[0]).frames
        for symbol, path in CAPTURES.items()
    ]
    frames = lead_lag.frames_of(feeds, list(CAPTURES), moments=feeds[1]["trades"]["received"])
    kind = frames["looks"]["received"].type
    first = pc.min(frames["looks"]["received"]).cast(pa.int64()).as_py()
    end = pa.scalar(first + SECONDS * 10**9).cast(kind)
    folder = tmp_path_factory.mktemp("capture")
    for name, frame in frames.items():
        pq.write_table(frame.filter(pc.less(frame["received"], end)), folder / f"{name}.parquet")
    return [f"{name}={folder / name}.parquet" for name in frames]


@pytest.fixture(scope="module")
def decided(sources: list[str], tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which the capture was learned from and decided."""
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    place = tmp_path_factory.mktemp("decided") / "home"
    history = [token for name in sources for token in ("--history", name)]
    headrace("train", CASE, *history, "--folds", "1", "--embargo", "1s", "--home", str(place))
    given = [token for name in sources for token in ("--source", name)]
    headrace("run", CASE, *given, "--home", str(place))
    return Home(place)


def test_every_look_has_a_score_of_the_exported_net(decided: Home) -> None:
    made = tables(decided.journal("lead-lag"))["decisions"].sort_by("seq")
    scores = np.stack(
        [made[f"score_{name}"].to_numpy(zero_copy_only=False) for name in ("up", "flat", "down")]
    )
    assert made.num_rows > 1_000
    assert np.abs(scores.sum(axis=0) - 1.0).max() < 1e-5
    assert set(made["outcome"].to_pylist()) >= {"approve"}
    # it says different things at different times
    assert scores[0].std() > 0.01
    artefact = Registry(decided.models).current("lead-lag")
    assert artefact is not None
    (sequence,) = opened(artefact.content).get_inputs()
    assert sequence.shape[1:] == [lead_lag.LENGTH, len(lead_lag.READ)]


def test_a_replay_scores_the_same_within_the_tolerance(decided: Home) -> None:
    found = replay(decided.journal("lead-lag"), recorded_definitions(decided, "lead-lag"))
    assert found.difference is None
    assert found.decisions > 1_000
    assert found.furthest is not None
    assert found.furthest <= 1e-5
    headrace("replay", "--home", str(decided.folder))


def test_a_decision_is_explained_with_its_sequence(
    decided: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    headrace("explain", "1000", "--json", "--home", str(decided.folder))
    told = json.loads(capsys.readouterr().out)
    sequence = told["sequence"]
    assert len(sequence) == lead_lag.LENGTH
    # the last vector is the event's own, in 32 bits
    own = sequence[-1]["values"]
    assert own["perpetual_trades_1s"] == pytest.approx(
        told["features"]["perpetual_trades_1s"], rel=1e-6
    )
    assert len({json.dumps(vector) for vector in sequence}) == lead_lag.LENGTH
