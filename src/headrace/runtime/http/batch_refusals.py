"""What is answered to inputs of a batch that were no new event, or were refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.events.json_object import wrong_fields
from headrace.events.quarantine import masked
from headrace.events.reasons import LONGEST_EVENT, Reason
from headrace.journal.batch import InputKind
from headrace.runtime.http.problems import Problem, refused_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headrace.events.schema import Schema
    from headrace.journal.batch import JournalBatch

_REASONS = {int(reason): reason for reason in Reason}


class BatchRefusals:
    """Says of each input of a batch why it got no decision of its own.

    Args:
        batch: As it was decided.
        lane: Its name.
        schemas: Of streams and tables, in the order of their ranks.
        raw: Gives the bytes of an input by its place in the batch.
    """

    def __init__(
        self,
        batch: JournalBatch,
        lane: str,
        schemas: Mapping[str, Schema],
        raw: Callable[[int], bytes],
    ) -> None:
        self._first, self._lane, self._raw = batch.first_seq, lane, raw
        self._schemas = list(schemas.items())
        inputs, told = batch.inputs, batch.quarantined
        self._kinds, self._reasons = inputs.kind.tolist(), inputs.reason.tolist()
        self._streams, self._rows = inputs.stream.tolist(), inputs.row.tolist()
        self._originals = inputs.original_seq.tolist()
        #: Of what was refused at the door, the first bad field and what was expected there.
        self._told = dict(
            zip(
                told.seq.tolist(),
                zip(told.field.strings(), told.expected.strings(), strict=True),
                strict=True,
            )
        )

    def original(self, seq: int) -> int | None:
        """The input that an input repeats; None if it repeats none."""
        place = seq - self._first
        return self._originals[place] if self._kinds[place] == InputKind.DUPLICATE else None

    def problem(self, seq: int) -> Problem:
        """Why an input was quarantined."""
        place = seq - self._first
        reason = _REASONS[self._reasons[place]]
        stream, schema = self._schemas[self._streams[place]]
        members = {"quarantined": f"{self._lane}/{seq}"}
        if reason is Reason.ID_CONFLICT:
            return Problem(
                409,
                "an event of this id was accepted before with other content; give a new event a new"
                " id, or send the same content again for the same decision",
                members=members,
            )
        if self._rows[place] >= 0:
            return Problem(
                422,
                f"the event is {reason.text}: it was quarantined, and can be retried from there",
                [{"field": "", "reason": reason.text, "value": "", "expected": ""}],
                members,
            )
        field, expected = self._told[seq]
        status, errors = 422, []
        if field:
            # the first bad field is known, and all are told
            line = np.frombuffer(self._raw(place), dtype=np.uint8)
            errors = refused_fields(schema, wrong_fields(schema, line, LONGEST_EVENT))
        else:
            status, hidden = 400, masked(schema, "", "")
            errors = [
                {"field": "", "reason": reason.text, "value": hidden, "expected": expected or ""}
            ]
        detail = f"this is no event of {stream}: it was quarantined; send it again as expected"
        return Problem(status, detail, errors, members)
