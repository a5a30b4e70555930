"""States on disk: each stands before one input, and belongs to one definition.

    <folder>/<next sequence number, 20 digits>.<first 16 digits of the definition's digest>.state

A file begins with what it is: version, definition, place in the journal, size. Then comes the
state, and at the end the SHA-256 of all before it. One that is not whole, or not of this version,
is passed over, with a word, and an older one is used: the journal holds all that is needed to go
on from there.
"""

from __future__ import annotations

import hashlib
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from headrace import __version__
from headrace.core.errors import ArtefactError
from headrace.core.folders import sync_folder
from headrace.pipeline.lane import STATE_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_SUFFIX = ".state"
_DRAFT = ".draft"
_NAME = re.compile(r"\d{20}\.[0-9a-f]{16}\.state")
_MAGIC = b"headrace/snapshot/v2\0\0\0\0"
_DIGEST = 32

#: How many are kept of the definition in force: the newest, and one to fall back on.
KEPT = 2
#: How many are kept of other definitions, to go back to, or to begin a changed one with.
KEPT_OF_OTHERS = 1


class Head(msgspec.Struct, frozen=True):
    """What a file says of itself.

    Attributes:
        version: Of the state's bytes.
        definition: Digest of the plan that it is the state of.
        next_seq: The input that it stands before.
        size: Bytes of the state.
        judged_from: The input from which on the journal's verdicts are this state's own.
        headrace: The version that wrote it, for whoever looks.
    """

    version: int
    definition: str
    next_seq: int
    size: int
    judged_from: int
    headrace: str = __version__


_HEAD = msgspec.json.Decoder(Head)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state that was read whole.

    Attributes:
        path: Of its file.
        definition: Digest of the plan that it is the state of.
        next_seq: The input that it stands before.
        judged_from: The input from which on the journal's verdicts are this state's own.
        state: Its bytes.
    """

    path: Path
    definition: str
    next_seq: int
    judged_from: int
    state: bytes


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshots of one lane, for one definition.

    Attributes:
        folder: Where they are.
        definition: Digest of the plan.
    """

    folder: Path
    definition: str

    def write(
        self, next_seq: int, size: int, pieces: Iterable[bytes], judged_from: int = 0
    ) -> Path:
        """Keep a state durably, beside its place first; older ones go.

        Args:
            next_seq: The input that it stands before.
            size: Bytes of the state.
            pieces: The state.
            judged_from: The input from which on the journal's verdicts are this state's own.

        Raises:
            OSError: The disk is full or cannot be written; what was kept before is still there.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(next_seq)
        draft = path.with_suffix(_DRAFT)
        head = Head(STATE_VERSION, self.definition, next_seq, size, judged_from)
        try:
            self._write(draft, head, pieces)
            draft.replace(path)
            sync_folder(self.folder)
        except OSError:
            draft.unlink(missing_ok=True)
            raise
        for old in [*self._own()[KEPT:], *self._of_others()[KEPT_OF_OTHERS:]]:
            with suppress(OSError):
                old.unlink()
        return path

    def settle(self, end: int) -> list[str]:
        """Remove drafts, and states past the journal, which ends at `end`; a word on each state.

        A state past the journal came of inputs that nothing vouches for. It goes, or it would be
        taken for the state of whatever other inputs the journal holds at that place later.
        """
        for draft in self.folder.glob(f"*{_DRAFT}"):
            with suppress(OSError):
                draft.unlink()
        return [
            f"{path} stood past the journal, which ends at {end}; {_removed(path)}"
            for path in self._all()
            if _place(path) > end
        ]

    def usable(self, end: int, say: Callable[[str], None]) -> Iterator[Snapshot]:
        """The good states of the definition up to `end`, the newest first.

        Args:
            end: Where the journal ends.
            say: Takes a sentence on each that is passed over.
        """
        yield from _read(self._own(), end, say)

    def of_others(self, end: int, say: Callable[[str], None]) -> Iterator[Snapshot]:
        """The good states of other definitions, likewise."""
        yield from _read(self._of_others(), end, say)

    def _path(self, next_seq: int) -> Path:
        return self.folder / f"{next_seq:020d}.{self.definition[:16]}{_SUFFIX}"

    def _all(self) -> list[Path]:
        """The newest first."""
        named = (path for path in self.folder.glob(f"*{_SUFFIX}") if _NAME.fullmatch(path.name))
        return sorted(named, reverse=True)

    def _own(self) -> list[Path]:
        return [path for path in self._all() if path.name.split(".")[1] == self.definition[:16]]

    def _of_others(self) -> list[Path]:
        return [path for path in self._all() if path.name.split(".")[1] != self.definition[:16]]

    def _write(self, draft: Path, head: Head, pieces: Iterable[bytes]) -> None:
        """Write a whole file and make it durable."""
        checksum = hashlib.sha256()
        encoded = msgspec.json.encode(head)
        with draft.open("wb") as file:
            for piece in (_MAGIC, len(encoded).to_bytes(4, "little"), encoded):
                checksum.update(piece)
                file.write(piece)
            for piece in pieces:
                checksum.update(piece)
                file.write(piece)
            file.write(checksum.digest())
            file.flush()
            os.fsync(file.fileno())


def is_state(name: str) -> bool:
    """Whether a file of that name, or at that path, is a state."""
    return _NAME.fullmatch(name.rpartition("/")[2]) is not None


def stands_before(name: str) -> int:
    """The input that the state of a file stands before."""
    return int(name.rpartition("/")[2].split(".")[0])


def _place(path: Path) -> int:
    return stands_before(path.name)


def _removed(path: Path) -> str:
    """Remove a file; what became of it."""
    try:
        path.unlink()
    except OSError as error:
        return f"it is not used, and cannot be removed ({error})"
    return "removed"


def _read(paths: list[Path], end: int, say: Callable[[str], None]) -> Iterator[Snapshot]:
    for path in paths:
        if _place(path) > end:
            continue
        try:
            yield _opened(path)
        except (OSError, ArtefactError) as error:
            say(f"{path} {error}; an older state and the journal take its place")


def _opened(path: Path) -> Snapshot:
    """The state in a file.

    Raises:
        ArtefactError: It is damaged, or of another version; said as what follows its name.
        OSError: It cannot be read.
    """
    content = memoryview(path.read_bytes())
    body, checksum = content[:-_DIGEST], content[-_DIGEST:]
    if hashlib.sha256(body).digest() != checksum:
        raise ArtefactError(f"is damaged: the checksum of its {len(content):,} bytes differs")
    start = len(_MAGIC) + 4
    if body[: len(_MAGIC)] != _MAGIC:
        raise ArtefactError(
            f"is of another version of Headrace: it begins with {bytes(body[: len(_MAGIC)])!r},"
            f" expected {_MAGIC!r}"
        )
    end = start + int.from_bytes(body[len(_MAGIC) : start], "little")
    try:
        head = _HEAD.decode(body[start:end])
    except msgspec.MsgspecError as error:
        raise ArtefactError(f"says nothing readable of itself ({error})") from error
    if head.version != STATE_VERSION:
        raise ArtefactError(
            f"holds a state of version {head.version}, written by Headrace {head.headrace};"
            f" expected version {STATE_VERSION}"
        )
    named = f"{head.next_seq:020d}.{head.definition[:16]}{_SUFFIX}"
    if named != path.name or head.size != len(body) - end:
        raise ArtefactError(
            f"was renamed or put together: it says that it is {named} with {head.size:,} bytes"
        )
    return Snapshot(path, head.definition, head.next_seq, head.judged_from, bytes(body[end:]))
