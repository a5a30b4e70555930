"""Small commits: what they append outlives a crash at any step, and is erased like the rest."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.core.columns import Text
from headrace.core.errors import NotFound, SecurityError
from headrace.security import vault_store
from headrace.security.keys import LocalMasterKey
from headrace.security.vault import Vault
from headrace.security.vault_tail import VaultTail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

KEY = LocalMasterKey(b"k" * 32)


def opened(folder: Path, seed: int = 1) -> Vault:
    return Vault.open(folder, KEY, np.random.default_rng(seed).bytes)


def drawn(vault: Vault, *values: str) -> dict[str, str]:
    """The surrogates of some values of the domain `card`."""
    names = vault.surrogates("card", Text.of(values)).strings()
    return {value: name or "" for value, name in zip(values, names, strict=True)}


def begun(folder: Path, seed: int = 1) -> Vault:
    """A vault whose later small commits go to the tail: its domain is known."""
    vault = opened(folder, seed)
    drawn(vault, "first")
    vault.commit()
    return vault


def check(folder: Path, known: Mapping[str, str]) -> None:
    """All these values have these surrogates, in the vault of a process that begins now."""
    vault = opened(folder, seed=len(known) + 1_000)
    assert {value: vault.find("card", value) for value in known} == known
    for value, name in known.items():
        assert vault.reveal(name) == value
    vault.close()
    assert (folder / "vault.tail").stat().st_size == 0


def tail_of(folder: Path) -> bytes:
    """All parts that stand in the tail of a vault, as they stand there."""
    tail = VaultTail(folder / "vault.tail")
    parts = b"".join(part.encoded() for part in tail.parts())
    tail.close()
    return parts


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(folder / "vault.sqlite")
    found = connection.execute(query).fetchall()
    connection.close()
    return found


def test_many_small_commits_make_few_pages(tmp_path: Path) -> None:
    vault = begun(tmp_path)
    known: dict[str, str] = {}
    for step in range(400):
        known |= drawn(vault, *(f"{step}-{row}" for row in range(12)))
        vault.commit()
    assert (tmp_path / "vault.tail").stat().st_mode & 0o777 == 0o600
    vault.close()
    vault = opened(tmp_path, 2)
    assert len(vault) == 4_801
    assert {value: vault.find("card", value) for value in known} == known
    vault.close()
    sizes = [size for (size,) in rows(tmp_path, "SELECT length(entries) FROM pages")]
    assert len(sizes) <= 5
    # the key that the tail was sealed under is gone with it
    assert len(rows(tmp_path, "SELECT * FROM epochs")) == 2
    check(tmp_path, dict(list(known.items())[::97]))


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["commit", "reopen", "reveal", "seal", "purge", "erase"]),
            st.lists(st.sampled_from([f"value {number}" for number in range(30)]), max_size=5),
        ),
        max_size=12,
    ),
    st.integers(300, 3_000),
)
def test_whatever_was_committed_is_there_when_the_folder_is_opened_again(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, list[str]]], room: int
) -> None:
    """Also with so little room that the tail is full every few commits."""
    folder = tmp_path_factory.mktemp("vault")
    vault = opened(folder)
    known: dict[str, str] = {}
    sealed: dict[str, bytes] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vault_store, "_TAIL_BYTES", room)
        patch.setattr(vault_store, "_PAGE_BYTES", 500)
        for number, (step, values) in enumerate(steps):
            known |= drawn(vault, *values)
            if step == "seal":
                content = b"refused %d" % number
                sealed[vault.seal(content, reason="malformed", expires_ns=10)] = content
            vault.commit()
            if step == "reveal" and known:
                assert vault.reveal(known[min(known)]) == min(known)
            elif step == "erase" and known:
                assert vault.erase(known.pop(min(known))) == 1
            elif step == "purge":
                assert vault.purge(10) == len(sealed)
                sealed.clear()
            elif step == "reopen":
                vault.close()
                vault = opened(folder, number + 2)
            for reference, content in sealed.items():
                assert vault.unseal(reference) == content
        vault.close()
        check(folder, known)
    vault = opened(folder, 99)
    assert len(vault) == len(known)
    for reference, content in sealed.items():
        assert vault.unseal(reference) == content
    vault.close()


def test_a_copy_of_the_files_at_any_step_has_all_that_was_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after every sync and every cut, through a tail that is full several times."""
    folder = tmp_path / "vault"
    monkeypatch.setattr(vault_store, "_TAIL_BYTES", 2_000)
    vault = begun(folder)
    known: dict[str, str] = {}
    copies: list[dict[str, str]] = []

    def copy() -> None:
        shutil.copytree(folder, tmp_path / str(len(copies)))
        copies.append(dict(known))

    def copying(real: Callable[..., object]) -> Callable[..., object]:
        def copied(*given: object) -> object:
            copy()
            result = real(*given)
            copy()
            return result

        return copied

    with monkeypatch.context() as patch:
        for name in ("pwrite", "fdatasync", "fsync", "ftruncate"):
            patch.setattr(os, name, copying(getattr(os, name)))
        for step in range(24):
            fresh = drawn(vault, f"a {step}", f"b {step}")
            if step % 5 == 0:
                vault.seal(b"x", reason="malformed", expires_ns=1)
            vault.commit(meanwhile=copy)
            known |= fresh
    vault.close()
    assert len(copies) > 90
    for number, committed in enumerate(copies):
        again = opened(tmp_path / str(number), 7)
        assert {value: again.find("card", value) for value in committed} == committed
        again.close()
    check(tmp_path / str(len(copies) - 1), copies[-1])
    check(folder, known)


