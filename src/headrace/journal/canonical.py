"""Canonical bytes of records and their digests: what two runs are compared by.

The layout is specified in docs/reference/journal-format.md. A record's canonical bytes are its
decision part; its digest is their SHA-256; its leaf binds the digest and the measured part.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import Text
from headrace.core.errors import InvariantBroken, invariant
from headrace.core.sha256 import digest_rows
from headrace.journal.batch import InputKind
from headrace.journal.canonical_kernels import MISFITS, first_misfit, write_records
from headrace.journal.record_tables import RecordTables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.core.columns import Bytes, Int64s
    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader

#: Records are written and hashed in chunks that stay in the second-level cache.
_CHUNK_BYTES = 1 << 18
_CHUNK_RECORDS = 1024
_NO_CONTROLS = Text.of([])


class _Scratch(threading.local):
    """A chunk's buffer for each thread: fresh memory costs more than what is written to it."""

    def __init__(self) -> None:
        self.data = np.empty(_CHUNK_BYTES, dtype=np.uint8)
        self.offsets = np.empty(_CHUNK_RECORDS + 1, dtype=np.int64)


_SCRATCH = _Scratch()


class RecordWriter:
    """Writes the records of one batch, once its parts are known to fit each other and the header.

    Args:
        batch: What is journaled, or was read back.
        header: Whose schemas its events are in.

    Raises:
        InvariantBroken: The parts do not fit; the batch is not journaled.
    """

    def __init__(self, batch: JournalBatch, header: JournalHeader) -> None:
        self._batch = batch
        self._control_seq = np.array([seq for seq, _ in batch.controls], dtype=np.int64)
        controls = _NO_CONTROLS
        if batch.controls:
            controls = Text.of([record.decode() for _, record in batch.controls])
        self._tables = tables = RecordTables(batch, header, self._control_seq, controls)
        misfit = first_misfit(
            tables.inputs, tables.decisions, tables.sizes,
            InputKind.CONTROL.value, batch.first_seq, batch.next_seq,
        )  # fmt: skip
        if misfit:
            raise InvariantBroken(
                f"inputs {batch.first_seq} to {batch.next_seq - 1}: {MISFITS[misfit]}"
            )

    def chunks(self, first: int, last: int) -> Iterator[tuple[Bytes, Int64s]]:
        """The canonical bytes of inputs `first` to `last`: buffers and offsets, chunk by chunk.

        A buffer is used again for the next chunk.
        """
        rows = np.zeros(3, dtype=np.int64)
        if first:
            seq = self._batch.first_seq + first
            seqs = (self._batch.decisions.seq, self._batch.quarantined.seq, self._control_seq)
            rows[:] = [np.searchsorted(item, seq) for item in seqs]
        tables = self._tables
        out, offsets = _SCRATCH.data, _SCRATCH.offsets
        if tables.bound > len(out):
            out = np.empty(2 * tables.bound, dtype=np.uint8)
        while first < last:
            end = min(first + _CHUNK_RECORDS, last)
            reached = write_records(
                tables.inputs, tables.streams, tables.fields, tables.decisions, tables.sizes, rows,
                first, end, self._batch.first_seq, tables.bound, out, offsets,
            )  # fmt: skip
            yield out, offsets[: reached - first + 1]
            first = reached

    def digests(self, content: list[bytes] | None = None) -> Bytes:
        """SHA-256 of the canonical bytes of every input, uint8 [n, 32].

        Args:
            content: Where the canonical bytes go, a piece for each chunk; dropped unless given.
        """
        count = len(self._batch)
        digests = np.empty((count, 32), dtype=np.uint8)
        done = 0
        for data, offsets in self.chunks(0, count):
            size = len(offsets) - 1
            digest_rows(data, offsets, digests[done : done + size])
            done += size
            if content is not None:
                content.append(data[: offsets[-1]].tobytes())
        return digests

    def record(self, seq: int) -> bytes:
        """The canonical bytes of the input with that sequence number."""
        index = seq - self._batch.first_seq
        invariant(0 <= index < len(self._batch), f"input {seq} is in the batch")
        data, offsets = next(self.chunks(index, index + 1))
        return data[: offsets[1]].tobytes()


def records(batch: JournalBatch, header: JournalHeader) -> Sequence[bytes]:
    """The canonical bytes of every input of a batch; for comparing runs, not for the hot path."""
    return [
        data[offsets[i] : offsets[i + 1]].tobytes()
        for data, offsets in RecordWriter(batch, header).chunks(0, len(batch))
        for i in range(len(offsets) - 1)
    ]
