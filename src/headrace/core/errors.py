"""The one tree of errors that Headrace raises.

A message shows the value, what was expected, and the next step. Whatever a user can mend is a
`HeadraceError`; the commands print it without a traceback. An `InvariantBroken` is a fault of
Headrace itself: it is never caught on the way, because a wrong decision is worse than none.

    HeadraceError
    ├── DefinitionError        a use case, feature, policy or schema that cannot be meant
    ├── DataError              input that cannot be read at all (one bad event is quarantined)
    ├── ArtefactError          a model, table or snapshot that does not fit, or was changed
    ├── JournalError           a journal that cannot be opened, written or believed
    │   └── VerificationFailed what was recorded is not what is there
    ├── SecurityError          keys, vault, permissions
    ├── LimitReached           a stated bound on memory, rate or size was met; intake stops
    ├── NotFound               a name or id that is not there
    └── Unavailable            a service beside Headrace that does not answer; nothing was lost
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceLine:
    """The place in a user's file that a definition came from."""

    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


class HeadraceError(Exception):
    """Something that the reader of the message can mend."""


class DefinitionError(HeadraceError):
    r"""A definition that cannot be meant, with the line it stands on and the fix.

    >>> str(DefinitionError("unlike currencies", at=SourceLine("case.py", 7), fix="convert them"))
    'case.py:7: unlike currencies\n  fix: convert them'
    """

    def __init__(
        self, message: str, *, at: SourceLine | None = None, fix: str | None = None
    ) -> None:
        self.message = message
        self.at = at
        self.fix = fix
        where = f"{at}: " if at else ""
        then = f"\n  fix: {fix}" if fix else ""
        super().__init__(f"{where}{message}{then}")


class DataError(HeadraceError):
    """Input that cannot be read at all: a missing file, an unknown format, no such column."""


class ArtefactError(HeadraceError):
    """A model, table or snapshot that does not fit the definition, or was changed."""


class JournalError(HeadraceError):
    """A journal that cannot be opened, written or believed."""


class VerificationFailed(JournalError):
    """What was recorded is not what is there; the message names the first place."""


class SecurityError(HeadraceError):
    """Keys, vault or permissions."""


class LimitReached(HeadraceError):
    """A stated bound was met; intake stops and nothing is evicted."""


class NotFound(HeadraceError):
    """A name or id that is not there; the message lists what is."""


class Unavailable(HeadraceError):
    """A service that is needed does not answer; what was under way can be done again, whole."""


class InvariantBroken(Exception):
    """A fault of Headrace itself; it stops the lane before a wrong decision leaves it."""


def invariant(condition: object, what: str) -> None:
    """Stop the lane when `condition` does not hold; unlike `assert` it survives `python -O`.

    >>> invariant(1 + 1 == 2, "arithmetic works")
    """
    if not condition:
        raise InvariantBroken(what)
