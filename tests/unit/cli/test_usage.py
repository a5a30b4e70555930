"""Help, and what is said of a call that is wrong."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from headrace.cli import COMMANDS, main

if TYPE_CHECKING:
    from pathlib import Path

EVERY = [name for name in COMMANDS if name != "quarantine"]
EVERY += [f"quarantine {name}" for name in ("list", "show", "retry")]


def called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["headrace", *line.split()])
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as left:
        main()
    told = capsys.readouterr()
    return int(left.value.code or 0), told.out, told.err


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("run", "parameter CASE requires an argument; see headrace run --help"),
        ("nosuch", 'Unknown command "nosuch".*; see headrace --help'),
        ("run c.py --source x --durability no", 'Invalid value "no" for --durability.*run --help'),
        ("quarantine show x", "Invalid value.*quarantine show --help"),
        ("verify a b c", "'b c' is more than the command takes; see headrace verify --help"),
    ],
)
def test_a_wrong_call_is_one_line_that_names_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, says: str
) -> None:
    code, out, err = called(monkeypatch, capsys, line)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert re.fullmatch(f"headrace: .*{says}", err.strip())


@pytest.mark.parametrize("command", EVERY)
def test_help_names_arguments_and_shows_no_empty_default(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    code, out, _ = called(monkeypatch, capsys, f"{command} --help")
    assert code == 0
    assert "[ARGS]" not in out
    assert "()" not in out
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    entries = lines[lines.index("Parameters:") :] if "Parameters:" in lines else []
    assert not [line for line in entries if line.strip() and not line.startswith("  ")][1:]


def test_a_sink_is_named_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "run case.py --source in.jsonl --sink d.csv --sink d.csv"
    code, _, err = called(monkeypatch, capsys, line)
    assert (code, err) == (1, "headrace: --sink d.csv is named twice; expected a file for each\n")


def test_a_surrogate_may_begin_with_a_hyphen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """They are in base64url: one of sixty-four does."""
    line = f"erase -P5XLMLKKq7NcAZ2 --yes --home {tmp_path / 'home'}"
    code, _, err = called(monkeypatch, capsys, line)
    assert code == 1, "it is looked for, and not found"
    assert "option" not in err
