"""Simulated payments as JSON lines, CSV and Parquet, at a million lines in seconds.

Lines are laid out in a table of bytes, one column for each character that a line can have; what a
line does not have is a zero byte, and one pass takes those out.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from headrace import DataError
from headrace_solutions.card_fraud.population import CURRENCIES
from headrace_solutions.card_fraud.simulator import put_digits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from headrace_solutions.card_fraud.population import Integers, Truths
    from headrace_solutions.card_fraud.simulator import Simulation

_AMOUNT_DIGITS = 14
_WHOLE_CURRENCIES = tuple(code for code, money in CURRENCIES.items() if money.digits == 0)
#: Columns whose texts are all of one length.


def json_lines(simulation: Simulation, *, rows: int = 32_768) -> Iterator[bytes]:
    """The payments as JSON lines, in order of arrival, in chunks of about `rows` lines.

    The rows in `simulation.broken` come out as lines that no reader should accept.
    """
    for start in range(0, simulation.payments.num_rows, rows):
        table = simulation.payments.slice(start, rows).combine_chunks()
        yield _lines(table, simulation.broken[_between(simulation.broken, start, rows)], start)


def _between(broken: Integers, start: int, rows: int) -> slice:
    first, last = np.searchsorted(broken, [start, start + rows])
    return slice(int(first), int(last))


def paced(
    chunks: Iterator[bytes],
    rate: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[bytes]:
    """The lines of `chunks`, offered at `rate` lines a second in small pieces.

    Args:
        chunks: Whole lines, as `json_lines` gives them.
        rate: Lines a second.
        clock: Seconds that only grow.
        sleep: Waits for that many seconds.
    """
    began = clock()
    offered = 0
    piece = max(1, int(rate / 500))
    for chunk in chunks:
        lines = chunk.splitlines(keepends=True)
        for start in range(0, len(lines), piece):
            part = lines[start : start + piece]
            wait = began + offered / rate - clock()
            if wait > 0:
                sleep(wait)
            offered += len(part)
            yield b"".join(part)


def write(simulation: Simulation, path: Path) -> None:
    """Write the payments to a file; its suffix says how: .jsonl, .csv or .parquet.

    Raises:
        DataError: For another suffix.
    """
    if path.suffix == ".jsonl":
        with path.open("wb") as file:
            for chunk in json_lines(simulation):
                file.write(chunk)
    else:
        write_table(simulation.payments, path)


def write_table(table: pa.Table, path: Path) -> None:
    """Write chargebacks, rates, truth or payments as .csv or .parquet.

    Raises:
        DataError: For another suffix.
    """
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path)
    else:
        raise DataError(f"{path} ends with neither .jsonl, .csv nor .parquet; choose one of these")


class _Layout:
    """Columns of bytes side by side."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._parts: list[NDArray[np.uint8]] = []

    def words(self, text: str, *, absent: Truths | None = None) -> None:
        """The same text in every row, but where it is `absent`."""
        part = np.broadcast_to(np.frombuffer(text.encode(), np.uint8), (self._rows, len(text)))
        self.bytes(part if absent is None else np.where(absent[:, None], np.uint8(0), part))

    def bytes(self, part: Any) -> None:
        """A table of bytes, zero where there is nothing."""
        self._parts.append(part)

    def finished(self) -> NDArray[np.uint8]:
        """All columns as one table."""
        return np.concatenate(self._parts, axis=1)


def _lines(table: pa.Table, broken: Integers, first: int) -> bytes:
    laid = _laid_out(table)
    parts: list[bytes] = []
    start = 0
    for row in broken.tolist():
        before = laid[start : row - first]
        parts += [before[before != 0].tobytes(), _break(laid[row - first], row)]
        start = row - first + 1
    rest = laid[start:]
    parts.append(rest[rest != 0].tobytes())
    return b"".join(parts)


def _laid_out(table: pa.Table) -> NDArray[np.uint8]:
    """The lines as a table of bytes, zero where a line has nothing."""
    rows = table.num_rows
    whole_units = np.isin(_strings(table, "currency"), [c.encode() for c in _WHOLE_CURRENCIES])
    layout = _Layout(rows)
    layout.words('{"payment_id":"')
    layout.bytes(_fixed(table, "payment_id"))
    for name in ("at", "received"):
        layout.words(f'","{name}":"')
        layout.bytes(_times(table, name))
    for name in ("card", "merchant"):
        layout.words(f'","{name}":"')
        layout.bytes(_fixed(table, name))
    layout.words('","amount":')
    layout.bytes(_amounts(table, whole_units))
    layout.words(',"currency":"')
    layout.bytes(_fixed(table, "currency"))
    for name in ("country", "mcc"):
        layout.words(f'","{name}":"')
        layout.bytes(_fixed(table, name))
    layout.words('","channel":"')
    layout.bytes(_varying(table, "channel"))
    layout.words('"')
    for name in ("lat", "lon"):
        absent = _absent(table, name)
        layout.words(f',"{name}":', absent=absent)
        layout.bytes(np.where(absent[:, None], np.uint8(0), _degrees(table, name)))
    absent = _absent(table, "device")
    layout.words(',"device":"', absent=absent)
    layout.bytes(_varying(table, "device"))
    layout.words('"', absent=absent)
    layout.words("}\n")
    return layout.finished()


