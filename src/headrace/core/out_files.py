"""Files that a command is told to write: one rule for all of them.

A folder that is not there is an error, never made: it is more often a slip of the pen than a wish.
Folders that Headrace keeps for itself (a home, a demo) are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


def out_file(path: Path) -> Path:
    """The path itself, once it is known that a file can stand there.

    Raises:
        DataError: Its folder is not there, or it is a folder itself.

    >>> from pathlib import Path
    >>> out_file(Path("/no/such/place/x.csv"))
    Traceback (most recent call last):
    headrace.core.errors.DataError: /no/such/place/x.csv: there is no folder /no/such/place; make...
    """
    if not path.parent.is_dir():
        raise DataError(
            f"{path}: there is no folder {path.parent}; make it first, or name another place"
        )
    if path.is_dir():
        raise DataError(f"{path} is a folder; expected the name of a file to write")
    return path
