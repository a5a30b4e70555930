"""Labels: events that say how an earlier one turned out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.core.durations import duration_ns
from headrace.core.errors import DefinitionError, SourceLine
from headrace.definitions.calls import checked_methods
from headrace.definitions.source_lines import user_line
from headrace.definitions.suggestions import known_field
from headrace.events.schema import Role

if TYPE_CHECKING:
    from datetime import timedelta

    from headrace.definitions.terms import StreamDefinition


@dataclass(frozen=True, slots=True)
class LabelDefinition:
    """Which events label which, and how long that may take.

    Attributes:
        stream: The stream of labels: an event that one of them refers to is a positive.
        of: The labelled stream.
        reference: The field of a label with the id of the event it labels.
        event_time: The field of a label that says when it happened.
        within_ns: A label counts when it happens at most so long after its event; an event without
            one is a negative only when it is older than this.
    """

    stream: StreamDefinition
    of: StreamDefinition
    reference: str
    event_time: str
    within_ns: int


@checked_methods
@dataclass(frozen=True, slots=True, repr=False)
class LabelOf:
    """Labels of a stream, waiting for the time that they may take."""

    stream: StreamDefinition
    of: StreamDefinition
    reference: str

    def __repr__(self) -> str:
        return f"<{self.stream.name} of {self.of.name}, without a time>"

    @staticmethod
    def between(
        stream: StreamDefinition,
        of: StreamDefinition,
        reference: str | None,
        at: SourceLine | None,
    ) -> LabelOf:
        """Find the field that refers to the labelled stream.

        Raises:
            DefinitionError: If none or several refer to it.
        """
        if reference is not None:
            found = [known_field(stream.schema, reference, at)]
        else:
            found = [field for field in stream.schema.fields if field.refers_to == of.schema.name]
        if len(found) != 1 or found[0].role is not Role.REF:
            raise DefinitionError(
                f"{stream.schema.name} has {len(found)} fields that refer to {of.schema.name}"
                if reference is None
                else f"{stream.schema.name}.{reference} refers to nothing",
                at=at,
                fix=f"declare one as `hr.Ref[{of.schema.name}]`, or name it: reference=...",
            )
        if found[0].refers_to != of.schema.name:
            raise DefinitionError(
                f"{stream.schema.name}.{found[0].name} refers to {found[0].refers_to}, "
                f"not to {of.schema.name}",
                at=at,
                fix=f"label {found[0].refers_to}, or declare it as `hr.Ref[{of.schema.name}]`",
            )
        return LabelOf(stream, of, found[0].name)

    def within(self, length: str | timedelta) -> LabelDefinition:
        """The label, with the time after which an event without one is a negative."""
        at = user_line()
        within = duration_ns(length, what="within", at=at)
        if within == 0:
            raise DefinitionError("labels within 0", at=at, fix='give a length, as in "60d"')
        return LabelDefinition(self.stream, self.of, self.reference, self.stream.event_time, within)
