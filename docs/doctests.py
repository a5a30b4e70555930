"""Shows the examples of docstrings as code: a fence around each run of `>>>` and its output."""

from __future__ import annotations

from typing import Any

import griffe


def fenced(text: str) -> str:
    r"""The text with every example, up to the next blank line, in a fence.

    >>> print(fenced("Twice.\n\n>>> 1 + 1\n2"))
    Twice.
    <BLANKLINE>
    ```pycon
    >>> 1 + 1
    2
    ```
    """
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        begins = line.startswith(">>> ")
        if begins and not inside:
            lines.append("```pycon")
            inside = True
        elif inside and not line.strip():
            lines.append("```")
            inside = False
        lines.append(line)
    return "\n".join([*lines, "```"] if inside else lines)


class Doctests(griffe.Extension):
    """Rewrites docstrings before they become pages."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Take an object that was read."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
