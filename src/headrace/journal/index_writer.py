"""The index of a journal while it is written: entries are logged as batches are committed.

An index that cannot be written stops nothing: it is given up, said once, and made anew by whoever
looks something up.
"""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import JournalError
from headrace.journal.frames import FRAME, SegmentStart, closing_head, frames_of, segment_path
from headrace.journal.index_entries import Gathering, scanned
from headrace.journal.index_files import ID_WORDS, PLACE_WORDS, joined

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.journal.batch import JournalBatch, UInt64s
    from headrace.journal.chain_writer import FrameGroup
    from headrace.journal.header import JournalHeader
    from headrace.journal.index_files import IndexFolder

_LOG = logging.getLogger("headrace")

#: Batches, and their inputs, that are gathered before they are logged: whoever looks something up
#: reads the rest.
_BATCHES, _ROWS = 64, 32_768


class IndexWriter:
    """Logs what is committed, and sorts the logs of segments that are closed.

    `note` may be called from another thread than the rest.

    Args:
        segments: The folder of the segments.
        folder: Where the index is kept.
        segment: Number of the segment that is written; -1 if there is none yet.
        size: Its bytes.
    """

    def __init__(self, segments: Path, folder: IndexFolder, segment: int, size: int) -> None:
        self._segments, self._folder = segments, folder
        self._segment = -1
        self._noted: dict[int, tuple[JournalBatch, JournalHeader]] = {}
        self._waiting: tuple[FrameGroup, int, int, bytes] | None = None
        self._header_at = 0
        self._gathering = Gathering(0, 0, folder.hash_key)
        self._logs = (-1, -1)
        self._sorter = ThreadPoolExecutor(1, "index")
        try:
            folder.path.mkdir(parents=True, exist_ok=True)
            self._resume(segment, size)
        except (OSError, JournalError) as error:
            self._give_up(error)

    @property
    def is_kept(self) -> bool:
        """Whether the index is still written."""
        return self._segment != -2

    def note(self, batch: JournalBatch, header: JournalHeader) -> None:
        """Take a batch that is about to be appended."""
        if self.is_kept:
            self._noted[batch.first_seq] = (batch, header)

    def committed(self, group: FrameGroup, segment: int, start: int, written: bytes) -> None:
        """Take a group that was written; it is logged with the next one, or in `catch_up`.

        Args:
            group: The group; each of its batches was noted.
            segment: Number of the segment that it is in.
            start: Where its frames start.
            written: The header that was in force before it; b"" in a new segment.
        """
        self.catch_up()
        if self.is_kept:
            self._waiting = (group, segment, start, written)

    def catch_up(self) -> None:
        """Log the last group: whoever waits for its decisions should not wait for this too."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None and self.is_kept:
            self._log(*waiting)

    def _log(self, group: FrameGroup, segment: int, start: int, written: bytes) -> None:
        try:
            if segment != self._segment:
                self._begin(segment, group.first_seq, group.previous)
            for frame in group.batches:
                batch, header = self._noted.pop(frame.link.first_seq)
                if frame.header != written:
                    self._header_at, written = start, frame.header
                    start += FRAME.size + len(written)
                self._gathering.add(batch, header, start, self._header_at)
                start += frame.size
            if len(self._gathering) >= _BATCHES or self._gathering.rows >= _ROWS:
                self._flush()
        except (OSError, KeyError, OverflowError) as error:
            self._give_up(error)

    def close(self) -> None:
        """Log what was gathered, and finish what is sorted."""
        self.catch_up()
        if self.is_kept:
            try:
                self._flush()
            except OSError as error:
                self._give_up(error)
        self._sorter.shutdown()
        self._close_logs()

    def _resume(self, segment: int, size: int) -> None:
        """Bring the log of the segment that is written to where the segment ends."""
        for closed in self._folder.logged():
            if closed < segment:
                self._sorter.submit(self._sort, closed)
        for number in (segment, segment + 1):  # what an earlier life of the journal has left
            self._folder.closed(number).unlink(missing_ok=True)
        if segment < 0:
            return
        path = segment_path(self._segments, segment)
        begun = SegmentStart.decoded(next(frames_of(path)))
        known = self._folder.read_log(segment, begun.first_seq, begun.previous, size)
        rest = scanned(path, begun.first_seq, self._folder.hash_key, known, is_last=True)
        ids = len(known.ids)
        self._open(segment, begun.previous, len(known.places), ids)
        last = joined([known, rest]).places
        self._header_at = int(last[-1, 2]) if len(last) else 0
        self._gathering = Gathering(begun.first_seq, ids + len(rest.ids), self._folder.hash_key)
        self._append(rest.places, rest.ids)

    def _begin(self, segment: int, first_seq: int, previous: bytes) -> None:
        """Go on with a new segment; the log of the last is sorted meanwhile."""
        if self._segment >= 0:
            self._flush()
            self._close_logs()
            self._sorter.submit(self._sort, self._segment)
        self._open(segment, previous, 0, 0)
        self._gathering = Gathering(first_seq, 0, self._folder.hash_key)

    def _open(self, segment: int, previous: bytes, places: int, ids: int) -> None:
        """Open the logs of a segment, cut to so many entries."""
        self._segment = segment
        header = self._folder.log_header(previous)
        opened = []
        for path, length in (
            (self._folder.places(segment), 8 * PLACE_WORDS * places),
            (self._folder.ids(segment), 8 * ID_WORDS * ids),
        ):
            log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
            opened.append(log)
            if not places:
                os.ftruncate(log, 0)
                os.write(log, header)
            os.ftruncate(log, len(header) + length)
        self._logs = (opened[0], opened[1])

    def _flush(self) -> None:
        gathered = self._gathering.taken()
        self._append(gathered.places, gathered.ids)

    def _append(self, places: UInt64s, ids: UInt64s) -> None:
        """Ids first: a place says how many there should be."""
        for log, words in zip(self._logs[::-1], (ids, places), strict=True):
            data = memoryview(np.ascontiguousarray(words, "<u8").tobytes())
            while data:
                data = data[os.write(log, data) :]

    def _sort(self, segment: int) -> None:
        """Write the index of a closed segment from its log, in the background."""
        try:
            finish(segment_path(self._segments, segment), segment, self._folder)
        except (OSError, JournalError) as error:
            _LOG.warning(f"the index of segment {segment} is left out: {error}")

    def _give_up(self, error: Exception) -> None:
        _LOG.warning(
            f"the index in {self._folder.path} is not written any more ({error}); decisions are"
            " found by reading the journal until it is opened again"
        )
        self._segment = -2
        self._noted.clear()
        self._close_logs()

    def _close_logs(self) -> None:
        for log in self._logs:
            if log >= 0:
                os.close(log)
        self._logs = (-1, -1)


def finish(path: Path, segment: int, folder: IndexFolder) -> None:
    """Write the index of a closed segment: from its log as far as that goes, then by reading it.

    Raises:
        OSError: It cannot be written.
        JournalError: The segment cannot be read.
    """
    begun = SegmentStart.decoded(next(frames_of(path)))
    known = folder.read_log(segment, begun.first_seq, begun.previous, path.stat().st_size)
    rest = scanned(path, begun.first_seq, folder.hash_key, known, is_last=False)
    folder.write_closed(segment, closing_head(path).head, joined([known, rest]))
    for log in (folder.places(segment), folder.ids(segment)):
        with suppress(OSError):
            log.unlink()
