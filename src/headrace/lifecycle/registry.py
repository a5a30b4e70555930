"""The models of a home: each an artefact that is its hash, and which one a use case runs.

models/<artefact id>/...            see `headrace.models.artefact`
models/<use case>.current.json      the id that the use case runs, swapped whole
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from headrace.core.errors import NotFound
from headrace.models.artefact import Artefact

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Registry:
    """The folder `models` of a home."""

    folder: Path

    def add(self, artefact: Artefact) -> str:
        """Keep an artefact, and return its id."""
        self.folder.mkdir(parents=True, exist_ok=True)
        artefact.save(self.folder)
        return artefact.id

    def load(self, artefact_id: str) -> Artefact:
        """The artefact of that id, or of the one id that begins so.

        Raises:
            NotFound: When there is none, or more than one.
            ArtefactError: When it was changed.
        """
        found = sorted(path for path in self.folder.glob(f"{artefact_id}*") if path.is_dir())
        if len(found) != 1:
            known = ", ".join(path.name[:12] for path in self.folder.glob("[0-9a-f]*")) or "none"
            raise NotFound(f"{len(found)} models are called {artefact_id!r}; there are: {known}")
        return Artefact.load(found[0])

    def use(self, use_case: str, artefact_id: str) -> None:
        """Make the use case run that artefact from now on; the pointer is swapped whole."""
        pointer = self._pointer(use_case)
        draft = pointer.with_suffix(".draft")
        draft.write_bytes(msgspec.json.encode({"artefact": artefact_id}))
        draft.replace(pointer)

    def current(self, use_case: str) -> Artefact | None:
        """The artefact that the use case runs; None when none was trained."""
        pointer = self._pointer(use_case)
        if not pointer.exists():
            return None
        return self.load(msgspec.json.decode(pointer.read_bytes())["artefact"])

    def _pointer(self, use_case: str) -> Path:
        return self.folder / f"{use_case}.current.json"
