"""A group that is sealed first and signed later: what a writer that was stopped between leaves."""

from __future__ import annotations

import hashlib
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import journal_samples as samples  # type: ignore[import-not-found]  # on the path above

from headrace.core.errors import JournalError
from headrace.journal.frames import COMMIT_BYTES, FrameKind, frames_of, segment_paths
from headrace.journal.index import JournalIndex
from headrace.journal.index_files import IndexFolder
from headrace.journal.journal import Journal
from headrace.journal.keys import SigningKey
from headrace.journal.reader import stored_batches
from headrace.journal.verification import verify

if TYPE_CHECKING:
    from headrace.journal.segments import Durability

SEED = bytes(range(32))
KEY = SigningKey.from_seed(SEED)
HEADER = samples.header()
SIZES = (7, 1, 12, 5, 3)


def opened(
    folder: Path, key: SigningKey = KEY, durability: Durability = "os", segment_bytes: int = 1 << 20
) -> Journal:
    index = IndexFolder(folder.parent / "index", (3, 4))
    return Journal.open(
        folder,
        HEADER,
        key,
        durability=durability,
        segment_bytes=segment_bytes,
        clock=lambda: 42,
        index=index,
    )


def stopped(folder: Path, sizes: tuple[int, ...] = SIZES, *, segment_bytes: int = 1 << 20) -> bytes:
    """A journal whose writer was stopped after it answered; the bytes of its last segment."""
    journal = opened(folder, segment_bytes=segment_bytes)
    seq = 0
    for seed, size in enumerate(sizes):
        journal.append(samples.batch(seed, seq, size))
        seq += size
        if seed in (1, 2):
            journal.commit(sealed=True)
        if seed == 1:
            journal.catch_up()
    assert journal.commit(sealed=True).next_seq == seq
    journal.abandon()
    return segment_paths(folder)[-1].read_bytes()


@pytest.mark.parametrize("segment_bytes", [1 << 20, 1_000])
def test_what_was_sealed_is_signed_by_the_next_who_opens_it(
    tmp_path: Path, segment_bytes: int
) -> None:
    folder = tmp_path / "journal"
    stopped(folder, segment_bytes=segment_bytes)
    report = verify(folder, KEY.public)
    assert "ends without a signed head" in str(report.fault)
    assert "start it again and it signs" in str(report.fault)
    assert report.next_seq == 20
    with opened(folder) as journal:
        assert (journal.next_seq, journal.tails) == (28, ())
        report = verify(folder, KEY.public).require()
        assert (report.next_seq, report.signed_ns) == (28, 42)
        journal.append(samples.batch(9, 28, 4))
    assert verify(folder, KEY.public).require().records == 32
    lookup = JournalIndex(folder, IndexFolder(tmp_path / "index", (3, 4)))
    for stored in stored_batches(folder):
        assert lookup.find(stored.link.first_seq).stored.link == stored.link


def test_in_the_end_the_journal_is_the_same(tmp_path: Path) -> None:
    """Sealed, signed later by the writer or by the next: the segments are those without a seal."""
    stopped(tmp_path / "sealed")
    opened(tmp_path / "sealed").close()
    with opened(tmp_path / "signed") as journal:
        seq = 0
        for seed, size in enumerate(SIZES):
            journal.append(samples.batch(seed, seq, size))
            seq += size
            if seed in (1, 2):
                journal.commit()
    (sealed,), (signed,) = segment_paths(tmp_path / "sealed"), segment_paths(tmp_path / "signed")
    assert sealed.read_bytes() == signed.read_bytes()
    assert not (tmp_path / "signed" / "seal").exists()


@pytest.mark.parametrize("durability", ["os", "async"])
def test_catching_up_signs(tmp_path: Path, durability: Durability) -> None:
    folder = tmp_path / "journal"
    journal = opened(folder, durability=durability)
    for seed in range(3):
        journal.append(samples.batch(seed, 5 * seed, 5))
        assert not journal.commit(sealed=True).durable
        journal.catch_up()
    assert journal.commit(sealed=True).size == 0
    journal.abandon()
    assert verify(folder, KEY.public).require().next_seq == 15


