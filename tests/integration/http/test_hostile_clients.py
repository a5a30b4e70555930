"""Clients that are slow, many, or send nonsense: the others are answered all the same."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from service_process import ServiceProcess, payment  # type: ignore[import-not-found]  # on the path above

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = b"POST /v1/served/decisions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path_factory.mktemp("hostile") / "home") as running:
        yield running


def answered(service: ServiceProcess, name: str, count: int = 20) -> None:
    for n in range(count):
        assert service.decide(payment(f"{name}{n}", card=f"{name}{n}"))[0] == 200


@contextlib.contextmanager
def connections(service: ServiceProcess, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as held:
        yield [
            held.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            for _ in range(count)
        ]


def test_idle_connections_hold_nobody_up(service: ServiceProcess) -> None:
    with connections(service, 800):
        answered(service, "idle")


def test_headers_that_drip_hold_nobody_up(service: ServiceProcess) -> None:
    with connections(service, 200) as slow:
        for n in range(20):
            for one in slow:
                one.send(HEAD[n : n + 1])
            answered(service, f"drip{n}-", 1)


def test_bodies_that_drip_hold_nobody_up(service: ServiceProcess) -> None:
    with connections(service, 200) as slow:
        for one in slow:
            one.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
        for n in range(20):
            for one in slow:
                one.send(b" ")
            answered(service, f"body{n}-", 1)


def test_a_length_of_a_gigabyte_is_refused_at_once(service: ServiceProcess) -> None:
    with connections(service, 1) as (one,):
        one.settimeout(120)
        one.sendall(HEAD + b"Content-Length: 1073741824\r\n\r\n{")
        assert b" 413 " in one.recv(4096)  # the rest never comes
    answered(service, "gigabyte")


@pytest.mark.parametrize(
    "said",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        HEAD.replace(b"Host", b"X" * 500_000),
    ],
)
def test_what_is_no_http_is_dropped(service: ServiceProcess, said: bytes) -> None:
    with connections(service, 1) as (one,):
        one.settimeout(20)
        with contextlib.suppress(OSError):
            one.sendall(said)
            one.shutdown(socket.SHUT_WR)
            while one.recv(65_536):
                pass
    answered(service, f"after{hash(said)}", 2)


def test_clients_that_leave_before_the_answer_change_nothing(service: ServiceProcess) -> None:
    body = json.dumps(payment("left", card="left")).encode()
    for n in range(50):
        with connections(service, 1) as (one,):
            one.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            if n % 2:
                time.sleep(0.002)
    answered(service, "left-", 5)
    assert service.decide(body)[0] == 200


def test_a_body_that_never_ends_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path / "home") as running:
        answered(running, "first", 1)
        with connections(running, 2) as (known, in_pieces):
            known.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
            in_pieces.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
            answered(running, "second", 1)
            running.process.send_signal(signal.SIGTERM)
            for one in (known, in_pieces):
                one.settimeout(120)
                assert b" 408 " in one.recv(4096)
            assert running.process.wait(timeout=120) == 0


def ask_and_take_nothing(service: ServiceProcess, deaf: socket.socket) -> None:
    """Ask for more than sockets hold: the rest of the answer stays with the service."""
    body = json.dumps([payment(n, card=f"{n}") for n in range(15_000)]).encode()
    deaf.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    answered(service, "other", 1)


@pytest.mark.slow
def test_an_answer_that_nobody_takes_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path / "home") as running, connections(running, 1) as (deaf,):
        ask_and_take_nothing(running, deaf)
        assert running.stop() == 0
        assert "cut off" in running.said()
        assert "stopped after 15,001 decisions" in running.said()


@pytest.mark.slow
def test_an_answer_that_nobody_takes_does_not_keep_a_front_without_its_lane(tmp_path: Path) -> None:
    with ServiceProcess(tmp_path / "home") as running, connections(running, 1) as (deaf,):
        ask_and_take_nothing(running, deaf)
        lane = Path(f"/proc/{running.process.pid}")
        (front,) = (lane / "task" / lane.name / "children").read_text().split()
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL
        end = time.monotonic() + 60
        while runs(front):
            assert time.monotonic() < end, "it waits for ever"
            time.sleep(0.1)


def runs(process: str) -> bool:
    """Whether a process has not ended, nor waits for somebody to hear of its end."""
    try:
        said = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return said.rpartition(")")[2].split()[0] != "Z"
