"""The kernel that writes the canonical bytes of records, for any schema.

Columns reach it as tables of addresses, so one compiled kernel serves every use case. The layout
is the specification's (docs/reference/journal-format.md); integers are little-endian.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.compiled import as_bits, kernel, load_f64, load_i32, load_i64, load_u8
from headrace.core.memory import (
    copy_bytes,
    load_u16,
    store_i16,
    store_i32,
    store_i64,
    store_u8,
    store_u16,
)

if TYPE_CHECKING:
    from headrace.core.columns import Bytes, Int64s

TEXT = 9
_NAN = np.int64(0x7FF8000000000000)

#: Columns of the table of inputs.
STREAM, KIND, ROW, SOURCE, POSITION, RECEIVED, REASON, ORIGINAL = range(8)

#: Columns of the table of decisions; from `FEATURES` on one address for each feature, then the
#: reasons' features and contributions in turn.
D_SEQ, D_MARGIN, D_SCORE, D_RULES, D_RULE, D_OUTCOME, D_ARM, D_MARKS, D_FEATURES = range(9)

#: Rows of a table of fields: what kind, where its 64-bit values or 32-bit offsets are, where its
#: text is, where its validity is.
F_KIND, F_VALUES, F_DATA, F_VALID = range(4)

#: Bytes before the sections of a record, and of a decision without features and reasons.
FIXED_BYTES = 42
DECISION_BYTES = 32


@kernel
def _write_fields(fields: Int64s, first: int, last: int, row: int, out: int) -> int:
    """Write the fields `first` to `last` of a row at `out`; returns where they end."""
    for field in range(first, last):
        kind = fields[4 * field]
        if load_u8(fields[4 * field + 3] + row) == 0:
            store_u8(out, 0)
            out += 1
            continue
        store_u8(out, kind)
        if kind == TEXT:
            offsets = fields[4 * field + 1] + 4 * row
            start = int(load_i32(offsets))
            length = int(load_i32(offsets + 4)) - start
            store_i32(out + 1, length)
            copy_bytes(out + 5, fields[4 * field + 2] + start, length)
            out += 5 + length
        else:
            store_i64(out + 1, load_i64(fields[4 * field + 1] + 8 * row))
            out += 9
    return out


@kernel
def _float_word(address: int) -> int:
    """The bits of a float, with the one canonical NaN."""
    value = load_f64(address)
    return int(as_bits(value)) if value == value else int(_NAN)  # noqa: PLR0124 - only NaN differs from itself


@kernel
def _write_decision(columns: Int64s, features: int, reasons: int, row: int, out: int) -> int:
    """Write one decision at `out`; returns where it ends."""
    store_i64(out, _float_word(columns[D_MARGIN] + 8 * row))
    store_i64(out + 8, _float_word(columns[D_SCORE] + 8 * row))
    store_i64(out + 16, load_i64(columns[D_RULES] + 8 * row))
    store_u16(out + 24, load_u16(columns[D_RULE] + 2 * row))
    store_u8(out + 26, load_u8(columns[D_OUTCOME] + row))
    store_u8(out + 27, load_u8(columns[D_ARM] + row))
    store_u8(out + 28, load_u8(columns[D_MARKS] + row))
    store_i16(out + 29, features)
    out += 31
    for feature in range(features):
        store_i64(out, _float_word(columns[D_FEATURES + feature] + 8 * row))
        out += 8
    count = out
    out += 1
    told = 0
    for reason in range(reasons):
        pair = D_FEATURES + features + 2 * reason
        high = load_u8(columns[pair] + 2 * row + 1)
        if high >= 0x80:
            break
        store_u16(out, load_u16(columns[pair] + 2 * row))
        store_i64(out + 2, _float_word(columns[pair + 1] + 8 * row))
        out += 10
        told += 1
    store_u8(count, told)
    return out


@kernel
def _record_at(
    inputs: Int64s,
    streams: Int64s,
    fields: Int64s,
    decisions: Int64s,
    sizes: Int64s,
    rows: Int64s,
    row: int,
    seq: int,
    out: int,
) -> int:
    """Write the record of input `row` at `out`; returns where it ends. See `write_records`."""
    store_i32(out, 0x31525248)
    store_i64(out + 4, seq)
    store_u8(out + 12, load_u8(inputs[STREAM] + row))
    store_u8(out + 13, load_u8(inputs[KIND] + row))
    store_u16(out + 14, load_u16(inputs[SOURCE] + 2 * row))
    store_i64(out + 16, load_i64(inputs[POSITION] + 8 * row))
    store_i64(out + 24, load_i64(inputs[RECEIVED] + 8 * row))
    store_u16(out + 32, load_u16(inputs[REASON] + 2 * row))
    store_i64(out + 34, load_i64(inputs[ORIGINAL] + 8 * row))
    flags = out + FIXED_BYTES
    out = flags + 1
    present = 0
    event = int(load_i32(inputs[ROW] + 4 * row))
    for part in range(4):
        # event, decision, quarantine, control: tables of fields but for the decision
        table, at, end = 0, event, 0
        if part == 0:
            if event < 0:
                continue
            table = int(load_u8(inputs[STREAM] + row))
        else:
            seqs = decisions[D_SEQ] if part == 1 else inputs[ORIGINAL + part - 1]
            at = rows[part - 1]
            if at >= sizes[part - 1] or load_i64(seqs + 8 * at) != seq:
                continue
            rows[part - 1] += 1
            table = 255 + part
        if part == 1:
            end = _write_decision(decisions, sizes[3], sizes[4], at, out + 4)
        else:
            end = _write_fields(fields, streams[table], streams[table + 1], at, out + 4)
        store_i32(out, end - out - 4)
        out = end
        present |= 1 << part
    store_u8(flags, present)
    return out


@kernel
def write_records(
    inputs: Int64s,
    streams: Int64s,
    fields: Int64s,
    decisions: Int64s,
    sizes: Int64s,
    rows: Int64s,
    first: int,
    last: int,
    first_seq: int,
    bound: int,
    out: Bytes,
    offsets: Int64s,
) -> int:
    """Write the canonical bytes of inputs `first` to `last`, as many as fit in `out`.

    Args:
        inputs: Addresses of the input columns (`STREAM` to `ORIGINAL`), then of the sequence
            numbers of the quarantined and of the controls.
        streams: For each rank, the first of its fields in `fields`; at 257 and 258 those of the
            quarantined and of the controls, with the end after them.
        fields: For each field `F_KIND`, `F_VALUES`, `F_DATA`, `F_VALID`.
        decisions: Addresses of the decision columns.
        sizes: How many decisions, quarantined, controls, features, reasons.
        rows: The next row of decisions, quarantined and controls; moved on.
        first: Index of the first input.
        last: Index after the last.
        first_seq: Sequence number of input 0.
        bound: No record is longer.
        out: The buffer.
        offsets: Where each record starts in `out`, and where the last ends.

    Returns:
        The index after the last record that was written; `first` if not even one fits.
    """
    at = 0
    offsets[0] = 0
    for row in range(first, last):
        if at + bound > len(out):
            return row
        start = out.ctypes.data + at
        at += (
            _record_at(inputs, streams, fields, decisions, sizes, rows, row, first_seq + row, start)
            - start
        )
        offsets[row - first + 1] = at
    return last
