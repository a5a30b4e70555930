"""What decisions are explained, proved and rebuilt from: journals, definitions and models.

It lies in a home. `headrace collect --to` puts a copy of it into a store of files, laid out as a
home is; the commands that read it take it from there (`--journal`), by way of a copy in the home.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from headrace.adapters.file_store import file_store
from headrace.core.errors import NotFound
from headrace.runtime.home import Home
from headrace.runtime.stored_journal import StoredJournal, stored_journals

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headrace.adapters.file_store import FileStore

#: Folders of files that never change, and are named by what they hold.
_NAMED_BY_CONTENT = ("definitions", "models")
#: The folder of a home for copies, each under the digest of its place.
_FETCHED = "fetched"


def keep_evidence(
    home: Home,
    store: FileStore,
    use_case: str,
    progress: Callable[[int], None] = lambda _done: None,
) -> int:
    """Put what a home has of a use case's evidence, and the store has not; returns the bytes put.

    Args:
        home: Whose.
        store: Where to.
        use_case: Which journal; definitions and models go along, all of them.
        progress: Called with the bytes put of one lane, or of the rest.

    Raises:
        JournalError: The store has another journal, or more of this one.
    """
    put = 0
    for folder in _NAMED_BY_CONTENT:
        there = {file.name for file in store.files(folder)}
        for path in sorted((home.folder / folder).rglob("*")):
            name = path.relative_to(home.folder).as_posix()
            if name not in there and path.is_file() and _is_kept(path):
                store.put(name, path)
                put += path.stat().st_size
                progress(put)
    for lane in home.lanes(use_case):
        stored = StoredJournal(store, use_case, lane)
        put += stored.keep(home.journal(use_case, lane), progress)
    return put


def evidence(
    home: Home,
    place: str | None,
    use_case: str | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> Home:
    """Where evidence is read from: the home itself, or a copy of what a store has.

    Args:
        home: In which copies are.
        place: Of the store; None for the home's own.
        use_case: Whose journal; all that are there where it is None.
        progress: Called with the bytes fetched of a journal.

    Raises:
        NotFound: There is no journal in the store.
        JournalError: What is there is not what its index says.
    """
    if place is None:
        return home
    store = file_store(place)
    copy = Home(home.folder / _FETCHED / hashlib.sha256(store.place.encode()).hexdigest()[:16])
    stored = stored_journals(store, use_case)
    if not stored:
        of = "" if use_case is None else f" of {use_case!r}"
        raise NotFound(
            f"{store.place} has no journal{of}; headrace collect USE_CASE --to {store.place} puts"
            " one there"
        )
    for item in stored:
        item.fetch(copy.journal(item.use_case, item.lane), progress)
    for folder in _NAMED_BY_CONTENT:
        for file in store.files(folder):
            path = copy.folder / file.name
            if not path.exists():
                store.fetch(file.name, path)
    return copy


def _is_kept(path: Path) -> bool:
    """Whether a file is one that never changes: no draft, and not what a use case runs now."""
    return path.suffix != ".draft" and not path.name.endswith(".current.json")
