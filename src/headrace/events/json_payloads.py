"""Messages of JSON to typed columns: one message is one event, whatever stands in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.errors import invariant
from headrace.events.json_lines import JsonLines
from headrace.events.reasons import LONGEST_EVENT
from headrace.events.times import STRICT, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.events.parsed import Parsed
    from headrace.events.schema import Schema

#: What a message without content is read as: a line that is there, and is no object.
_NOTHING = b" "


class JsonPayloads:
    r"""Reads messages as events of one schema, a row for each.

    Args:
        schema: What each message should be.
        reading: What the source says of its times where they leave it open.
        longest: The most bytes of a message; a longer one is refused.

    >>> from headrace.core.columns import Kind
    >>> from headrace.events.schema import Field, Schema
    >>> payloads = JsonPayloads(Schema("Card", (Field("card", Kind.TEXT),)))
    >>> parsed = payloads.parse([b'{"card":\n"c1"}', b"", b'{"card": "c2"}'])
    >>> parsed.batch.text("card").strings(), parsed.rows.tolist(), parsed.rejections.rows.tolist()
    (['c1', 'c2'], [0, 2], [1])
    """

    def __init__(
        self, schema: Schema, reading: Reading = STRICT, *, longest: int = LONGEST_EVENT
    ) -> None:
        self.schema = schema
        self._lines = JsonLines(schema, reading, longest=longest)

    def parse(self, payloads: Sequence[bytes]) -> Parsed:
        """Read messages; row `i` is `payloads[i]`."""
        data = b"\n".join(payloads)
        if data.count(b"\n") == len(payloads) - 1:
            parsed = self._lines.parse(data)
            if parsed.received == len(payloads):
                return parsed
        parsed = self._lines.parse(b"\n".join([_as_line(payload) for payload in payloads]))
        invariant(parsed.received == len(payloads), "a message is one row")
        return parsed

    def readable(self, payloads: Sequence[bytes]) -> int:
        """All of them: nothing has to be looked up."""
        return len(payloads)


def _as_line(payload: bytes) -> bytes:
    """A message as one line that means the same.

    A carriage return is white space in JSON where a line feed is, and refused in a text as that is.
    """
    line = payload.replace(b"\n", b"\r")
    return line if line.strip(b"\r") else _NOTHING
