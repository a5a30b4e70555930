"""What journals are written of in the tests of damage: batches that were decided, over and over."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "journal"))

import journal_samples as samples  # type: ignore[import-not-found]  # on the path above

from headrace.events.schema import Role
from headrace.journal.journal import Journal
from headrace.journal.keys import SigningKey
from headrace.journal.reader import stored_batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader

KEY = SigningKey.from_seed(bytes(32))
#: The first batches are small, those of a group commit by twos.
FIRST = (60, 2, 5, 3)
#: As many batches of what a use case decided are written down.
BATCHES = 60


def sizes() -> Iterator[int]:
    """Inputs of batch after batch, first few of them and then between one and ninety."""
    yield from FIRST
    for number in count():
        yield 1 + number * 7 % 90


def made_up() -> tuple[JournalHeader, Iterator[JournalBatch]]:
    """Batches with every sort of input and value that a journal can hold, whatever made it."""

    def batches() -> Iterator[JournalBatch]:
        seq = 0
        for size in sizes():
            yield samples.batch(seq, seq, size)
            seq += size

    return samples.header(), batches()


@dataclass(frozen=True)
class Material:
    """Batches in a journal of their own, to be written again into others.

    Attributes:
        folder: Of that journal.
    """

    folder: Path

    @staticmethod
    def written(folder: Path, header: JournalHeader, batches: Iterable[JournalBatch]) -> Material:
        """Write the first of these batches down."""
        with Journal.open(folder, header, KEY) as journal:
            for _, batch in zip(range(BATCHES), batches, strict=False):
                journal.append(batch)
            journal.commit()
        return Material(folder)

    @cached_property
    def batches(self) -> list[JournalBatch]:
        """Batches with consecutive inputs, from the first on."""
        return [stored.batch() for stored in stored_batches(self.folder)]

    @cached_property
    def header(self) -> JournalHeader:
        """Of every journal that they are written into."""
        return next(stored_batches(self.folder)).header

    @cached_property
    def _places(self) -> dict[int, int]:
        return {batch.first_seq: at for at, batch in enumerate(self.batches)}

    def at(self, seq: int) -> JournalBatch:
        """The batch that begins with an input: after the last of them, the first comes again."""
        first = seq % self.batches[-1].next_seq
        return _moved(self.batches[self._places[first]], seq - first)

    def first_id(self, batch: JournalBatch) -> tuple[int, str] | None:
        """Sequence number and id of the first decided event of a batch; None without one."""
        if not len(batch.decisions):
            return None
        seq = int(batch.decisions.seq[0])
        return seq, self.id_of(batch, seq)

    def id_of(self, batch: JournalBatch, seq: int) -> str:
        """The id of a decided event."""
        (stream,) = [stream for stream in self.header.streams if stream.name == self.header.on]
        identity = stream.schema.having(Role.ID)
        assert identity is not None
        row = int(batch.inputs.row[seq - batch.first_seq])
        name = batch.events[stream.name].text(identity.name).strings()[row]
        assert name is not None
        return name


def _moved(batch: JournalBatch, by: int) -> JournalBatch:
    """The same, with sequence numbers that are higher."""
    original = batch.inputs.original_seq
    return replace(
        batch,
        first_seq=batch.first_seq + by,
        inputs=replace(batch.inputs, original_seq=np.where(original < 0, -1, original + by)),
        decisions=replace(batch.decisions, seq=batch.decisions.seq + by),
        quarantined=replace(batch.quarantined, seq=batch.quarantined.seq + by),
        controls=[(seq + by, record) for seq, record in batch.controls],
    )
