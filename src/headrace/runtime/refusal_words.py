"""One word on each kind of message that a topic has and that cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.core.columns import Int64s
    from headrace.events.parsed import Parsed

#: Kinds that are told of each topic, at most.
_MOST_KINDS = 20


class RefusalWords:
    """Says the first of each kind: what was wrong, in which field, under which schema.

    Values are not shown, since they may be personal data.

    Args:
        topic: Whose messages they are.
        framed: Whether they begin with the id of a schema.
        say: Takes a sentence.
    """

    def __init__(self, topic: str, say: Callable[[str], None], *, framed: bool) -> None:
        self._topic, self._say, self._framed = topic, say, framed
        self._told: set[tuple[int, str, int]] = set()

    def look(self, parsed: Parsed, values: Sequence[bytes], offsets: Int64s) -> None:
        """Look at what could not be read of some messages."""
        told = parsed.rejections
        for index, row in enumerate(told.rows.tolist()):
            number = _schema_id(values[row]) if self._framed else -1
            kind = int(told.reasons[index]), told.fields[index], number
            if kind in self._told or len(self._told) > _MOST_KINDS:
                continue
            self._told.add(kind)
            if len(self._told) > _MOST_KINDS:
                self._say(f"topic {self._topic}: more kinds of messages are quarantined; not told")
                continue
            found = told[index]
            field = f" in field {found.field}" if found.field else ""
            schema = f", written with schema id {number}" if number >= 0 else ""
            self._say(
                f"warning: topic {self._topic}, offset {int(offsets[row])}{schema}: quarantined,"
                f" {found.reason.text}{field}; expected {found.expected}. Others like it are"
                " quarantined without a word"
            )


def _schema_id(message: bytes) -> int:
    """The schema id that a message names; -1 for none."""
    return int.from_bytes(message[1:5], "big") if len(message) >= 5 and message[0] == 0 else -1
