"""Columns to lines of JSON.

Everything is done by the column: a value becomes its JSON text, a member its name and that text,
and the members of a row are joined. What is missing is left out of its object.

* Floats are the shortest text that reads back as the same double.
* Times are ISO 8601 in UTC (`Z`), to the second, millisecond, microsecond or nanosecond: the
  coarsest that says them in full.
* Text is UTF-8 as it is; only the quote, the backslash and control characters are escaped (RFC
  8259, section 7).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.core.errors import invariant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headrace.core.columns import Int64s

#: Rows whose lines are made at once; their bytes must fit the 32-bit offsets of Arrow's text.
_ROWS = 16_384

#: Whether a byte of UTF-8 must be escaped in a JSON string.
_IS_ESCAPED = np.array([byte < 32 or chr(byte) in '"\\' for byte in range(256)])

_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


@dataclass(frozen=True, slots=True)
class Rendered:
    """A column whose texts are JSON already, as `object_texts` gives them; null is missing."""

    texts: pa.Array


#: A column to be written: an Arrow array of text, integers, floats (NaN is missing), truth values,
#: times in UTC, or lists of text; or what is JSON already.
OutColumn: TypeAlias = pa.Array | Rendered


def out_column(column: pa.Array | pa.ChunkedArray) -> OutColumn:
    """A column as JSON is written of it: exact decimals as numbers, lists of reasons as objects."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_decimal(array.type):
        return Rendered(array.cast(pa.string()))
    if pa.types.is_list(array.type) and pa.types.is_struct(array.type.value_type):
        items = array.flatten()
        fields = [(item.name, items.field(item.name)) for item in items.type]
        offsets = pc.subtract(array.offsets, array.offsets[0])
        return list_texts(offsets, Rendered(object_texts(fields)))
    if pa.types.is_dictionary(array.type):
        return array.dictionary_decode()
    return array


def lines_of(columns: Sequence[tuple[str, OutColumn]]) -> bytes:
    r"""The rows of columns as lines of JSON, members in the order of the columns.

    >>> lines_of([("outcome", pa.array(["approve", "review"])), ("score", pa.array([0.25, None]))])
    b'{"outcome":"approve","score":0.25}\n{"outcome":"review"}\n'
    """
    if not columns:
        return b""
    parts = []
    for start in range(0, _length(columns[0][1]), _ROWS):
        piece = [(name, _sliced(column, start)) for name, column in columns]
        parts.append(_data(_joined(piece, "}\n")))
    return b"".join(parts)


def object_texts(columns: Sequence[tuple[str, OutColumn]]) -> pa.Array:
    """The rows of columns as JSON objects in an Arrow array of text, to be put into other columns.

    Their bytes together must stay below 2 GiB.

    >>> object_texts([("code", pa.array(["R1"])), ("weight", pa.array([0.5]))]).to_pylist()
    ['{"code":"R1","weight":0.5}']
    """
    return _joined(columns, "}")


def list_texts(offsets: pa.Array, items: OutColumn) -> Rendered:
    """Lists of JSON values: row `i` holds the items from `offsets[i]` to `offsets[i + 1]`.

    >>> list_texts(pa.array([0, 2, 2], pa.int32()), pa.array([1, 2])).texts.to_pylist()
    ['[1,2]', '[]']
    """
    texts = pc.fill_null(_json(items), "null")
    inside = pc.binary_join(pa.ListArray.from_arrays(offsets, texts), ",")
    return Rendered(pc.binary_join_element_wise("[", inside, "]", ""))


def _length(column: OutColumn) -> int:
    return len(column.texts if isinstance(column, Rendered) else column)


def _sliced(column: OutColumn, start: int) -> OutColumn:
    if isinstance(column, Rendered):
        return Rendered(column.texts.slice(start, _ROWS))
    return column.slice(start, _ROWS)


