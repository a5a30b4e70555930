"""`headrace replay`: rebuild decisions and compare bytes."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from headrace.cli.terminal import console, progress
from headrace.core.errors import DataError, NotFound, VerificationFailed
from headrace.journal.reader import find
from headrace.runtime.home import Home
from headrace.runtime.journals import use_cases
from headrace.runtime.replaying import recorded_definitions, seq_at
from headrace.runtime.replaying import replay as replay_journal


def replay(
    use_case: str | None = None,
    /,
    *,
    from_: str | None = None,
    home: Path | None = None,
) -> None:
    """Rebuild decisions from the journaled inputs alone, and compare them byte for byte.

    Parameters
    ----------
    use_case
        Whose journal; all of the home's when it is left out.
    from_
        Compare from here on: a day (2026-01-31), a time, or the number of an input.
    home
        The folder of journal, models, vault and keys.
    """
    place = Home.at(home)
    cases = [use_case] if use_case else use_cases(place.folder / "journal")
    if not cases:
        raise NotFound(f"{place.folder} has no journal yet; headrace run makes one")
    failed = []
    for case in cases:
        folder = place.journal(case)
        if not folder.is_dir():
            raise NotFound(f"no journal of {case!r} in {place.folder}")
        begin = 0 if from_ is None else _begin(folder, from_)
        if begin:
            find(folder, begin)
        with progress(f"replaying {case}") as done:
            found = replay_journal(
                folder, recorded_definitions(place, case), from_seq=begin, progress=done
            )
        if found.difference is not None:
            failed.append(f"{case}: {found.difference}")
            continue
        console.print(
            f"{case}: {found.inputs:,} inputs, {found.decisions:,} decisions rebuilt:"
            " [green]the same, byte for byte[/green]"
        )
    if failed:
        raise VerificationFailed("; ".join(failed))


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
