"""What the journal of every use case proves, and that nobody changes a byte of it unseen."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from journaled import copied, decided, run
from msgspec.structs import replace

from headrace.journal import verify_proof
from headrace.journal.canonical import records
from headrace.journal.frames import segment_paths
from headrace.journal.proof import prove
from headrace.journal.reader import stored_batches
from headrace.journal.verification import verify
from headrace.runtime.audit import explain
from headrace.runtime.definitions import Definitions
from headrace.runtime.journals import Place
from headrace.runtime.local_lane import signing_key

if TYPE_CHECKING:
    from pathlib import Path

    from cases import History

    import headrace as hr
    from headrace.journal.batch import JournalBatch
    from headrace.runtime.home import Home

    Undisturbed = tuple[Home, list[JournalBatch]]


def test_the_journal_is_whole(case: hr.UseCase, undisturbed: Undisturbed) -> None:
    home, batches = undisturbed
    found = verify(home.journal(case.name), signing_key(home).public).require()
    assert found.records == sum(map(len, batches))


def test_every_changed_byte_is_found(
    case: hr.UseCase, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    home = copied(undisturbed[0], tmp_path)
    folder, key = home.journal(case.name), signing_key(home).public
    dice = random.Random(3)
    for _ in range(40):
        path = dice.choice(segment_paths(folder))
        whole = path.read_bytes()
        at = dice.randrange(len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ dice.randrange(1, 256)]) + whole[at + 1 :])
        fault = verify(folder, key).fault
        assert fault is not None, (path, at)
        assert (fault.path, fault.offset <= at) == (path, True)
        path.write_bytes(whole)
    verify(folder, key).require()


@pytest.mark.parametrize("share", [0.2, 0.9, 0.999])
def test_what_was_cut_off_is_decided_again_the_same(
    share: float, case: hr.UseCase, undisturbed: Undisturbed, history: History, tmp_path: Path
) -> None:
    """A disk that lost the end of a journal, and the state that went beyond it."""
    home = copied(undisturbed[0], tmp_path)
    (path,) = segment_paths(home.journal(case.name))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    assert decided(run(case, home, history, rows=700, threads=1)) == decided(undisturbed[1])
    verify(home.journal(case.name), signing_key(home).public).require()


def test_a_decision_is_explained_as_it_was_made(case: hr.UseCase, undisturbed: Undisturbed) -> None:
    """Reasons are the largest shares of the score, and each rule that matched says why."""
    home, _ = undisturbed
    folder = home.journal(case.name)
    explained = set()
    for stored in stored_batches(folder):
        header, made = stored.header, stored.batch().decisions
        for at in range(0, len(made), 101):
            seq = int(made.seq[at])
            told = explain(Place(folder, case.name, 0, seq), Definitions(home.definitions))
            assert told.outcome == header.outcomes[int(made.outcome[at])]
            assert told.score == made.score[at]
            matched = [rule for bit, rule in enumerate(header.rules) if made.rules[at] >> bit & 1]
            assert list(told.rules) == matched
            assert all(told.rules.values())
            shares = [reason.contribution for reason in told.reasons]
            assert shares == sorted(shares, reverse=True)
            assert [reason.feature for reason in told.reasons] == [
                header.features[number] for number in made.reason_feature[:, at] if number >= 0
            ]
            explained.add(told.outcome)
    assert len(explained) > 1


def test_a_decision_is_proved_to_who_has_nothing_but_the_proof(
    case: hr.UseCase, undisturbed: Undisturbed
) -> None:
    home, batches = undisturbed
    folder, key = home.journal(case.name), signing_key(home).public
    header = next(stored_batches(folder)).header
    for batch in batches:
        seq = int(batch.decisions.seq[len(batch.decisions) // 2])
        proof = prove(folder, seq, key)
        said = verify_proof.verify(proof, key.raw)
        assert said["seq"] == seq
        assert bytes.fromhex(proof["record"]) == records(batch, header)[seq - batch.first_seq]
        for name in ("record", "batch", "signed", "leaf", "digest"):
            changed = copy.deepcopy(proof)
            middle = len(changed[name]) // 2
            digit = "0" if changed[name][middle] != "0" else "1"
            changed[name] = changed[name][:middle] + digit + changed[name][middle + 1 :]
            with pytest.raises(verify_proof.ProofFailed):
                verify_proof.verify(changed, key.raw)


def test_a_record_that_says_something_else_is_another_record(
    case: hr.UseCase, undisturbed: Undisturbed
) -> None:
    """Not a bit of a decision is left out of what is hashed."""
    home, batches = undisturbed
    header = next(stored_batches(home.journal(case.name))).header
    batch = batches[0]
    expected = records(batch, header)
    place = int(batch.decisions.seq[0]) - batch.first_seq
    for name in ("score", "margin", "outcome", "rules", "features"):
        column = np.array(getattr(batch.decisions, name))
        view = column[:, :1] if column.ndim > 1 else column[:1]
        view[:] = np.where(view == 1, 0, 1)
        decisions = replace(batch.decisions, **{name: column})
        other = records(replace(batch, decisions=decisions), header)
        assert other[place] != expected[place], name
        assert other[place + 1 :] == expected[place + 1 :], name
