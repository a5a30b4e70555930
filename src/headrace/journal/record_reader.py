"""Records as they are hashed, back into the columns that they were written from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from headrace.core.columns import Batch, Column, Fixed, Kind, Text
from headrace.core.errors import JournalError
from headrace.journal.batch import (
    DECISION_TYPES,
    INPUT_TYPES,
    Decisions,
    Inputs,
    JournalBatch,
    Quarantined,
)
from headrace.journal.record_kernels import PARTS, read_records, survey_records
from headrace.journal.record_tables import RecordTables

if TYPE_CHECKING:
    from headrace.core.columns import Bytes, Int64s
    from headrace.events.schema import Schema
    from headrace.journal.header import JournalHeader


def batch_of_records(
    content: Bytes, header: JournalHeader, first_seq: int, count: int, reasons: int
) -> JournalBatch:
    """The batch of these records, but for what no record holds (when inputs were read, and so on).

    Args:
        content: Canonical bytes of records, one after the other, uint8.
        header: The header that they were written under.
        first_seq: Sequence number of the first.
        count: How many.
        reasons: The most of a decision.

    Raises:
        JournalError: They are not such records.
    """
    room = _Room(content, header, first_seq, count, reasons)
    batch, control_seq, controls = room.batch, room.control_seq, room.controls
    tables = RecordTables(batch, header, control_seq, controls)
    read_records(content, count, tables.inputs, tables.streams, tables.fields, tables.decisions)
    for text in room.texts:
        _check_text(text)
    told = controls.strings()
    return replace(
        batch,
        controls=[
            (seq, (record or "").encode())
            for seq, record in zip(control_seq.tolist(), told, strict=True)
        ],
    )


class _Room:
    """Columns with room for what records hold, to be read into.

    Attributes:
        batch: The columns, all but those of control records.
        control_seq: Sequence number of each control record.
        controls: What is recorded of each.
        texts: All columns of text.
    """

    def __init__(
        self, content: Bytes, header: JournalHeader, first_seq: int, count: int, reasons: int
    ) -> None:
        layout = header.layout
        rows = np.zeros(PARTS, dtype=np.int64)
        texts = np.zeros(len(layout.fields), dtype=np.int64)
        if not survey_records(
            content, first_seq, count, layout.streams, layout.fields,
            len(header.features), reasons, rows, texts,
        ):  # fmt: skip
            raise JournalError(
                f"{len(content)} bytes are not the records of inputs {first_seq} to"
                f" {first_seq + count - 1}"
            )
        self.texts: list[Text] = []
        self._sizes = iter(texts.tolist())
        events = {
            stream.name: self._events(stream.schema, at)
            for stream, at in zip(header.streams, rows.tolist(), strict=False)
        }
        decided, refused, controlled = rows[256:].tolist()
        quarantined = Quarantined(
            field=self._text(refused),
            value=self._text(refused),
            expected=self._text(refused),
            vault=self._text(refused),
            length=self._fixed(refused).values,
            seq=np.zeros(refused, dtype=np.int64),
        )
        self.control_seq: Int64s = np.zeros(controlled, dtype=np.int64)
        self.controls = self._text(controlled)
        self.batch = JournalBatch(
            first_seq,
            Inputs(**{name: np.zeros(count, dtype) for name, dtype in INPUT_TYPES.items()}),
            {name: batch for name, batch in events.items() if len(batch)},
            Decisions(
                features=np.zeros((len(header.features), decided)),
                reason_feature=np.full((reasons, decided), -1, dtype=np.int16),
                reason_contribution=np.zeros((reasons, decided)),
                **{name: np.zeros(decided, dtype) for name, dtype in DECISION_TYPES.items()},
            ),
            quarantined,
        )

    def _events(self, schema: Schema, rows: int) -> Batch:
        columns: dict[str, Column] = {
            field.name: self._text(rows) if field.kind is Kind.TEXT else self._fixed(rows)
            for field in schema.fields
        }
        return Batch(columns, rows)

    def _fixed(self, rows: int) -> Fixed:
        """The next column, of fixed width."""
        next(self._sizes)
        return Fixed(np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.uint8))

    def _text(self, rows: int) -> Text:
        """The next column, of text."""
        data = np.zeros(next(self._sizes), dtype=np.uint8)
        text = Text(np.zeros(rows + 1, dtype=np.int32), data, np.zeros(rows, dtype=np.uint8))
        self.texts.append(text)
        return text


def _check_text(text: Text) -> None:
    """Every row is whole UTF-8.

    Raises:
        JournalError: One is not.
    """
    try:
        text.data.tobytes().decode()
    except UnicodeDecodeError as error:
        raise JournalError(f"a text of a record is not UTF-8: {error}") from error
    starts = text.data[text.offsets[:-1][text.offsets[:-1] < len(text.data)]]
    if ((starts & 0xC0) == 0x80).any():
        raise JournalError("a text of a record begins within a letter")
