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

#: On one machine a use case has one lane, number 0.
_DECISION_ID = re.compile(r"(?P<case>[\w.-]+)/0/(?P<seq>\d{1,18})")


def use_cases(journals: Path) -> list[str]:
    """The use cases that have a journal in a home."""
    return sorted(path.name for path in journals.glob("*") if path.is_dir())


def dedupe_key(home: Home) -> tuple[int, int]:
    """The secret key of the hashes of ids, made when it is first needed."""
    path = home.keys / "dedupe.key"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(16))
    key = path.read_bytes()
    return int.from_bytes(key[:8], "little"), int.from_bytes(key[8:16], "little")


def index_folder(home: Home, use_case: str) -> IndexFolder:
    """Where the index of a use case's journal is kept."""
    return IndexFolder(home.index(use_case), dedupe_key(home))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a decision is recorded.

    Attributes:
        folder: The journal.
        use_case: Whose.
        seq: The number of its input.
        index: Of the journal; without one it is read up to there.
    """

    folder: Path
    use_case: str
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

    Attributes:
        folder: Where they are.

    Args:
        home: Whose.
    """

    def __init__(self, home: Home) -> None:
        self.folder = home.folder / "journal"
        self._home = home
        self._indexes: dict[str, JournalIndex] = {}

    def index(self, use_case: str) -> JournalIndex:
        """The index of a use case's journal."""
        if use_case not in self._indexes:
            folder = index_folder(self._home, use_case)
            self._indexes[use_case] = JournalIndex(self.folder / use_case, folder)
        return self._indexes[use_case]

    def decision(self, name: str) -> Place:
        """The place of a decision, by its own id or by the id of its event.

        Raises:
            NotFound: No journal of the home has it.
        """
        found = _DECISION_ID.fullmatch(name)
        cases = use_cases(self.folder)
        if found and found["case"] in cases:
            return self._place(found["case"], int(found["seq"]))
        for case in cases:
            seq = self.index(case).seq_of(name)
            if seq is not None:
                return self._place(case, seq)
        raise NotFound(
            f"no decision {name!r}: expected an id such as card-fraud/0/123, or the id of an event"
            f" in one of the journals of {self.folder} ({', '.join(cases) or 'there is none'})"
        )

    def _place(self, case: str, seq: int) -> Place:
        return Place(self.folder / case, case, seq, self.index(case))
