"""A folder that all processes of a session of tests share, and what one of them makes for all."""

from __future__ import annotations

import fcntl
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


def session_folder(factory: pytest.TempPathFactory) -> Path:
    """The folder; it goes with the other temporary ones."""
    folder = factory.getbasetemp()
    # each process of pytest-xdist has a folder in that of the session
    session = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    shared = session / "shared"
    shared.mkdir(exist_ok=True)
    return shared


def made_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """A folder that is filled by whoever asks first; the others wait for it.

    It is filled where it stays, as files in it may name each other.

    Args:
        folder: Where it is, or will be.
        make: Fills the folder that it is given.
    """
    with folder.with_name(f"{folder.name}.lock").open("w") as one_by_one:
        fcntl.flock(one_by_one, fcntl.LOCK_EX)
        whole = folder.with_name(f"{folder.name}.whole")
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what somebody left half-made
            folder.mkdir()
            make(folder)
            whole.touch()
    return folder
