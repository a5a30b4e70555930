"""What a service logs: each line whole, the few that matter, and nothing personal."""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from service_process import ServiceProcess, payment  # type: ignore[import-not-found]  # on the path above

#: Numbers that stand nowhere else.
CARDS = [f"4929{number:012d}" for number in range(7, 12)]


def lines(running: ServiceProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in running.said().splitlines()]


def asked_of_everything(running: ServiceProcess) -> None:
    """Requests of every sort, each with a card's number in it somewhere."""
    for n, card in enumerate(CARDS):
        assert running.decide(payment(n, n, card=card))[0] == 200
        assert running.decide(payment(n, n, card=card, amount="9.00"))[0] == 409
        assert running.decide(payment(f"bad{n}", card=card, country=card, at=card))[0] == 422
        assert running.decide(f'{{"card":"{card}"')[0] == 400
        assert running.decide(card)[0] == 400
        assert running.decide("x", content_type=card)[0] == 415
        assert running.ask("GET", f"/v1/{card}")[0] == 404
        assert running.ask("GET", f"/v1/decisions/{card}")[0] == 404
        assert running.decide(payment(n), headrace_deadline_ms=card)[0] == 400


def test_the_log_tells_start_recovery_refusals_and_stop(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with ServiceProcess(home, "--log", "json") as running:
        asked_of_everything(running)
        assert running.stop() == 0
        told = lines(running)
    messages = [line["message"] for line in told]
    assert messages[:2] == ["opened", "recovered"]
    assert messages[2].startswith("serving served at http://127.0.0.1:")
    assert messages[-1].startswith("stopped after 5 decisions")
    assert told[0]["version"]
    assert told[1]["replayed"] == 0
    assert told[-1]["next_seq"] > 5
    refused: dict[int, int] = {}
    for line in told:
        if line["message"] == "requests refused":
            refused[line["status"]] = refused.get(line["status"], 0) + line["requests"]
    assert refused == {400: 15, 404: 10, 409: 5, 415: 5, 422: 5}
    # the first of each status at once, the rest together, every ten seconds and at the end
    assert 2 <= messages.count("requests refused") / len(refused) < 4
    first = next(line for line in told if line["message"] == "requests refused")
    assert first["requests"] == 1
    assert {line["level"] for line in told} == {"info", "warning"}


@pytest.mark.parametrize("written", ["text", "json"])
def test_no_card_number_is_logged(tmp_path: Path, written: str) -> None:
    with ServiceProcess(tmp_path / "home", "--log", written, "--access-log") as running:
        asked_of_everything(running)
        assert running.stop() == 0
        said = running.said()
    assert said.count("request ") + said.count('"request"') >= 9 * len(CARDS)
    for card in CARDS:
        assert card not in said
        assert card[4:] not in said


def test_requests_are_logged_where_that_is_asked_for(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path / "home", "--log", "json", "--access-log") as running:
        made = running.decide(payment(1))[2]["decision_id"]
        running.ask("GET", f"/v1/decisions/{made}/proof")
        running.ask("GET", "/healthz")
        running.ask("DELETE", "/elsewhere")
        running.stop()
        requests = [line for line in lines(running) if line["logger"] == "headrace.access"]
    assert [(line["method"], line["route"], line["status"]) for line in requests] == [
        ("POST", "/v1/served/decisions", 200),
        ("GET", "/v1/decisions/{id}/proof", 200),
        ("GET", "/healthz", 200),
        ("DELETE", "other", 404),
    ]
    assert all(0 < line["ms"] < 10_000 for line in requests)


def test_a_disk_that_takes_no_more_is_told_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with ServiceProcess(home, "--log", "json") as running:
        running.decide([payment(n, card=CARDS[0]) for n in range(900)])
        # no file of the service may grow beyond this: its journal wants to, its vault has room
        most = 1 << 18
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (most, most))
        many = [payment(f"more{n}", card=CARDS[1]) for n in range(9_000)]
        assert running.decide(many)[0] == 503
        assert running.decide(payment("last", card=CARDS[2]))[0] == 503
        assert running.ask("GET", "/healthz")[0] == 503
        assert "headrace_failed 1.0" in running.page("/metrics")[1]
        running.stop()
        told = lines(running)
    errors = [line for line in told if line["message"] == "nothing is decided any more"]
    assert len(errors) == 1
    assert errors[0]["level"] == "error"
    assert errors[0]["error"] == "JournalError"
    assert "File too large" in errors[0]["because"]
    assert told[-1]["message"] == "ended by an error"
    assert not [card for card in CARDS if card in running.said()]
