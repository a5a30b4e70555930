"""What a request asks of the lane, and what it gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from headrace.runtime.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

#: What becomes of one event: the JSON of its decision (or of its receipt), or a problem.
Answer: TypeAlias = bytes | Problem


@dataclass(slots=True, eq=False)
class Ask:
    """Events of one stream that came in with one request.

    Attributes:
        rank: Of the stream.
        lines: The events as JSON lines, each ended by a line feed and none of them blank.
        count: How many there are.
        arrived_ns: When the request was read, nanoseconds since 1970.
        done: Called in the lane's thread with an answer for each event, in order, or with one
            problem for all of them.
        first_seq: Sequence number of the first of them, once they are decided; they are one after
            the other.
    """

    rank: int
    lines: bytes
    count: int
    arrived_ns: int
    done: Callable[[list[Answer] | Problem], None]
    first_seq: int = -1


@dataclass(frozen=True, slots=True)
class FellBack:
    """A request was answered by the fallback outcome, since its deadline had come.

    Attributes:
        ask: What it asked; decided since.
        outcome: What was answered.
        deadline_ms: Milliseconds that it had.
    """

    ask: Ask
    outcome: str
    deadline_ms: int
