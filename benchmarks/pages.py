"""The pages of docs/benchmarks: what benchmarks print stands between marks in them.

A mark names the benchmark, and perhaps how the heading of a section begins; all that stands up to
the end mark is written anew by each run, and the words around it are left alone:

    <!-- measured: throughput, Latency -->
    ...
    <!-- end of measured -->

`machine` in place of a heading is what comes before the first section. Without a heading it is all
that the benchmark prints.
"""

from __future__ import annotations

import re
from pathlib import Path

PAGES = Path(__file__).parent.parent / "docs" / "benchmarks"
#: What comes before the first section.
MACHINE = "machine"
_BLOCK = re.compile(
    r"(?P<mark><!-- measured: (?P<name>\w+)(?:, (?P<section>[^>]+?))? -->\n)"
    r".*?"
    r"(?P<end><!-- end of measured -->)",
    re.DOTALL,
)
_HEADING = re.compile(r"^### (.+)$", re.MULTILINE)


def write(name: str, printed: str, folder: Path = PAGES) -> list[Path]:
    """Put what a benchmark printed where the pages ask for it; the pages that did.

    Raises:
        LookupError: A page asks for a section that was not printed.
    """
    made = {}
    for page in sorted(folder.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if asked(text, name):
            made[page] = filled(text, name, printed)
    for page, text in made.items():
        page.write_text(text, encoding="utf-8")
    return list(made)


def asked(page: str, name: str) -> bool:
    """Whether a page shows what a benchmark prints."""
    return any(block["name"] == name for block in _BLOCK.finditer(page))


def filled(page: str, name: str, printed: str) -> str:
    r"""A page with what a benchmark printed in its blocks.

    >>> page = "<!-- measured: speed, Fast -->\nold\n<!-- end of measured -->\n"
    >>> print(filled(page, "speed", "2 cores\n\n### Fast; 3 runs\n\n| a |\n|---|\n| 1 |\n"), end="")
    <!-- measured: speed, Fast -->
    <BLANKLINE>
    *Fast; 3 runs*
    <BLANKLINE>
    | a |
    |---|
    | 1 |
    <BLANKLINE>
    <!-- end of measured -->
    """
    parts = sections(printed)

    def block(found: re.Match[str]) -> str:
        if found["name"] != name:
            return found[0]
        section = found["section"]
        text = printed if section is None else _section(parts, section)
        return f"{found['mark']}\n{shown(text)}\n\n{found['end']}"

    return _BLOCK.sub(block, page)


def sections(printed: str) -> dict[str, str]:
    """What was printed, by the headings of the third level."""
    pieces = _HEADING.split(printed)
    return {MACHINE: pieces[0]} | dict(zip(pieces[1::2], pieces[2::2], strict=True))


def _section(parts: dict[str, str], begins: str) -> str:
    found = [
        # a heading says what the table holds for, which belongs to it
        text if title == MACHINE else f"*{title}*{text}"
        for title, text in parts.items()
        if title.startswith(begins)
    ]
    if len(found) != 1:
        raise LookupError(
            f"a page asks for a section that begins with {begins!r}; printed were {list(parts)}"
        )
    return found[0]


def shown(text: str) -> str:
    """What was printed as a page shows it: Markdown as it is, all else as it stands."""
    text = text.strip("\n")
    if _HEADING.search(text) or "|---" in text or "\n" not in text:
        return text
    return f"```text\n{text}\n```"
