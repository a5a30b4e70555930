"""What was in force when decisions were made: plans and policies, each kept under its digest.

    definitions/<digest>.plan.json      canonical bytes of a plan
    definitions/<digest>.policy.json    canonical bytes of a policy
    definitions/<digest>.explaining.json  which decisions carry reason codes

The journal names digests; these files say what stood behind them, also when the use case's own
file has long been changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from headrace.core.errors import ArtefactError, HeadraceError, NotFound
from headrace.definitions.plan import Plan
from headrace.pipeline.lane import Explaining
from headrace.policy.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headrace.pipeline.lane import Definition


class _Digested(Protocol):
    def digest(self) -> str:
        """Of its canonical bytes."""


Kept = TypeVar("Kept", bound=_Digested)


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
        return self._kept(digest, "plan", Plan.from_canonical)

    def policy(self, digest: str) -> Policy | None:
        """A policy; None for the digest of none. It raises what `plan` raises."""
        return self._kept(digest, "policy", Policy.from_canonical) if digest else None

    def explaining(self, digest: str) -> Explaining:
        """Which decisions carry reason codes. It raises what `plan` raises."""
        return self._kept(digest, "explaining", Explaining.from_canonical)

    def _kept(self, digest: str, what: str, read: Callable[[bytes], Kept]) -> Kept:
        """What was kept under a digest, once it is known to be that."""
        path = self.folder / f"{digest}.{what}.json"
        if not path.exists():
            raise NotFound(f"{path} is not there: the decision was made in another home")
        try:
            kept = read(path.read_bytes())
        except (HeadraceError, ValueError, LookupError, TypeError) as error:
            found = f"it cannot be read: {error}"
        else:
            found = f"its digest is {kept.digest()}"
            if kept.digest() == digest:
                return kept
        raise ArtefactError(
            f"{path} was changed, {found}; restore it from a backup, or delete it and run the use"
            " case as it was then once more"
        )

    def _write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        if not path.exists():
            draft = path.with_suffix(".draft")
            draft.write_bytes(content)
            draft.replace(path)
