"""Damage to a journal: every byte flipped, every length cut, writers killed while they write.

Each runs for `HEADRACE_CHAOS_SECONDS` (10 unless set) over all that journals are written of, from
places of its own choosing by seed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.session_folder import session_folder

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))

import cases
from journal_material import (  # type: ignore[import-not-found]  # on the path above
    FIRST,
    KEY,
    Material,
    made_up,
    sizes,
)
from stepped import Stepped

from headrace.journal.canonical import records
from headrace.journal.frames import FrameKind, frames_of, segment_paths
from headrace.journal.index import JournalIndex
from headrace.journal.index_files import IndexFolder
from headrace.journal.journal import Journal
from headrace.journal.reader import StoredBatch, stored_batches
from headrace.journal.verification import verify

if TYPE_CHECKING:
    import headrace as hr

pytestmark = pytest.mark.slow

#: What journals are written of: batches with all that there can be, and those of every use case.
WRITTEN: tuple[hr.UseCase | None, ...] = (None, *cases.CASES)
SECONDS = float(os.environ.get("HEADRACE_CHAOS_SECONDS", "10")) / len(WRITTEN)
SEED = int(os.environ.get("HEADRACE_CHAOS_SEED", "0"))


@pytest.fixture(
    scope="module",
    params=WRITTEN,
    ids=lambda case: "made-up" if case is None else case.name,
)
def material(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Material:
    case: hr.UseCase | None = request.param
    folder = tmp_path_factory.mktemp("material")
    if case is None:
        return Material.written(folder / "journal", *made_up())
    cases.skipped_without_libraries(case)
    home = cases.home_with_model(case, session_folder(tmp_path_factory))
    stepped = Stepped.of(case, home, cases.history(case, folder, share=0.3, seed=8))
    return Material.written(folder / "journal", stepped.header, stepped.batches(sizes()))


def _written(material: Material, folder: Path) -> None:
    with Journal.open(folder, material.header, KEY, segment_bytes=6_000) as journal:
        for at, batch in enumerate(material.batches[: len(FIRST)]):
            journal.append(batch)
            if at % 2:
                journal.commit()


def test_every_flipped_byte_is_found(material: Material, tmp_path: Path) -> None:
    _written(material, tmp_path)
    places = [
        (path, at) for path in sorted(tmp_path.iterdir()) for at in range(path.stat().st_size)
    ]
    random = np.random.default_rng(SEED)
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


def test_wherever_it_is_cut_a_journal_opens_at_its_last_good_head(
    material: Material, tmp_path: Path
) -> None:
    folder = tmp_path / "journal"
    _written(material, folder)
    path = segment_paths(folder)[-1]
    whole = path.read_bytes()
    others = {other: other.read_bytes() for other in segment_paths(folder)[:-1]}
    before = verify(folder, KEY.public).next_seq
    commits = [frame.end for frame in frames_of(path) if frame.kind is FrameKind.COMMIT]
    assert len(commits) == 1
    start = sum(FIRST[:2])
    random = np.random.default_rng(SEED)
    end = time.monotonic() + SECONDS
    for cut in random.permutation(len(whole) + 1):
        if time.monotonic() > end:
            break
        path.write_bytes(whole[:cut])
        for other, data in others.items():
            other.write_bytes(data)
        for kept in (folder / "unvouched").glob("*"):
            kept.unlink()
        with Journal.open(folder, material.header, KEY) as journal:
            assert journal.next_seq == (before if cut == len(whole) else start)
            assert [tail.kept.read_bytes() for tail in journal.tails] in ([whole[:cut]], [])
            journal.append(material.at(journal.next_seq))
        assert verify(folder, KEY.public).good


def _ids_are_found(material: Material, lookup: JournalIndex, stored: StoredBatch) -> None:
    """The first decided event of a batch is found by its id, or the first that has the same."""
    found = material.first_id(stored.batch())
    if found is not None:
        seq, name = found
        first = lookup.seq_of(name)
        assert first is not None
        assert first <= seq
        assert first == seq or name == material.id_of(lookup.find(first).stored.batch(), first)


def test_a_killed_writer_loses_nothing_that_it_vouched_for(
    material: Material, tmp_path: Path
) -> None:
    folder = tmp_path / "journal"
    random = np.random.default_rng(SEED)
    writer = Path(__file__).with_name("journal_writer.py")
    command = [sys.executable, str(writer), str(folder), str(material.folder)]
    durabilities = cycle(["fsync", "os"])
    end = time.monotonic() + SECONDS
    told = kills = 0
    while kills < 2 or told == 0 or time.monotonic() < end:
        process = subprocess.Popen(
            [*command, next(durabilities)], stdout=subprocess.PIPE, text=True
        )
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
    with Journal.open(folder, material.header, KEY) as journal:
        assert journal.next_seq >= told
    assert verify(folder, KEY.public).require().next_seq >= told > 0
    lookup = JournalIndex(folder, IndexFolder(tmp_path / "index", (3, 4)))
    for stored in stored_batches(folder):
        seq = stored.link.first_seq
        found = lookup.find(seq).stored
        assert (found.link, found.offset) == (stored.link, stored.offset)
        assert lookup.find(stored.link.next_seq - 1).stored.link == stored.link
        _ids_are_found(material, lookup, stored)
        assert records(stored.batch(), stored.header) == records(material.at(seq), material.header)
