"""`headrace convert`: files of vendors and venues become files that the other commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headrace.cli.data_folder import check_folder, say_written
from headrace.cli.days import day_given
from headrace.cli.terminal import console
from headrace.core.errors import DataError
from headrace.runtime.solutions import converter


def convert(
    case: str,
    form: str,
    files: Annotated[tuple[Path, ...], Parameter(negative="")],
    /,
    *,
    out: Path,
    symbol: str | None = None,
    day: str | None = None,
) -> None:
    """Turn files of a vendor or venue into a Parquet file for each stream.

    Lines that cannot be accepted are counted, and go with the reason to quarantine.parquet in the
    same folder.

    Parameters
    ----------
    case
        A ready-made use case, such as trading-signal.
    form
        The format of the files, such as binance; another word shows what there is.
    files
        The files, in the format's order.
    out
        The folder to write to.
    symbol
        What the files are of, where they do not say it.
    day
        The day that they are of, as in 2026-01-05, where they do not say it.
    """
    found = converter(case)
    if form not in found.formats:
        lines = "\n".join(f"  {name}: {said}" for name, said in found.formats.items())
        raise DataError(f"{case} reads no format {form!r}; it reads:\n{lines}")
    check_folder(out)
    written, quarantine, said = found.convert_to(
        out, form, files, symbol=symbol, day=day_given("--day", day)
    )
    say_written(written)
    console.print(said, soft_wrap=True)
    if quarantine is not None:
        console.print(f"quarantine: {quarantine}", soft_wrap=True)
