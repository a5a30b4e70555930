from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.core.columns import Text
from headrace.core.errors import NotFound, SecurityError
from headrace.security import sealing, vault
from headrace.security.keys import LocalMasterKey
from headrace.security.vault import Erased, Vault
from headrace.security.vault_store import VaultStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = LocalMasterKey(b"k" * 32)
CARD = "4111111111111111"


def seeded(seed: int) -> Callable[[int], bytes]:
    return np.random.default_rng(seed).bytes


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.iterdir()))


def one(given_text: Text) -> str:
    (found,) = given_text.strings()
    assert found is not None
    return found


def plain_pages(folder: Path) -> bytes:
    """All that whoever holds the master key can read."""
    store = VaultStore(folder, KEY, seeded(99))
    content = b"".join(keys + entries for _, keys, entries in store.pages())
    store.close()
    return content


values = st.one_of(
    st.none(), st.text(max_size=30), st.sampled_from([CARD, "a@b.de", "", "x" * 300])
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(["card", "email"]), values), max_size=9), max_size=5
    ),
    st.integers(0, 2**32),
)
def test_same_value_same_surrogate_and_it_comes_back(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[tuple[str, str | None]]],
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("vault")
    held = Vault.open(folder, KEY, seeded(seed))
    known: dict[tuple[str, str], str] = {}
    for batch in batches:
        for domain in ("card", "email"):
            rows = [value for name, value in batch if name == domain]
            found = held.surrogates(domain, Text.of(rows)).strings()
            assert [name is None for name in found] == [value is None for value in rows]
            for value, name in zip(rows, found, strict=True):
                if value is not None and name is not None:
                    assert len(name) == 16
                    assert known.setdefault((domain, value), name) == name
        held.commit()
        held.close()
        held = Vault.open(folder, KEY, seeded(seed + 1 + len(known)))
    assert len(set(known.values())) == len(known) == len(held)
    for (domain, value), name in known.items():
        assert held.reveal(name) == value
        assert held.find(domain, value) == name
    assert held.find("card", "never seen") is None
    assert held.find("phone", CARD) is None
    held.close()


def test_many_pages_and_the_slow_way_to_seal_give_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = Text.of([f"{number:016d}" for number in range(20_000)])
    contents = []
    for name in ("fast", "slow"):
        if name == "slow":
            monkeypatch.setattr(vault, "library", lambda: None)
        held = Vault.open(tmp_path / name, KEY, seeded(3))
        found = held.surrogates("card", cards)
        held.commit()
        held.close()
        again = Vault.open(tmp_path / name, KEY, seeded(4))
        assert again.surrogates("card", cards).data.tobytes() == found.data.tobytes()
        names = found.strings()
        assert len(set(names)) == 20_000
        for row in (0, 2_047, 2_048, 19_999):
            assert again.reveal(names[row] or "") == f"{row:016d}"
        again.close()
        contents.append(plain_pages(tmp_path / name))
    assert contents[0] == contents[1]


def test_a_libcrypto_that_seals_otherwise_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    sealing.library.cache_clear()
    monkeypatch.setattr(sealing, "_LIBRARIES", (None, "no such library", "libc.so.6"))
    assert sealing.library() is None
    sealing.library.cache_clear()


def test_erasing_leaves_neither_value_nor_key_nor_index(tmp_path: Path) -> None:
    folder = tmp_path / "vault"
    held = Vault.open(folder, KEY, seeded(1))
    cards = held.surrogates("card", Text.of([CARD, "5500000000000004"]))
    emails = held.surrogates("email", Text.of(["a@b.de", "c@d.de"]), cards)
    held.commit()
    later = held.surrogates("phone", Text.of(["+491"]), cards.take(np.array([0])))
    held.commit()
    mine, other = (name or "" for name in cards.strings())
    entry = held._found(mine)
    key = held._keys[32 * entry : 32 * entry + 32].tobytes()
    index = held._entries[6 * entry : 6 * entry + 2].tobytes()
    held.close()
    before = plain_pages(folder)
    assert key in before
    assert index in before
    assert CARD.encode() not in before

    held = Vault.open(folder, KEY, seeded(2))
    gone = [mine, emails.strings()[0] or "", one(later)]
    with pytest.raises(SecurityError, match=f"of the person {mine}"):
        held.erase(gone[1])
    assert held.erase(mine) == 3
    for name in gone:
        with pytest.raises(Erased):
            held.reveal(name)
    with pytest.raises(Erased):
        held.erase(mine)
    entry_bytes = 6 * 8 * 5
    assert key not in held._keys[: 32 * 5].tobytes()
    assert index not in held._entries.view(np.uint8)[:entry_bytes].tobytes()
    assert held.reveal(other) == "5500000000000004"
    assert held.reveal(emails.strings()[1] or "") == "c@d.de"
    raw = files(folder)
    for secret in (CARD.encode(), key, index, b"a@b.de", b"+491"):
        assert secret not in raw
    held.close()
    after = plain_pages(folder)
    for secret in (key, index, *(name.encode() for name in gone)):
        assert secret not in after
    # the same value is a stranger now
    held = Vault.open(folder, KEY, seeded(5))
    assert held.find("card", CARD) is None
    again = one(held.surrogates("card", Text.of([CARD])))
    assert again not in gone
    assert held.reveal(again) == CARD
    with pytest.raises(Erased):
        held.reveal(mine)
    held.close()


