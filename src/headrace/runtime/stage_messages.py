"""What stages send each other, as bytes: columns as they lie in memory, lowest bytes first.

They live for as long as a message waits. What is kept for good is in the journals of the stages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from headrace.core.columns import Batch, Fixed, Text
from headrace.core.errors import DataError
from headrace.journal.batch import INPUT_DTYPES
from headrace.pipeline.inputs import Inputs
from headrace.pipeline.staging import Answered

if TYPE_CHECKING:
    from headrace.core.columns import Column

#: The columns of `Inputs` that are sent.
_SENT = ("stream", "row", "source", "position", "received_ns", "read_ns")


class _Column(msgspec.Struct, array_like=True):
    """A column: values; or offsets and bytes of text."""

    valid: bytes
    values: bytes
    text: bytes | None = None


class _Rows(msgspec.Struct, array_like=True):
    """Rows of a stream, by column."""

    count: int
    columns: dict[str, _Column]


class _Events(msgspec.Struct, array_like=True):
    """Events on their way to a side stage; the plan of that stage by its digest."""

    plan: str
    inputs: dict[str, bytes]
    batches: dict[str, _Rows]
    retried: bool


class _Values(msgspec.Struct, array_like=True):
    """Values on their way to the main stage; the plan that made them by its digest."""

    plan: str
    side: str
    seq: bytes
    rows: _Rows


_EVENTS = msgspec.msgpack.Decoder(_Events)
_VALUES = msgspec.msgpack.Decoder(_Values)


def encoded_events(inputs: Inputs, plan: str) -> bytes:
    """Events that are handed on to a side stage.

    Args:
        inputs: As `headrace.pipeline.staging.forwarded` gives them.
        plan: Digest of the side stage's plan.
    """
    sent = {name: _little(getattr(inputs, name)) for name in _SENT}
    batches = {name: _rows(batch) for name, batch in inputs.batches.items()}
    return msgspec.msgpack.encode(_Events(plan, sent, batches, inputs.retried))


def decoded_events(content: bytes, plan: str, place: str) -> Inputs:
    """The inverse of `encoded_events`.

    Args:
        content: Of a message.
        plan: Digest of the plan that takes them.
        place: Where the message lies, for what is said of it.

    Raises:
        DataError: These are none, or were sent under another definition.
    """
    found = _decoded(content, _EVENTS, place)
    _check_plan(found.plan, plan, place)
    columns: dict[str, Any] = {
        name: np.frombuffer(data, INPUT_DTYPES[name].newbyteorder("<")).astype(INPUT_DTYPES[name])
        for name, data in found.inputs.items()
    }
    batches = {name: _batch(rows) for name, rows in found.batches.items()}
    return Inputs(**columns, batches=batches, retried=found.retried)


def encoded_values(answer: Answered, side: str, plan: str) -> bytes:
    """Values that a side stage gives back.

    Args:
        answer: As `headrace.pipeline.staging.answered` gives them.
        side: Name of the stage.
        plan: Digest of its plan.
    """
    sent = _Values(plan, side, _little(answer.seq), _rows(answer.values))
    return msgspec.msgpack.encode(sent)


def decoded_values(content: bytes, plan: str, place: str) -> Answered:
    """The inverse of `encoded_values`; see `decoded_events`."""
    found = _decoded(content, _VALUES, place)
    _check_plan(found.plan, plan, place)
    seq = np.frombuffer(found.seq, "<i8").astype(np.int64)
    return Answered(seq, _batch(found.rows))


def _decoded(content: bytes, decoder: msgspec.msgpack.Decoder[Any], place: str) -> Any:
    try:
        return decoder.decode(content)
    except msgspec.MsgspecError as error:
        raise DataError(
            f"{place}: this is no message of a stage ({error}); nothing but stages of the use case"
            " may write to that topic"
        ) from error


def _check_plan(found: str, plan: str, place: str) -> None:
    if found != plan:
        raise DataError(
            f"{place} was sent under the definition {found[:12]}, and this worker has"
            f" {plan[:12]}: let the workers that have the old definition finish what is under way"
            " (until=end), or give the new one another name of the use case"
        )


def _little(values: np.ndarray[Any, Any]) -> bytes:
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _rows(batch: Batch) -> _Rows:
    return _Rows(len(batch), {name: _column(column) for name, column in batch.columns.items()})


def _column(column: Column) -> _Column:
    valid = np.packbits(column.valid).tobytes()
    if isinstance(column, Text):
        return _Column(valid, _little(column.offsets), column.data.tobytes())
    return _Column(valid, _little(column.values))


def _batch(rows: _Rows) -> Batch:
    columns: dict[str, Column] = {}
    for name, sent in rows.columns.items():
        bits = np.frombuffer(sent.valid, np.uint8)
        valid = np.unpackbits(bits, count=rows.count)
        if sent.text is None:
            columns[name] = Fixed(np.frombuffer(sent.values, "<i8").astype(np.int64), valid)
            continue
        offsets = np.frombuffer(sent.values, "<i4").astype(np.int32)
        # a copy, because kernels are compiled for what can be written
        columns[name] = Text(offsets, np.frombuffer(sent.text, np.uint8).copy(), valid)
    return Batch(columns, rows.count)
