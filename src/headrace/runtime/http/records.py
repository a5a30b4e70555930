"""Decisions of the journal, asked for by their ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.journal.proof import prove
from headrace.runtime.audit import explain

if TYPE_CHECKING:
    from headrace.journal.keys import PublicKey
    from headrace.runtime.audit import Explanation
    from headrace.runtime.definitions import Definitions
    from headrace.runtime.journals import Journals


@dataclass(frozen=True, slots=True)
class Records:
    """What a home's journals say of decisions.

    Attributes:
        journals: Of the home.
        definitions: What was in force.
        key: What their heads were signed with.
    """

    journals: Journals
    definitions: Definitions
    key: PublicKey

    def decision(self, name: str) -> Explanation:
        """A decision taken apart, by its own id or by that of its event.

        Raises:
            NotFound: There is none.
            DataError: The input of that id was not decided.
        """
        place = self.journals.decision(name)
        return explain(place, self.definitions)

    def proof(self, name: str) -> dict[str, Any]:
        """The proof of a decision. Raises what `decision` raises."""
        place = self.journals.decision(name)
        return prove(place.folder, place.seq, self.key, index=place.index)
