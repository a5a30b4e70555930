"""Damage to a journal: every byte flipped, every length cut, writers killed while they write.

Each runs for `HEADRACE_CHAOS_SECONDS` (10 unless set), from a place of its own choosing by seed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "journal"))

import journal_samples as samples  # type: ignore[import-not-found]  # on the path above

from headrace.journal.canonical import records
from headrace.journal.frames import FrameKind, frames_of, segment_paths
from headrace.journal.index import JournalIndex
from headrace.journal.index_files import IndexFolder
from headrace.journal.journal import Journal
from headrace.journal.keys import SigningKey
from headrace.journal.reader import StoredBatch, stored_batches
from headrace.journal.verification import verify

pytestmark = pytest.mark.slow

SECONDS = float(os.environ.get("HEADRACE_CHAOS_SECONDS", "10"))
KEY = SigningKey.from_seed(bytes(32))
HEADER = samples.header()


def _written(folder: Path) -> None:
    seq = 0
    with Journal.open(folder, HEADER, KEY, segment_bytes=6_000) as journal:
        for seed, size in enumerate((6, 2, 5, 3)):
            journal.append(samples.batch(seed, seq, size))
            seq += size
            if seed % 2:
                journal.commit()


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    _written(tmp_path)
    places = [
        (path, at) for path in sorted(tmp_path.iterdir()) for at in range(path.stat().st_size)
    ]
    random = np.random.default_rng(int(os.environ.get("HEADRACE_CHAOS_SEED", "0")))
    end = time.monotonic() + SECONDS
    for place in random.permutation(len(places)):
        if time.monotonic() > end:
            break
        path, at = places[place]
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[at] ^= int(random.integers(1, 256))
        path.write_bytes(changed)
        fault = verify(tmp_path, KEY.public).fault
        assert fault is not None, (path, at)
        assert fault.path == path, (path, at, fault)
        assert fault.offset <= at, (path, at, fault)
        path.write_bytes(whole)
    assert verify(tmp_path, KEY.public).good


def test_wherever_it_is_cut_a_journal_opens_at_its_last_good_head(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    _written(folder)
    path = segment_paths(folder)[-1]
    whole = path.read_bytes()
    others = {other: other.read_bytes() for other in segment_paths(folder)[:-1]}
    before = verify(folder, KEY.public).next_seq
    commits = [frame.end for frame in frames_of(path) if frame.kind is FrameKind.COMMIT]
    assert len(commits) == 1
    start = next(stored_batches(folder, before - 1)).link.first_seq - 5
    random = np.random.default_rng(int(os.environ.get("HEADRACE_CHAOS_SEED", "0")))
    end = time.monotonic() + SECONDS
    for cut in random.permutation(len(whole) + 1):
        if time.monotonic() > end:
            break
        path.write_bytes(whole[:cut])
        for other, data in others.items():
            other.write_bytes(data)
        for kept in (folder / "unvouched").glob("*"):
            kept.unlink()
        with Journal.open(folder, HEADER, KEY) as journal:
            assert journal.next_seq == (before if cut == len(whole) else start)
            assert [tail.kept.read_bytes() for tail in journal.tails] in ([whole[:cut]], [])
            journal.append(samples.batch(9, journal.next_seq, 2))
        assert verify(folder, KEY.public).good


def _ids_are_found(lookup: JournalIndex, stored: StoredBatch) -> None:
    """The first decided payment of a batch is found by its id; ids hardly come twice here."""
    batch = stored.batch()
    if len(batch.decisions):
        seq = int(batch.decisions.seq[0])
        row = int(batch.inputs.row[seq - batch.first_seq])
        name = batch.events["payments"].text("payment_id").strings()[row]
        assert name is not None
        first = lookup.seq_of(name)
        assert first is not None
        assert first <= seq
        assert first == seq or name == _id_of(lookup, first)


def _id_of(lookup: JournalIndex, seq: int) -> str | None:
    batch = lookup.find(seq).stored.batch()
    row = int(batch.inputs.row[seq - batch.first_seq])
    return batch.events["payments"].text("payment_id").strings()[row]


def test_a_killed_writer_loses_nothing_that_it_vouched_for(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    random = np.random.default_rng(int(os.environ.get("HEADRACE_CHAOS_SEED", "0")))
    command = [sys.executable, str(Path(__file__).with_name("journal_writer.py")), str(folder)]
    end = time.monotonic() + SECONDS
    told = kills = 0
    while kills < 2 or told == 0 or time.monotonic() < end:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        opened = process.stdout.readline()
        assert opened.startswith("open "), opened
        assert int(opened.split()[1]) >= told
        time.sleep(float(random.random()) * 0.3)
        process.kill()
        rest, _ = process.communicate()
        lines = [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        told = max([told, *map(int, lines)])
        kills += 1
    with Journal.open(folder, HEADER, KEY) as journal:
        assert journal.next_seq >= told
    assert verify(folder, KEY.public).require().next_seq >= told > 0
    lookup = JournalIndex(folder, IndexFolder(tmp_path / "index", (3, 4)))
    for stored in stored_batches(folder):
        seq = stored.link.first_seq
        found = lookup.find(seq).stored
        assert (found.link, found.offset) == (stored.link, stored.offset)
        assert lookup.find(stored.link.next_seq - 1).stored.link == stored.link
        _ids_are_found(lookup, stored)
        assert records(stored.batch(), stored.header) == records(
            samples.batch(seq, seq, stored.link.inputs), HEADER
        )
