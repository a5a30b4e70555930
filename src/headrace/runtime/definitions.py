"""What was in force when decisions were made: plans and policies, each kept under its digest.

    definitions/<digest>.plan.json      canonical bytes of a plan
    definitions/<digest>.policy.json    canonical bytes of a policy

The journal names digests; these files say what stood behind them, also when the use case's own
file has long been changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.core.errors import NotFound
from headrace.policy.policy import Policy

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.definitions.plan import Plan


@dataclass(frozen=True, slots=True)
class Definitions:
    """The folder of definitions of a home."""

    folder: Path

    def keep(self, plan: Plan, policy: Policy | None) -> None:
        """Keep what is in force now."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write(f"{plan.digest()}.plan.json", plan.canonical())
        if policy is not None:
            self._write(f"{policy.digest()}.policy.json", policy.canonical())

    def plan(self, digest: str) -> dict[str, Any]:
        """A plan as plain data.

        Raises:
            NotFound: It is not kept here.
        """
        plain: dict[str, Any] = msgspec.json.decode(self._read(f"{digest}.plan.json"))
        return plain

    def policy(self, digest: str) -> Policy | None:
        """A policy; None for the digest of none."""
        return Policy.from_canonical(self._read(f"{digest}.policy.json")) if digest else None

    def _write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        if not path.exists():
            draft = path.with_suffix(".draft")
            draft.write_bytes(content)
            draft.replace(path)

    def _read(self, name: str) -> bytes:
        path = self.folder / name
        if not path.exists():
            raise NotFound(f"{path} is not there: the decision was made in another home")
        return path.read_bytes()
