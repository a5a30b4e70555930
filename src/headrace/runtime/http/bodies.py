"""The body of a request as events: one JSON object, an array of them, lines, or an Arrow stream.

A JSON object may be written over several lines. Events come out as JSON lines, which is what the
reader of streams takes; whether each of them is an event is for that reader to say.
"""

from __future__ import annotations

import msgspec
import pyarrow as pa
import pyarrow.ipc

from headrace.core.errors import InvariantBroken
from headrace.events.json_lines import BYTE_ORDER_MARK
from headrace.events.json_writer import lines_of, out_column
from headrace.events.reasons import LONGEST_EVENT
from headrace.runtime.http.problems import Problem

_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_ARROW = ("application/vnd.apache.arrow.stream",)
_JSON = ("application/json", "text/json", "")
#: Line ends in JSON stand between tokens alone, where a blank does as well.
_UNFOLDED = bytes.maketrans(b"\r\n", b"  ")
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])


class Events(msgspec.Struct, frozen=True):
    """Events of one body.

    Attributes:
        lines: As JSON lines.
        count: How many.
        single: Whether the body was one event, which gets one answer and not a list.
    """

    lines: bytes
    count: int
    single: bool


def events_of(body: bytes, content_type: str) -> Events | Problem:
    r"""The events of a body.

    Args:
        body: As it came.
        content_type: As its header says; "" is JSON.

    >>> events_of(b'{"n":\n1}', "application/json")
    Events(lines=b'{"n": 1}\n', count=1, single=True)
    >>> events_of(b'[{"n":1},{"n":2}]', "").lines
    b'{"n":1}\n{"n":2}\n'
    """
    found = _read(body, content_type)
    if isinstance(found, Events) and len(found.lines) > LONGEST_EVENT:
        lengths = [len(line) for line in found.lines.split(b"\n")]
        longest = max(lengths)
        if longest > LONGEST_EVENT:
            # to keep megabytes for whoever looks into quarantine would hold up all others
            return Problem(
                413,
                f"event {lengths.index(longest) + 1} of the body has {longest:,} bytes; an event"
                f" has at most {LONGEST_EVENT:,}. Nothing of the body was taken",
            )
    return found


def _read(body: bytes, content_type: str) -> Events | Problem:
    """The events of a body, however long they are."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _LINES:
        return _of_lines(body)
    if kind in _ARROW:
        return _of_arrow(body)
    if kind not in _JSON:
        return Problem(
            415,
            f"a body of type {content_type!r} is not read here; send application/json (one event,"
            " or an array), application/x-ndjson (one event a line), or"
            " application/vnd.apache.arrow.stream",
        )
    stripped = body.removeprefix(BYTE_ORDER_MARK).strip(b" \t\r\n")
    if not stripped:
        return Problem(400, "the body is empty; send one event as a JSON object, or an array")
    if stripped.startswith(b"["):
        return _of_array(stripped)
    return Events(stripped.translate(_UNFOLDED) + b"\n", 1, single=True)


def _of_lines(body: bytes) -> Events | Problem:
    body = body.removeprefix(BYTE_ORDER_MARK)
    lines = [line for line in body.split(b"\n") if line.removesuffix(b"\r")]
    if not lines:
        return Problem(400, "the body holds no line; send one event as JSON on each")
    return Events(b"\n".join(lines) + b"\n", len(lines), single=False)


def _of_arrow(body: bytes) -> Events | Problem:
    """Rows of an Arrow stream, as lines: one way in, with one meaning."""
    try:
        table = pa.ipc.open_stream(body).read_all().combine_chunks()
        table.validate(full=True)
        columns = zip(table.column_names, table.columns, strict=True)
        lines = lines_of([(name, out_column(column)) for name, column in columns])
    except (pa.ArrowException, OSError, ValueError, InvariantBroken) as error:
        return Problem(400, f"the body is no Arrow stream of events: {error}")
    if not len(table) or not table.num_columns:
        return Problem(400, "the Arrow stream holds no event; send at least one row")
    return Events(lines, len(table), single=False)


def _of_array(body: bytes) -> Events | Problem:
    if b"\n" in body or b"\r" in body:
        body = body.translate(_UNFOLDED)
    try:
        items = _ARRAY.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        return Problem(400, f"the body is no JSON array (RFC 8259): {error}")
    if not items:
        return Problem(400, "the array holds no event; send at least one")
    return Events(b"\n".join(items) + b"\n", len(items), single=False)
