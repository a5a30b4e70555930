"""Answers to whatever comes in: a line of JSON for each input, as soon as it is durable.

A decision is answered as `headrace.adapters.answers` says. What was not decided is answered too, in
its place, so that whoever wrote line `n` reads in line `n` what became of it:

    {"duplicate_of": "lane/7"}                     it came before: this is its decision
    {"quarantined": "lane/8", "reason": "missing", "field": "card"}
    {"accepted": "lane/9"}                         an event of another stream than the decided one
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from headrace.adapters.answers import answer_lines
from headrace.journal.batch import InputKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader

_PIPE_BYTES = 1024 * 1024


class AnswerStream:
    """A sink that cannot be looked into: it gets what is decided from now on, and that alone.

    What an earlier run decided, and perhaps could not write any more, is in the journal. A reader
    that falls behind holds up the run; one that has gone ends it.

    Args:
        descriptor: Of a pipe, a terminal or a file; it stays open.
        header: What the batches to come are recorded under.
    """

    def __init__(self, descriptor: int, header: JournalHeader) -> None:
        self._descriptor = descriptor
        self._header = header
        # Linux alone has larger pipes; a small one works too, only with more calls
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def write(self, batches: Sequence[JournalBatch]) -> None:
        """Take decided batches, in order.

        Raises:
            BrokenPipeError: Whoever read has gone; the journal has the decisions all the same.
        """
        text = memoryview(b"".join([all_answers(batch, self._header) for batch in batches]))
        while text:
            text = text[os.write(self._descriptor, text) :]

    def close(self) -> None:
        """Nothing more will come; the descriptor is its owner's."""


def all_answers(batch: JournalBatch, header: JournalHeader) -> bytes:
    """A line of JSON for every input of a batch, in known order; control records have none."""
    lines = answer_lines(batch, header)
    decided = batch.decisions.seq - batch.first_seq
    if len(decided) == len(batch):
        return lines
    ends = np.flatnonzero(np.frombuffer(lines, dtype=np.uint8) == ord("\n")) + 1
    begins = np.concatenate([np.zeros(1, np.int64), ends])
    others = np.setdiff1d(np.arange(len(batch)), decided, assume_unique=True)
    # of each other input, where the lines of the decisions before it end
    places = begins[np.searchsorted(decided, others)]
    parts: list[bytes] = []
    at = 0
    told = zip(places.tolist(), _other_answers(batch, header, others.tolist()), strict=True)
    for place, answer in told:
        parts += [lines[at:place], answer]
        at = place
    parts.append(lines[at:])
    return b"".join(parts)


def _other_answers(
    batch: JournalBatch, header: JournalHeader, rows: Sequence[int]
) -> Iterator[bytes]:
    """What is answered to inputs that were not decided."""
    inputs, lane = batch.inputs, header.lane
    fields = dict(
        zip(batch.quarantined.seq.tolist(), batch.quarantined.field.strings(), strict=True)
    )
    for row in rows:
        kind = inputs.kind[row]
        seq = batch.first_seq + row
        if kind == InputKind.CONTROL:
            yield b""
            continue
        if kind == InputKind.DUPLICATE:
            said = {"duplicate_of": f"{lane}/{inputs.original_seq[row]}"}
        elif kind == InputKind.QUARANTINED:
            reason = header.reasons[int(inputs.reason[row])]
            said = {"quarantined": f"{lane}/{seq}", "reason": reason}
            field = fields.get(seq)
            said |= {"field": field} if field else {}
        else:
            said = {"accepted": f"{lane}/{seq}"}
        yield msgspec.json.encode(said) + b"\n"
