"""Messages that are larger than the cluster takes: cut into parts, put together again.

Parts lie one after the other, in one transaction. Headers tell which part of how many each is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.adapters.kafka.transactions import Outgoing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.adapters.kafka.cluster import Message


def in_parts(
    topic: str, partition: int, content: bytes, told: Mapping[str, object], part_bytes: int
) -> Outgoing:
    """The parts of a message.

    Args:
        topic: Where it goes.
        partition: Likewise.
        content: At least one byte.
        told: Headers that each part has.
        part_bytes: The most bytes of a part.

    >>> sent = in_parts("t", 0, b"abc", {"of": 7}, 2)
    >>> sent.values, dict(sent.headers[1])
    ([b'ab', b'c'], {'of': b'7', 'parts': b'2', 'part': b'1'})
    """
    parts = [content[at : at + part_bytes] for at in range(0, len(content), part_bytes)]
    headers = [
        [
            (name, str(value).encode())
            for name, value in {**told, "parts": len(parts), "part": part}.items()
        ]
        for part in range(len(parts))
    ]
    return Outgoing(topic, partition, parts, headers)


def headers_of(message: Message) -> dict[str, str]:
    """The headers of a message as text."""
    # the client gives pairs of bytes, whatever its types allow for
    headers: dict[str, str] = {}
    for name, value in dict(message.headers() or {}).items():
        headers[name] = value.decode() if isinstance(value, bytes) else value or ""
    return headers


class Gathering:
    """Puts the parts of one partition's messages together.

    A message without headers of parts is whole. Reading that begins in the middle of a message
    leaves the rest of it out.
    """

    def __init__(self) -> None:
        self._parts: list[Message] = []

    def take(self, message: Message) -> list[Message]:
        """The parts of the message that this one completes; none until then."""
        told = headers_of(message)
        part = told.get("part", "0")
        if part != str(len(self._parts)):
            self._parts = []
            if part != "0":
                return []
        self._parts.append(message)
        if len(self._parts) < int(told.get("parts", "1")):
            return []
        found, self._parts = self._parts, []
        return found
