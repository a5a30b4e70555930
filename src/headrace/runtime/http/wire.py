"""What the two processes of a service say to each other, over a socket between them.

The front speaks HTTP; the lane decides. Messages go in frames: a length of four bytes, and as many
bytes of MessagePack, a list of messages. Whoever has several sends them in one frame.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from headrace.runtime.http.problems import Problem  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

_LENGTH = struct.Struct("<I")
_READ = 1 << 20
#: Fewer bytes than that are less than a socket holds for whoever reads it.
_LITTLE = 1 << 16


class Hello(msgspec.Struct, tag="h", array_like=True):
    """The first message of the lane: what it decides.

    Attributes:
        use_case: Its name.
        streams: Names of streams and tables, by rank.
        on: Name of the decided stream.
        fallback: The answer to an event whose decision was not ready in time, if there is one.
        openapi: The service as an OpenAPI document.
    """

    use_case: str
    streams: tuple[str, ...]
    on: str
    fallback: bytes | None
    openapi: bytes


class Asked(msgspec.Struct, tag="a", array_like=True):
    """Events of one stream that came in with one request.

    Attributes:
        number: Of the request; its answer has the same.
        rank: Of the stream.
        count: How many events there are.
        arrived_ns: When the request was read, nanoseconds since 1970.
        lines: The events as JSON lines, each ended by a line feed and none of them blank.
        trace: Of the request's span, where it is traced and sampled.
    """

    number: int
    rank: int
    count: int
    arrived_ns: int
    lines: bytes
    trace: bytes = b""


class Answered(msgspec.Struct, tag="d", array_like=True):
    """What became of the events of a request.

    Attributes:
        number: Of the request.
        first_seq: Sequence number of its first event; they are one after the other.
        body: For each the JSON of its decision, its receipt or its problem, with commas between.
        problem: Of the only event, if it was asked for one alone.
    """

    number: int
    first_seq: int
    body: bytes
    problem: Problem | None = None


class FellBack(msgspec.Struct, tag="f", array_like=True):
    """A request was answered by the fallback outcome, since its deadline had come.

    Attributes:
        first_seq: Sequence number of its first event, which was decided since.
        count: How many events it had.
        deadline_ms: Milliseconds that it had.
    """

    first_seq: int
    count: int
    deadline_ms: int


class Measure(msgspec.Struct, tag="m", array_like=True):
    """The page of metrics is asked for; with what the front counts itself.

    Attributes:
        number: Of the request.
        accept: The forms that its reader accepts.
        waiting: Events that were asked for and have no answer yet.
        waiting_limit: Events that may wait; beyond it requests get 429.
        rejected: Requests that were answered by a problem, by HTTP status.
        fallbacks: Events that were answered by the fallback outcome.
        times: How long requests took; see `RequestTimes.told`.
    """

    number: int
    accept: str
    waiting: int
    waiting_limit: int
    rejected: dict[int, int]
    fallbacks: int
    times: list[tuple[str, str, list[int], int]]


class Measured(msgspec.Struct, tag="p", array_like=True):
    """The page of metrics, and its content type."""

    number: int
    content_type: str
    page: bytes


class Stopped(msgspec.Struct, tag="s", array_like=True):
    """Nothing is decided any more."""

    problem: Problem


#: What the front says, and what the lane says.
FromFront: TypeAlias = Asked | FellBack | Measure
FromLane: TypeAlias = Hello | Answered | Measured | Stopped

_ENCODER = msgspec.msgpack.Encoder()


def frame(messages: Sequence[msgspec.Struct]) -> bytes:
    """Messages as they go over the socket."""
    content = _ENCODER.encode(messages)
    return _LENGTH.pack(len(content)) + content


class Frames:
    """Puts frames together from the pieces in which they arrive.

    >>> frames = Frames()
    >>> whole = frame([FellBack(7, 1, 50)])
    >>> frames.taken(whole[:5]), frames.taken(whole[5:]) == [whole[4:]]
    ([], True)
    """

    def __init__(self) -> None:
        self._held = b""
        #: Whether the last read took all that there was, and nobody waits for room to say more.
        self.drained = False
        # kept: a megabyte from the system for each call costs more than all else of a small one
        self._buffer = memoryview(bytearray(_READ))

    def received(self, channel: socket.socket, flags: int = 0) -> list[bytes] | None:
        """The contents of all frames that one read completes; None when the other end has gone.

        Raises:
            OSError: Nothing could be read, or would be without waiting.
        """
        size = channel.recv_into(self._buffer, 0, flags)
        self.drained = size < _LITTLE
        return self.taken(bytes(self._buffer[:size])) if size else None

    def taken(self, piece: bytes) -> list[bytes]:
        """The contents of all frames that a piece completes."""
        data = self._held + piece if self._held else piece
        found = []
        at = 0
        while len(data) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, at)
            end = at + _LENGTH.size + length
            if end > len(data):
                break
            found.append(data[at + _LENGTH.size : end])
            at = end
        self._held = data[at:]
        return found