def test_what_a_torn_write_leaves_is_let_go(tmp_path: Path) -> None:
    vault = begun(tmp_path / "whole")
    known = drawn(vault, "a", "b")
    vault.commit()
    good = len(tail_of(tmp_path / "whole"))
    drawn(vault, "never committed")
    vault.commit()
    vault.close()
    size = (tmp_path / "whole" / "vault.tail").stat().st_size
    for end in range(good, size, 7):
        folder = tmp_path / str(end)
        shutil.copytree(tmp_path / "whole", folder)
        os.truncate(folder / "vault.tail", end)
        check(folder, known)
        vault = opened(folder, 3)
        assert vault.find("card", "never committed") is None
        known_again = drawn(vault, "never committed")
        vault.commit()
        vault.close()
        check(folder, known | known_again)


@pytest.mark.parametrize("name", ["pwrite", "fdatasync", "ftruncate"])
def test_a_full_disk_is_an_error_and_with_room_again_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    vault = begun(tmp_path)
    known = drawn(vault, "a")
    vault.commit()
    known |= drawn(vault, "b")
    reference = vault.seal(b"x", reason="malformed", expires_ns=1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, full)
        with pytest.raises(SecurityError, match="No space left"):
            vault.reveal(known["a"]) if name == "ftruncate" else vault.commit()
        with pytest.raises(SecurityError, match="No space left"):
            vault.erase(known["a"]) if name == "ftruncate" else vault.commit()
    vault.commit()
    known |= drawn(vault, "c")
    vault.commit()
    assert vault.unseal(reference) == b"x"
    vault.close()
    check(tmp_path, known)


def test_a_tail_that_was_not_cut_adds_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = begun(tmp_path / "vault")
    known = drawn(vault, "a", "b")
    vault.commit()
    vault.seal(b"x", reason="malformed", expires_ns=1)
    vault.commit()
    with monkeypatch.context() as patch:
        patch.setattr(VaultTail, "cut", lambda _: None)
        vault.reveal(known["a"])
    known |= drawn(vault, "c")
    vault.commit()
    vault.close()
    check(tmp_path / "vault", known)
    vault = opened(tmp_path / "vault", 2)
    assert len(vault) == 4
    assert vault.purge(1) == 1
    vault.close()


def test_a_changed_or_foreign_tail_opens_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "vault"
    vault = begun(folder)
    drawn(vault, "a")
    vault.commit()
    shutil.copytree(folder, tmp_path / "older")
    tail = tail_of(folder)
    with pytest.raises(SecurityError, match="one holder"):
        opened(folder)
    assert tail_of(folder) == tail
    name = drawn(vault, "b")["b"]
    vault.commit()
    vault.reveal(name)
    drawn(vault, "c")
    vault.commit()
    vault.close()

    body = bytearray(tail[12:])
    body[-1] ^= 1
    (tmp_path / "older" / "vault.tail").write_bytes(
        tail[:8] + zlib.crc32(body).to_bytes(4, "little") + body
    )
    with pytest.raises(SecurityError, match=r"byte 0 after page 1 .* was changed"):
        opened(tmp_path / "older")
    shutil.copy(folder / "vault.tail", tmp_path / "older" / "vault.tail")
    with pytest.raises(SecurityError, match="restore both from the same backup"):
        opened(tmp_path / "older")
    begun(tmp_path / "other", seed=2).close()
    (tmp_path / "other" / "vault.tail").write_bytes(tail)
    with pytest.raises(SecurityError, match="was changed"):
        opened(tmp_path / "other")


def test_what_is_erased_or_purged_leaves_nothing_in_the_tail(tmp_path: Path) -> None:
    remove: list[Callable[[Vault, str], int]] = [Vault.erase, lambda vault, _: vault.purge(1)]
    for number, removed in enumerate(remove):
        folder = tmp_path / str(number)
        vault = begun(folder)
        name = drawn(vault, "a", *(f"b {row}" for row in range(20)))["a"]
        reference = vault.seal(b"r" * 500, reason="malformed", expires_ns=1)
        vault.commit()
        tail = tail_of(folder)
        assert len(tail) > 2_000
        assert removed(vault, name) == 1
        raw = b"".join(path.read_bytes() for path in folder.iterdir())
        pieces = [tail[at : at + 32] for at in range(0, len(tail), 32)]
        assert not any(piece in raw for piece in pieces)
        if number == 1:
            with pytest.raises(NotFound, match="purged"):
                vault.unseal(reference)
        vault.close()
