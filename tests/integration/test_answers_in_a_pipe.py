"""A run between two pipes: each line that goes in is answered by a line that comes out."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

CASE = """
import headrace as hr


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key = hr.field(pii=True, subject=True)
    amount: hr.Money("EUR")


class Refund(hr.Event):
    refund_id: hr.Id
    at: hr.EventTime
    card: hr.Key


payments = hr.stream(Payment, name="payments", lateness="10m")
refunds = hr.stream(Refund, name="refunds")
features = hr.features(
    count=payments.by("card").count("5m"), refunded=refunds.by("card").count("1d")
)
piped = hr.UseCase(
    on=payments,
    features=features,
    policy=hr.Policy(hr.block("burst", features.count > 2), otherwise=hr.approve()),
    name="piped",
)
"""


def payment(number: int, **fields: Any) -> dict[str, Any]:
    at = f"2026-03-01T12:00:{number:02d}Z"
    return {"payment_id": f"p{number}", "at": at, "card": "c", "amount": "5.00"} | fields


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    case = tmp_path / "case.py"
    case.write_text(CASE)
    words = [sys.executable, "-c", "from headrace.cli import main; main()", "run", str(case)]
    return [*words, "--home", str(tmp_path / "home"), "--sink", "-"]


def started(command: list[str], source: str = "-") -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*command, "--source", source],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def answers(command: list[str], lines: list[bytes], source: str = "-") -> list[dict[str, Any]]:
    run = started(command, source)
    out, said = run.communicate(b"".join(lines), timeout=300)
    assert run.returncode == 0, said
    return [json.loads(line) for line in out.splitlines()]


def encoded(*events: dict[str, Any]) -> list[bytes]:
    return [json.dumps(event).encode() + b"\n" for event in events]


def test_a_line_is_answered_before_the_next_is_written(command: list[str]) -> None:
    run = started(command)
    assert run.stdin is not None
    assert run.stdout is not None
    outcomes = []
    for line in encoded(*(payment(number) for number in range(4))):
        run.stdin.write(line)
        run.stdin.flush()
        outcomes.append(json.loads(run.stdout.readline())["outcome"])
    rest, said = run.communicate(timeout=300)
    assert (outcomes, rest) == (["approve", "approve", "block", "block"], b"")
    assert b"4 decisions" in said


def test_every_line_has_its_answer_in_its_place(command: list[str]) -> None:
    lines = encoded(payment(0), payment(1), payment(0), payment(2, amount="x"), payment(3))
    lines += [b"{\n", *encoded(payment(0, amount="6.00")), *encoded(payment(4))]
    told = answers(command, lines)
    assert [told[n]["event_id"] for n in (0, 1, 4, 7)] == ["p0", "p1", "p3", "p4"]
    assert [told[n]["decision_id"] for n in (0, 4, 7)] == ["piped/0/0", "piped/0/4", "piped/0/7"]
    assert told[2] == {"duplicate_of": "piped/0/0"}
    assert told[3]["quarantined"] == "piped/0/3"
    assert told[3]["field"] == "amount"
    assert told[5] == {"quarantined": "piped/0/5", "reason": "malformed"}
    assert told[6]["quarantined"] == "piped/0/6"
    assert len(told) == len(lines)


def test_many_lines_keep_their_places(command: list[str]) -> None:
    """Batches are of any size, and each third line is none that can be decided."""
    events = []
    for number in range(6_000):
        card = f"c{number}"
        fields = {"payment_id": f"p{number}", "card": card}
        kept = number if number % 3 else max(number - 2, 0)
        events.append(payment(0, **fields | {"payment_id": f"p{kept}", "card": f"c{kept}"}))
    told = answers(command, encoded(*events))
    seen: dict[str, int] = {}
    for number, (event, answer) in enumerate(zip(events, told, strict=True)):
        name = event["payment_id"]
        if name in seen:
            assert answer == {"duplicate_of": f"piped/0/{seen[name]}"}
        else:
            seen[name] = number
            assert (answer["event_id"], answer["decision_id"]) == (name, f"piped/0/{number}")


def test_events_of_another_stream_are_acknowledged(command: list[str]) -> None:
    refund = {"refund_id": "r1", "at": "2026-03-01T12:00:00Z", "card": "c"}
    assert answers(command, encoded(refund), "refunds=-") == [{"accepted": "piped/0/0"}]


def test_a_run_that_goes_on_answers_what_is_new(command: list[str]) -> None:
    lines = encoded(payment(0), payment(1))
    assert len(answers(command, lines)) == 2
    (answer,) = answers(command, lines + encoded(payment(2)))
    assert (answer["decision_id"], answer["outcome"]) == ("piped/0/2", "block")


def test_a_reader_that_leaves_ends_the_run_and_loses_nothing(command: list[str]) -> None:
    run = started(command)
    assert run.stdin is not None
    assert run.stdout is not None
    lines = encoded(payment(0), payment(1))
    run.stdin.write(lines[0])
    run.stdin.flush()
    assert run.stdout.readline()
    run.stdout.close()
    run.stdin.write(lines[1])
    run.stdin.close()
    run.stdin = None
    assert run.wait(timeout=300) == 141
    # both were decided: what goes on begins after them
    (answer,) = answers(command, lines + encoded(payment(2)))
    assert answer["decision_id"] == "piped/0/2"
    run.stderr.close()  # type: ignore[union-attr]  # it is a pipe


def test_stdout_is_named_once(command: list[str]) -> None:
    run = started([*command, "--sink", "-"])
    _, said = run.communicate(timeout=300)
    assert run.returncode == 1
    assert b"--sink - is named twice" in said
