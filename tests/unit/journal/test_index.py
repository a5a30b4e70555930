"""The index of a journal finds what a scan finds: whole, damaged, cut, stale or missing."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parent))

import journal_samples as samples  # type: ignore[import-not-found]  # on the path above

from headrace.core.columns import Batch, Text
from headrace.core.errors import NotFound
from headrace.journal.batch import InputKind, JournalBatch
from headrace.journal.frames import segment_paths
from headrace.journal.index import JournalIndex
from headrace.journal.index_files import IndexFolder
from headrace.journal.journal import Journal
from headrace.journal.keys import SigningKey
from headrace.journal.reader import groups, stored_batches
from headrace.journal.verification import verify

KEY = SigningKey.from_seed(bytes(32))
HEADER = samples.header()


def batch(seed: int, first_seq: int, rows: int, ids: list[str] | None = None) -> JournalBatch:
    """A batch with every kind of input, whose payments have ids of few, so that some come again."""
    made: JournalBatch = samples.batch(seed, first_seq, rows)
    payments = made.events["payments"]
    drawn = np.random.default_rng(seed).integers(0, 300, payments.rows)
    named = Text.of([ids[i % len(ids)] if ids else f"pay-{i}" for i in drawn.tolist()])
    events = Batch({**payments.columns, "payment_id": named}, payments.rows)
    return replace(made, events={**made.events, "payments": events})


def scan(folder: Path) -> dict[str, int]:
    """The first accepted payment of every id, by reading all records."""
    first: dict[str, int] = {}
    for stored in stored_batches(folder):
        made = stored.batch()
        payments = made.events.get("payments")
        ids = payments.text("payment_id").strings() if payments else []
        for at in range(len(made)):
            accepted = made.inputs.kind[at] in (InputKind.ACCEPTED, InputKind.BACKFILL)
            if made.inputs.stream[at] == 0 and accepted:
                name = ids[made.inputs.row[at]]
                assert name is not None
                first.setdefault(name, made.first_seq + at)
    return first


def agree(index: JournalIndex, absent: str = "pay-none") -> None:
    """The index has every input, and every id, where a scan of the journal has them."""
    known = scan(index.segments)
    for name, seq in list(known.items())[:: 1 + len(known) // 50]:
        assert index.seq_of(name) == seq, name
    assert index.seq_of(absent) is None
    end = 0
    for group in groups(index.segments):
        links = tuple(stored.link for stored in group.batches)
        for number, stored in enumerate(group.batches):
            end = stored.link.next_seq
            for seq in {stored.link.first_seq, end - 1}:
                found = index.find(seq)
                assert (found.after, found.signed) == (links[number + 1 :], group.signed)
                assert found.stored.link == stored.link
                assert found.stored.offset == stored.offset
                assert found.stored.header_encoded == stored.header_encoded
                assert found.stored.payload.tobytes() == stored.payload.tobytes()
    for beyond in (end, end + 1_000, 2**40, -1):
        with pytest.raises(NotFound, match="is not in the journal"):
            index.find(beyond)


def home(folder: Path) -> tuple[Path, IndexFolder]:
    return folder / "journal", IndexFolder(folder / "index", (3, 4))


def written(
    folder: Path,
    sizes: list[int],
    segment_bytes: int = 20_000,
    seed: int = 0,
) -> None:
    """Go on with a journal; a commit after every second batch, another header half way."""
    segments, index = home(folder)
    journal = Journal.open(
        segments, HEADER, KEY, segment_bytes=segment_bytes, index=index, durability="os"
    )
    for number, size in enumerate(sizes):
        if number == len(sizes) // 2:
            journal.describe(samples.header(model="m2"))
        journal.append(batch(seed + number, journal.next_seq, size))
        if number % 2:
            journal.commit()
    journal.close()


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=6), min_size=1, max_size=3),
    st.sampled_from([3_000, 20_000, 10**9]),
    st.integers(0, 2**20),
    st.sampled_from(["kept", "missing", "partly"]),
)
def test_index_finds_what_a_scan_finds(
    runs: list[list[int]], segment_bytes: int, seed: int, index: str
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, sizes in enumerate(runs):
            written(folder, sizes, segment_bytes, seed + 100 * number)
            if index == "missing" or (index == "partly" and number == 0):
                for path in (folder / "index").iterdir():
                    path.unlink()
        lookup = JournalIndex(*home(folder))
        agree(lookup)
        agree(lookup)
        agree(JournalIndex(*home(folder)))
        closed = len(segment_paths(folder / "journal")) - 1
        assert len(list((folder / "index").glob("*.index"))) == closed
        assert verify(folder / "journal", KEY.public).good


def test_what_is_written_meanwhile_is_found(tmp_path: Path) -> None:
    segments, folder = home(tmp_path)
    lookup = JournalIndex(segments, folder)
    with pytest.raises(NotFound, match="holds no journal"):
        lookup.find(0)
    with Journal.open(
        segments, HEADER, KEY, segment_bytes=100_000, index=folder, durability="os"
    ) as journal:
        for number in range(300):
            journal.append(batch(number, journal.next_seq, 1 + number % 7))
            if number % 5 == 0:
                journal.commit()
            if number % 100 == 99:
                journal.commit()
                agree(lookup)
    agree(lookup)
    assert len(segment_paths(segments)) > 2


def test_no_file_of_the_index_shows_an_id(tmp_path: Path) -> None:
    written(tmp_path, [40, 50, 60, 70])
    files = [path.read_bytes() for path in (tmp_path / "index").iterdir()]
    assert len(files) >= 3
    for name in scan(tmp_path / "journal"):
        assert not any(name.encode() in content for content in files)
    other = JournalIndex(tmp_path / "journal", IndexFolder(tmp_path / "index", (5, 6)))
    agree(other)


def test_any_damage_is_found_and_mended(tmp_path: Path) -> None:
    """Every byte of every file of the index may be changed, and every length cut."""
    written(tmp_path, [5, 9, 4, 12, 3], segment_bytes=8_000)
    segments, folder = home(tmp_path)
    known = scan(segments)
    whole = {path: path.read_bytes() for path in folder.path.iterdir()}
    assert {path.suffix for path in whole} == {".index", ".places", ".ids"}
    random = np.random.default_rng(1)
    places = [(path, at) for path, data in whole.items() for at in range(len(data))]
    for number in random.permutation(len(places))[:400].tolist():
        path, at = places[number]
        changed = bytearray(whole[path])
        if number % 3:
            changed[at] ^= int(random.integers(1, 256))
        else:
            del changed[at:]
        path.write_bytes(changed)
        lookup = JournalIndex(segments, folder)
        assert {name: lookup.seq_of(name) for name in known} == known, (path, at)
        assert lookup.find(7).stored.link.first_seq == 5
        for other, data in whole.items():
            other.write_bytes(data)


def test_a_journal_that_was_put_back_to_an_earlier_day_is_found_as_it_is(tmp_path: Path) -> None:
    """The index goes on from a backup of the journal, though it knew of more."""
    written(tmp_path, [20, 30, 25, 30], segment_bytes=10_000)
    segments, _ = home(tmp_path)
    backup = {path.name: path.read_bytes() for path in segments.iterdir()}
    written(tmp_path, [33, 21, 28], segment_bytes=10_000, seed=50)
    for path in segments.iterdir():
        path.unlink()
    for name, data in backup.items():
        (segments / name).write_bytes(data)
    agree(JournalIndex(*home(tmp_path)))
    written(tmp_path, [24, 35, 22, 31], segment_bytes=10_000, seed=90)
    agree(JournalIndex(*home(tmp_path)))


def test_an_index_that_cannot_be_written_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "index").write_text("a file where the folder should be")
    written(tmp_path, [5, 6, 7], segment_bytes=3_000)
    assert "is not written any more" in caplog.text
    agree(JournalIndex(*home(tmp_path)))
    assert verify(tmp_path / "journal", KEY.public).good


def test_old_decisions_are_found_without_reading_their_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, [30] * 12, segment_bytes=40_000)
    known = scan(tmp_path / "journal")

    def refused(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("headrace.journal.index.JournalIndex._anew", refused)
    lookup = JournalIndex(*home(tmp_path))
    assert {name: lookup.seq_of(name) for name in known} == known
    assert lookup.find(3).stored.link.first_seq == 0
