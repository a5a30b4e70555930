from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.core.errors import SecurityError
from headrace.security.vault_tail import Part, VaultTail

if TYPE_CHECKING:
    from pathlib import Path

PARTS = [
    Part(7, 0, 1, 10, b"what the first commit adds"),
    Part(7, 11, 1, 11, b"."),
    Part(7, 11, 2, 0, b"and the last" * 9),
]

numbers = st.integers(0, 2**64 - 1)
blobs = st.binary(max_size=200)


def written(folder: Path, parts: list[Part]) -> Path:
    path = folder / "vault.tail"
    tail = VaultTail(path)
    for part in parts:
        tail.append(part)
    assert tail.size <= path.stat().st_size
    tail.close()
    assert tail.size == path.stat().st_size
    return path


def read(path: Path) -> list[Part]:
    tail = VaultTail(path)
    try:
        return list(tail.parts())
    finally:
        tail.close()


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.builds(Part, *[numbers] * 4, blobs), max_size=6))
def test_what_was_appended_is_read_in_order(
    tmp_path_factory: pytest.TempPathFactory, parts: list[Part]
) -> None:
    path = written(tmp_path_factory.mktemp("tail"), parts)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read(path) == parts


@pytest.mark.parametrize("fill", [b"", b"\0"], ids=["cut off", "zeros"])
def test_a_part_that_was_not_written_whole_is_passed_over(tmp_path: Path, fill: bytes) -> None:
    path = written(tmp_path, PARTS)
    data = path.read_bytes()
    ends = [len(b"".join(part.encoded() for part in PARTS[:count])) for count in range(4)]
    for size in range(len(data)):
        path.write_bytes(data[:size] + fill * (len(data) - size))
        assert read(path) == PARTS[: sum(end <= size for end in ends) - 1]


def test_a_part_that_others_follow_is_never_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, PARTS)
    data = path.read_bytes()
    for place in range(len(data) - len(PARTS[-1].encoded())):
        changed = bytearray(data)
        changed[place] ^= 0x40
        path.write_bytes(changed)
        with pytest.raises(SecurityError, match=r"vault\.tail is damaged at byte"):
            read(path)
    path.write_bytes(data[1:])
    with pytest.raises(SecurityError, match="damaged at byte 0"):
        read(path)


def test_the_file_grows_by_zeros_and_not_with_each_part(tmp_path: Path) -> None:
    path = tmp_path / "vault.tail"
    tail = VaultTail(path)
    lengths = set()
    parts = [Part(7, number, 1, number, os.urandom(1_000)) for number in range(300)]
    for number, part in enumerate(parts):
        tail.append(part, durable=number % 2 == 0)
        lengths.add(path.stat().st_size)
        assert not any(path.read_bytes()[tail.size :])
    assert len(lengths) < 5
    assert list(tail.parts()) == parts
    tail.close()
    assert path.stat().st_size == tail.size


def failing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a function of `os` fail once; a write is cut off in the middle before."""
    real = getattr(os, name)
    calls: list[int] = []

    def once(*given: object) -> object:
        calls.append(1)
        if name == "pwrite" and len(calls) == 1:
            file, data, at = given
            return real(file, data[: len(data) // 2], at)  # type: ignore[index, arg-type]
        if len(calls) == 1 + (name == "pwrite"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*given)

    monkeypatch.setattr(os, name, once)


@pytest.mark.parametrize("name", ["pwrite", "fdatasync"])
def test_what_could_not_be_written_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    tail = VaultTail(tmp_path / "vault.tail")
    tail.append(PARTS[0])
    with monkeypatch.context() as patch:
        failing(name, patch)
        with pytest.raises(OSError, match="No space left"):
            tail.append(PARTS[1])
    assert tail.size == len(PARTS[0].encoded())
    tail.append(PARTS[2])
    assert list(tail.parts()) == [PARTS[0], PARTS[2]]
    tail.close()


@pytest.mark.parametrize("name", ["ftruncate", "fsync"])
def test_what_could_not_be_cut_is_cut_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for kept in ([], PARTS[1:2]):
        path = tmp_path / str(len(kept))
        tail = VaultTail(path)
        tail.append(PARTS[0])
        with monkeypatch.context() as patch:
            failing(name, patch)
            with pytest.raises(OSError, match="No space left"):
                tail.cut()
        for part in kept:
            tail.append(part)
        tail.cut(tail.size)
        assert list(tail.parts()) == kept
        tail.close()
        tail.close()
        assert tail.size == path.stat().st_size
