"""`headrace convert`, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyarrow import parquet

from headrace.cli import build
from headrace.core.errors import DataError, NotFound

if TYPE_CHECKING:
    from pathlib import Path

TICKS = "timestamp,bid,ask\n2013-01-01 22:00:00Z,86.655,86.728\nnever,\x1b[2J,2\n"


def convert(*tokens: str) -> None:
    build()(("convert", "trading-signal", *tokens))


def test_convert_says_how_many_lines_are_in_quarantine_and_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ticks, out = tmp_path / "ticks.csv", tmp_path / "out"
    ticks.write_text(TICKS)
    convert("truefx", str(ticks), "--symbol", "USDJPY", "--out", str(out))
    said = capsys.readouterr().out
    assert "2 lines: 1 accepted, 1 in quarantine (1 bad time)" in said
    assert f"quarantine: {out / 'quarantine.parquet'}" in said
    assert "\x1b[2J" not in said
    assert parquet.read_table(out / "prices.parquet").num_rows == 1
    assert parquet.read_table(out / "quarantine.parquet")["line"].to_pylist() == [3]


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (("morse", "x"), "it reads:\n  binance: captures of Binance's websockets"),
        (("truefx", "x"), "give --symbol"),
        (("truefx", "x", "--symbol", "X"), "x is no file"),
        (("lobster", "x", "y", "--day", "June"), "--day June: expected a day"),
    ],
)
def test_what_cannot_be_converted_is_said(
    tokens: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=said):
        convert(*tokens, "--out", str(tmp_path / "out"))


def test_a_case_without_formats_has_nothing_to_convert(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="card-fraud reads files of its streams alone"):
        build()(("convert", "card-fraud", "binance", "x", "--out", str(tmp_path)))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file: name a folder"):
        convert("truefx", "x", "--symbol", "X", "--out", str(tmp_path / "file"))
