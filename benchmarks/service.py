"""The real commands in processes of their own: `headrace serve`, and `headrace run` in a pipe."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.ports import free_port
from benchmarks.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
HEADRACE = [sys.executable, "-c", "from headrace.cli import main; main()"]
_STARTED_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Service:
    """A server that listens.

    Attributes:
        port: Of this machine.
        processes: It and what it started.
    """

    port: int
    processes: Processes

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class Piped:
    """A run that reads events from a pipe, and writes a line for each into another.

    Attributes:
        write: Descriptor for events.
        read: Descriptor of answers.
        processes: The run.
    """

    write: int
    read: int
    processes: Processes


@contextmanager
def running(command: list[str], port: int, environment: dict[str, str]) -> Iterator[Service]:
    """A server in a process of its own, once it is ready; ended in good order after."""
    with subprocess.Popen(
        command, env={**os.environ, **environment}, cwd=ROOT, stderr=subprocess.DEVNULL
    ) as server:
        try:
            end = time.monotonic() + _STARTED_SECONDS
            while not _ready(port):
                if time.monotonic() > end or server.poll() is not None:
                    raise RuntimeError(f"{' '.join(command)} did not start")
                time.sleep(0.1)
            yield Service(port, Processes(server.pid))
        finally:
            server.send_signal(signal.SIGTERM)


def _ready(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def served(case: str, home: Path, environment: dict[str, str], *options: str) -> Iterator[Service]:
    """`headrace serve` over an empty home.

    Args:
        case: The use case, as the command names it.
        home: Made empty first.
        environment: What the case reads, beside ours.
        options: Further ones.
    """
    shutil.rmtree(home, ignore_errors=True)
    port = free_port()
    command = [*HEADRACE, "serve", case, "--port", str(port), "--home", str(home), *options]
    with running(command, port, environment) as service:
        yield service


@contextmanager
def piped(case: str, home: Path, environment: dict[str, str], *options: str) -> Iterator[Piped]:
    """`headrace run --source - --sink -` over an empty home; its input ends with the block."""
    shutil.rmtree(home, ignore_errors=True)
    command = [*HEADRACE, "run", case, "--source", "-", "--sink", "-", "--home", str(home)]
    with subprocess.Popen(
        [*command, *options],
        env={**os.environ, **environment},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        try:
            yield Piped(run.stdin.fileno(), run.stdout.fileno(), Processes(run.pid))
        finally:
            run.terminate()
            run.stdin.close()
            os.set_blocking(run.stdout.fileno(), True)
            run.stdout.read()
