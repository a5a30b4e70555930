"""SHA-256 of rows and RFC 6962 trees, against hashlib and a recursion."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core import sha256
from headrace.core.sha256 import (
    PORTABLE,
    audit_path,
    digest_rows,
    libcrypto,
    merkle_root,
)
from headrace.journal.verify_proof import root_of

WAYS = [pytest.param(False, id="libcrypto"), pytest.param(True, id="portable")]


@pytest.mark.parametrize("portable", WAYS)
@settings(deadline=None, max_examples=60)
@given(rows=st.lists(st.binary(max_size=200), max_size=20))
def test_digests_equal_hashlib(portable: bool, rows: list[bytes]) -> None:  # noqa: FBT001 - a parameter
    offsets = np.cumsum([0, *map(len, rows)])
    data = np.frombuffer(b"".join(rows), np.uint8)
    digests = digest_rows(data, offsets, addresses=PORTABLE if portable else libcrypto())
    assert [row.tobytes() for row in digests] == [hashlib.sha256(row).digest() for row in rows]


@pytest.mark.parametrize("portable", WAYS)
def test_every_length_around_a_block(portable: bool) -> None:  # noqa: FBT001 - a parameter
    data = np.arange(300, dtype=np.uint8)
    for length in range(200):
        addresses = PORTABLE if portable else libcrypto()
        (digest,) = digest_rows(data, np.array([7, 7 + length]), addresses=addresses)
        assert digest.tobytes() == hashlib.sha256(data[7 : 7 + length].tobytes()).digest()


def test_a_library_that_lies_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sha256, "_LIBRARIES", (None, "no-such-library.so"))
    sha256.libcrypto.cache_clear()
    assert sha256.libcrypto() is PORTABLE
    monkeypatch.undo()
    sha256.libcrypto.cache_clear()


def _root(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return hashlib.sha256(b"\1" + _root(leaves[:split]) + _root(leaves[split:])).digest()


@pytest.mark.parametrize("size", [*range(1, 20), 64, 65, 100])
def test_trees_equal_the_rfc(size: int) -> None:
    leaves = np.random.default_rng(size).integers(0, 256, (size, 32)).astype(np.uint8)
    root = merkle_root(leaves)
    assert root == _root([leaf.tobytes() for leaf in leaves])
    for index in range(size):
        path = audit_path(leaves, index)
        leaf = leaves[index].tobytes()
        assert root_of(leaf, index, size, path) == root
