"""Where in the user's file a definition stands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.errors import SourceLine

if TYPE_CHECKING:
    from types import FrameType

_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep


def user_line() -> SourceLine | None:
    """The nearest line on the stack that is not Headrace's own; None if there is none."""
    frame = sys._getframe(1)  # noqa: SLF001 - the documented way to walk the stack without its cost
    while frame is not None:
        if not _is_ours(frame):
            return SourceLine(frame.f_code.co_filename, frame.f_lineno)
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return None


def _is_ours(frame: FrameType) -> bool:
    path = frame.f_code.co_filename
    # the methods that `dataclass` makes have no file, but their module
    made = path == "<string>" and str(frame.f_globals.get("__name__")).startswith("headrace.")
    return made or path.startswith(_PACKAGE)
