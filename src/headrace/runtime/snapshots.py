"""States on disk: each stands before one input, and belongs to one definition.

    <folder>/<next sequence number, 20 digits>.<first 16 digits of the definition's digest>.state

A file ends in the SHA-256 of what is before it. One that does not match is passed over, with a
word, and an older one is used: the journal holds all that is needed to go on from there.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_SUFFIX = ".state"
_DIGEST = 32

#: How many are kept: the newest, and one to fall back on.
KEPT = 2


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state that was read whole."""

    next_seq: int
    state: bytes


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshots of one lane under one definition."""

    folder: Path
    definition: str

    def write(self, next_seq: int, state: bytes) -> Path:
        """Keep a state durably, beside its place first; older ones than the last two go."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(next_seq)
        draft = path.with_suffix(".draft")
        with draft.open("wb") as file:
            file.write(state)
            file.write(hashlib.sha256(state).digest())
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        for old in self._found()[KEPT:]:
            old.unlink()
        return path

    def latest(self, most: int) -> tuple[Snapshot | None, list[str]]:
        """The newest good state at or before input `most`, and a word on each that was not good.

        A state past the journal came of inputs that nothing vouches for. It goes, or it would be
        taken for the state of whatever other inputs the journal holds at that place later.
        """
        words: list[str] = []
        for path in self._found():
            next_seq = int(path.name.split(".")[0])
            if next_seq > most:
                words.append(f"{path} stood past the journal, which ends at {most}; removed")
                path.unlink()
                continue
            content = path.read_bytes()
            state, digest = content[:-_DIGEST], content[-_DIGEST:]
            if hashlib.sha256(state).digest() == digest:
                return Snapshot(next_seq, state), words
            words.append(f"{path} is damaged; an older state and the journal take its place")
        return None, words

    def _path(self, next_seq: int) -> Path:
        return self.folder / f"{next_seq:020d}.{self.definition[:16]}{_SUFFIX}"

    def _found(self) -> list[Path]:
        """Those of this definition, the newest first."""
        return sorted(self.folder.glob(f"*.{self.definition[:16]}{_SUFFIX}"), reverse=True)
