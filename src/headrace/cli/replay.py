"""`headrace replay`: rebuild decisions and compare bytes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from headrace.cli.terminal import console, progress
from headrace.core.errors import DataError, VerificationFailed
from headrace.journal.reader import find
from headrace.runtime.audit import journals_of
from headrace.runtime.evidence import evidence
from headrace.runtime.home import Home
from headrace.runtime.replaying import Replayed, recorded_definitions, seq_at
from headrace.runtime.replaying import replay as replay_journal


def replay(
    use_case: str | None = None,
    /,
    *,
    from_: str | None = None,
    journal: str | None = None,
    home: Path | None = None,
) -> None:
    """Rebuild decisions from the journaled inputs alone, and compare them byte for byte.

    Parameters
    ----------
    use_case
        Whose journal; all of the home's when it is left out.
    from_
        Compare from here on: a day (2026-01-31), a time, or the number of an input.
    journal
        Where headrace collect --to put it, s3://BUCKET/PREFIX or a folder; the home's when left
        out.
    home
        The folder of journal, models, vault and keys.
    """
    place = Home.at(home)
    with progress("fetching the journal") as done:
        records = evidence(place, journal, use_case, done)
    failed = []
    for lane in journals_of(records, use_case):
        begin = 0 if from_ is None else _begin(lane.folder, from_)
        if begin:
            find(lane.folder, begin)
        with progress(f"replaying {lane.shown}") as done:
            found = replay_journal(
                lane.folder,
                recorded_definitions(records, lane.use_case),
                from_seq=begin,
                progress=done,
            )
        if found.difference is not None:
            failed.append(f"{lane.shown}: {found.difference}")
            continue
        console.print(
            f"{lane.shown}: {found.inputs:,} inputs, {found.decisions:,} decisions rebuilt:"
            f" [green]the same, byte for byte[/green]{_recomputed(found)}"
        )
    if failed:
        raise VerificationFailed("; ".join(failed))


def _recomputed(found: Replayed) -> str:
    """How far scores that are inputs recompute; nothing where there are none."""
    if found.furthest is None:
        return ""
    return f"; scores as journaled, recomputed within {found.furthest:.2g} of them"


def _begin(folder: Path, text: str) -> int:
    if text.isdigit():
        return int(text)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(f"--from {text}: expected a day, a time or an input's number") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return seq_at(folder, int(moment.timestamp() * 1_000_000_000))
