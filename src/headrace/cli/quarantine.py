"""`headrace quarantine`: what was not accepted, and its way back in."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich.table import Table

from headrace.cli.terminal import console, stages
from headrace.core.errors import DataError, NotFound
from headrace.journal.batch import InputKind
from headrace.runtime.audit import use_cases
from headrace.runtime.home import Home
from headrace.runtime.loading import load_case
from headrace.runtime.local_lane import LocalLane
from headrace.runtime.models import model_of
from headrace.runtime.quarantine import SOURCE, quarantined, raw_bytes
from headrace.runtime.quarantine import retry as retry_inputs

if TYPE_CHECKING:
    from headrace.runtime.quarantine import QuarantinedInput

app = App(name="quarantine", help="List, show and retry quarantined events.")


@app.command(name="list")
def list_(
    use_case: str | None = None,
    /,
    *,
    reason: str | None = None,
    rows: int = 50,
    home: Path | None = None,
) -> None:
    """List what was not accepted, with field, value, reason and what was expected.

    Parameters
    ----------
    use_case
        Whose journal; the home's only one when left out.
    reason
        Only those of this reason, such as late.
    rows
        The most that are listed.
    home
        The folder of journal, models, vault and keys.
    """
    place = Home.at(home)
    found = quarantined(_journal(place, use_case))
    chosen = [item for item in found if reason is None or item.reason == reason]
    if not chosen:
        console.print("nothing is in quarantine" if not found else f"nothing for reason {reason!r}")
        return
    table = Table("input", "stream", "reason", "field", "value", "expected", "back as")
    for item in chosen[:rows]:
        back = "" if item.retried_as is None else f"{item.retried_as:,}"
        table.add_row(
            str(item.seq), item.stream, item.reason, item.field, item.value, item.expected, back
        )
    console.print(table)
    if len(chosen) > rows:
        console.print(f"{rows} of {len(chosen):,}; more with --rows")


@app.command
def show(
    seq: int,
    /,
    *,
    use_case: str | None = None,
    raw: bool = False,
    home: Path | None = None,
) -> None:
    """Show one quarantined input.

    Parameters
    ----------
    seq
        Its number, as in the list.
    use_case
        Whose journal; the home's only one when left out.
    raw
        Open its sealed bytes, personal data and all.
    home
        The folder of journal, models, vault and keys.
    """
    place = Home.at(home)
    item = _one(quarantined(_journal(place, use_case)), seq)
    received = dt.datetime.fromtimestamp(item.received_ns / 1e9, tz=dt.UTC).isoformat()
    console.print(f"input {item.seq} of stream {item.stream}: {item.reason}")
    console.print(f"  from {item.source}, event {item.position:,}, received {received}")
    if item.field:
        console.print(f"  field {item.field}: {item.value}")
    if item.expected:
        console.print(f"  expected: {item.expected}")
    if item.retried_as is not None:
        console.print(f"  accepted on retry, as input {item.retried_as:,}")
    if item.reference:
        console.print(f"  {item.length:,} bytes are sealed in the vault; --raw opens them")
    if raw:
        console.out(raw_bytes(place, item).decode("utf-8", "backslashreplace"))


@app.command
def retry(
    case: str,
    /,
    *,
    seq: Annotated[tuple[int, ...], Parameter(negative="")] = (),
    reason: str | None = None,
    home: Path | None = None,
) -> None:
    """Put quarantined events through the use case once more, as backfills.

    Parameters
    ----------
    case
        A Python file with the use case (FILE.py, or FILE.py:NAME), or a ready-made one.
    seq
        Which, by number.
    reason
        All of this reason, such as late.
    home
        The folder of journal, models, vault and keys.
    """
    if not seq and reason is None:
        raise DataError("nothing to retry: name inputs with --seq, or a --reason")
    place = Home.at(home)
    use_case = load_case(case)
    found = quarantined(_journal(place, use_case.name))
    chosen = [_one(found, number) for number in seq] or [
        item for item in found if item.reason == reason and item.retried_as is None
    ]
    if not chosen:
        raise NotFound(f"nothing is in quarantine for reason {reason!r}")
    definition = use_case.definition(model_of(use_case, place))
    with (
        stages() as stage,
        LocalLane(
            definition,
            place,
            [SOURCE],
            progress=lambda done, most: stage("replaying the journal", done, most),
        ) as local,
    ):
        made = retry_inputs(local, sorted(chosen, key=lambda item: item.seq))
    decided = sum(len(batch.decisions) for batch in made)
    back = sum(int((batch.inputs.kind == InputKind.BACKFILL).sum()) for batch in made)
    console.print(
        f"{len(chosen)} retried: {back} accepted as backfills, {decided} decided,"
        f" {len(chosen) - back} refused again"
    )


def _journal(home: Home, use_case: str | None) -> Path:
    known = use_cases(home.folder / "journal")
    if use_case is None and len(known) == 1:
        return home.journal(known[0])
    if use_case in known:
        return home.journal(use_case)
    raise NotFound(f"{home.folder} has the journals {', '.join(known) or 'none'}: name one")


def _one(items: list[QuarantinedInput], seq: int) -> QuarantinedInput:
    for item in items:
        if item.seq == seq:
            return item
    raise NotFound(f"input {seq} is not in quarantine; headrace quarantine list shows what is")
