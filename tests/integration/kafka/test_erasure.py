"""A person is erased from lanes over Kafka: whole in each, whoever works it or is killed."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.integration.kafka.own_process import Done, headrace
from tests.integration.kafka.topic_stage import COMMAND, Stage, payment

from headrace.adapters.kafka.cluster import Cluster
from headrace.journal.tables import tables
from headrace.runtime.home import Home
from headrace.runtime.local_lane import master_key
from headrace.runtime.topic_erasure import KnownPerson, VaultsOverKafka

pytestmark = pytest.mark.slow

LANES = 3
#: Kills itself at a call to the cluster, before it is made or after: each lane's first call takes
#: it over, its second commits what was sent.
KILLED = """
import os, signal, sys
from headrace.adapters.kafka.transactions import Transactions
from headrace.cli import main

made, calls = Transactions._again, []

def again(self, call, *more):
    calls.append(call)
    if (len(calls), "before") == AT:
        self._producer.flush(5)
        os.kill(os.getpid(), signal.SIGKILL)
    made(self, call, *more)
    if (len(calls), "after") == AT:
        os.kill(os.getpid(), signal.SIGKILL)

Transactions._again = again
main()
"""


@pytest.fixture
def stage(servers: str, tmp_path: Path) -> Stage:
    """Lanes of which each has seen every card."""
    name = f"erased-{abs(hash(tmp_path)) % 10**8}"
    made = Stage(servers, tmp_path, name, partitions=LANES, personal=True, grouped=True)
    made.feed([payment(number) for number in range(LANES * 13)])
    return made


def command(stage: Stage, *more: str) -> list[str]:
    over = [f"--from=kafka://{stage.servers}", f"--use-case={stage.name}"]
    return ["erase", *over, "--yes", f"--home={stage.home}", *more]


def run(stage: Stage, home: Path | None = None) -> None:
    """A worker that ends when it has read what is there."""
    done = headrace(stage.folder, stage.command(home=home)[len(COMMAND) :])
    assert done.code == 0, done.err


def erased(stage: Stage, *more: str, given: str = "") -> Done:
    done = headrace(stage.folder, command(stage, *more), given)
    assert done.code == 0, done.err
    return done


def checked(stage: Stage, *arguments: str) -> str:
    done = headrace(stage.folder, [*arguments, f"--home={stage.home}"])
    assert done.code == 0, done.err
    return done.out


def check_evidence(stage: Stage) -> None:
    """Collect, verify and replay the journals of all lanes."""
    checked(stage, "collect", stage.name, f"--from=kafka://{stage.servers}")
    assert checked(stage, "verify", stage.name).count("good") == LANES
    assert checked(stage, "replay", stage.name).count("the same, byte for byte") == LANES


def known(stage: Stage, card: str) -> list[KnownPerson]:
    cluster = Cluster(stage.servers, {})
    return VaultsOverKafka(cluster, [stage.name], master_key(Home(stage.home))).by_value(
        "card", card
    )


def erasures(stage: Stage) -> dict[int, list[str]]:
    """The surrogates that the journal of each lane says were erased, once it is collected."""
    check_evidence(stage)
    found = {}
    for lane in range(LANES):
        controls = tables(Home(stage.home).journal(stage.name, lane))["controls"]
        records = [json.loads(record) for record in controls.column("record").to_pylist()]
        found[lane] = [record["surrogate"] for record in records]
    return found


def test_every_lane_that_knows_a_person_forgets(stage: Stage) -> None:
    run(stage)
    before = known(stage, "c1")
    assert [person.lane.number for person in before] == list(range(LANES))
    assert len({person.surrogate for person in before}) == LANES
    check_evidence(stage)
    explained = checked(stage, "explain", "p1", "--json")
    done = erased(stage, "--field=card", "--check", given="c1\n")
    assert done.out.count("is erased: 1 value") == LANES
    assert done.out.count("the same, byte for byte") == LANES
    assert "c1" not in (done.out + done.err).split()
    assert known(stage, "c1") == []
    assert erasures(stage) == {person.lane.number: [person.surrogate] for person in before}
    assert checked(stage, "explain", "p1", "--json") == explained
    again = headrace(stage.folder, command(stage, "--field=card"), given="c1\n")
    assert again.code == 1
    assert "nothing was erased" in again.err

    # by the surrogate of one lane, the person is found in the others too
    other = known(stage, "c2")
    erased(stage, other[1].surrogate)
    assert known(stage, "c2") == []
    gone = headrace(stage.folder, command(stage, other[1].surrogate))
    assert gone.code == 1
    assert "was erased" in gone.err

    # another worker goes on: whoever comes again is somebody new
    stage.feed([payment(number) for number in range(LANES * 13, LANES * 26)])
    run(stage, home=stage.other_home("other"))
    assert len(stage.decisions()) == LANES * 26
    after = known(stage, "c1")
    assert len(after) == LANES
    assert not {person.surrogate for person in after} & {person.surrogate for person in before}
    assert len(known(stage, "c3")) == LANES
    check_evidence(stage)


@pytest.mark.parametrize("fed", [True, False], ids=["a commit tells", "nothing to commit"])
def test_a_worker_forgets_too(stage: Stage, tmp_path: Path, *, fed: bool) -> None:
    said = tmp_path / "said"
    worker = stage.started(output=said)
    try:
        eventually(lambda: len(stage.decisions()) == LANES * 13, said)
        before = known(stage, "c1")
        erased(stage, "--field=card", given="c1\n")
        if fed:
            stage.feed([payment(number) for number in range(LANES * 13, LANES * 26)])
        eventually(lambda: said.read_text().count("lets go of") >= LANES, said)
        if not fed:
            eventually(lambda: said.read_text().count("it is opened again") >= LANES, said)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(180) == 0, said.read_text()
    finally:
        worker.kill()
        worker.wait()
    assert known(stage, "c1") == []
    if not fed:
        stage.feed([payment(number) for number in range(LANES * 13, LANES * 26)])
    run(stage)
    assert len(stage.decisions()) == LANES * 26
    assert erasures(stage) == {person.lane.number: [person.surrogate] for person in before}


def test_killed_in_the_midst_of_it(stage: Stage) -> None:
    """What was sent and not committed is not there; lanes before are whole, and the rest is done
    by the same command."""
    run(stage)
    before = known(stage, "c1")
    killed(stage, (2, "before"))
    assert known(stage, "c1") == before
    killed(stage, (2, "after"))
    assert known(stage, "c1") == before[1:]
    killed(stage, (4, "before"))
    assert known(stage, "c1") == before[2:]
    erased(stage, "--field=card", given="c1\n")
    assert known(stage, "c1") == []
    assert erasures(stage) == {person.lane.number: [person.surrogate] for person in before}
    run(stage)
    check_evidence(stage)


def test_what_cannot_be_erased_is_told(stage: Stage, tmp_path: Path) -> None:
    run(stage)
    over, named = f"--from=kafka://{stage.servers}", f"--use-case={stage.name}"
    for arguments, told in (
        (["erase", "--field=card", over, f"--home={stage.home}"], "--use-case"),
        (command(stage, "A" * 16), "no vault of these use cases"),
        (["erase", "--field=card", "--use-case=x", f"--home={stage.home}"], "--from"),
        (["erase", "--field=card", over, named, f"--home={tmp_path / 'none'}"], "has no keys"),
        ([*command(stage, "--field=card"), "--use-case=none-of-that"], "has no topic"),
    ):
        done = headrace(stage.folder, arguments, given="c1\n")
        assert done.code == 1, arguments
        assert told in done.err
    unsure = [part for part in command(stage, "--field=card") if part != "--yes"]
    asked = headrace(stage.folder, unsure, given="c1\n")
    assert asked.code == 1
    assert "a worker of a group has them again" in asked.err
    assert len(known(stage, "c1")) == LANES


def killed(stage: Stage, at: tuple[int, str]) -> None:
    """An erasure of card c1 that is killed at a call; what it left open is undone in seconds."""
    settings = stage.folder / "kafka.toml"
    settings.write_text('"transaction.timeout.ms" = "3000"\n')
    erase = command(stage, "--field=card", f"--kafka-config={settings}")
    done = subprocess.run(
        [sys.executable, "-c", KILLED.replace("AT", repr(at)), *erase],
        input=b"c1\n",
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def eventually(holds: Callable[[], bool], said: Path) -> None:
    end = time.monotonic() + 180
    while not holds():
        assert time.monotonic() < end, said.read_text()
        time.sleep(0.2)
