"""The kernels that read the canonical bytes of records back into columns, for any schema.

They are the inverse of `canonical_kernels`, with the same tables of addresses. Bytes are surveyed
first: what has been surveyed is read without looking at its bounds again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.compiled import (
    allocating_kernel,
    inner_kernel,
    kernel,
    load_i32,
    load_i64,
    load_u8,
)
from headrace.core.memory import (
    copy_bytes,
    load_u16,
    store_i16,
    store_i32,
    store_i64,
    store_u8,
    store_u16,
)
from headrace.journal.canonical_kernels import (
    D_ARM,
    D_CONTRIBUTIONS,
    D_CONTRIBUTIONS_STEP,
    D_FEATURES,
    D_FEATURES_STEP,
    D_MARGIN,
    D_MARKS,
    D_OUTCOME,
    D_REASONS,
    D_REASONS_STEP,
    D_RULE,
    D_RULES,
    D_SCORE,
    D_SEQ,
    F_DATA,
    F_KIND,
    F_VALID,
    F_VALUES,
    FIXED_BYTES,
    KIND,
    MAGIC,
    ORIGINAL,
    POSITION,
    REASON,
    RECEIVED,
    ROW,
    SOURCE,
    STREAM,
    TEXT,
)

if TYPE_CHECKING:
    from headrace.core.columns import Bytes, Int64s

#: Rows of the tables of parts: streams by rank up to this, then those of `write_records`.
PARTS = 259


@inner_kernel
def _survey_fields(at: int, end: int, fields: Int64s, first: int, last: int, texts: Int64s) -> int:
    """Where the fields `first` to `last` at an address end; -1 if they are no such fields."""
    for field in range(first, last):
        if at >= end:
            return -1
        tag = load_u8(at)
        at += 1
        if tag == 0:
            continue
        if tag != fields[field, F_KIND]:
            return -1
        size = 8
        if tag == TEXT:
            if end - at < 4 or load_i32(at) < 0:
                return -1
            size = 4 + int(load_i32(at))
            texts[field] += size - 4
        if size > end - at:
            return -1
        at += size
    return at


@inner_kernel
def _survey_decision(at: int, end: int, features: int, reasons: int) -> int:
    """Where a decision at an address ends; -1 if it is none."""
    reasons_at = at + 31 + 8 * features
    if reasons_at >= end or load_u16(at + 29) != features or load_u8(reasons_at) > reasons:
        return -1
    return reasons_at + 1 + 10 * int(load_u8(reasons_at))


@kernel
def survey_records(
    data: Bytes,
    first_seq: int,
    count: int,
    streams: Int64s,
    fields: Int64s,
    features: int,
    reasons: int,
    rows: Int64s,
    texts: Int64s,
) -> bool:
    """Whether these bytes are `count` records from `first_seq` on, and what is in them.

    Args:
        data: Records one after the other.
        first_seq: Sequence number of the first.
        count: How many there should be.
        streams: As `write_records` has it.
        fields: Likewise; of it the kinds alone.
        features: Of every decision.
        reasons: The most of a decision.
        rows: How many rows of each part there are, int64 [PARTS]; added to.
        texts: How many bytes of text each field has; added to.
    """
    at = int(np.int64(data.ctypes.data))
    whole = at + len(data)
    for record in range(count):
        if whole - at <= FIXED_BYTES or load_i32(at) != MAGIC:
            return False
        rank, flags = int(load_u8(at + 12)), int(load_u8(at + FIXED_BYTES))
        if load_i64(at + 4) != first_seq + record or flags >> 4 != 0:
            return False
        at += FIXED_BYTES + 1
        for part in range(4):
            if (flags >> part) & 1 == 0:
                continue
            if whole - at < 4:
                return False
            size = int(load_i32(at))
            at += 4
            if size < 0 or size > whole - at:
                return False
            table = rank if part == 0 else 255 + part
            if part == 1:
                end = _survey_decision(at, at + size, features, reasons)
            else:
                first, last = streams[table], streams[table + 1]
                end = (
                    _survey_fields(at, at + size, fields, first, last, texts)
                    if first < last
                    else -1
                )
            if end != at + size:
                return False
            rows[table] += 1
            at = end
    return at == whole


@inner_kernel
def _read_fields(at: int, fields: Int64s, first: int, last: int, row: int) -> None:
    """Read the fields `first` to `last` at an address into a row of their columns."""
    for field in range(first, last):
        tag = load_u8(at)
        at += 1
        values = fields[field, F_VALUES]
        store_u8(fields[field, F_VALID] + row, tag != 0)
        if fields[field, F_KIND] == TEXT:
            start, length = int(load_i32(values + 4 * row)), 0
            if tag != 0:
                length = int(load_i32(at))
                copy_bytes(fields[field, F_DATA] + start, at + 4, length)
                at += 4 + length
            store_i32(values + 4 * row + 4, start + length)
        elif tag != 0:
            store_i64(values + 8 * row, load_i64(at))
            at += 8


@inner_kernel
def _read_decision(at: int, seq: int, columns: Int64s, row: int) -> None:
    """Read a decision at an address into a row of its columns."""
    store_i64(columns[D_SEQ] + 8 * row, seq)
    store_i64(columns[D_MARGIN] + 8 * row, load_i64(at))
    store_i64(columns[D_SCORE] + 8 * row, load_i64(at + 8))
    store_i64(columns[D_RULES] + 8 * row, load_i64(at + 16))
    store_u16(columns[D_RULE] + 2 * row, load_u16(at + 24))
    store_u8(columns[D_OUTCOME] + row, load_u8(at + 26))
    store_u8(columns[D_ARM] + row, load_u8(at + 27))
    store_u8(columns[D_MARKS] + row, load_u8(at + 28))
    features = int(load_u16(at + 29))
    at += 31
    for feature in range(features):
        store_i64(columns[D_FEATURES] + feature * columns[D_FEATURES_STEP] + 8 * row, load_i64(at))
        at += 8
    for reason in range(int(load_u8(at))):
        pair = at + 1 + 10 * reason
        store_i16(columns[D_REASONS] + reason * columns[D_REASONS_STEP] + 2 * row, load_u16(pair))
        store_i64(
            columns[D_CONTRIBUTIONS] + reason * columns[D_CONTRIBUTIONS_STEP] + 8 * row,
            load_i64(pair + 2),
        )


@allocating_kernel
def read_records(
    data: Bytes,
    count: int,
    inputs: Int64s,
    streams: Int64s,
    fields: Int64s,
    decisions: Int64s,
) -> None:
    """Read records that were surveyed into columns that have room for them.

    Args:
        data: Records one after the other.
        count: How many.
        inputs: As `write_records` has it, all but the sequence numbers of the controls in use.
        streams: Likewise.
        fields: Likewise.
        decisions: Likewise.
    """
    at = int(np.int64(data.ctypes.data))
    rows = np.zeros(PARTS, np.int64)
    for record in range(count):
        rank, flags = int(load_u8(at + 12)), int(load_u8(at + FIXED_BYTES))
        store_u8(inputs[STREAM] + record, rank)
        store_u8(inputs[KIND] + record, load_u8(at + 13))
        store_u16(inputs[SOURCE] + 2 * record, load_u16(at + 14))
        store_i64(inputs[POSITION] + 8 * record, load_i64(at + 16))
        store_i64(inputs[RECEIVED] + 8 * record, load_i64(at + 24))
        store_u16(inputs[REASON] + 2 * record, load_u16(at + 32))
        store_i64(inputs[ORIGINAL] + 8 * record, load_i64(at + 34))
        store_i32(inputs[ROW] + 4 * record, rows[rank] if flags & 1 else -1)
        seq = load_i64(at + 4)
        at += FIXED_BYTES + 1
        for part in range(4):
            if (flags >> part) & 1 == 0:
                continue
            table = rank if part == 0 else 255 + part
            if part == 1:
                _read_decision(at + 4, seq, decisions, rows[table])
            else:
                _read_fields(at + 4, fields, streams[table], streams[table + 1], rows[table])
            if part > 1:
                store_i64(inputs[ORIGINAL + part - 1] + 8 * rows[table], seq)
            rows[table] += 1
            at += 4 + int(load_i32(at))
