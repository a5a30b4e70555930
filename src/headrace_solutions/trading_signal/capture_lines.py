"""The lines of a capture, compressed or not, as far as they can be read.

A capture ends when its disk is full or its machine goes down, so a file that breaks off is read up
to where it does. A line that is longer than any message is skipped without being held.
"""

from __future__ import annotations

import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from headrace import DataError
from headrace_solutions.trading_signal.quarantine import LONGEST_KEPT, Quarantine, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO

#: The most bytes of one line: more than a snapshot of a whole book has.
LONGEST_LINE = 1 << 24
_BUFFER = 1 << 20
#: What compressed files say that end too early, or are damaged.
_BROKEN = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, OSError)


class CaptureLines:
    """Numbered lines of a capture; what cannot be read goes to quarantine.

    Attributes:
        count: How many lines there were, those in quarantine among them.

    >>> quarantine = Quarantine()
    >>> list(CaptureLines([b"one", b"two"], quarantine))
    [(1, b'one'), (2, b'two')]
    """

    def __init__(self, given: Path | Iterable[bytes], quarantine: Quarantine) -> None:
        self.count = 0
        self._given = given
        self._quarantine = quarantine

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Number, from 1, and content without its end.

        Raises:
            DataError: If nothing at all can be read, as of a file that is not compressed as its
                name says.
        """
        given = self._given
        if not isinstance(given, Path):
            for line in given:
                yield from self._one(line, lambda _most: b"")
            return
        try:
            with opened(given) as file:
                yield from self._all(file)
        except FileNotFoundError:
            raise
        except _BROKEN as error:
            if self.count == 0:
                raise DataError(
                    f"{given} cannot be read: {error}; give the capture as it was written"
                ) from error
            self.count += 1
            detail = f"the file breaks off: {error}"
            self._quarantine.add(self.count, Reason.TRUNCATED, detail, b"")

    def _all(self, file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
        while line := file.readline(LONGEST_LINE + 1):
            yield from self._one(line, file.readline)

    def _one(self, line: bytes, more: Callable[[int], bytes]) -> Iterator[tuple[int, bytes]]:
        self.count += 1
        if len(line) <= LONGEST_LINE:
            yield self.count, line.rstrip(b"\r\n")
            return
        length, begins = len(line), line[:LONGEST_KEPT]
        while not line.endswith(b"\n") and (line := more(_BUFFER)):
            length += len(line)
        detail = f"{length:,} bytes, expected at most {LONGEST_LINE:,}"
        self._quarantine.add(self.count, Reason.OVERSIZE, detail, begins, length=length)


def opened(path: Path) -> IO[bytes]:
    """A file to read, decompressed as its name says: .gz, .xz, .zip (of one file), .zst.

    Raises:
        DataError: If a .zip holds another number of files than one.
    """
    if path.suffix == ".gz":
        return io.BufferedReader(gzip.open(path), _BUFFER)
    if path.suffix == ".xz":
        return io.BufferedReader(lzma.open(path), _BUFFER)
    if path.suffix == ".zst":
        return io.BufferedReader(pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"), _BUFFER)
    if path.suffix == ".zip":
        archive = zipfile.ZipFile(path)
        names = archive.namelist()
        if len(names) != 1:
            raise DataError(f"{path} holds {len(names)} files, expected one capture")
        return archive.open(names[0])
    return path.open("rb")
