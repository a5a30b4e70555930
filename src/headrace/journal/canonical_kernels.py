"""The kernel that writes the canonical bytes of records, for any schema.

Columns reach it as tables of addresses, so one compiled kernel serves every use case. The layout
is the specification's (docs/reference/journal-format.md); integers are little-endian.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.compiled import (
    allocating_inner_kernel,
    as_bits,
    inner_kernel,
    kernel,
    load_f64,
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

if TYPE_CHECKING:
    from headrace.core.columns import Bytes, Int64s

TEXT = 9
#: `HRR1`
MAGIC = 0x31525248
_NAN = np.int64(0x7FF8000000000000)

#: Columns of the table of inputs; the last two are the sequence numbers of what was quarantined,
#: and of control records.
STREAM, KIND, ROW, SOURCE, POSITION, RECEIVED, REASON, ORIGINAL, QUARANTINED, CONTROL = range(10)

#: Columns of the table of decisions: an address for each column and each matrix, then for each
#: matrix the bytes from one row of it to the next.
(
    D_SEQ, D_MARGIN, D_SCORE, D_RULES, D_RULE, D_OUTCOME, D_ARM, D_MARKS,
    D_FEATURES, D_REASONS, D_CONTRIBUTIONS,
    D_FEATURES_STEP, D_REASONS_STEP, D_CONTRIBUTIONS_STEP,
) = range(14)  # fmt: skip

#: Columns of the table of sizes: rows of decisions, of what was quarantined, of controls; rows of
#: the matrices of features and of reasons; then the rows of each stream.
S_DECISIONS, S_QUARANTINED, S_CONTROLS, S_FEATURES, S_REASONS, S_STREAMS = range(6)

#: Rows of a table of fields: what kind, where its 64-bit values or 32-bit offsets are, where its
#: text is, where its validity is.
F_KIND, F_VALUES, F_DATA, F_VALID = range(4)

#: What `first_misfit` finds, by number.
MISFITS = (
    "",
    "every typed input names a stream of the header",
    "the inputs of a stream name its rows, each once and in order",
    "every control input has its record",
    "decisions ascend within the batch",
    "quarantined inputs ascend within the batch",
    "reasons come first and -1 after them",
)

#: Bytes before the sections of a record, and of a decision without features and reasons.
FIXED_BYTES = 42
DECISION_BYTES = 32


@inner_kernel
def _write_fields(fields: Int64s, first: int, last: int, row: int, out: int) -> int:
    """Write the fields `first` to `last` of a row at `out`; returns where they end."""
    for field in range(first, last):
        kind = fields[field, F_KIND]
        if load_u8(fields[field, F_VALID] + row) == 0:
            store_u8(out, 0)
            out += 1
            continue
        store_u8(out, kind)
        if kind == TEXT:
            offsets = fields[field, F_VALUES] + 4 * row
            start = int(load_i32(offsets))
            length = int(load_i32(offsets + 4)) - start
            store_i32(out + 1, length)
            copy_bytes(out + 5, fields[field, F_DATA] + start, length)
            out += 5 + length
        else:
            store_i64(out + 1, load_i64(fields[field, F_VALUES] + 8 * row))
            out += 9
    return out


@inner_kernel
def _float_word(address: int) -> int:
    """The bits of a float, with the one canonical NaN."""
    value = load_f64(address)
    return int(as_bits(value)) if value == value else int(_NAN)  # noqa: PLR0124 - only NaN differs from itself


@inner_kernel
def _is_told(reason: int) -> bool:
    """Whether there is a feature at an address, and not -1."""
    return bool(load_u8(reason + 1) < 0x80)


@inner_kernel
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
    value = columns[D_FEATURES] + 8 * row
    for _ in range(features):
        store_i64(out, _float_word(value))
        value += columns[D_FEATURES_STEP]
        out += 8
    count = out
    out += 1
    told = 0
    reason = columns[D_REASONS] + 2 * row
    added = columns[D_CONTRIBUTIONS] + 8 * row
    for _ in range(reasons):
        if not _is_told(reason):
            break
        store_u16(out, load_u16(reason))
        store_i64(out + 2, _float_word(added))
        reason += columns[D_REASONS_STEP]
        added += columns[D_CONTRIBUTIONS_STEP]
        out += 10
        told += 1
    store_u8(count, told)
    return out


@inner_kernel
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
    store_i32(out, MAGIC)
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
            end = _write_decision(decisions, sizes[S_FEATURES], sizes[S_REASONS], at, out + 4)
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
        inputs: Addresses of the columns `STREAM` to `CONTROL`.
        streams: For each rank, the first of its fields in `fields`; at 257 and 258 those of the
            quarantined and of the controls, with the end after them.
        fields: For each field `F_KIND`, `F_VALUES`, `F_DATA`, `F_VALID`.
        decisions: Addresses of the decision columns.
        sizes: `S_DECISIONS` to `S_REASONS`.
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


@inner_kernel
def _ascend(seqs: int, size: int, first: int, last: int) -> bool:
    """Whether the sequence numbers at an address ascend within `first` to `last`."""
    before = first - 1
    for row in range(size):
        seq = load_i64(seqs + 8 * row)
        if seq <= before or seq >= last:
            return False
        before = seq
    return True


@inner_kernel
def _reasons_lead(decisions: Int64s, count: int, reasons: int) -> bool:
    """Whether no reason follows one that is not told."""
    for row in range(count):
        told = True
        for reason in range(reasons):
            there = _is_told(decisions[D_REASONS] + reason * decisions[D_REASONS_STEP] + 2 * row)
            if there and not told:
                return False
            told = there
    return True


@allocating_inner_kernel
def _rows_misfit(inputs: Int64s, sizes: Int64s, count: int) -> int:
    """Of `first_misfit`, what can be wrong with inputs and the events that they name."""
    streams = len(sizes) - S_STREAMS
    seen = np.zeros(streams, np.int64)
    for row in range(count):
        event = int(load_i32(inputs[ROW] + 4 * row))
        if event < 0:
            continue
        rank = int(load_u8(inputs[STREAM] + row))
        if rank >= streams:
            return 1
        if event != seen[rank]:
            return 2
        seen[rank] += 1
    for rank in range(streams):
        if seen[rank] != sizes[S_STREAMS + rank]:
            return 2
    return 0


@inner_kernel
def _controls_fit(inputs: Int64s, count: int, control: int, first: int, last: int) -> bool:
    """Whether the inputs that are control records are those that something is recorded of."""
    told = 0
    for row in range(last - first):
        if load_u8(inputs[KIND] + row) != control:
            continue
        if told >= count or load_i64(inputs[CONTROL] + 8 * told) != first + row:
            return False
        told += 1
    return bool(told == count)


@kernel
def first_misfit(
    inputs: Int64s, decisions: Int64s, sizes: Int64s, control: int, first: int, last: int
) -> int:
    """The first of `MISFITS` that holds of a batch of inputs `first` to `last`; 0 if none does.

    Args:
        inputs: As `write_records` has it.
        decisions: Likewise.
        sizes: With the rows of every stream.
        control: The kind of control records.
        first: Sequence number of the first input.
        last: That after the last.
    """
    found = _rows_misfit(inputs, sizes, last - first)
    if found:
        return found
    if not _controls_fit(inputs, sizes[S_CONTROLS], control, first, last):
        return 3
    if not _ascend(decisions[D_SEQ], sizes[S_DECISIONS], first, last):
        return 4
    if not _ascend(inputs[QUARANTINED], sizes[S_QUARANTINED], first, last):
        return 5
    return 0 if _reasons_lead(decisions, sizes[S_DECISIONS], sizes[S_REASONS]) else 6
