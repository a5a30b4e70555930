"""The page of commands, made of what `headrace COMMAND --help` says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from headrace.cli import build

PAGE = Path(__file__).resolve().parent / "reference" / "commands.md"


def page() -> str:
    """The page as Markdown, from the commands themselves."""
    called, sys.argv = sys.argv, ["headrace"]
    try:
        # usage names the command as it was called
        made = build().generate_docs(output_format="markdown", recursive=True).strip() + "\n"
    finally:
        sys.argv = called
    # usage is shown, not run, and the site has a table of contents of its own
    made = made.replace("```console", "```text").replace("# headrace\n", "# Commands\n", 1)
    # a usage of the command's own is put after its name once more
    made = re.sub(r"^headrace (.+) \1 ", r"headrace \1 ", made, flags=re.MULTILINE)
    return re.sub(r"## Table of Contents\n.*?\n(?=\*\*Commands\*\*)", "", made, flags=re.DOTALL)


def write() -> None:
    """Write the page where it is out of date."""
    made = page()
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != made:
        PAGE.write_text(made, encoding="utf-8")
