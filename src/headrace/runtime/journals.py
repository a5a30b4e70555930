"""The journals of a home, and looking decisions up in them."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.core.errors import NotFound
from headrace.journal.index import JournalIndex
from headrace.journal.index_files import IndexFolder
from headrace.journal.reader import find

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.journal.reader import Found
    from headrace.runtime.home import Home

_DECISION_ID = re.compile(r"(?P<case>[\w.-]+)/(?P<lane>\d{1,9})/(?P<seq>\d{1,18})")


def dedupe_key(home: Home) -> tuple[int, int]:
    """The secret key of the hashes of ids, made when it is first needed."""
    path = home.keys / "dedupe.key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(16))
    key = path.read_bytes()
    return int.from_bytes(key[:8], "little"), int.from_bytes(key[8:16], "little")


def index_folder(home: Home, use_case: str, lane: int = 0) -> IndexFolder:
    """Where the index of a lane's journal is kept."""
    return IndexFolder(home.index(use_case, lane), dedupe_key(home))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a decision is recorded.

    Attributes:
        folder: The journal.
        use_case: Whose.
        lane: Which of its lanes.
        seq: The number of its input.
        index: Of the journal; without one it is read up to there.
    """

    folder: Path
    use_case: str
    lane: int
    seq: int
    index: JournalIndex | None = None

    def found(self) -> Found:
        """The batch that it is in.

        Raises:
            NotFound: The journal does not reach there.
        """
        return find(self.folder, self.seq) if self.index is None else self.index.find(self.seq)


class Journals:
    """The journals of a home, each with its index; they may be asked from several threads.

    Args:
        home: Whose.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._indexes: dict[tuple[str, int], JournalIndex] = {}

    def index(self, use_case: str, lane: int) -> JournalIndex:
        """The index of a lane's journal."""
        key = (use_case, lane)
        if key not in self._indexes:
            folder = index_folder(self._home, use_case, lane)
            self._indexes[key] = JournalIndex(self._home.journal(use_case, lane), folder)
        return self._indexes[key]

    def decision(self, name: str) -> Place:
        """The place of a decision, by its own id or by the id of its event.

        Raises:
            NotFound: No journal of the home has it.
        """
        found = _DECISION_ID.fullmatch(name)
        if found:
            case, number = found["case"], int(found["lane"])
            if self._home.journal(case, number).is_dir():
                return self._place(case, number, int(found["seq"]))
        known = self._home.use_cases()
        for case in known:
            for number in self._home.lanes(case):
                seq = self.index(case, number).seq_of(name)
                if seq is not None:
                    return self._place(case, number, seq)
        raise NotFound(
            f"no decision {name!r}: expected an id such as card-fraud/0/123, or the id of an event"
            f" in one of the journals of {self._home.journals}"
            f" ({', '.join(known) or 'there is none'})"
        )

    def _place(self, case: str, lane: int, seq: int) -> Place:
        return Place(self._home.journal(case, lane), case, lane, seq, self.index(case, lane))
