"""What a file of decisions holds already, when a sink is opened on it once more."""

from __future__ import annotations

import csv
import io
import mmap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from headrace.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headrace.core.columns import Int64s

_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class HeldLines:
    """What stands in a file of decisions.

    Attributes:
        end: Bytes of the lines that the journal has.
        whole: Bytes of whole lines; what stands after them was cut off by a crash.
        last: Sequence number of the last decision; -1 where there is none.
        columns: Of a CSV file, as its header names them; none where it has no header yet.
    """

    end: int
    whole: int
    last: int
    columns: tuple[str, ...] = ()


def held_lines(path: Path, lane: str, next_seq: int, *, as_csv: bool) -> HeldLines:
    """Look through a file of decisions; it is left as it is.

    Args:
        path: The file.
        lane: Whose decisions it holds.
        next_seq: Where the journal ends.
        as_csv: Whether it is CSV; JSON lines if not.

    Raises:
        DataError: When it holds anything but decisions of that lane.
    """
    if not path.exists() or path.stat().st_size == 0:
        return HeldLines(0, 0, -1)
    start = b'"decision_id","seq",' if as_csv else b'{"decision_id":' + _opened(f"{lane}/")
    with path.open("rb") as file:
        first = file.readline(_BLOCK_BYTES)
    if first[: len(start)] != start[: len(first)]:
        raise _foreign(path, lane, first[:60], f"a first line that begins with {start.decode()}")
    columns = tuple(next(csv.reader([first.decode()]))) if as_csv else ()
    size = path.stat().st_size
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
        ends = _quoted_ends(data) if as_csv else _ends(data)
        whole = end = next(ends, 0)
        while end:
            begin = next(ends, 0)
            if as_csv and begin == 0:
                break  # the header
            seq = _seq_of(data[begin:end], path, lane, columns)
            if seq < next_seq:
                return HeldLines(end, whole, seq, columns)
            end = begin
    return HeldLines(end, whole, -1, columns if end else ())


def _seq_of(record: bytes, path: Path, lane: str, columns: tuple[str, ...]) -> int:
    """The sequence number of a decision, once it is known to be one of that lane."""
    try:
        if columns:
            (values,) = csv.reader(io.StringIO(record.decode(), newline=""))
            told: dict[str, object] = dict(zip(columns, values, strict=True))
        else:
            told = msgspec.json.decode(record, type=dict[str, object])
        seq = int(str(told["seq"]))
        ours = told["decision_id"] == f"{lane}/{seq}"
    except (ValueError, KeyError, csv.Error, msgspec.MsgspecError) as error:
        raise _foreign(path, lane, record[:60], f"a decision in its last line ({error})") from error
    if not ours:
        raise _foreign(path, lane, record[:60], f"a decision of {lane} in its last line")
    return seq


def _opened(text: str) -> bytes:
    """A JSON string without its closing quote."""
    return msgspec.json.encode(text)[:-1]


def _foreign(path: Path, lane: str, held: bytes, expected: str) -> DataError:
    return DataError(
        f"{path} holds {held!r}, not decisions of {lane}: expected {expected}."
        " Nothing was written to it; name another --sink"
    )


def _ends(data: mmap.mmap) -> Iterator[int]:
    """Where whole lines end, from the last back to the first."""
    end = data.rfind(b"\n") + 1
    while end:
        yield end
        end = data.rfind(b"\n", 0, end - 1) + 1


def _quoted_ends(data: mmap.mmap) -> Iterator[int]:
    """The same of CSV, in which a line feed in quotes ends no line."""
    found: list[Int64s] = []
    inside = 0
    for at in range(0, len(data), _BLOCK_BYTES):
        block = np.frombuffer(data[at : at + _BLOCK_BYTES], dtype=np.uint8)
        # whether the number of quotes so far is odd; that it wraps round changes nothing
        odd = (np.cumsum(block == ord('"'), dtype=np.uint8) + np.uint8(inside)) & 1
        found.append(np.flatnonzero((block == ord("\n")) & (odd == 0)) + (at + 1))
        inside = int(odd[-1])
    for ends in reversed(found):
        yield from reversed(ends.tolist())
