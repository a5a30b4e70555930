"""A folder that all processes of a session of tests share, and what one of them makes for all."""

from __future__ import annotations

import fcntl
import os
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

    Args:
        folder: Where it is, or will be.
        make: Fills the folder that it is given.
    """
    with folder.with_name(f"{folder.name}.lock").open("w") as one_by_one:
        fcntl.flock(one_by_one, fcntl.LOCK_EX)
        if not folder.exists():
            draft = folder.with_name(f"{folder.name}.draft-{os.getpid()}")
            draft.mkdir()
            make(draft)
            draft.rename(folder)
    return folder
