"""Commands in the process of the tests: it has loaded all that they need."""

import contextlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from headrace.cli import main


@dataclass(frozen=True)
class Done:
    """What became of a command.

    Attributes:
        code: That it ended with.
        out: What it said, a space for each break of a line.
        err: The same of what it said aside.
    """

    code: int
    out: str
    err: str


def headrace(folder: Path, arguments: Sequence[str], given: str = "") -> Done:
    """Run a command in a folder; `given` is on its stdin."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.object(sys, "argv", ["headrace", *arguments]),
        mock.patch.object(sys, "stdin", io.StringIO(given)),
    ):
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Done(code, " ".join(out.getvalue().split()), " ".join(err.getvalue().split()))
