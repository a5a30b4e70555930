"""Canonical bytes of records and their digests: what two runs are compared by.

The layout is specified in docs/reference/journal-format.md. A record's canonical bytes are its
decision part; its digest is their SHA-256; its leaf binds the digest and the measured part.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.address import address_of
from headrace.core.columns import Fixed, Kind, Text
from headrace.core.errors import invariant
from headrace.core.sha256 import digest_rows
from headrace.journal.batch import DECISION_TYPES, INPUT_TYPES
from headrace.journal.canonical_kernels import DECISION_BYTES, FIXED_BYTES, write_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.core.columns import Bytes, Column, Int64s
    from headrace.journal.batch import Decisions, JournalBatch
    from headrace.journal.header import JournalHeader

#: Records are written and hashed in chunks that stay in the second-level cache.
_CHUNK_BYTES = 1 << 18
_CHUNK_RECORDS = 1024
#: Up to so many texts, their bytes together bound the longest closely enough.
_FEW = 64


class _Scratch(threading.local):
    """A chunk's buffer for each thread: fresh memory costs more than what is written to it."""

    def __init__(self) -> None:
        self.data = np.empty(_CHUNK_BYTES, dtype=np.uint8)
        self.offsets = np.empty(_CHUNK_RECORDS + 1, dtype=np.int64)


_SCRATCH = _Scratch()


class RecordWriter:
    """The columns of one batch as tables of addresses, from which records are written.

    Args:
        batch: What is journaled, or was read back.
        header: Whose schemas its events are in.
    """

    def __init__(self, batch: JournalBatch, header: JournalHeader) -> None:
        self._alive: list[object] = []
        self._bound = FIXED_BYTES + 1 + 4 * 4 + DECISION_BYTES
        self._bound += 8 * len(batch.decisions.features) + 10 * len(batch.decisions.reason_feature)
        self._batch = batch
        told = batch.quarantined
        control_seq = np.array([seq for seq, _ in batch.controls], dtype=np.int64)
        self._seqs = (batch.decisions.seq, told.seq, control_seq)
        columns = [getattr(batch.inputs, name) for name in INPUT_TYPES if name != "read_ns"]
        self._inputs = np.array(
            [self._address(column) for column in (*columns, told.seq, control_seq)], dtype=np.int64
        )
        self._fields, self._streams = self._field_tables(header)
        self._decisions = self._decision_addresses(batch.decisions)
        self._sizes = np.array(
            [
                len(batch.decisions),
                len(told),
                len(control_seq),
                len(batch.decisions.features),
                len(batch.decisions.reason_feature),
            ],
            dtype=np.int64,
        )

    def _address(self, column: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> int:
        """Where a column's bytes are; the column is kept as long as this object is."""
        contiguous = np.ascontiguousarray(column)
        self._alive.append(contiguous)
        return address_of(contiguous)

    def _field(self, kind: Kind, column: Column) -> tuple[int, int, int, int]:
        valid = self._address(column.valid)
        if isinstance(column, Fixed):
            self._bound += 1 + 8
            return kind, self._address(column.values), 0, valid
        self._bound += 1 + 4 + _longest(column)
        return kind, self._address(column.offsets), self._address(column.data), valid

    def _field_tables(self, header: JournalHeader) -> tuple[Int64s, Int64s]:
        """Every field of every stream, and where each stream's begin; none of what has no rows."""
        fields: list[tuple[int, int, int, int]] = []
        starts = np.zeros(260, dtype=np.int64)
        for rank, stream in enumerate(header.streams):
            starts[rank] = len(fields)
            events = self._batch.events.get(stream.name)
            for field in stream.schema.fields if events is not None else ():
                column = events.columns[field.name]  # type: ignore[union-attr]  # looked at in the line above
                invariant(
                    isinstance(column, Text) == (field.kind is Kind.TEXT),
                    f"{field.name} is {field.kind.name}",
                )
                fields.append(self._field(field.kind, column))
        starts[len(header.streams) : 258] = len(fields)
        told = self._batch.quarantined
        if len(told):
            texts = (told.field, told.value, told.expected, told.vault)
            fields += [self._field(Kind.TEXT, text) for text in texts]
            length = Fixed(told.length, np.ones(len(told), dtype=np.uint8))
            fields.append(self._field(Kind.INT, length))
        starts[258] = len(fields)
        if self._batch.controls:
            records = Text.of([record.decode() for _, record in self._batch.controls])
            fields.append(self._field(Kind.TEXT, records))
        starts[259] = len(fields)
        return np.array(fields, dtype=np.int64).reshape(-1), starts

    def _rows(self, matrix: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Int64s:
        """Where each row of a matrix is."""
        contiguous = np.ascontiguousarray(matrix)
        return self._address(contiguous) + contiguous.strides[0] * np.arange(len(contiguous))

    def _decision_addresses(self, decisions: Decisions) -> Int64s:
        columns = [self._address(getattr(decisions, name)) for name in DECISION_TYPES]
        reasons = [self._rows(decisions.reason_feature), self._rows(decisions.reason_contribution)]
        return np.concatenate(
            [columns, self._rows(decisions.features), np.stack(reasons, axis=1).reshape(-1)]
        ).astype(np.int64)

    def chunks(self, first: int, last: int) -> Iterator[tuple[Bytes, Int64s]]:
        """The canonical bytes of inputs `first` to `last`: buffers and offsets, chunk by chunk.

        A buffer is used again for the next chunk.
        """
        seq = self._batch.first_seq + first
        rows = np.array([np.searchsorted(seqs, seq) for seqs in self._seqs], dtype=np.int64)
        out, offsets = _SCRATCH.data, _SCRATCH.offsets
        if self._bound > len(out):
            out = np.empty(2 * self._bound, dtype=np.uint8)
        while first < last:
            end = min(first + _CHUNK_RECORDS, last)
            reached = write_records(
                self._inputs, self._streams, self._fields, self._decisions, self._sizes, rows,
                first, end, self._batch.first_seq, self._bound, out, offsets,
            )  # fmt: skip
            yield out, offsets[: reached - first + 1]
            first = reached

    def digests(self) -> Bytes:
        """SHA-256 of the canonical bytes of every input, uint8 [n, 32]."""
        count = len(self._batch)
        digests = np.empty((count, 32), dtype=np.uint8)
        done = 0
        for data, offsets in self.chunks(0, count):
            size = len(offsets) - 1
            digest_rows(data, offsets, digests[done : done + size])
            done += size
        return digests

    def record(self, seq: int) -> bytes:
        """The canonical bytes of the input with that sequence number."""
        index = seq - self._batch.first_seq
        invariant(0 <= index < len(self._batch), f"input {seq} is in the batch")
        data, offsets = next(self.chunks(index, index + 1))
        return data[: offsets[1]].tobytes()


def _longest(text: Text) -> int:
    """No row of a column has more bytes."""
    if len(text) <= _FEW:
        return int(text.offsets[-1] - text.offsets[0])
    return int(np.diff(text.offsets).max())


def records(batch: JournalBatch, header: JournalHeader) -> Sequence[bytes]:
    """The canonical bytes of every input of a batch; for comparing runs, not for the hot path."""
    return [
        data[offsets[i] : offsets[i + 1]].tobytes()
        for data, offsets in RecordWriter(batch, header).chunks(0, len(batch))
        for i in range(len(offsets) - 1)
    ]
