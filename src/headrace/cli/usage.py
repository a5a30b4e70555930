"""How the command speaks of itself: help that fits its lines, and what was wrong with a call."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from cyclopts import UnusedCliTokensError
from cyclopts.help import PlainFormatter

if TYPE_CHECKING:
    from cyclopts import CycloptsError
    from rich.console import Console

_INDENT = "  "


class HelpLines(PlainFormatter):
    """Plain help whose entries are wrapped once, at the width of the terminal."""

    def _print_plain(self, console: Console, text: str) -> None:
        if not text.startswith(self.indent):
            console.out(text, highlight=False)
            return
        for line in textwrap.wrap(
            " ".join(text.split()),
            width=console.width,
            initial_indent=_INDENT,
            subsequent_indent=3 * _INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        ):
            console.out(line, highlight=False)


def shown_default(value: Any) -> str | None:
    """A default as help shows it; nothing where nothing is what happens.

    >>> shown_default("fsync"), shown_default(()), shown_default(False)
    ('fsync', None, None)
    """
    return None if value is None or value is False or value == () else str(value)


def wrong_call(error: CycloptsError) -> str:
    """What was wrong with how a command was called, and where the right way stands."""
    command = " ".join(("headrace", *(error.command_chain or ())))
    if isinstance(error, UnusedCliTokensError):
        said = f"{' '.join(error.unused_tokens or ())!r} is more than the command takes"
    else:
        said = " ".join(str(error).split())
    if said.endswith(".") and not said.endswith("..."):
        said = said[:-1]
    return f"headrace: {said}; see {command} --help"
