"""Snapshots that workers share: written at home, and copied to a store whence others take them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from headrace.core.errors import HeadraceError
from headrace.runtime.snapshots import KEPT, Snapshots, is_state, stands_before

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from headrace.adapters.file_store import FileStore


@dataclass(frozen=True, slots=True)
class SharedSnapshots(Snapshots):
    """The snapshots of one lane, at home and in a store.

    A store that does not answer stops nothing: that is said, the snapshot stays at home, and
    whoever takes the lane over reads more of its journal.

    Attributes:
        store: Where they are shared.
        under: What their names there begin with.
        say: Takes a sentence for whoever runs the lane.
    """

    store: FileStore
    under: str
    say: Callable[[str], None]

    def settle(self, end: int) -> list[str]:
        """As at home; and then the newest state of the store is fetched, if it is newer."""
        words = Snapshots.settle(self, end)
        try:
            self._fetch(end)
        except (HeadraceError, OSError) as error:
            words.append(f"no snapshot could be had from {self.store.place}: {error}")
        return words

    def write(
        self, next_seq: int, size: int, pieces: Iterable[bytes], judged_from: int = 0
    ) -> Path:
        """As at home; and then it is put into the store, where older ones go."""
        path = Snapshots.write(self, next_seq, size, pieces, judged_from)
        try:
            self.store.put(f"{self.under}/{path.name}", path)
            for old in self._stored()[KEPT:]:
                self.store.delete(old)
        except (HeadraceError, OSError) as error:
            self.say(
                f"a snapshot was kept at home and not in {self.store.place}: {error}. Decisions go"
                " on; a worker that takes the lane over reads more of its journal"
            )
        return path

    def _stored(self) -> list[str]:
        """Names of the definition's states in the store, the newest first."""
        names = [file.name for file in self.store.files(self.under)]
        own = f".{self.definition[:16]}."
        return sorted((name for name in names if own in name and is_state(name)), reverse=True)

    def _fetch(self, end: int) -> None:
        """Copy the newest state up to `end` home, if there is none that is as new."""
        good = [name for name in self._stored() if stands_before(name) <= end]
        if not good:
            return
        path = self.folder / PurePosixPath(good[0]).name
        at_home = [other for other in self.folder.glob("*") if is_state(other.name)]
        if not any(stands_before(other.name) >= stands_before(path.name) for other in at_home):
            self.store.fetch(good[0], path)
