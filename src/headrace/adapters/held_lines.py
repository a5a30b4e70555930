"""What a file of decisions holds already, when a sink is opened on it once more."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from headrace.core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class HeldLines:
    """What stands in a file of decisions.

    Attributes:
        end: Bytes of its whole lines; what stands after them was cut off by a crash.
        last: Sequence number of the last decision; -1 where there is none.
        columns: Of a CSV file, as its header names them; none where it has no header yet.
    """

    end: int
    last: int
    columns: tuple[str, ...] = ()


def held_lines(path: Path, lane: str, *, as_csv: bool) -> HeldLines:
    """Look through a file of decisions; it is left as it is.

    Raises:
        DataError: When it holds anything but decisions of that lane.
    """
    if not path.exists() or path.stat().st_size == 0:
        return HeldLines(0, -1)
    start = b'"decision_id","seq",' if as_csv else b'{"decision_id":' + _opened(f"{lane}/")
    with path.open("rb") as file:
        first = file.readline(_BLOCK_BYTES)
    if first[: len(start)] != start[: len(first)]:
        raise _foreign(path, lane, first[:60], f"a first line that begins with {start.decode()}")
    columns = tuple(next(csv.reader([first.decode()]))) if as_csv else ()
    begin, end = _last_record(path, quoted=as_csv)
    if end == 0:
        return HeldLines(0, -1)
    if as_csv and begin == 0:
        return HeldLines(end, -1, columns)
    with path.open("rb") as file:
        file.seek(begin)
        record = file.read(end - begin)
    try:
        if as_csv:
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
    return HeldLines(end, seq, columns)


def _opened(text: str) -> bytes:
    """A JSON string without its closing quote."""
    return msgspec.json.encode(text)[:-1]


def _foreign(path: Path, lane: str, held: bytes, expected: str) -> DataError:
    return DataError(
        f"{path} holds {held!r}, not decisions of {lane}: expected {expected}."
        " Nothing was written to it; name another --sink"
    )


def _last_record(path: Path, *, quoted: bool) -> tuple[int, int]:
    """Where the last whole line begins and ends, in bytes; a line feed in quotes ends none."""
    begin = end = at = 0
    inside = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            data = np.frombuffer(block, dtype=np.uint8)
            ends = data == ord("\n")
            if quoted:
                # whether the number of quotes so far is odd; that it wraps round changes nothing
                odd = (np.cumsum(data == ord('"'), dtype=np.uint8) + np.uint8(inside)) & 1
                ends &= odd == 0
                inside = int(odd[-1])
            found = np.flatnonzero(ends)
            if len(found):
                begin = at + int(found[-2]) + 1 if len(found) > 1 else end
                end = at + int(found[-1]) + 1
            at += len(block)
    return begin, end