def test_a_journal_that_is_being_written_is_verified(tmp_path: Path) -> None:
    """Whoever reads between an answer and its signature waits for that."""
    folder = tmp_path / "journal"
    journal = opened(folder)
    journal.append(samples.batch(0, 0, 5))
    journal.commit(sealed=True)
    signing = threading.Timer(0.1, journal.catch_up)
    signing.start()
    assert verify(folder, KEY.public).require().next_seq == 5
    signing.join()
    journal.abandon()


def test_what_waits_for_the_disk_is_signed_first(tmp_path: Path) -> None:
    journal = opened(tmp_path / "journal", durability="fsync")
    journal.append(samples.batch(0, 0, 5))
    assert journal.commit(sealed=True).durable
    assert verify(tmp_path / "journal", KEY.public).require().next_seq == 5
    journal.abandon()
    assert not (tmp_path / "journal" / "seal").exists()


def test_a_signature_that_was_cut_short_is_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    stopped(folder)
    opened(folder).close()
    (path,) = segment_paths(folder)
    whole = path.read_bytes()
    for written in range(COMMIT_BYTES):
        cut = whole[: len(whole) - COMMIT_BYTES + written]
        path.write_bytes(cut)
        journal = opened(folder)
        kept = [tail.kept.read_bytes() for tail in journal.tails]
        assert kept == ([cut[len(whole) - COMMIT_BYTES :]] if written else [])
        journal.abandon()
        assert path.read_bytes() == whole


def test_a_seal_vouches_for_nothing_else(tmp_path: Path) -> None:
    """Another batch, another key, an older seal, one that was changed or cut: all are refused."""
    folder = tmp_path / "journal"
    whole = stopped(folder)
    (path,) = segment_paths(folder)
    seal = (folder / "seal").read_bytes()
    good = [frame.end for frame in frames_of(path) if frame.kind is FrameKind.COMMIT][-1]
    stopped(tmp_path / "older", SIZES[:3])
    older = (tmp_path / "older" / "seal").read_bytes()

    def reopened(segment: bytes, seal: bytes, key: SigningKey = KEY) -> tuple[int, list[bytes]]:
        path.write_bytes(segment)
        (folder / "seal").write_bytes(seal)
        trusted = () if key is KEY else (KEY.public,)
        with Journal.open(folder, HEADER, key, trusted=trusted, durability="os") as journal:
            return journal.next_seq, [tail.kept.read_bytes() for tail in journal.tails]

    tail = whole[good:]
    for at in range(len(seal)):
        changed = bytearray(seal)
        changed[at] ^= 1
        assert reopened(whole, bytes(changed)) == (20, [tail]), at
    for size in (0, 1, 71):
        assert reopened(whole, seal[:size]) == (20, [tail]), size
    assert reopened(whole, seal + b"\0") == (20, [tail])
    assert reopened(whole, older) == (20, [tail])
    assert reopened(whole, seal, SigningKey.from_seed(bytes(32))) == (20, [tail])
    for at in range(good, len(whole), 7):
        other = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        assert reopened(other, seal) == (20, [other[good:]]), at
    assert reopened(whole[:good], seal) == (20, [])
    assert reopened(whole, seal) == (28, [])
    assert "the seal should have 72 bytes" in str(_with_seal(folder, seal[:-1]))
    assert _with_seal(folder, seal) is None


def _with_seal(folder: Path, seal: bytes) -> object:
    (folder / "seal").write_bytes(seal)
    return verify(folder, KEY.public).fault


def test_a_signature_for_which_there_is_no_room_is_owed(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    journal = opened(folder)
    journal.append(samples.batch(0, 0, 5))
    journal.commit(sealed=True)
    with (
        samples.full_disk(),
        pytest.raises(JournalError, match=r"No space left.*before input 5 is safe"),
    ):
        journal.catch_up()
    with pytest.raises(JournalError, match="open it again"):
        journal.commit()
    journal.abandon()
    with opened(folder) as journal:
        assert (journal.next_seq, journal.tails) == (5, ())


def test_plain_python_gives_the_seal(tmp_path: Path) -> None:
    """As docs/reference/journal-format.md says it."""
    folder = tmp_path / "journal"
    stopped(folder)
    seal = (folder / "seal").read_bytes()
    opened(folder).close()
    head = verify(folder, KEY.public).head
    key = hashlib.blake2s(b"headrace/mac-key/v1\0", key=SEED).digest()
    body = (28).to_bytes(8, "little") + head
    assert seal == body + hashlib.blake2s(b"headrace/seal/v1\0" + body, key=key).digest()
