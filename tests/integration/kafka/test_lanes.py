"""Lanes of one worker: a partition each, with a journal, an order and positions of its own."""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.broker import make_topic
from tests.integration.kafka.feeder import until_decided
from tests.integration.kafka.topic_stage import COMMAND, Stage, inputs_in, payment

pytestmark = pytest.mark.slow

LANES = 4


@pytest.fixture
def lanes(servers: str, tmp_path: Path) -> Stage:
    """A use case whose four partitions are lanes."""
    name = f"lanes-{os.getpid()}-{abs(hash(tmp_path)) % 10**8}"
    return Stage(servers, tmp_path, name, partitions=LANES, grouped=True)


def test_a_lane_for_each_partition(lanes: Stage, tmp_path: Path) -> None:
    stage = lanes
    payloads = [payment(number) for number in range(2_000)]
    stage.feed([*payloads, b"{", *payloads[-8:]])  # poison on one lane; some are sent twice
    first = stage.run()
    assert first.returncode == 0, first.stderr
    assert "the group gives this worker lane 0, 1, 2, 3" in " ".join(first.stderr.split())
    stage.feed([payment(number) for number in range(2_000, 2_400)])
    second = stage.run()
    assert second.returncode == 0, second.stderr
    assert "400 received = 400 accepted" in second.stdout

    inputs = stage.check_evidence()
    read = Counter((item["from"], item["position"]) for item in inputs)
    assert set(read.values()) == {1}
    assert len(read) == len(payloads) + 9 + 400
    assert {item["lane"] for item in inputs} == {f"{stage.name}/{lane}" for lane in range(LANES)}
    for item in inputs:
        assert item["from"] == f"kafka:{stage.source}/{item['lane'].split('/')[1]}"
    decided = {
        f"{item['lane']}/{item['seq']}": item["outcome"] for item in inputs if item["outcome"]
    }
    sent = stage.decisions()
    assert {item["decision_id"]: item["outcome"] for item in sent} == decided
    # what was sent twice went to other partitions, as no producer by key would send it
    assert len(sent) == len(decided)
    explained = stage.done(["explain", sent[0]["decision_id"], "--json"])
    assert sent[0]["decision_id"] in explained
    proof = tmp_path / "one.proof.json"
    stage.done(["prove", f"{stage.name}/3/5", "--out", str(proof)])
    assert proof.exists()
    total = stage.done(["query", "SELECT count(*), count(DISTINCT decision_id) FROM decisions"])
    assert total.count(str(len(decided))) == 2


def test_a_lane_decides_as_the_lines_of_its_partition(lanes: Stage, tmp_path: Path) -> None:
    stage = lanes
    payloads = [payment(number) for number in range(2_000)]
    stage.feed(payloads)
    assert stage.run().returncode == 0
    inputs = stage.check_evidence()
    names = ("seq", "position", "kind", "features", "outcome")
    for lane in range(LANES):
        (tmp_path / f"{lane}.jsonl").write_bytes(b"\n".join(payloads[lane::LANES]))
        home = tmp_path / f"alone-{lane}"
        done = stage.headrace(["run", "case.py", f"--source={lane}.jsonl", f"--home={home}"])
        assert done.returncode == 0, done.stderr
        mine = [item for item in inputs if item["lane"] == f"{stage.name}/{lane}"]
        alone = inputs_in(home, stage.name)
        assert [[item[name] for name in names] for item in mine] == [
            [item[name] for name in names] for item in alone
        ]


def test_a_lane_moves_with_its_snapshot(lanes: Stage, tmp_path: Path) -> None:
    stage, shared = lanes, f"--snapshots={tmp_path / 'shared'}"
    stage.feed([payment(number) for number in range(2_000)])
    first = stage.headrace([*stage.command()[len(COMMAND) :], shared])
    assert first.returncode == 0, first.stderr
    stage.feed([payment(number) for number in range(2_000, 2_400)])
    moved = stage.command(home=stage.other_home("other"))[len(COMMAND) :]
    second = stage.headrace([*moved, shared])
    assert second.returncode == 0, second.stderr
    told = " ".join(second.stderr.split())
    for lane in range(LANES):
        assert f"lane {stage.name}/{lane}: going on at input 500" in told
    assert told.count("MB before input 500") == LANES
    assert "from its start" not in told
    assert len(stage.check_evidence()) == len(stage.decisions()) == 2_400


def test_a_worker_without_a_lane(servers: str, tmp_path: Path) -> None:
    """It ends where another has all lanes, and waits for those of one that was killed."""
    name = f"without-{os.getpid()}-{abs(hash(tmp_path)) % 10**8}"
    stage = Stage(servers, tmp_path, name, grouped=True, session_ms=14_000)
    stage.feed([payment(number) for number in range(200)])
    assert stage.run().returncode == 0
    other = stage.started()
    try:
        stage.feed([payment(number) for number in range(200, 400)])
        until_decided(stage, 400)
        left_out = stage.run(home=stage.other_home("other"))
        assert left_out.returncode == 0, left_out.stderr
        assert "0 received" in left_out.stdout
    finally:
        other.kill()
        other.communicate()
    stage.feed([payment(number) for number in range(400, 600)])
    done = stage.run()
    assert done.returncode == 0, done.stderr
    assert "waiting for the lanes that group" in " ".join(done.stderr.split())
    assert "200 received = 200 accepted" in done.stdout
    assert len(stage.check_evidence()) == len(stage.decisions()) == 600


def test_a_store_that_is_gone_stops_nothing(lanes: Stage, tmp_path: Path) -> None:
    stage = lanes
    stage.feed([payment(number) for number in range(400)])
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "snapshots").write_text("a file where a folder should be")
    done = stage.headrace([*stage.command()[len(COMMAND) :], f"--snapshots={shared}"])
    assert done.returncode == 0, done.stderr
    assert "a snapshot was kept at home and not in" in " ".join(done.stderr.split())
    assert len(stage.check_evidence()) == 400


def test_topics_of_other_counts_are_refused(lanes: Stage) -> None:
    other = f"{lanes.name}.other"
    make_topic(lanes.servers, other, LANES + 1)
    source = f"--source=kafka://{lanes.servers}"
    (lanes.folder / "case.py").write_text(
        (lanes.folder / "case.py")
        .read_text()
        .replace(
            "features = hr.features(",
            "class Back(hr.Event):\n    back_id: hr.Id\n    at: hr.EventTime\n    card: hr.Key\n\n"
            'backs = hr.stream(Back, name="backs")\nfeatures = hr.features(\n'
            '    backs_1h=backs.by("card").count("1h"),',
        )
    )
    done = lanes.headrace(
        [
            "run",
            "case.py",
            f"{source}/{lanes.source}",
            f"--source=backs=kafka://{lanes.servers}/{other}",
        ]
    )
    assert done.returncode == 1
    told = " ".join(done.stderr.split())
    assert f"{lanes.source} has 4, {other} has 5" in told
    assert "Traceback" not in done.stderr
