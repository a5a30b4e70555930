"""Decisions of the journal, asked for by their ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headrace.journal.proof import prove
from headrace.runtime.audit import explain, find_decision

if TYPE_CHECKING:
    from headrace.journal.keys import PublicKey
    from headrace.runtime.audit import Explanation
    from headrace.runtime.definitions import Definitions
    from headrace.runtime.home import Home


@dataclass(frozen=True, slots=True)
class Records:
    """What a home's journals say of decisions.

    Attributes:
        home: Where the journals are.
        definitions: What was in force.
        key: What their heads were signed with.
    """

    home: Home
    definitions: Definitions
    key: PublicKey

    def decision(self, name: str) -> Explanation:
        """A decision taken apart, by its own id or by that of its event.

        Raises:
            NotFound: There is none.
            DataError: The input of that id was not decided.
        """
        place = find_decision(self.home, name)
        return explain(place, self.definitions)

    def proof(self, name: str) -> dict[str, Any]:
        """The proof of a decision. Raises what `decision` raises."""
        place = find_decision(self.home, name)
        return prove(place.folder, place.seq, self.key)
