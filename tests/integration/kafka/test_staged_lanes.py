"""Quarantine and erasure where a use case is worked on in stages: its name is enough."""

import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.integration.kafka.own_process import Done, headrace
from tests.integration.kafka.test_stages import StagedCase, payment
from tests.integration.kafka.topic_stage import COMMAND

from headrace.journal.tables import tables
from headrace.runtime.home import Home

pytestmark = pytest.mark.slow

DAY = 86_400
CUT = b'{"payment_id":\n"cut", "card": "c-secret"'


@pytest.fixture
def case(servers: str, tmp_path: Path) -> StagedCase:
    """A case whose lane 0 has quarantined a payment that was late, and one that was cut."""
    name = f"lanes-{os.getpid()}-{abs(hash(tmp_path)) % 10**8}"
    made = StagedCase(servers, tmp_path, name, personal=True)
    later, late = payment(2 * DAY + 1), payment(33).replace(b'"p33"', b'"late"')
    made.feed([payment(n) for n in range(33)])
    for payload in (later.replace(b"-01T", b"-09T"), late, CUT):
        made.producer.produce(made.source, payload, partition=0)
    made.producer.flush()
    run(made)
    return made


def run(case: StagedCase) -> None:
    done = headrace(case.folder, case.command()[len(COMMAND) :])
    assert done.code == 0, done.err


def told(case: StagedCase, *arguments: str, home: Path | None = None, given: str = "") -> Done:
    return headrace(case.folder, [*arguments, f"--home={home or case.home}"], given)


def said(case: StagedCase, *arguments: str, given: str = "") -> str:
    done = told(case, *arguments, given=given)
    assert done.code == 0, done.err
    return done.out


def over(case: StagedCase) -> str:
    return f"--from=kafka://{case.servers}"


def check_evidence(case: StagedCase) -> None:
    for name in case.stages:
        said(case, "collect", name, over(case))
        assert "good" in said(case, "verify", name)
        assert "the same, byte for byte" in said(case, "replay", name)


def test_what_is_retried_flows_on(case: StagedCase) -> None:
    listed = said(case, "quarantine", "list", case.name, over(case), "--form=csv")
    assert "payments,kafka:" in listed
    assert said(case, "quarantine", "list", case.name, "--form=csv") in listed
    retry = ["quarantine", "retry", "case.py", "--reason=late"]
    for more, why in (
        ([], "--from kafka://HOST:PORT"),
        ([over(case), "--key=merchant"], "--key"),
        ([over(case), f"--sink=kafka://{case.servers}/{case.sink}"], "leave it out"),
    ):
        refused = told(case, *retry, *more)
        assert refused.code == 1
        assert why in refused.err
    file = case.folder / "case.py"
    written = file.read_text()
    file.write_text(written.replace('mean(payments.amount, "1h")', 'mean(payments.amount, "2h")'))
    refused = told(case, *retry, over(case))
    assert "run another definition" in refused.err
    file.write_text(written)
    assert "1 accepted as backfills, for the workers to decide" in said(case, *retry, over(case))
    assert "late" not in {item["event_id"] for item in case.decisions()}
    run(case)
    decided = [item["event_id"] for item in case.decisions()]
    assert sorted(decided) == sorted({*(f"p{n}" for n in range(33)), "late", f"p{2 * DAY + 1}"})
    check_evidence(case)
    found = tables(Home(case.home).journal(case.name))["decisions"]
    late = found.filter(found.column("payment_id").to_numpy(zero_copy_only=False) == "late")
    assert late.column("backfilled").to_pylist() == [True]
    assert told(case, *retry, over(case)).code == 1, "it came back"
    # its workers go on with what comes next
    case.feed([payment(2 * DAY + n).replace(b"-01T", b"-09T") for n in range(2, 5)])
    run(case)
    assert len(case.decisions()) == len(decided) + 3
    check_evidence(case)


def test_sealed_bytes_are_opened_from_the_topic(case: StagedCase, tmp_path: Path) -> None:
    (row,) = [
        line
        for line in said(case, "quarantine", "list", case.name, over(case), "--form=json").split(
            '{"input":'
        )
        if "malformed" in line
    ]
    show = ["quarantine", "show", row.partition(",")[0], f"--use-case={case.name}"]
    assert "are sealed in the vault" in said(case, *show)
    unnamed = told(case, *show, "--raw")
    assert unnamed.code == 1
    assert "sealed in a topic" in unnamed.err
    assert " ".join(CUT.decode().split()) in said(case, *show, "--raw", over(case))
    other = tmp_path / "other"
    shutil.copytree(case.home, other)
    (other / "keys" / "master.key").unlink()
    refused = told(case, *show, "--raw", over(case), home=other)
    assert refused.code == 1
    assert "the master key does not open" in refused.err
    assert "c-secret" not in refused.out


def test_a_person_is_erased_by_the_name_of_the_case(case: StagedCase) -> None:
    erase = ["erase", "--field=card", over(case), f"--use-case={case.name}", "--yes", "--check"]
    done = said(case, *erase, given="c1\n")
    assert f"of lane {case.stages[0]}/" in done
    assert "the same, byte for byte" in done
    assert told(case, *erase, given="c1\n").code == 1
    case.feed([payment(2 * DAY + n).replace(b"-01T", b"-09T") for n in range(2, 35)])
    run(case)
    assert len(case.decisions()) == 34 + 33
    check_evidence(case)
