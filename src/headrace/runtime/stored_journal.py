"""A journal in a store of files: its segments, and an index that says what they hold.

    journal/<use case>/<lane>/0000000000.segment ...   as in a home, byte for byte
    journal/<use case>/<lane>.index.json               size and SHA-256 of each; written last

A segment only ever grows. It is put before the index that speaks of it, so whoever reads takes as
much of each as the index says, and has a journal that ends with a signed head, whatever is written
meanwhile.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from headrace.adapters.file_store import copy_beginning, draft_of
from headrace.core.errors import JournalError, NotFound
from headrace.journal.frames import FrameDamaged, FrameKind, frames_of, segment_path, segment_paths

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.adapters.file_store import FileStore

#: What the names of journals begin with, in a store as in a home.
JOURNALS = "journal"
_INDEX = ".index.json"
_BLOCK = 1 << 20


class IndexedSegment(msgspec.Struct, frozen=True):
    """A segment as far as it goes.

    Attributes:
        name: Of its file.
        size: Bytes, up to the end of a signed head.
        sha256: Of these bytes.
    """

    name: str
    size: int
    sha256: str


class JournalIndex(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a journal's segments hold, in their order."""

    segments: tuple[IndexedSegment, ...] = ()
    version: int = 1

    @staticmethod
    def decoded(content: bytes) -> JournalIndex:
        """An index from its bytes.

        Raises:
            ValueError: They are none.
        """
        index = _INDEX_FILE.decode(content)
        for number, item in enumerate(index.segments):
            expected = segment_path(Path(), number).name
            if item.name != expected:
                raise ValueError(f"segment {number} is named {item.name!r}; expected {expected!r}")
        return index

    def of(self, name: str) -> IndexedSegment | None:
        """What is said of a segment."""
        return next((item for item in self.segments if item.name == name), None)


_INDEX_FILE = msgspec.json.Decoder(JournalIndex)


