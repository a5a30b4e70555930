"""The folder of files that a command fills, one for each stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.cli.terminal import console
from headrace.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def check_folder(out: Path, instead: str = "") -> None:
    """Look whether a folder can be filled.

    Args:
        out: Named by `--out`; it need not be there yet.
        instead: What else could be named.

    Raises:
        DataError: It is a file.
    """
    if out.exists() and not out.is_dir():
        raise DataError(f"--out {out} is a file: name a folder{instead}")


def say_written(files: Mapping[str, Path]) -> None:
    """Print the file of each stream, and how large it is."""
    for name, path in files.items():
        console.print(f"{name}: {path}, {path.stat().st_size / 1e6:,.1f} MB", soft_wrap=True)
