"""The service as its clients meet it: the real command, over real connections."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import json
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from service_process import CASE, ServiceProcess, payment  # type: ignore[import-not-found]  # on the path above
from tests.warm import headrace

from headrace.adapters.service_client import Client, Decided, Refused
from headrace.journal import verify_proof
from headrace.journal.keys import SigningKey
from headrace.journal.tables import tables
from headrace.journal.verification import verify
from headrace.security.api_keys import ApiKeys, Role

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path_factory.mktemp("service") / "home") as running:
        yield running


def verified(home: Path) -> int:
    """How many records the journal has, each of them checked."""
    key = SigningKey.load_or_create(home / "keys" / "signing.pem").public
    return verify(home / "journal" / "served" / "0", key).require().records


def test_one_event_gets_its_decision(service: ServiceProcess) -> None:
    status, headers, told = service.decide(payment("one", card="one"))
    assert (status, headers["content-type"]) == (200, "application/json")
    assert told["outcome"] == "approve"
    assert told["decision_id"].startswith("served/0/")
    assert told["durability"] == "fsync"
    assert (told["rule"], told["rules"], told["score"], told["reasons"]) == (None, [], None, [])
    assert set(told["versions"]) == {"definition", "model", "policy", "engine"}


def test_a_json_object_may_be_folded(service: ServiceProcess) -> None:
    folded = json.dumps(payment("folded", card="folded"), indent=2).replace("\n", "\r\n")
    assert service.decide(f"\n  {folded}\n\n")[0] == 200


def test_several_events_are_answered_in_their_order(service: ServiceProcess) -> None:
    events = [payment(f"many{n}", n, card="many") for n in range(6)]
    wanted = ["approve"] * 3 + ["review"] * 3
    status, _, told = service.decide(events)
    assert status == 200
    assert [item["outcome"] for item in told] == wanted
    assert told[5]["rules"] == ["burst"]
    lines = "\n".join(json.dumps(event) for event in events) + "\n\n"
    again = service.decide(lines, content_type="application/x-ndjson")[2]
    assert again == told
    # one bad event among good ones is answered in its place
    mixed = [payment("good", card="g"), {"payment_id": "bad"}, 7, payment("good2", card="g")]
    answers = service.decide(mixed)[2]
    assert [item.get("status") for item in answers] == [None, 422, 400, None]


def test_the_same_event_again_gets_the_same_decision(service: ServiceProcess) -> None:
    event = payment("twice", card="twice")
    first = service.decide(event)
    assert service.decide(event)[2] == first[2]
    status, headers, told = service.decide(event | {"amount": "12.51"})
    assert (status, headers["content-type"]) == (409, "application/problem+json")
    assert "other content" in told["detail"]
    assert told["quarantined"].startswith("served/0/")


def test_every_bad_field_is_named_at_once_and_personal_data_is_not_shown(
    service: ServiceProcess,
) -> None:
    bad = {"payment_id": "", "at": "noon", "card": 7.5, "amount": "12.345", "country": "Mars"}
    status, headers, told = service.decide(bad)
    assert (status, headers["content-type"]) == (422, "application/problem+json")
    assert (told["title"], told["status"]) == ("Unprocessable Entity", 422)
    assert [wrong["field"] for wrong in told["errors"]] == list(bad)
    shown = {wrong["field"]: wrong["value"] for wrong in told["errors"]}
    assert shown["amount"] == "12.345"
    assert shown["card"] == "(personal)"
    assert {wrong["reason"] for wrong in told["errors"]} >= {"too many digits", "unknown country"}


def test_an_event_out_of_its_time_is_refused_and_kept(service: ServiceProcess) -> None:
    status, _, told = service.decide(payment("early", card="early", at="2199-01-01T00:00:00Z"))
    assert status == 422
    assert "early" in told["detail"]
    assert told["quarantined"].startswith("served/0/")


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("", "application/json", 400),
        ("  \n", "application/json", 400),
        ("[]", "application/json", 400),
        ("[1", "application/json", 400),
        ("{", "application/json", 400),
        ('{"a":1} {"b":2}', "application/json", 400),
        ("null", "application/json", 400),
        ("[" * 5000, "application/json", 400),
        ('{"a":' * 5000, "application/json", 400),
        ("\n\n", "application/x-ndjson", 400),
        ("a=b", "application/x-www-form-urlencoded", 415),
        ("é".encode("latin-1"), "application/json", 400),
        (b"\0\0\0", "application/json", 400),
    ],
)
def test_what_is_no_event_is_a_problem(
    service: ServiceProcess, body: str | bytes, content_type: str, status: int
) -> None:
    got, headers, told = service.decide(body, content_type=content_type)
    assert (got, told["status"]) == (status, status)
    assert headers["content-type"] == "application/problem+json"
    assert told["detail"]


def test_a_body_that_is_compressed_is_not_read(service: ServiceProcess) -> None:
    body = gzip.compress(json.dumps(payment("packed", card="packed")).encode())
    status, _, told = service.decide(body, content_encoding="gzip")
    assert (status, "'gzip'" in told["detail"]) == (415, True)
    plain = json.dumps(payment("plain", card="packed")).encode()
    assert service.decide(plain, content_encoding="identity")[0] == 200


def test_a_body_that_is_too_long_is_refused_however_it_is_sent(service: ServiceProcess) -> None:
    long = b"[" + b" " * (5 << 20)
    for chunked in (False, True):
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        body: Any = (long[at : at + 65_536] for at in range(0, len(long), 65_536))
        try:
            connection.request(
                "POST",
                "/v1/served/decisions",
                body if chunked else long,
                {"content-type": "application/json"},
                encode_chunked=chunked,
            )
            answer = connection.getresponse()
            assert answer.status == 413
        except (ConnectionResetError, BrokenPipeError):
            pass  # it did not listen to the end
        finally:
            connection.close()
    assert service.decide(payment("after", card="after"))[0] == 200


def test_other_streams_change_what_is_decided(service: ServiceProcess) -> None:
    assert service.decide(payment("d1", card="disputed"))[2]["outcome"] == "approve"
    event = {"chargeback_id": "cb1", "at": "2026-03-01T00:01:00Z", "card": "disputed"}
    status, _, told = service.ask("POST", "/v1/served/events/chargebacks", event)
    assert status == 200
    assert told["accepted"].startswith("served/0/")
    assert service.ask("POST", "/v1/served/events/chargebacks", event)[2] == told
    assert service.decide(payment("d2", 2, card="disputed"))[2]["outcome"] == "block"
    assert service.ask("POST", "/v1/served/events/refunds", event)[0] == 404


def test_a_decision_is_explained_and_proved(service: ServiceProcess) -> None:
    made = service.decide(payment("shown", card="shown"))[2]
    name = made["decision_id"]
    status, _, told = service.ask("GET", f"/v1/decisions/{name}")
    assert (status, told["outcome"], told["features"]["count"]) == (200, "approve", 1)
    assert told["event"]["card"] != "shown"
    assert service.ask("GET", "/v1/decisions/pshown")[2] == told
    proof = service.ask("GET", f"/v1/decisions/{name}/proof")[2]
    assert verify_proof.verify(proof)["seq"] == int(name.split("/")[-1])
    assert service.ask("GET", "/v1/decisions/served/0/999999")[0] == 404


def test_a_decision_is_found_as_soon_as_it_is_answered(tmp_path: Path) -> None:
    """Also where the journal is signed only after the answer."""
    with (
        ServiceProcess(tmp_path / "home", "--durability", "os") as running,
        Client(running.url, "served", timeout=120) as client,
    ):
        for n in range(50):
            decided = client.decide(payment(f"found{n}", n))
            assert decided.durability == "os"
            assert client.decision(decided.decision_id or "")["outcome"] == decided.outcome


def test_paths_and_methods_that_are_not_there(service: ServiceProcess) -> None:
    assert service.ask("GET", "/v1/other/decisions")[0] == 404
    status, headers, _ = service.ask("GET", "/v1/served/decisions")
    assert (status, headers["allow"]) == (405, "POST")
    assert service.ask("DELETE", "/v1/decisions/served/0/1")[0] == 404
    assert service.ask("GET", "/healthz")[2] == {"status": "running"}
    assert service.ask("GET", "/readyz")[2] == {"status": "ready"}


def test_the_client_speaks_of_all_this_in_types(service: ServiceProcess) -> None:
    with Client(service.url, "served", timeout=120) as client:
        first = client.decide(payment("typed", card="typed"))
        assert (first.outcome, first.rule) == ("approve", None)
        answers = client.decide_all([payment("typed", card="typed"), {"payment_id": "x"}])
        assert answers[0] == first
        assert not isinstance(answers[1], Decided)
        assert [wrong.field for wrong in answers[1].errors] == ["at", "card", "amount", "country"]
        with pytest.raises(Refused, match=r"409 Conflict: .*other content"):
            client.decide(payment("typed", card="other"))
        name = first.decision_id or ""
        assert client.decision(name)["outcome"] == "approve"
        assert verify_proof.verify(client.proof(name))


def test_many_clients_at_once_each_get_their_own_answer(tmp_path: Path) -> None:
    """Nothing is lost, doubled or mixed up, and a restart changes no answer."""
    home = tmp_path / "home"
    cards = [f"card{n}" for n in range(12)]
    with ServiceProcess(home) as running:

        def one(card: str) -> list[Decided]:
            with Client(running.url, "served", timeout=120) as client:
                return [client.decide(payment(f"{card}-{n}", n, card)) for n in range(40)]

        with ThreadPoolExecutor(len(cards)) as pool:
            first = list(pool.map(one, cards))
        assert running.stop() == 0
        assert "480 decisions" in running.said()
    for decisions in first:
        assert [item.outcome for item in decisions] == ["approve"] * 3 + ["review"] * 37
    names = [item.decision_id for decisions in first for item in decisions]
    assert len(set(names)) == 480
    assert verified(home) == 480
    with ServiceProcess(home) as running, Client(running.url, "served", timeout=120) as client:
        again = [client.decide(payment(f"{card}-{n}", n, card)) for card in cards for n in (0, 39)]
        assert again == [decisions[n] for decisions in first for n in (0, 39)]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="a system with /proc")
@pytest.mark.parametrize("options", [("--awake-ms", "0"), ("--durability", "os"), ()])
def test_a_service_that_is_not_asked_sleeps(tmp_path: Path, options: tuple[str, ...]) -> None:
    """It waits awake for the next of rare requests, but not for long, and decides as ever."""
    with ServiceProcess(tmp_path / "home", *options) as running:
        for n in range(5):
            assert running.decide(payment(f"rare{n}", n, card="rare"))[0] == 200
            time.sleep(0.01)
        processes = [running.process.pid, *children(running.process.pid)]
        assert len(processes) >= 2
        before = sum(map(processor_seconds, processes))
        time.sleep(2)
        assert sum(map(processor_seconds, processes)) - before < 0.5


def children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def processor_seconds(process: int) -> float:
    user, system = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_what_was_answered_survives_a_kill(tmp_path: Path, durability: str) -> None:
    """Every answer that went out is in the journal, however the process ends."""
    home = tmp_path / "home"
    answered: dict[str, Decided] = {}
    for round_ in range(4):
        running = ServiceProcess(home, "--durability", durability)
        running.wait()
        stop = threading.Event()

        def asking(
            worker: int,
            url: str = running.url,
            stop: threading.Event = stop,
            round_: int = round_,
        ) -> None:
            with Client(url, "served", timeout=120) as client:
                for n in range(100_000):
                    if stop.is_set():
                        return
                    event = payment(f"{round_}-{worker}-{n}", card=f"{worker}")
                    try:
                        answered[event["payment_id"]] = client.decide(event)
                    except Exception:  # noqa: BLE001 - the process is gone
                        return

        workers = [threading.Thread(target=asking, args=(worker,)) for worker in range(8)]
        for worker in workers:
            worker.start()
        seen = len(answered)
        while len(answered) < seen + 150 + 37 * round_:
            stop.wait(0.01)
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL
        stop.set()
        for worker in workers:
            worker.join()
    with ServiceProcess(home) as running, Client(running.url, "served", timeout=120) as client:
        for name, decided in list(answered.items())[::7]:
            assert client.decision(name)["id"] == decided.decision_id
    found = tables(home / "journal" / "served" / "0")["decisions"].to_pylist()
    held = {item["payment_id"]: item["decision_id"] for item in found}
    assert {name: item.decision_id for name, item in answered.items()}.items() <= held.items()
    assert len(held) == len(found)
    assert verified(home) >= len(answered)


def test_keys_open_what_their_roles_say(tmp_path: Path) -> None:
    home = tmp_path / "home"
    keys = ApiKeys(home / "keys" / "api-keys.json")
    gateway, auditor = keys.add("gateway", [Role.DECIDE]), keys.add("auditor", [Role.READ])
    assert gateway not in keys_file(home)
    assert hashlib.sha256(gateway.encode()).hexdigest() in keys_file(home)
    with ServiceProcess(home) as running:
        event = payment(1)
        status, headers, _ = running.decide(event)
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert running.decide(event, authorization="Bearer hr_wrong")[0] == 401
        assert running.decide(event, authorization=f"Bearer {auditor}")[0] == 403
        status, _, told = running.decide(event, authorization=f"Bearer {gateway}")
        assert status == 200
        path = f"/v1/decisions/{told['decision_id']}"
        assert running.ask("GET", path)[0] == 401
        assert running.ask("GET", path, authorization=f"Bearer {gateway}")[0] == 403
        assert running.ask("GET", path, authorization=f"Bearer {auditor}")[0] == 200
        chargebacks = "/v1/served/events/chargebacks"
        assert running.ask("POST", chargebacks, {}, authorization=f"Bearer {gateway}")[0] == 403
        assert running.ask("GET", "/healthz")[0] == 200
        for name in ("gateway", "auditor"):
            keys.remove(name)
        time.sleep(1.1)
        for given in ({}, {"authorization": f"Bearer {gateway}"}):
            assert [running.decide(event, **given)[0] for _ in range(2)] == [401, 401]


def keys_file(home: Path) -> str:
    return (home / "keys" / "api-keys.json").read_text()


def test_without_keys_it_serves_this_machine_alone(tmp_path: Path) -> None:
    running = ServiceProcess(tmp_path / "home", "--host", "0.0.0.0")  # noqa: S104 - to be refused
    assert running.process.wait(timeout=180) == 1
    assert "headrace access add" in running.said()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--awake-ms", "-1"), "--awake-ms -1.0: expected 0 to 1,000"),
        (("--awake-ms", "nan"), "--awake-ms nan: expected 0 to 1,000"),
        (("--port", "99999"), "--port 99,999: expected 1 to 65,535"),
        (("--port", "0"), "--port 0: expected 1 to 65,535"),
        (("--most-waiting", "0"), "--most-waiting 0: expected 1 to"),
        (("--most-body-bytes", "-5"), "--most-body-bytes -5: expected 1 to"),
        (("--deadline-ms", "0"), "--deadline-ms 0: expected 1 to 600,000"),
        (("--certificate", "CASE"), "name --certificate and --certificate-key"),
        (("--certificate", "none.pem", "--certificate-key", "CASE"), "no file none.pem; check"),
        (("--certificate", "CASE", "--certificate-key", "CASE"), "are no certificate and its key"),
    ],
)
def test_an_option_that_cannot_be_is_named(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    given = [str(CASE) if option == "CASE" else option for option in options]
    done = headrace(["serve", str(CASE), *given, "--home", "home"], tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("nowhere.invalid", "--host nowhere.invalid: no interface has this name"),
        (
            "203.0.113.7",
            "203.0.113.7:{port} cannot be listened at (Cannot assign requested address",
        ),
    ],
)
def test_a_host_that_is_not_here_is_named(tmp_path: Path, host: str, said: str) -> None:
    home = tmp_path / "home"
    ApiKeys(home / "keys" / "api-keys.json").add("gateway", [Role.DECIDE])
    running = ServiceProcess(home, "--host", host)
    assert running.process.wait(timeout=180) == 1
    assert said.format(port=running.port) in running.said()
    assert "Traceback" not in running.said()
    assert "backtrace" not in running.said()


def test_it_listens_at_an_interface_by_its_name(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path / "home", "--host", "localhost") as running:
        assert running.decide(payment("named"))[0] == 200


def test_a_fallback_answers_in_time_and_is_recorded(tmp_path: Path) -> None:
    """What is decided and journaled does not change; only the answer is another."""
    home = tmp_path / "home"
    with ServiceProcess(home, "--deadline-ms", "1", "--fallback", "review") as running:
        events: list[dict[str, Any]] = []
        answers: list[Decided] = []
        with Client(running.url, "served", timeout=120) as client:
            # a fast machine is late now and then alone
            while len(events) < 40 or not any(answer.fallback for answer in answers):
                assert len(events) < 4_000, "nothing takes longer than a millisecond here"
                events.append(payment(len(events), card=f"{len(events)}"))
                answers.append(client.decide(events[-1]))
        fell_back = [n for n, answer in enumerate(answers) if answer.fallback]
        assert {answers[n].outcome for n in fell_back} == {"review"}
        assert {answers[n].decision_id for n in fell_back} == {None}
        with Client(running.url, "served", timeout=120, deadline_ms=60_000) as patient:
            decided = [patient.decide(events[n]) for n in fell_back]
        assert {answer.outcome for answer in decided} == {"approve"}
        assert running.decide(payment("x"), headrace_deadline_ms="soon")[0] == 400
    controls = tables(home / "journal" / "served" / "0")["controls"].to_pylist()
    records = [json.loads(item["record"]) for item in controls]
    assert {item["control"] for item in records} == {"fallback"}
    assert [f"served/0/{item['first']}" for item in records] == [
        answer.decision_id for answer in decided
    ]
    assert verified(home) == len(events) + len(fell_back) + len(records)
    with ServiceProcess(home, "--deadline-ms", "1") as running:
        statuses: set[int] = set()
        for n in range(4_000):
            statuses.add(running.decide(payment(f"late{n}", card=f"{n}"))[0])
            if 504 in statuses:
                break
        assert 504 in statuses
        assert statuses <= {200, 504}


def test_a_fallback_is_recorded_though_the_service_ends(tmp_path: Path) -> None:
    """Its decision is still being made when it is answered, and the service asked to end."""
    home = tmp_path / "home"
    events = [payment(n, card=f"{n}") for n in range(15_000)]
    with ServiceProcess(home, "--deadline-ms", "1", "--fallback", "review") as running:
        asking = http.client.HTTPConnection("127.0.0.1", running.port, timeout=120)
        asking.request("POST", "/v1/served/decisions", json.dumps(events))
        answer = asking.getresponse()
        running.process.send_signal(signal.SIGTERM)
        with contextlib.closing(asking), answer:
            told = json.loads(answer.read())
        assert {item["fallback"] for item in told} == {True}
        assert running.process.wait(timeout=180) == 0
    (control,) = tables(home / "journal" / "served" / "0")["controls"].to_pylist()
    record = json.loads(control["record"])
    assert (record["first"], record["events"], record["outcome"]) == (0, len(events), "review")
    assert verified(home) == len(events) + 1


def test_it_can_be_asked_to_end_before_it_listens(tmp_path: Path) -> None:
    running = ServiceProcess(tmp_path / "home")
    lane = Path(f"/proc/{running.process.pid}")
    while not (lane / "task" / lane.name / "children").read_text():
        assert running.process.poll() is None, running.said()
        time.sleep(0.01)
    time.sleep(0.1)  # the front takes far longer to load what it serves with
    assert running.stop() == 0, running.said()
    assert "stopped after 0 decisions" in running.said()
