"""`headrace query`: SQL over the journal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from rich.table import Table

from headrace.cli.terminal import console, progress
from headrace.core.errors import DataError
from headrace.events.plain_columns import in_plain_types
from headrace.runtime.evidence import evidence
from headrace.runtime.home import Home
from headrace.runtime.querying import query as ask


def query(
    sql: str,
    /,
    *,
    use_case: str | None = None,
    form: Literal["table", "csv", "json"] = "table",
    rows: int = 50,
    journal: str | None = None,
    home: Path | None = None,
) -> None:
    """Ask the journal in SQL (DuckDB): tables `decisions`, `inputs` and `quarantine`.

    Parameters
    ----------
    sql
        For example: SELECT outcome, count(*) FROM decisions GROUP BY outcome
    use_case
        Whose journal; the home's only one when left out.
    form
        How the answer is printed.
    rows
        The most rows of a table that are printed.
    journal
        Where headrace collect --to put it, s3://BUCKET/PREFIX or a folder; the home's when left
        out.
    home
        The folder of journal, models, vault and keys.
    """
    with progress("fetching the journal") as done:
        place = evidence(Home.at(home), journal, use_case, done)
    answer = ask(place, sql, use_case)
    if form == "csv":
        import pyarrow.csv  # noqa: PLC0415 - needed for this form alone

        pyarrow.csv.write_csv(answer, sys.stdout.buffer)
        return
    if form == "json":
        import msgspec  # noqa: PLC0415 - needed for this form alone

        for row in in_plain_types(answer).to_pylist():
            console.out(msgspec.json.encode(row, enc_hook=str).decode())
        return
    if rows < 1:
        raise DataError(f"--rows {rows}: expected 1 or more")
    table = Table(*answer.column_names)
    for row in in_plain_types(answer.slice(0, rows)).to_pylist():
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    console.print(table)
    if len(answer) > rows:
        console.print(f"{rows} of {len(answer):,} rows; more with --rows, all with --form csv")
