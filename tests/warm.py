"""The command `headrace` in a process of its own that need not load what it runs.

Loading takes most of the time of a short command. So it is forked from an interpreter that has
loaded everything (see `fork_server`), one for each process that runs tests. What a test says of
starting and of loading it says of processes that it starts itself.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SERVER = Path(__file__).with_name("fork_server.py")
#: How long a command that is late may take to say where each of its threads stands.
_STACKS_SECONDS = 1.0
NO_MORE: Mapping[str, str] = MappingProxyType({})
NOTHING = Path(os.devnull)


class WarmProcess:
    """A command that runs beside the test: what `subprocess.Popen` is of one that it starts.

    Attributes:
        pid: Of the process.
        returncode: The exit status, once it is known; minus the signal where one ended it.
    """

    def __init__(self, pid: int, ended: Path, output: tuple[Path, Path]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended, self._output = ended, output

    def poll(self) -> int | None:
        """The exit status; None while it runs."""
        if self.returncode is None and self._ended.exists():
            self.returncode = int(self._ended.read_text())
            self._ended.unlink()
        return self.returncode

    def wait(self, timeout: float = 400.0) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: It did not end within so many seconds. It is killed, when it
                has said where each of its threads stands.
        """
        end = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                _end_telling(self.pid)
                said = "\n".join(path.read_text() for path in self._output)
                failed = subprocess.TimeoutExpired(f"process {self.pid}", timeout, said)
                failed.add_note(said)
                raise failed
            time.sleep(0.005)
        return status

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ends at this moment
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = 400.0) -> tuple[bytes, bytes]:
        """Wait for its end; all that it said on stdout and on stderr."""
        self.wait(timeout)
        said, errors = (path.read_bytes() for path in self._output)
        return said, errors


class WarmInterpreter:
    """An interpreter that has loaded Headrace; it runs one command after the other, or beside."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None

    def run(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        feed: bytes = b"",
        timeout: float = 400.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run `headrace` with arguments, to its end.

        Args:
            arguments: Behind `headrace`.
            folder: That it works in.
            environment: All of its variables. Those that say where kernels are, or for which
                processor, are the server's.
            feed: What is in its standard input.
            timeout: Seconds after which it is killed.

        Raises:
            subprocess.TimeoutExpired: It took longer.
        """
        with self._lock, ExitStack() as held:
            files = {
                name: held.enter_context(tempfile.NamedTemporaryFile())
                for name in ("stdin", "stdout", "stderr")
            }
            files["stdin"].write(feed)
            files["stdin"].flush()
            server = self._started()
            if server.stdin is None or server.stdout is None:
                raise RuntimeError("the fork server has no pipes")
            request = {
                "arguments": list(arguments),
                "folder": str(folder),
                "environment": dict(environment),
                **{name: file.name for name, file in files.items()},
            }
            server.stdin.write(json.dumps(request).encode() + b"\n")
            process = int(server.stdout.readline())
            late = not select.select([server.stdout], [], [], timeout)[0]
            if late:
                _end_telling(process)
            status = int(server.stdout.readline())
            said, errors = (_all_of(files[name]) for name in ("stdout", "stderr"))
            if late:
                failed = subprocess.TimeoutExpired(list(arguments), timeout, said, errors)
                failed.add_note(f"{said}\n{errors}")
                raise failed
            return subprocess.CompletedProcess(list(arguments), status, said, errors)

    def start(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        output: tuple[Path, Path] | None = None,
        feed: Path = NOTHING,
    ) -> WarmProcess:
        """Start `headrace` with arguments, and let it run.

        Args:
            arguments: Behind `headrace`.
            folder: That it works in.
            environment: As of `run`.
            output: Files that stdout and stderr are put at the end of; None for new ones.
            feed: What is in its standard input.
        """
        made = Path(tempfile.mkdtemp(prefix="headrace-"))
        atexit.register(shutil.rmtree, made, ignore_errors=True)
        output = output or (made / "stdout", made / "stderr")
        for path in output:
            path.touch()
        request = {
            "arguments": list(arguments),
            "folder": str(folder),
            "environment": dict(environment),
            "stdin": str(feed),
            "stdout": str(output[0]),
            "stderr": str(output[1]),
            "ended": str(made / "ended"),
        }
        with self._lock:
            server = self._started()
            if server.stdin is None or server.stdout is None:
                raise RuntimeError("the fork server has no pipes")
            server.stdin.write(json.dumps(request).encode() + b"\n")
            return WarmProcess(int(server.stdout.readline()), made / "ended", output)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, str(SERVER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
            )
            atexit.register(self._end)
        return self._server

    def _end(self) -> None:
        if self._server is not None:
            self._server.communicate()


def _end_telling(process: int) -> None:
    """Kill a process that is late, when it has said where it stands."""
    with suppress(ProcessLookupError):  # it ends at this moment
        os.kill(process, signal.SIGUSR1)
        time.sleep(_STACKS_SECONDS)
        os.kill(process, signal.SIGKILL)


def _all_of(file: IO[bytes]) -> str:
    """What another process wrote to a file."""
    return Path(file.name).read_text(encoding="utf-8")


#: That of this process.
WARM = WarmInterpreter()


def headrace(
    arguments: Sequence[str],
    folder: Path,
    variables: Mapping[str, str] = NO_MORE,
    feed: bytes = b"",
    timeout: float = 400.0,
) -> subprocess.CompletedProcess[str]:
    """Run the command with the variables of this process and some more."""
    return WARM.run(arguments, folder, {**os.environ, **variables}, feed, timeout)


def started(
    arguments: Sequence[str],
    folder: Path,
    variables: Mapping[str, str] = NO_MORE,
    output: tuple[Path, Path] | None = None,
    feed: Path = NOTHING,
) -> WarmProcess:
    """Start the command with the variables of this process and some more; it goes on beside."""
    return WARM.start(arguments, folder, {**os.environ, **variables}, output, feed)
