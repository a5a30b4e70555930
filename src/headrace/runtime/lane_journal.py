"""What a lane needs of a journal, wherever that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headrace.journal.batch import JournalBatch, Position
    from headrace.journal.chain_writer import Appended
    from headrace.journal.header import JournalHeader
    from headrace.journal.journal import Commit
    from headrace.journal.recovery import UnvouchedTail


class LaneJournal(Protocol):
    """The journal of one lane, open for this process alone."""

    @property
    def tails(self) -> Sequence[UnvouchedTail]:
        """What was moved aside when it was opened."""

    @property
    def next_seq(self) -> int:
        """The sequence number of the next input to append."""

    @property
    def committed(self) -> Commit:
        """The last commit, or where the journal stood when it was opened."""

    @property
    def last_header(self) -> JournalHeader | None:
        """What the last batches were recorded under when it was opened; None if there were none."""

    @property
    def positions(self) -> Mapping[str, Position]:
        """Where every source goes on after what was appended."""

    def batches(self, from_seq: int) -> Iterator[tuple[JournalHeader, JournalBatch]]:
        """The committed batches with an input at or after `from_seq`, with their headers."""

    def describe(self, header: JournalHeader) -> None:
        """Record the batches to come under another header."""

    def append(self, batch: JournalBatch) -> Appended:
        """Hash a batch into the chain and hold it for the next commit."""

    def commit(self, *, sealed: bool = False) -> Commit:
        """Sign what was appended, and make it durable.

        Args:
            sealed: Whether `catch_up` may sign it instead, where something else vouches for it
                until then.
        """

    def catch_up(self) -> None:
        """Do what may wait until decisions have gone out."""

    def close(self) -> None:
        """Commit what was appended, and let go."""

    def abandon(self) -> None:
        """Let go; what was appended and not committed is not in the journal."""
