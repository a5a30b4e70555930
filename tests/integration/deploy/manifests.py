"""The files of `deploy/` as data, read as the programs that they are for read them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from headrace.cli import build as commands

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy"


def documents(path: Path) -> list[dict[str, Any]]:
    """The documents of a file of YAML."""
    return [found for found in yaml.safe_load_all(path.read_text()) if found]


def interpolated(text: str) -> str:
    """A compose file with `${NAME:-default}` at its default."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def parsed(words: list[str]) -> str:
    """The name of the function that Headrace calls for these words; else an error."""
    command, _, _ = commands().parse_args(words, exit_on_error=False, print_error=False)
    return str(command.__name__)


def said_by(*command: str | Path) -> str:
    """What a linter says; nothing where it has nothing to say.

    It is one that was installed beside this Python, unless it is named by a path.
    """
    beside = Path(sys.executable).parent
    done = subprocess.run(
        [beside / command[0], *command[1:]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or done.stdout + done.stderr
    return done.stdout + done.stderr


def commands_of(page: str, word: str) -> list[list[str]]:
    """The commands of a how-to that begin with a word, each as its words, up to `>`."""
    text = (ROOT / "docs" / "how-to" / page).read_text().replace("\\\n", " ")
    found = [line[2:].split() for line in text.splitlines() if line.startswith(f"$ {word} ")]
    return [words[: words.index(">")] if ">" in words else words for words in found]