@dataclass(frozen=True, slots=True)
class StoredJournal:
    """The journal of a lane in a store.

    Attributes:
        store: Which.
        use_case: Whose.
        lane: Its number.
    """

    store: FileStore
    use_case: str
    lane: int = 0

    def index(self) -> JournalIndex | None:
        """What the store has; None where it has nothing of the lane.

        Raises:
            JournalError: The index cannot be read.
        """
        try:
            content = self.store.read(self._index)
        except NotFound:
            return None
        try:
            return JournalIndex.decoded(content)
        except ValueError as error:  # msgspec's are of that kind
            raise JournalError(
                f"{self.store.place}/{self._index} is no index of a journal ({error});"
                " restore it, or delete it and run headrace collect --to again"
            ) from error

    def keep(self, folder: Path, progress: Callable[[int], None] = lambda _done: None) -> int:
        """Put what a folder of segments has, and the store has not; returns the bytes put.

        Args:
            folder: Of a home; it may be written meanwhile.
            progress: Called with the bytes put.

        Raises:
            JournalError: The store has another journal, or more of this one.
        """
        before = self.index() or JournalIndex()
        paths = segment_paths(folder)
        self._check_goes_on(before, folder, [path.name for path in paths])
        segments: list[IndexedSegment] = []
        put = 0
        for path in paths:
            known = before.of(path.name)
            if known is not None and path.stat().st_size == known.size:
                segments.append(known)
                continue
            size = _vouched_size(path)
            if size == 0:
                break
            digest = _digest(path, size)
            if known is None or known.size != size:
                self.store.put(self._name(path.name), path, size)
                put += size
                progress(put)
            segments.append(IndexedSegment(path.name, size, digest))
        after = JournalIndex(tuple(segments))
        if after != before:
            self.store.put(self._index, msgspec.json.encode(after))
        return put

    def _check_goes_on(self, before: JournalIndex, folder: Path, names: list[str]) -> None:
        """The last segment begins as the store has it; it binds all that lies before."""
        for at, known in enumerate(before.segments):
            path = folder / known.name
            size = path.stat().st_size if known.name in names else 0
            last = at == len(before.segments) - 1
            if size < known.size or (last and _digest(path, known.size) != known.sha256):
                raise JournalError(
                    f"{self.store.place}/{self._name(known.name)} has {known.size:,} bytes that"
                    f" {path} does not begin with: the store has another journal, or more of this"
                    " one. Verify both (headrace verify, with and without --journal), and name"
                    " another place"
                )

    def fetch(self, folder: Path, progress: Callable[[int], None] = lambda _done: None) -> int:
        """Bring a folder to what the store has; what it has already is not fetched again.

        Every byte is checked against the index on the way.

        Args:
            folder: A copy, made if it is not there; the index is kept beside it.
            progress: Called with the bytes fetched.

        Raises:
            NotFound: The store has no journal of the lane.
            JournalError: What it has is not what its index says.
        """
        index = self.index()
        if index is None:
            raise NotFound(
                f"{self.store.place} has no journal of lane {self.use_case}/{self.lane}; headrace"
                f" collect {self.use_case} --to puts it there"
            )
        beside = folder.with_name(f"{folder.name}{_INDEX}")
        have = JournalIndex()
        with suppress(FileNotFoundError, ValueError):
            have = JournalIndex.decoded(beside.read_bytes())
        fetched = 0
        for wanted in index.segments:
            path, held = folder / wanted.name, have.of(wanted.name)
            size = path.stat().st_size if path.exists() else 0
            if held == wanted and size == wanted.size:
                continue
            held_bytes = size if held is not None and size == held.size else 0
            if not self._brought(path, wanted, held_bytes) and not self._brought(path, wanted, 0):
                raise JournalError(
                    f"{self.store.place}/{self._name(wanted.name)} is not what its index says: its"
                    f" first {wanted.size:,} bytes should have the SHA-256 {wanted.sha256}. It was"
                    " changed: restore it from a version before, or from the home"
                )
            fetched += wanted.size - held_bytes
            progress(fetched)
        with draft_of(beside) as file:
            file.write(msgspec.json.encode(index))
        return fetched

    def _brought(self, path: Path, wanted: IndexedSegment, held: int) -> bool:
        """Make a file what the index says, of its own first bytes and the store's next ones."""
        missing = wanted.size - held
        with suppress(_Differs), draft_of(path) as file:
            checksum = _hashed(path, held) if held else hashlib.sha256()
            if held:
                copy_beginning(path, file, held)
            more = self.store.read(self._name(wanted.name), held, missing) if missing > 0 else b""
            checksum.update(more)
            file.write(more)
            if checksum.hexdigest() != wanted.sha256:
                raise _Differs
            return True
        return False

    @property
    def _index(self) -> str:
        return f"{JOURNALS}/{self.use_case}/{self.lane}{_INDEX}"

    def _name(self, file: str) -> str:
        return f"{JOURNALS}/{self.use_case}/{self.lane}/{file}"


class _Differs(Exception):
    """Bytes are not those that were expected."""


def stored_journals(store: FileStore, use_case: str | None = None) -> list[StoredJournal]:
    """The journals that a store has: those of a use case, or all of them."""
    found: list[StoredJournal] = []
    for file in store.files(JOURNALS if use_case is None else f"{JOURNALS}/{use_case}"):
        case, _, last = file.name.removeprefix(f"{JOURNALS}/").partition("/")
        lane = last.removesuffix(_INDEX)
        if last.endswith(_INDEX) and lane.isdecimal():
            found.append(StoredJournal(store, case, int(lane)))
    return found


def _vouched_size(path: Path) -> int:
    """How much of a segment ends with a signed head."""
    size = 0
    with suppress(FrameDamaged):  # its end is being written
        for frame in frames_of(path):
            if frame.kind is FrameKind.COMMIT:
                size = frame.end
    return size


def _digest(path: Path, size: int) -> str:
    return _hashed(path, size).hexdigest()


def _hashed(path: Path, size: int) -> hashlib._Hash:
    """The SHA-256 of the first bytes of a file, to go on with."""
    checksum = hashlib.sha256()
    with path.open("rb") as file:
        while size and (block := file.read(min(size, _BLOCK))):
            checksum.update(block)
            size -= len(block)
    return checksum