def _break(row: NDArray[np.uint8], number: int) -> bytes:
    """A line spoilt in one of six ways that real feeds know."""
    line: bytes = row[row != 0].tobytes()
    way = number % 6
    if way == 0:
        return line[: len(line) // 2] + b"\n"
    if way == 1:
        return line.replace(b'"amount":', b'"amount":"n/a","was":')
    if way == 2:
        return line.replace(b'"currency":"', b'"currency":"X')
    if way == 3:
        return line.replace(b'"card":', b'"crad":')
    if way == 4:
        return line.replace(b'"at":"2', b'"at":"in 2')
    return b"<payment/>\n"


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table[name]
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _absent(table: pa.Table, name: str) -> Truths:
    missing: Truths = _column(table, name).is_null().to_numpy(zero_copy_only=False)
    return missing


def _strings(table: pa.Table, name: str) -> Any:
    """A column of short texts as fixed-width bytes, zero where there is nothing."""
    fixed = _varying(table, name)
    return np.ascontiguousarray(fixed).view(f"S{fixed.shape[1]}").ravel()


def _fixed(table: pa.Table, name: str) -> NDArray[np.uint8]:
    """A column of texts of one length as a table of bytes."""
    column = _column(table, name)
    offsets, data = _text_buffers(column)
    width = int(offsets[1] - offsets[0])
    return data[offsets[0] : offsets[0] + width * len(column)].reshape(len(column), width)


def _varying(table: pa.Table, name: str) -> NDArray[np.uint8]:
    """A column of texts as a table of bytes, zero after a text's end."""
    column = _column(table, name)
    offsets, data = _text_buffers(column)
    lengths = np.diff(offsets)
    width = int(lengths.max(initial=1))
    places = offsets[:-1, None] + np.arange(width)
    inside = np.arange(width) < lengths[:, None]
    if len(data) == 0:
        return np.zeros((len(column), width), dtype=np.uint8)
    return np.where(inside, data[np.minimum(places, len(data) - 1)], np.uint8(0))


def _text_buffers(column: pa.Array) -> tuple[Integers, NDArray[np.uint8]]:
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
    found = np.frombuffer(data, dtype=np.uint8) if data is not None else np.zeros(0, np.uint8)
    return ends.astype(np.int64), found


def _times(table: pa.Table, name: str) -> NDArray[np.uint8]:
    """Times as RFC 3339 in UTC to the millisecond."""
    ms = _column(table, name).cast(pa.int64()).to_numpy()
    day, of_day = np.divmod(ms, 86_400_000)
    first, back = np.unique(day, return_inverse=True)
    dates = np.datetime_as_string(first.astype("datetime64[D]")).astype("S10")
    out = np.empty((len(ms), 24), dtype=np.uint8)
    out[:, :10] = np.ascontiguousarray(dates).view(np.uint8).reshape(-1, 10)[back]
    out[:, 10:] = np.frombuffer(b"T00:00:00.000Z", dtype=np.uint8)
    put_digits(out[:, 11:13], of_day // 3_600_000)
    put_digits(out[:, 14:16], of_day // 60_000 % 60)
    put_digits(out[:, 17:19], of_day // 1000 % 60)
    put_digits(out[:, 20:23], of_day % 1000)
    return out


def _amounts(table: pa.Table, whole_units: Truths) -> NDArray[np.uint8]:
    """Exact amounts, without a point in a currency that has no minor unit."""
    column = _column(table, "amount")
    words = np.frombuffer(column.buffers()[1], dtype=np.int64).reshape(-1, 2)
    hundredths = words[column.offset : column.offset + len(column), 0]
    out = np.zeros((len(column), _AMOUNT_DIGITS + 3), dtype=np.uint8)
    _put_number(out[:, :_AMOUNT_DIGITS], hundredths // 100)
    out[:, _AMOUNT_DIGITS] = ord(".")
    put_digits(out[:, _AMOUNT_DIGITS + 1 :], hundredths % 100)
    out[whole_units, _AMOUNT_DIGITS:] = 0
    return out


def _degrees(table: pa.Table, name: str) -> NDArray[np.uint8]:
    """Degrees with four digits after the point."""
    values = np.nan_to_num(_column(table, name).to_numpy(zero_copy_only=False))
    scaled = np.round(np.abs(values) * 10_000).astype(np.int64)
    out = np.zeros((len(values), 9), dtype=np.uint8)
    out[:, 0] = np.where((values < 0) & (scaled > 0), ord("-"), 0)
    _put_number(out[:, 1:4], scaled // 10_000)
    out[:, 4] = ord(".")
    put_digits(out[:, 5:], scaled % 10_000)
    return out


def _put_number(table: NDArray[np.uint8], numbers: Integers) -> None:
    """Numbers without leading zeros: those are zero bytes; the last digit always stands."""
    put_digits(table, numbers)
    leading = np.cumsum(table[:, :-1] != 48, axis=1) == 0
    table[:, :-1][leading] = 0
