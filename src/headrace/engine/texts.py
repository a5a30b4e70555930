"""Texts that programs read, as codes: one dictionary for all streams and tables of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import Fixed, Kind, Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.columns import Batch, Bytes, Int64s
    from headrace.core.interning import TextTable
    from headrace.definitions.plan import Plan
    from headrace.engine.rows import StreamRows

#: Up to so many rows, texts are looked up first, as if none were new.
_FEW = 1_024


def texts_read(plan: Plan) -> dict[str, tuple[str, ...]]:
    """For each stream and table, the text fields whose codes programs read, in order."""
    wanted: dict[str, tuple[str, ...]] = {}
    features = {load[6:] for load in plan.program.loads if load.startswith("field:")}
    keys = {(book.stream, book.key) for book in plan.books}
    keys |= {(value.stream, value.asked_by) for value in plan.book_values}
    for stream in plan.streams:
        loads = set(stream.program.loads)
        loads |= features if stream.name == plan.on else set()
        wanted[stream.name] = tuple(
            field.name
            for field in stream.schema.fields
            if field.kind is Kind.TEXT
            and (field.name in loads or (stream.name, field.name) in keys)
        )
    for table in plan.tables:
        wanted[table.name] = tuple(
            field.name for field in table.schema.fields if field.kind is Kind.TEXT
        )
    return wanted


def intern_all(
    texts: TextTable,
    reads: Mapping[str, tuple[str, ...]],
    streams: Mapping[str, StreamRows],
    tables: Mapping[str, StreamRows],
) -> dict[tuple[str, str], Int64s]:
    """Codes of all texts that programs read; new texts are numbered in known order."""
    sources = [
        (name, field, given)
        for given_by in (streams, tables)
        for name, given in given_by.items()
        for field in reads[name]
        if given.batch.rows
    ]
    if len(sources) == 1:
        name, field, given = sources[0]
        return {(name, field): texts.intern(given.batch.text(field))}
    if not sources:
        return {}
    if sum(given.batch.rows for _, _, given in sources) <= _FEW:
        known = _all_known(texts, sources)
        if known is not None:
            return known
    columns = [given.batch.text(field) for _, field, given in sources]
    # ranks follow the plan, so that two fields of one event are numbered in its order
    ranks = {
        (name, field): (rank, place)
        for rank, (name, fields) in enumerate(reads.items())
        for place, field in enumerate(fields)
    }
    places = sorted(range(len(sources)), key=lambda s: ranks[sources[s][0], sources[s][1]])
    order = np.argsort(np.concatenate([sources[s][2].sequence for s in places]), kind="stable")
    merged = _joined([columns[s] for s in places]).take(order)
    found = np.empty(len(merged), dtype=np.int64)
    found[order] = texts.intern(merged)
    codes, first = {}, 0
    for s in places:
        name, field, given = sources[s]
        codes[name, field] = found[first : first + given.batch.rows]
        first += given.batch.rows
    return codes


def _all_known(
    texts: TextTable, sources: list[tuple[str, str, StreamRows]]
) -> dict[tuple[str, str], Int64s] | None:
    """The codes of all texts if none of them is new: then it does not matter which comes first."""
    codes = {}
    for name, field, given in sources:
        text = given.batch.text(field)
        found = codes[name, field] = texts.find(text)
        if len(found) and found.min() < 0 and bool(((found < 0) & (text.valid != 0)).any()):
            return None
    return codes


def words_of(
    batch: Batch, source: str, field: str, codes: Mapping[tuple[str, str], Int64s]
) -> tuple[Int64s, Bytes]:
    """A field as words and validity; a text as its codes."""
    column = batch.columns[field]
    if isinstance(column, Fixed):
        return column.values, column.valid
    return np.maximum(codes[source, field], 0), column.valid


def _joined(columns: list[Text]) -> Text:
    """Text columns one after the other."""
    lengths = np.concatenate([np.diff(column.offsets) for column in columns])
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    pieces = [column.data[column.offsets[0] : column.offsets[-1]] for column in columns]
    return Text(offsets, np.concatenate(pieces), np.concatenate([c.valid for c in columns]))
