"""The front's end of the socket to the lane."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.runtime.http.problems import Problem
from headrace.runtime.http.request_times import RequestTimes
from headrace.runtime.http.wire import (
    Answered,
    Asked,
    FellBack,
    Frames,
    FromLane,
    Measure,
    Measured,
    Stopped,
    frame,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from headrace.runtime.http.bodies import Events
    from headrace.runtime.http.wire import FromFront

_DECODER = msgspec.msgpack.Decoder(list[FromLane])
#: The longest that the loop waits awake for one answer.
_AWAKE_SECONDS = 0.005
#: Between two looks at what is still under way at the end.
_MOMENT_SECONDS = 0.002
_GONE = Problem(503, "nothing is decided any more: the lane has ended; start the service again")


@dataclass(slots=True)
class FrontCounts:
    """What the front counts itself.

    Attributes:
        waiting_limit: Events that may wait; beyond it requests get 429.
        rejected: Requests that were answered by a problem, by HTTP status.
        fallbacks: Events that were answered by the fallback outcome.
        times: How long requests took.
    """

    waiting_limit: int
    rejected: dict[int, int] = field(default_factory=dict)
    fallbacks: int = 0
    times: RequestTimes = field(default_factory=RequestTimes)


class LaneLink:
    """Asks the lane, and hears its answers. Used in the event loop's thread alone.

    Args:
        channel: The socket, once the lane has said what it decides.
        ended: Called when the lane has gone.
        awake: Whether the loop waits awake for the answer to a request that is alone.

    Attributes:
        waiting: Events that were asked for and have no answer yet.
        failed: Why nothing is decided any more; None while all is well.
    """

    def __init__(
        self, channel: socket.socket, ended: Callable[[], None], *, awake: bool = False
    ) -> None:
        self._ended = ended
        self._may_wake = awake
        #: Until when the loop stays awake; 0: it does not.
        self._awake_until = 0.0
        self.waiting = 0
        self.failed: Problem | None = None
        self._channel = channel
        self._gone = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._frames = Frames()
        self._asked: dict[
            int, tuple[asyncio.Future[Answered | Problem | None], int, int | None]
        ] = {}
        self._measured: dict[int, asyncio.Future[Measured | Problem]] = {}
        self._number = 0
        self._unsent: list[FromFront] = []
        self._unwritten = b""
        #: Whether what is unwritten waits for the lane to read.
        self._blocked = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear what the lane says from now on."""
        self._loop = loop
        self._channel.setblocking(False)
        loop.add_reader(self._channel, self._hear)

    async def ask(
        self,
        rank: int,
        events: Events,
        arrived_ns: int,
        deadline_ms: int | None,
        trace: bytes = b"",
    ) -> Answered | Problem | None:
        """What becomes of events; None when the deadline comes before it is known.

        A decision that comes after its deadline is noted as one that something stood in for.
        """
        loop = asyncio.get_running_loop()
        if self.failed is not None:
            return self.failed
        number = self._number = self._number + 1
        answered: asyncio.Future[Answered | Problem | None] = loop.create_future()
        self._asked[number] = (answered, events.count, deadline_ms)
        if self._may_wake and not self._awake_until and len(self._asked) == 1:
            self._awake_until = loop.time() + _AWAKE_SECONDS
            loop.call_soon(self._stay_awake, loop)
        self.waiting += events.count
        self._say(Asked(number, rank, events.count, arrived_ns, events.lines, trace))
        if deadline_ms is None:
            return await answered
        timer = loop.call_later(deadline_ms / 1e3, _set, answered, None)
        try:
            return await answered
        finally:
            timer.cancel()

    async def finish(self) -> None:
        """Wait until the lane has decided all that was asked, and was told what stood in for it."""
        while self._asked or self._unsent or self._unwritten:  # noqa: ASYNC110 - each answer would pay
            await asyncio.sleep(_MOMENT_SECONDS)

    def _stay_awake(self, loop: asyncio.AbstractEventLoop) -> None:
        """Go round the loop again at once, as long as one request alone waits."""
        if len(self._asked) == 1 and loop.time() < self._awake_until:
            loop.call_soon(self._stay_awake, loop)
        else:
            self._awake_until = 0.0

    async def measure(self, accept: str, counts: FrontCounts) -> Measured | Problem:
        """The page of metrics; a problem when the lane has ended."""
        if self._gone:
            return _GONE
        number = self._number = self._number + 1
        measured: asyncio.Future[Measured | Problem] = asyncio.get_running_loop().create_future()
        self._measured[number] = measured
        self._say(
            Measure(
                number,
                accept,
                self.waiting,
                counts.waiting_limit,
                dict(counts.rejected),
                counts.fallbacks,
                counts.times.told(),
            )
        )
        return await measured

    def _say(self, message: FromFront) -> None:
        """Send a message with all others of this turn of the loop."""
        if not self._unsent and self._loop is not None:
            self._loop.call_soon(self._send)
        self._unsent.append(message)

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        if unsent:
            self._unwritten += frame(unsent)
        self._write()

    def _write(self) -> None:
        assert self._loop is not None
        try:
            sent = self._channel.send(self._unwritten) if self._unwritten else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # it has gone, which reading notices
        self._unwritten = self._unwritten[sent:]
        blocked = bool(self._unwritten)
        if blocked and not self._blocked:
            self._loop.add_writer(self._channel, self._write)
        elif self._blocked and not blocked:
            self._loop.remove_writer(self._channel)
        self._blocked = blocked

    def _hear(self) -> None:
        try:
            contents = self._frames.received(self._channel)
        except BlockingIOError:
            return
        except OSError:
            contents = None
        if contents is None:
            self._end_all()
            return
        for content in contents:
            for message in _DECODER.decode(content):
                if isinstance(message, Answered):
                    self._settle(message)
                elif isinstance(message, Measured):
                    _set(self._measured.pop(message.number), message)
                elif isinstance(message, Stopped):
                    self._end(message.problem)

    def _end_all(self) -> None:
        """The lane has gone."""
        assert self._loop is not None
        self._loop.remove_reader(self._channel)
        self._gone = True
        self._unsent, self._unwritten = [], b""
        self._end(_GONE if self.failed is None else self.failed)
        for measured in self._measured.values():
            _set(measured, _GONE)
        self._ended()

    def _settle(self, message: Answered) -> None:
        answered, count, deadline_ms = self._asked.pop(message.number)
        self.waiting -= count
        if not answered.done():
            answered.set_result(message)
        elif not answered.cancelled() and deadline_ms is not None:
            self._say(FellBack(message.first_seq, count, deadline_ms))

    def _end(self, problem: Problem) -> None:
        """Nothing more will be answered."""
        self.failed = problem
        asked, self._asked = self._asked, {}
        self.waiting = 0
        for answered, _, _ in asked.values():
            _set(answered, problem)


def _set(future: asyncio.Future[Any], result: object) -> None:
    """Give a result to whoever waits; nobody does where the client has gone, or waits no more."""
    if not future.done():
        future.set_result(result)
