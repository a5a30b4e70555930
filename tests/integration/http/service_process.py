"""The real command in a process of its own, and how to ask it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from benchmarks.ports import free_port
from tests.warm import WarmProcess, started

COMMAND = [sys.executable, "-c", "from headrace.cli import main; main()"]
CASE = Path(__file__).with_name("served_case.py")
STARTED_SECONDS = 180


class ServiceProcess:
    """`headrace serve` over a home; stopped in good order at the end of the block.

    Args:
        home: Where it journals; what it prints goes into a file beside.
        options: Of the command.
        scheme: How it is asked.
        case: The use case, as the command takes it.
        cold: Whether its interpreter is a new one, which reads what it is told by Python's own
            variables; else it is forked from one that has loaded everything.
    """

    def __init__(
        self,
        home: Path,
        *options: str,
        scheme: str = "http",
        case: str | Path = CASE,
        cold: bool = False,
    ) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._log = home.with_suffix(".log")
        command = ["serve", str(case), "--port", str(self.port), "--home", str(home), *options]
        self.process: WarmProcess | subprocess.Popen[bytes]
        if cold:
            with self._log.open("ab") as log:
                self.process = subprocess.Popen([*COMMAND, *command], stdout=log, stderr=log)
        else:
            self.process = started(command, Path.cwd(), output=(self._log, self._log))

    def wait(self) -> None:
        """Until it listens."""
        end = time.monotonic() + STARTED_SECONDS
        while time.monotonic() < end:
            assert self.process.poll() is None, self.said()
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=10):
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(self.said())

    def said(self) -> str:
        """All that it printed."""
        return self._log.read_text()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | dict[str, Any] | list[Any] | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of an answer."""
        if isinstance(body, dict | list):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body, method=method)  # noqa: S310 - it is http
        for name, value in ({"content-type": "application/json"} | named).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - it is http
                return answer.status, dict(answer.headers), json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers), json.loads(error.read())

    def decide(self, body: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
        """Ask for decisions."""
        return self.ask("POST", "/v1/served/decisions", body, **headers)

    def page(self, path: str, **headers: str) -> tuple[str, str]:
        """Content type and text of a page."""
        request = urllib.request.Request(self.url + path, headers=headers)  # noqa: S310 - it is http
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - it is http
            return str(answer.headers["content-type"]), answer.read().decode()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=180)

    def __enter__(self) -> Self:
        self.wait()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self.process.poll() is None:
            status = self.stop()
            assert kind is not None or status == 0, self.said()


def payment(
    number: int | str, minute: float = 0, card: str = "c1", **fields: Any
) -> dict[str, Any]:
    """A payment of the small use case."""
    hour, minutes = divmod(minute, 60)
    seconds = minutes % 1 * 60
    at = f"2026-03-01T{int(hour):02d}:{int(minutes):02d}:{seconds:06.3f}Z"
    given = {"payment_id": f"p{number}", "at": at, "card": card, "amount": "12.50", "country": "DE"}
    return given | fields
