from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from headrace.core.errors import SecurityError
from headrace.security.keys import LocalMasterKey

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_wrapped_opens_with_the_same_key_and_context_only(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    sealed = LocalMasterKey.create(path).wrap(b"a data key", b"vault")
    assert b"a data key" not in sealed
    assert path.stat().st_mode & 0o777 == 0o600
    key = LocalMasterKey.open(path)
    assert key.unwrap(sealed, b"vault") == b"a data key"
    other = LocalMasterKey.create(tmp_path / "other.key")
    for opening, context, wrong in (
        (key, b"another vault", sealed),
        (other, b"vault", sealed),
        (key, b"vault", sealed[:-1] + b"x"),
        (key, b"vault", b""),
    ):
        with pytest.raises(SecurityError, match="does not open"):
            opening.unwrap(wrong, context)


def test_a_key_file_is_never_overwritten_nor_read_when_others_can(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    LocalMasterKey.create(path)
    with pytest.raises(SecurityError, match="never overwritten"):
        LocalMasterKey.create(path)
    path.chmod(0o640)
    with pytest.raises(SecurityError, match="mode 0640"):
        LocalMasterKey.open(path)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SecurityError, match="holds no master key"):
        LocalMasterKey.open(path)
    with pytest.raises(SecurityError, match="cannot be read"):
        LocalMasterKey.open(tmp_path / "none.key")


def test_a_key_is_loaded_or_else_created_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "master.key"
    sealed = LocalMasterKey.load_or_create(path).wrap(b"a data key", b"vault")
    assert [file.name for file in path.parent.iterdir()] == ["master.key"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert LocalMasterKey.load_or_create(path).unwrap(sealed, b"vault") == b"a data key"
    path.write_bytes(b"")
    with pytest.raises(SecurityError, match="holds no master key"):
        LocalMasterKey.load_or_create(path)
