"""Labels: events that say how an earlier one turned out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Label:
    """Which events label which, and how long that may take.

    Attributes:
        stream: The stream of labels: an event that one of them refers to is a positive.
        of: The decided stream.
        reference: The field of a label that holds the id of the event it labels.
        event_time: The field of a label that says when it happened.
        within_ns: A label counts when it happens at most so long after its event; an event without
            one is a negative only when it is older than this.
    """

    stream: str
    of: str
    reference: str
    event_time: str
    within_ns: int

    def plain(self) -> dict[str, object]:
        """The label as plain data, for manifests."""
        return {name: getattr(self, name) for name in self.__slots__}
