"""The front as a process that the lane starts, and that ends when the lane is asked to end."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from headrace.core.errors import DataError
from headrace.runtime.http.front import settings_frame
from headrace.runtime.stopping import stopping

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.runtime.http.front import Setting

_LOG = logging.getLogger("headrace.service")

#: How long the front may take to answer what is under way when it is asked to end.
_ENDING_SECONDS = 30.0
#: The statuses of a front that was asked to end before it heard, or did not end.
_ENDED = (-signal.SIGTERM, -signal.SIGKILL)


@contextmanager
def front_process(setting: Setting) -> Iterator[socket.socket]:
    """A front in a process of its own, and the socket to it; SIGTERM and Ctrl-C end it.

    Raises:
        DataError: It ended on its own.
    """
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            command = [sys.executable, "-m", "headrace.runtime.http.front", str(theirs.fileno())]
            paths = os.pathsep.join(path for path in sys.path if path)
            # a session of its own: Ctrl-C is for the lane, which then tells the front
            front = subprocess.Popen(  # noqa: S603 - our own module
                command,
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": paths},
                start_new_session=True,
            )
        ending = _Ending(front)
        with stopping(ending):
            try:
                ours.sendall(settings_frame(setting))
                yield ours
                ours.shutdown(socket.SHUT_RDWR)
                status = front.wait(_ENDING_SECONDS)
            except BaseException:
                front.kill()
                front.wait()
                raise
        if status and not (ending.asked and status in _ENDED):
            raise DataError(f"the front ended with status {status}; what it said stands above")


class _Ending:
    """Asks a front to end, and ends it when it does not.

    Attributes:
        asked: Whether it has asked.
    """

    def __init__(self, front: subprocess.Popen[bytes]) -> None:
        self._front = front
        self.asked = False

    def __call__(self) -> None:
        self.asked = True
        self._front.terminate()
        try:
            self._front.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            _LOG.warning(
                f"a client has held on to its connection for {_ENDING_SECONDS:.0f} seconds, and is"
                " cut off; what was decided for it is in the journal"
            )
            self._front.kill()
