"""Writing, reading back, verifying and recovering whole journals."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parent))

import journal_samples as samples  # type: ignore[import-not-found]  # on the path above

from headrace.core.columns import Batch, Fixed, Text
from headrace.core.errors import (
    InvariantBroken,
    JournalError,
    NotFound,
    SecurityError,
    VerificationFailed,
)
from headrace.core.sha256 import leaves_of
from headrace.journal.batch import JournalBatch
from headrace.journal.canonical import RecordWriter, records
from headrace.journal.checkpoint import (
    Checkpoint,
    LaneHead,
    make_checkpoint,
    read_checkpoints,
    write_checkpoint,
)
from headrace.journal.frames import Frame, FrameKind, framed, frames_of, segment_paths
from headrace.journal.header import JournalHeader
from headrace.journal.journal import Journal
from headrace.journal.keys import PublicKey, SigningKey
from headrace.journal.payload import decode_payload, encode_payload
from headrace.journal.reader import find, groups, stored_batches
from headrace.journal.record_reader import batch_of_records
from headrace.journal.verification import verify

KEY = SigningKey.from_seed(bytes(32))
HEADER = samples.header()


def written(
    folder: Path, sizes: tuple[int, ...] = (7, 1, 12, 5), segment_bytes: int = 5_000
) -> list[JournalBatch]:
    """A journal of several segments; a commit after every second batch."""
    made, seq = [], 0
    with Journal.open(
        folder, HEADER, KEY, segment_bytes=segment_bytes, clock=lambda: 42
    ) as journal:
        for seed, size in enumerate(sizes):
            made.append(samples.batch(seed, seq, size))
            journal.append(made[-1])
            seq += size
            if seed % 2:
                journal.commit()
    return made


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    made = written(tmp_path)
    read = list(stored_batches(tmp_path))
    for before, stored in zip(made, read, strict=True):
        after = stored.batch()
        assert records(after, stored.header) == records(before, HEADER)
        for name, events in before.events.items():
            assert (after.events[name].rows if events.rows else 0) == events.rows
    assert [stored.link.first_seq for stored in stored_batches(tmp_path, 8)] == [8, 20]
    assert find(tmp_path, 19).stored.link.first_seq == 8
    with pytest.raises(NotFound, match="input 25"):
        find(tmp_path, 25)
    assert verify(tmp_path, KEY.public).require().records == 25


def test_a_journal_goes_on_where_it_stood(tmp_path: Path) -> None:
    written(tmp_path)
    with Journal.open(tmp_path, HEADER, KEY) as journal:
        assert (journal.next_seq, journal.tails) == (25, ())
        assert journal.positions["payments.jsonl"].ordinal == 25
        assert journal.commit().size == 0
        journal.describe(samples.header(model="m2"))
        journal.append(samples.batch(9, 25, 4))
        assert journal.commit().next_seq == 29
    assert [stored.header.model for stored in stored_batches(tmp_path, 20)] == ["m1", "m2"]
    assert verify(tmp_path, KEY.public).require().next_seq == 29


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with Journal.open(tmp_path, HEADER, KEY), pytest.raises(JournalError, match="another process"):
        Journal.open(tmp_path, HEADER, KEY)
    with Journal.open(tmp_path, HEADER, KEY) as journal:
        assert journal.next_seq == 0


@pytest.mark.parametrize("durability", ["fsync", "os", "async"])
def test_every_durability_writes_the_same_records(tmp_path: Path, durability: str) -> None:
    with Journal.open(tmp_path, HEADER, KEY, durability=durability, segment_bytes=5000) as journal:  # type: ignore[arg-type]  # one of the three
        for i in range(4):
            journal.append(samples.batch(i, 5 * i, 5))
            assert journal.commit().durable == (durability == "fsync")
    report = verify(tmp_path, KEY.public).require()
    assert (report.records, len(segment_paths(tmp_path))) == (20, 4)


def test_a_batch_must_fit(tmp_path: Path) -> None:
    with Journal.open(tmp_path, HEADER, KEY) as journal:
        with pytest.raises(InvariantBroken, match="follows input -1"):
            journal.append(samples.batch(1, 3, 5))
        whole = samples.batch(1, 0, 50)
        events = {**whole.events, "payments": whole.events["payments"].take(np.arange(1))}
        with pytest.raises(InvariantBroken, match="each once and in order"):
            journal.append(JournalBatch(0, whole.inputs, events, whole.decisions))
        with pytest.raises(InvariantBroken, match="every control input"):
            journal.append(JournalBatch(0, whole.inputs, whole.events, whole.decisions))
        assert journal.next_seq == 0


@pytest.mark.parametrize("library", ["libcrypto", "portable"])
def test_records_do_not_depend_on_batches_or_chunks(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "portable":
        monkeypatch.setattr("headrace.core.sha256.libcrypto", lambda: np.zeros(2, np.int64))
    whole = samples.batch(3, 100, 5000)
    writer = RecordWriter(whole, HEADER)
    digests = writer.digests()
    assert len(digests) == 5000
    for seq in (100, 101, 2147, 2148, 4000, 5099):
        assert hashlib.sha256(writer.record(seq)).digest() == digests[seq - 100].tobytes()


words = st.one_of(st.none(), st.text(max_size=12), st.just("é" * 70_000))
fixed = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3))


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 12), st.integers(0, 2**32), st.booleans())
def test_round_trip(data: st.DataObject, rows: int, seed: int, as_records: bool) -> None:  # noqa: FBT001 - drawn
    """Any texts, missing values and integers; empty streams; every kind of input beside them."""
    made = samples.batch(seed, 10, rows)
    count = made.events["payments"].rows
    columns = dict(made.events["payments"].columns)
    columns["merchant"] = Text.of(data.draw(st.lists(words, min_size=count, max_size=count)))
    columns["amount"] = Fixed.of(data.draw(st.lists(fixed, min_size=count, max_size=count)))
    made = replace(
        made, events={**made.events, "payments": Batch(columns, count)}, categories={7: "é"}
    )
    content: list[bytes] = []
    digests = RecordWriter(made, HEADER).digests(content)
    assert b"".join(content) == b"".join(records(made, HEADER))
    leaves = leaves_of(digests, made.inputs.read_ns)
    parts = encode_payload(made, HEADER, leaves, content if as_records else None)
    read, kept = decode_payload(np.frombuffer(b"".join(parts), np.uint8), HEADER, 10)
    samples.assert_same(made, read)
    assert RecordWriter(read, HEADER).digests().tobytes() == digests.tobytes()
    assert kept.tobytes() == leaves[:, :4].tobytes()


def test_records_that_were_changed_are_refused_or_read_as_others() -> None:
    """No byte of stored records makes the reader fail, or read what was written from another."""
    made = samples.batch(5, 10, 6)
    content: list[bytes] = []
    digests = RecordWriter(made, HEADER).digests(content)
    whole = b"".join(content)
    refused = 0
    for at in range(len(whole)):
        for bit in (1, 0x80):
            changed = np.frombuffer(bytearray(whole), dtype=np.uint8)
            changed[at] ^= bit
            try:
                read = batch_of_records(changed, HEADER, 10, 6, 3)
                again = RecordWriter(read, HEADER).digests()
            except (JournalError, InvariantBroken):
                refused += 1
                continue
            assert again.tobytes() != digests.tobytes(), at
    assert refused > len(whole) // 20
    for cut in range(len(whole)):
        with pytest.raises(JournalError, match="are not the records of inputs 10 to 15"):
            batch_of_records(np.frombuffer(bytearray(whole[:cut]), np.uint8), HEADER, 10, 6, 3)


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=400), st.integers(0, 5))
def test_any_bytes_are_refused(content: bytes, count: int) -> None:
    data = np.frombuffer(bytearray(content), dtype=np.uint8)
    if content or count:
        with pytest.raises(JournalError):
            batch_of_records(data, HEADER, 0, count, 3)


def test_a_header_is_read_back() -> None:
    assert JournalHeader.decoded(HEADER.encoded()) == HEADER
    with pytest.raises(JournalError, match="cannot be read"):
        JournalHeader.decoded(b"{}")


def _rewrite(path: Path, frames: list[Frame]) -> None:
    path.write_bytes(
        b"".join(framed(frame.kind, len(frame.body)) + frame.body.tobytes() for frame in frames)
    )


@pytest.mark.parametrize(
    "change", ["swap", "remove", "duplicate", "insert", "drop segment", "stranger"]
)
def test_frames_that_are_moved_are_found(tmp_path: Path, change: str) -> None:
    written(tmp_path, (7, 1, 12, 5, 3, 4), segment_bytes=30_000)
    path = segment_paths(tmp_path)[0]
    frames = list(frames_of(path))
    batches = [place for place, frame in enumerate(frames) if frame.kind is FrameKind.BATCH]
    place = batches[2]
    if change == "swap":
        frames[place], frames[place + 1] = frames[place + 1], frames[place]
    elif change == "remove":
        del frames[place]
    elif change == "duplicate":
        frames.insert(place, frames[place])
    elif change == "insert":
        frames.insert(place, frames[1])
    elif change == "drop segment":
        written(tmp_path / "other", segment_bytes=4000)
        (tmp_path / "other" / "0000000001.segment").rename(tmp_path / "0000000007.segment")
        _clear(tmp_path / "other")
    else:
        (tmp_path / "notes.txt").write_text("x")
    if change in {"swap", "remove", "duplicate", "insert"}:
        _rewrite(path, frames)
    report = verify(tmp_path, KEY.public)
    assert report.fault is not None
    if change in {"swap", "remove", "duplicate", "insert"}:
        expected = 20 if change == "duplicate" else 8
        assert (report.fault.path, report.fault.first_seq) == (path, expected)
        assert report.fault.frame in {place, place + 1}
        assert report.next_seq == 8
    with pytest.raises(VerificationFailed, match=r"segment|notes"):
        report.require()


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_a_changed_record_is_named(tmp_path: Path) -> None:
    written(tmp_path, (20,))
    path = segment_paths(tmp_path)[0]
    raw = path.read_bytes()
    stored = next(stored_batches(tmp_path))
    rows = stored.batch()
    seq = int(np.flatnonzero((rows.inputs.stream == 0) & (rows.inputs.row == 3))[0])
    identity = (rows.events["payments"].text("payment_id").strings()[3] or "").encode()
    path.write_bytes(raw.replace(identity, b"pay-0000x0000"))
    report = verify(tmp_path, KEY.public)
    assert report.fault is not None
    assert (report.fault.first_seq, report.fault.last_seq, report.fault.frame) == (seq, seq, 2)


def test_another_key_is_not_believed(tmp_path: Path) -> None:
    written(tmp_path)
    other = SigningKey.from_seed(bytes([1] * 32))
    report = verify(tmp_path, other.public)
    assert "not by a known key" in str(report.fault)
    assert verify(tmp_path, [other.public, KEY.public]).good
    with Journal.open(tmp_path, HEADER, other, trusted=[KEY.public]) as journal:
        journal.append(samples.batch(9, 25, 4))
    assert verify(tmp_path, [other.public, KEY.public]).require().next_seq == 29


def test_a_cut_tail_shows_against_a_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    written(folder)
    report = verify(folder, KEY.public)
    witness = tmp_path / "witness.jsonl"
    write_checkpoint(witness, make_checkpoint([LaneHead("lane-0", 25, report.head)], KEY, 7))
    (checkpoint,) = read_checkpoints(witness)
    assert verify(folder, KEY.public, checkpoint).require().checkpoint
    path = segment_paths(folder)[-1]
    if len(segment_paths(folder)) > 1:
        path.unlink()
    assert verify(folder, KEY.public).good
    cut = verify(folder, KEY.public, checkpoint)
    assert "the tail was cut" in str(cut.fault)
    assert cut.fault is not None
    assert cut.fault.first_seq == 8
    with pytest.raises(VerificationFailed, match="was changed"):
        verify(
            folder,
            KEY.public,
            Checkpoint(checkpoint.lanes, 8, checkpoint.public_key, checkpoint.signature),
        )


def test_a_journal_written_anew_shows_against_a_checkpoint(tmp_path: Path) -> None:
    written(tmp_path / "a")
    head = verify(tmp_path / "a", KEY.public).head
    written(tmp_path / "b", (7, 1, 12, 4, 1))
    checkpoint = make_checkpoint([LaneHead("lane-0", 25, head)], KEY, 7)
    assert "written anew" in str(verify(tmp_path / "b", KEY.public, checkpoint).fault)


def test_a_tail_is_moved_aside_wherever_it_was_cut(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    written(folder, (3, 2, 2, 2), segment_bytes=1 << 20)
    path = segment_paths(folder)[0]
    raw = path.read_bytes()
    ends = [0] + [frame.end for frame in frames_of(path) if frame.kind is FrameKind.COMMIT]
    reach = {0: 0, ends[1]: 5, ends[2]: 9}
    random = np.random.default_rng(5)
    for cut in sorted(
        {*random.integers(1, len(raw), 40).tolist(), *ends[1:], ends[1] + 1, ends[1] + 16}
    ):
        path.write_bytes(raw[:cut])
        good = max(end for end in ends if end <= cut)
        with Journal.open(folder, HEADER, KEY) as journal:
            assert journal.next_seq == reach[good]
            assert [tail.kept.read_bytes() for tail in journal.tails] == (
                [raw[good:cut]] if cut > good else []
            )
        report = verify(folder, KEY.public).require()
        assert report.next_seq == reach[good]
        assert (
            len(report.tails) == len(list((folder / "unvouched").iterdir())) if cut > good else True
        )


def test_an_empty_segment_does_not_stand_in_the_way(tmp_path: Path) -> None:
    """A writer can be killed between making a segment and writing to it."""
    written(tmp_path)
    assert len(segment_paths(tmp_path)) == 2
    segment_paths(tmp_path)[1].write_bytes(b"")
    with Journal.open(tmp_path, HEADER, KEY, segment_bytes=5_000) as journal:
        assert (journal.next_seq, journal.tails) == (8, ())
        journal.append(samples.batch(9, 8, 4))
    assert verify(tmp_path, KEY.public).require().next_seq == 12
    assert len(segment_paths(tmp_path)) == 2


def test_frames_after_damage_are_kept_aside(tmp_path: Path) -> None:
    written(tmp_path)
    path = segment_paths(tmp_path)[-1]
    raw = bytearray(path.read_bytes())
    raw[300] ^= 1
    path.write_bytes(raw)
    with Journal.open(tmp_path, HEADER, KEY) as journal:
        (tail,) = journal.tails
        assert journal.next_seq == 8
        assert tail.kept.read_bytes() == bytes(raw)
        assert "moved to" in str(tail)


def test_missing_segments_stop_a_start(tmp_path: Path) -> None:
    written(tmp_path, (7, 1, 12, 5, 3, 4))
    assert len(segment_paths(tmp_path)) == 3
    segment_paths(tmp_path)[1].unlink()
    with pytest.raises(JournalError, match="is not segment 1"):
        Journal.open(tmp_path, HEADER, KEY)


def test_a_write_that_fails_stops_the_journal(tmp_path: Path) -> None:
    with Journal.open(tmp_path, HEADER, KEY) as journal:
        journal.append(samples.batch(1, 0, 5))
        with (
            samples.full_disk(),
            pytest.raises(JournalError, match=r"No space left.*before input 0 is safe"),
        ):
            journal.commit()
        with pytest.raises(JournalError, match="open it again"):
            journal.commit()
    with Journal.open(tmp_path, HEADER, KEY) as journal:
        assert journal.next_seq == 0


def test_keys_are_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "journal.pem"
    key = SigningKey.load_or_create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load_or_create(path).public == key.public
    assert PublicKey.read(path.with_name("journal.pem.pub")) == key.public
    with pytest.raises(SecurityError, match="never overwritten"):
        SigningKey.create(path)
    path.chmod(0o644)
    with pytest.raises(SecurityError, match="chmod 600"):
        SigningKey.load(path)
    with pytest.raises(SecurityError, match="no public key"):
        PublicKey.read(tmp_path / "none")


def test_flipped_bytes_are_found_where_they_are(tmp_path: Path) -> None:
    """A sample of all bytes; tests/chaos flips every one."""
    written(tmp_path, (6, 1, 5))
    random = np.random.default_rng(11)
    for path in segment_paths(tmp_path):
        whole = path.read_bytes()
        for at in random.integers(0, len(whole), 40).tolist():
            changed = bytearray(whole)
            changed[at] ^= 1 << int(random.integers(8))
            path.write_bytes(changed)
            fault = verify(tmp_path, KEY.public).fault
            assert fault is not None, (path, at)
            assert fault.path == path
            assert fault.offset <= at
        path.write_bytes(whole)


def test_groups_are_given_with_their_signature(tmp_path: Path) -> None:
    written(tmp_path)
    found = list(groups(tmp_path))
    assert [len(group.batches) for group in found] == [2, 2]
    assert all(group.signed.verifies([KEY.public]) for group in found)
    with pytest.raises(NotFound, match="no journal"):
        list(groups(tmp_path / "none"))
