"""Erasing a person: out of the vault, with a control record in every journal of the home."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.journal.batch import JournalBatch
from headrace.journal.checkpoint import LaneHead, make_checkpoint, write_checkpoint
from headrace.journal.journal import Journal
from headrace.journal.reader import stored_batches
from headrace.runtime.journals import index_folder
from headrace.runtime.local_lane import now_ns, signing_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.journal.header import JournalHeader
    from headrace.runtime.home import Home
    from headrace.security.vault import Vault

#: What an erasure is called in its control record.
ERASURE = "erasure"


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased.

    Attributes:
        surrogate: What stood for the person, and still stands in the journals.
        values: How many values were erased, the person's own included.
        use_cases: Whose journals record it.
    """

    surrogate: str
    values: int
    use_cases: tuple[str, ...]


def erasure_record(surrogate: str, values: int) -> Mapping[str, object]:
    """The control record of an erasure.

    >>> erasure_record("c2wgbW9ycm93IG1v", 2)["control"]
    'erasure'
    """
    return {"control": ERASURE, "surrogate": surrogate, "values": values}


def erase(home: Home, vault: Vault, surrogate: str) -> Erasure:
    """Erase a person, and record in the journals that it was done, and when.

    The journals are held meanwhile, so that no erasure goes unrecorded because a run is going on.
    A record names the surrogate, which stands for nobody any more, and no value.

    Args:
        home: Whose journals.
        vault: Of that home.
        surrogate: Of the person.

    Raises:
        Erased: If that was done before.
        NotFound: If no surrogate of this vault reads so.
        SecurityError: If it stands for a value of someone else's; the message names whose.
        JournalError: If another process writes one of the journals; nothing was erased.
    """
    with ExitStack() as holding:
        held: list[tuple[str, JournalHeader, Journal]] = []
        lanes = [(case, lane) for case in home.use_cases() for lane in home.lanes(case)]
        for case, lane in lanes:
            folder = home.journal(case, lane)
            first = next(stored_batches(folder), None)
            if first is None:
                continue
            journal = holding.enter_context(
                Journal.open(
                    folder, first.header, signing_key(home), index=index_folder(home, case, lane)
                )
            )
            header = journal.last_header or first.header
            journal.describe(header)
            held.append((case, header, journal))
        values = vault.erase(surrogate)
        record = erasure_record(surrogate, values)
        for _, header, journal in held:
            journal.append(JournalBatch.of_control(journal.next_seq, record, now_ns()))
            commit = journal.commit()
            head = LaneHead(header.lane, commit.next_seq, commit.head)
            write_checkpoint(home.witness, make_checkpoint([head], signing_key(home), now_ns()))
    return Erasure(surrogate, values, tuple(dict.fromkeys(case for case, _, _ in held)))