def test_what_is_erased_leaves_no_older_copy_of_its_page(tmp_path: Path) -> None:
    """Not even the sealed bytes of before stay in the file or its log."""
    held = Vault.open(tmp_path, KEY, seeded(1))
    name = one(held.surrogates("card", Text.of([CARD])))
    held.surrogates("card", Text.of([f"{number:016d}" for number in range(3_000)]))
    held.commit()
    query = "SELECT keys, entries FROM pages WHERE page = 1"
    keys, entries = held._store._connection.execute(query).fetchone()  # type: ignore[attr-defined]  # the one of a file
    held.erase(name)
    raw = files(tmp_path)
    held.close()
    for blob in (keys, entries):
        pieces = [blob[at : at + 64] for at in range(0, len(blob) - 64, 64)]
        assert not any(piece in raw for piece in pieces)


def test_another_master_key_or_a_changed_file_opens_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "vault"
    held = Vault.open(folder, KEY, seeded(1))
    names = held.surrogates("card", Text.of([CARD])).strings()
    held.commit()
    with pytest.raises(SecurityError, match="one holder"):
        Vault.open(folder, KEY, seeded(1))
    held.close()
    assert (folder / "vault.sqlite").stat().st_mode & 0o777 == 0o600
    with pytest.raises(SecurityError, match="another key"):
        Vault.open(folder, LocalMasterKey(b"j" * 32), seeded(1))
    connection = sqlite3.connect(folder / "vault.sqlite")
    (blob,) = connection.execute("SELECT entries FROM pages").fetchone()
    connection.execute("UPDATE pages SET entries = ?", (blob[:-1] + b"\0",))
    connection.commit()
    connection.close()
    with pytest.raises(SecurityError, match=r"entries of page 1 .* was changed"):
        Vault.open(folder, KEY, seeded(1))
    assert names
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "vault.sqlite").write_bytes(b"not a database, but long enough" * 99)
    with pytest.raises(SecurityError, match="not a vault"):
        Vault.open(tmp_path / "other", KEY, seeded(1))


def test_unknown_surrogates_and_subjects_are_named(tmp_path: Path) -> None:
    held = Vault.open(tmp_path, KEY, seeded(1))
    for name in ("", "short", "A" * 16, "é" * 8):
        with pytest.raises(NotFound, match="no surrogate of this vault"):
            held.reveal(name)
    text = Text.of(["x"])
    with pytest.raises(NotFound, match="row 0"):
        held.surrogates("email", text, Text.of(["A" * 16]))
    with pytest.raises(NotFound, match="16 characters"):
        held.surrogates("email", text, Text.of([CARD + "1"]))
    # without a subject, a value is its own
    name = one(held.surrogates("email", text, Text.of([None])))
    assert held.erase(name) == 1
    held.close()


def test_sealed_bytes_open_until_they_are_purged(tmp_path: Path) -> None:
    held = Vault.open(tmp_path, KEY, seeded(1))
    raw = b'{"card": "' + CARD.encode() + b'"'
    first = held.seal(raw, reason="malformed", expires_ns=100)
    second = held.seal(raw + b"2", reason="malformed", expires_ns=200)
    assert held.unseal(first) == raw
    held.commit()
    assert held.unseal(first) == raw
    lost = held.seal(raw, reason="malformed", expires_ns=200)
    held.close()
    held = Vault.open(tmp_path, KEY, seeded(2))
    assert held.unseal(second) == raw + b"2"
    with pytest.raises(NotFound, match="never sealed here"):
        held.unseal(lost)
    assert held.purge(99) == 0
    assert held.purge(100) == 1
    with pytest.raises(NotFound, match="purged"):
        held.unseal(first)
    assert held.unseal(second) == raw + b"2"
    assert CARD.encode() not in files(tmp_path)
    held.close()


def test_what_was_just_sealed_is_purged_too(tmp_path: Path) -> None:
    held = Vault.open(tmp_path, KEY, seeded(1))
    references = [held.seal(b"x" * n, reason="malformed", expires_ns=n) for n in range(500)]
    assert held.purge(99) == 100
    assert held.unseal(references[100]) == b"x" * 100
    with pytest.raises(NotFound, match="purged"):
        held.unseal(references[99])
    held.close()


def test_nonces_are_never_used_twice_under_one_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when a vault is copied and both copies go on."""
    used: list[tuple[int, bytes]] = []
    real = AESGCM.encrypt

    class Watching:
        def __init__(self, key: bytes) -> None:
            self.key, self.sealing = key, AESGCM(key)

        def encrypt(self, nonce: bytes, plain: bytes, context: bytes) -> bytes:
            used.append((hash(self.key), nonce))
            return real(self.sealing, nonce, plain, context)

        def decrypt(self, nonce: bytes, sealed: bytes, context: bytes) -> bytes:
            return self.sealing.decrypt(nonce, sealed, context)

    monkeypatch.setattr("headrace.security.vault_store.AESGCM", Watching)
    for opening in range(3):
        held = Vault.open(tmp_path, KEY, seeded(opening))
        for step in range(3):
            name = one(held.surrogates("card", Text.of([f"{opening}{step}"])))
            held.commit()
            held.seal(b"x", reason="malformed", expires_ns=1)
        held.erase(name)
        held.close()
    assert len(used) == len(set(used)) >= 9