def _joined(columns: Sequence[tuple[str, OutColumn]], end: str) -> pa.Array:
    rows = {_length(column) for _, column in columns}
    invariant(len(rows) == 1, "columns of one table have as many rows")
    pieces: list[str | pa.Array] = []
    for name, column in columns:
        before = f",{json.dumps(name, ensure_ascii=False)}:"
        texts = _json(column)
        if texts.null_count:
            member = pc.binary_join_element_wise(before, texts, "")
            pieces.append(pc.fill_null(member, ""))
        else:
            pieces += [before, texts]
    # the first comma makes way for the brace
    if isinstance(pieces[0], str):
        return pc.binary_join_element_wise("{" + pieces[0][1:], *pieces[1:], end, "")
    inside = pc.binary_join_element_wise(*pieces, "")
    return pc.binary_join_element_wise(pc.binary_replace_slice(inside, 0, 1, "{"), end, "")


def _data(texts: pa.Array) -> bytes:
    """The bytes of all texts, one after the other."""
    invariant(texts.type == pa.string(), "lines are text with 32-bit offsets")
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return data[int(bounds[0]) : int(bounds[-1])].to_pybytes() if data is not None else b""


def _json(column: OutColumn) -> pa.Array:
    """A column's values as JSON texts; null stays null."""
    if isinstance(column, Rendered):
        return column.texts
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pc.binary_join_element_wise('"', _escaped(column.cast(pa.string())), '"', "")
    if pa.types.is_floating(kind):
        doubles = column.cast(pa.float64())
        return pc.cast(pc.if_else(pc.is_finite(doubles), doubles, None), pa.string())
    if pa.types.is_timestamp(kind):
        return _times(pc.cast(pc.cast(column, pa.timestamp("ns", kind.tz)), pa.int64()))
    if pa.types.is_list(kind):
        offsets = column.offsets
        first, last = offsets[0].as_py(), offsets[-1].as_py()
        items = column.values.slice(first, last - first)
        lists = list_texts(pc.subtract(offsets, offsets[0]), items).texts
        return pc.if_else(column.is_valid(), lists, None)
    invariant(pa.types.is_integer(kind) or pa.types.is_boolean(kind), f"{kind} can be JSON")
    return pc.cast(column, pa.string())


def _escaped(texts: pa.Array) -> pa.Array:
    """Texts with quotes, backslashes and control characters escaped."""
    _, offsets, data = texts.buffers()
    if data is None or len(texts) == 0:
        return texts
    bounds = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    held = np.frombuffer(data, dtype=np.uint8)[bounds[0] : bounds[-1]]
    marked = _IS_ESCAPED[held]
    if not marked.any():
        return texts
    marks = np.unique(held[marked])
    # the backslash first, since the others bring new ones
    for mark in sorted(marks.tolist(), key=lambda byte: byte != ord("\\")):
        texts = pc.replace_substring(texts, chr(mark), json.dumps(chr(mark))[1:-1])
    return texts


def _times(ns: pa.Array) -> pa.Array:
    """Nanoseconds since 1970 as quoted ISO 8601 in UTC, each as coarse as it may be."""
    values = pc.fill_null(ns, 0).to_numpy()
    fineness = np.select([values % size == 0 for size in _NS.values()], range(4))
    return _by_group(ns, fineness.astype(np.int64), _times_to)


def _times_to(ns: pa.Array, fineness: int) -> pa.Array:
    unit, size = list(_NS.items())[fineness]
    stamps = pc.cast(pc.divide(ns, size), pa.timestamp(unit))
    texts = pc.utf8_replace_slice(pc.cast(stamps, pa.string()), 10, 11, "T")
    return pc.binary_join_element_wise('"', texts, 'Z"', "")


def _by_group(
    values: pa.Array, groups: Int64s, render: Callable[[pa.Array, int], pa.Array]
) -> pa.Array:
    """`render(values, group)` of each group's rows, put back into their places."""
    found = np.unique(groups)
    if len(found) == 1:
        return render(values, int(found[0]))
    if len(found) == 0:
        return pa.array([], pa.string())
    order = np.argsort(groups, kind="stable")
    bounds = np.searchsorted(groups[order], found)
    sorted_values = values.take(pa.array(order))
    ends = [*bounds[1:].tolist(), len(values)]
    parts = [
        render(sorted_values.slice(start, end - start), int(group))
        for group, start, end in zip(found, bounds.tolist(), ends, strict=True)
    ]
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return pa.concat_arrays(parts).take(pa.array(places))
