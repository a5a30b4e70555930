"""What was in force when decisions were made: plans and policies, each kept under its digest.

    definitions/<digest>.plan.json      canonical bytes of a plan
    definitions/<digest>.policy.json    canonical bytes of a policy
    definitions/<digest>.explaining.json  which decisions carry reason codes

The journal names digests; these files say what stood behind them, also when the use case's own
file has long been changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.core.errors import ArtefactError, NotFound
from headrace.definitions.plan import Plan
from headrace.pipeline.lane import Explaining
from headrace.policy.policy import Policy

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.pipeline.lane import Definition


@dataclass(frozen=True, slots=True)
class Definitions:
    """The folder of definitions of a home."""

    folder: Path

    def keep(self, definition: Definition) -> None:
        """Keep what is in force now."""
        self.folder.mkdir(parents=True, exist_ok=True)
        plan, explaining = definition.plan, definition.explaining
        self._write(f"{plan.digest()}.plan.json", plan.canonical())
        self._write(f"{explaining.digest()}.explaining.json", explaining.canonical())
        if definition.policy is not None:
            policy = definition.policy.policy
            self._write(f"{policy.digest()}.policy.json", policy.canonical())

    def plan(self, digest: str) -> Plan:
        """A plan.

        Raises:
            NotFound: It is not kept here.
            ArtefactError: It was changed.
        """
        plan = Plan.from_canonical(self._read(f"{digest}.plan.json"))
        if plan.digest() != digest:
            raise ArtefactError(
                f"{self.folder / digest}.plan.json was changed: its digest is {plan.digest()};"
                " restore it, or run the use case once more"
            )
        return plan

    def policy(self, digest: str) -> Policy | None:
        """A policy; None for the digest of none."""
        return Policy.from_canonical(self._read(f"{digest}.policy.json")) if digest else None

    def explaining(self, digest: str) -> Explaining:
        """Which decisions carry reason codes."""
        return Explaining.from_canonical(self._read(f"{digest}.explaining.json"))

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
