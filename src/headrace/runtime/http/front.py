"""The front: a process of its own that speaks HTTP and leaves deciding to the lane.

Python runs one thread at a time in a process. Requests come in thousands a second, and the lane
would wait for its turn after each of its kernels; in two processes neither waits for the other. And
what hostile clients do to the front, they do not do to the lane.

    python -m headrace.runtime.http.front DESCRIPTOR

The descriptor is of a socket to the lane. The first frame on it is a `Setting`; the next comes
when the lane is open, and is its `Hello`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from functools import partial
from pathlib import Path

import msgspec

from headrace.adapters.granian_server import Address, serve
from headrace.core.errors import HeadraceError
from headrace.runtime.clock import SteadyClock
from headrace.runtime.definitions import Definitions
from headrace.runtime.home import Home
from headrace.runtime.http.access_log import AccessLog
from headrace.runtime.http.app import App, Limits
from headrace.runtime.http.link import LaneLink
from headrace.runtime.http.one_core import keep_together, patient
from headrace.runtime.http.records import Records
from headrace.runtime.http.wire import Frames, FromLane, Hello, frame
from headrace.runtime.journals import Journals
from headrace.runtime.local_lane import LOG, now_ns, signing_key
from headrace.runtime.logs import LogFormat, logged
from headrace.runtime.run import undisturbed
from headrace.runtime.traces import tracing
from headrace.security.api_keys import ApiKeys

#: How long a front whose lane has gone waits for clients to take what they were told.
_LEAVING_SECONDS = 10.0
_HELLO = msgspec.msgpack.Decoder(list[FromLane])


class Setting(msgspec.Struct):
    """What the front is told when it is started.

    Attributes:
        home: The folder of journal, models, vault and keys.
        host: Where to listen.
        port: Likewise.
        certificate: A PEM file, for TLS.
        certificate_key: Likewise.
        body_bytes: See `Limits`.
        waiting: Likewise.
        deadline_ms: Likewise.
        log: How the log is written.
        access_log: Whether every request is logged too.
        traces: Where traces go; see `traces_wanted`.
        awake: Whether it waits awake for the answer to a request that is alone.
    """

    home: str
    host: str
    port: int
    certificate: str | None = None
    certificate_key: str | None = None
    body_bytes: int = Limits().body_bytes
    waiting: int = Limits().waiting
    deadline_ms: int | None = None
    log: LogFormat = "text"
    access_log: bool = False
    traces: str | None = None
    awake: bool = False

    @property
    def address(self) -> Address:
        """Where to listen."""
        return Address(
            self.host,
            self.port,
            Path(self.certificate) if self.certificate else None,
            Path(self.certificate_key) if self.certificate_key else None,
        )


_SETTING = msgspec.msgpack.Decoder(list[Setting])


def settings_frame(setting: Setting) -> bytes:
    """The first frame that the front gets."""
    return frame([setting])


def _leave() -> None:
    """End, as without a lane there is nothing to answer: others may have the port soon."""
    os.kill(os.getpid(), signal.SIGTERM)
    late = threading.Timer(_LEAVING_SECONDS, os._exit, (1,))
    late.daemon = True
    late.start()


async def _beside(app: App) -> None:
    """What goes on beside the requests."""
    await asyncio.gather(app.watch(), keep_together(os.getppid()))


def main() -> None:
    """Serve until SIGTERM, or until the lane ends."""
    patient()
    channel = socket.socket(fileno=int(sys.argv[1]))
    frames = Frames()
    held: list[bytes] = []
    while len(held) < 2:
        contents = frames.received(channel)
        if contents is None:
            return  # the lane did not open
        held += contents
    (setting,) = _SETTING.decode(held[0])
    (hello,) = _HELLO.decode(held[1])
    assert isinstance(hello, Hello)
    home = Home(Path(setting.home))
    traces = tracing(setting.traces, hello.use_case, "front")
    app = App(
        hello,
        LaneLink(channel, _leave, awake=setting.awake),
        Records(Journals(home), Definitions(home.definitions), signing_key(home).public),
        ApiKeys(home.api_keys),
        Limits(setting.body_bytes, setting.waiting, setting.deadline_ms),
        SteadyClock(now_ns, LOG.warning),
        tracing=traces,
    )
    status = 0
    try:
        with logged(setting.log), undisturbed():
            serve(
                AccessLog(app) if setting.access_log else app,
                setting.address,
                app.stop,
                partial(_beside, app),
                app.finish,
            )
            app.tell_rest()
    except HeadraceError as error:
        sys.stderr.write(f"headrace: {error}\n")
        sys.stderr.flush()
        status = 1
    if traces is not None:
        traces.close()
    # the server's threads may still call into Python, and abort when they find it taken down
    os._exit(status)


if __name__ == "__main__":
    main()
