"""Snapshots on disk: what is not whole is never taken, and what cannot be written harms nothing."""

from __future__ import annotations

import hashlib
import resource
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
import pytest

from headrace.pipeline.lane import STATE_VERSION
from headrace.runtime.snapshots import KEPT, Head, Snapshots

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEFINITION, OTHER = "ab" * 32, "cd" * 32


def usable(snapshots: Snapshots) -> tuple[list[tuple[int, bytes]], list[str]]:
    """The good states, and what was said of the others."""
    words: list[str] = []
    return [(item.next_seq, item.state) for item in snapshots.usable(10**6, words.append)], words


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file can grow beyond this: what a full disk looks like to a writer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "made", DEFINITION)
    snapshots.write(7, 8, [b"some", b"", b"time"], judged_from=3)
    (found,) = snapshots.usable(10**6, pytest.fail)
    assert (found.next_seq, found.state, found.judged_from) == (7, b"sometime", 3)
    assert found.definition == DEFINITION


def test_each_byte_that_is_changed_is_noticed_and_the_older_state_taken(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, DEFINITION)
    snapshots.write(1, 3, [b"old"])
    path = snapshots.write(2, 3, [b"new"])
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        found, words = usable(snapshots)
        assert found == [(1, b"old")]
        (word,) = words
        assert word == (
            f"{path} is damaged: the checksum of its {len(whole)} bytes differs; an older state"
            " and the journal take its place"
        )
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert usable(snapshots)[0] == [(1, b"old")]
    path.write_bytes(whole)
    assert usable(snapshots) == ([(2, b"new"), (1, b"old")], [])


def sealed(content: bytes) -> bytes:
    """What stands in a file, with a checksum that fits."""
    return content + hashlib.sha256(content).digest()


def test_another_version_is_passed_over_with_a_word(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, DEFINITION)
    path = snapshots.write(2, 3, [b"new"])
    whole = path.read_bytes()
    path.write_bytes(sealed(b"headrace/snapshot/v9\0\0\0\0" + whole[24:-32]))
    found, words = usable(snapshots)
    assert not found
    assert "is of another version of Headrace: it begins with b'headrace/snapshot/v9" in words[0]
    head = msgspec.json.encode(Head(STATE_VERSION + 1, DEFINITION, 2, 3, 0, "99.0"))
    path.write_bytes(sealed(whole[:24] + len(head).to_bytes(4, "little") + head + b"new"))
    found, words = usable(snapshots)
    assert not found
    assert f"holds a state of version {STATE_VERSION + 1}, written by Headrace 99.0" in words[0]


def test_a_file_under_another_name_is_passed_over(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, DEFINITION)
    path = snapshots.write(2, 3, [b"new"])
    path.rename(path.with_name(path.name.replace("2.", "3.", 1)))
    found, words = usable(snapshots)
    assert not found
    assert "was renamed or put together" in words[0]


def test_the_newest_are_kept_and_one_of_another_definition(tmp_path: Path) -> None:
    other = Snapshots(tmp_path, OTHER)
    for at in (1, 2):
        other.write(at, 3, [b"was"])
    snapshots = Snapshots(tmp_path, DEFINITION)
    for at in range(3, 9):
        snapshots.write(at, 3, [b"now"])
    assert [at for at, _ in usable(snapshots)[0]] == [8, 7][:KEPT]
    assert [item.next_seq for item in snapshots.of_others(10**6, pytest.fail)] == [2]
    assert len(list(tmp_path.iterdir())) == KEPT + 1


def test_what_stands_past_the_journal_goes_and_drafts_too(tmp_path: Path) -> None:
    Snapshots(tmp_path, OTHER).write(8, 3, [b"was"])
    snapshots = Snapshots(tmp_path, DEFINITION)
    for at in (4, 9):
        snapshots.write(at, 3, [b"now"])
    (tmp_path / "00000000000000000010.abababababababab.draft").write_bytes(b"half")
    words = snapshots.settle(5)
    assert len(words) == 2
    assert all("stood past the journal, which ends at 5; removed" in word for word in words)
    assert [path.name[:20] for path in tmp_path.iterdir()] == ["00000000000000000004"]


def test_what_cannot_be_removed_is_not_used(tmp_path: Path) -> None:
    """A folder in a file's place stands for one on a volume that cannot be written."""
    snapshots = Snapshots(tmp_path, DEFINITION)
    snapshots.write(4, 3, [b"now"])
    stuck = tmp_path / "00000000000000000009.abababababababab.state"
    (stuck / "in the way").mkdir(parents=True)
    (tmp_path / "notes.state").write_text("of somebody else")
    (word,) = snapshots.settle(5)
    assert word.startswith(f"{stuck} stood past the journal, which ends at 5; it is not used")
    assert [item.next_seq for item in snapshots.usable(5, pytest.fail)] == [4]
    assert usable(snapshots)[1][0].startswith(f"{stuck} [Errno 21] Is a directory")


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path, DEFINITION)
    snapshots.write(1, 3, [b"old"])
    with files_of_at_most(10_000), pytest.raises(OSError, match="too large"):
        snapshots.write(2, 100_000, (bytes(1_000) for _ in range(100)))
    assert usable(snapshots) == ([(1, b"old")], [])
    assert len(list(tmp_path.iterdir())) == 1
