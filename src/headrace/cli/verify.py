"""`headrace verify`: is the journal what was recorded?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headrace.cli.terminal import console, progress
from headrace.core.errors import NotFound, VerificationFailed
from headrace.journal.keys import PublicKey
from headrace.journal.verification import verify as verify_journal
from headrace.runtime.audit import newest
from headrace.runtime.home import Home
from headrace.runtime.journals import use_cases
from headrace.runtime.local_lane import signing_key


def verify(
    use_case: str | None = None,
    /,
    *,
    checkpoint: Path | None = None,
    public_key: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    home: Path | None = None,
) -> None:
    """Check every record and every head of a journal.

    Every record is hashed again from what is stored, every link of the chain followed, every
    signature checked. A checkpoint that a witness kept shows a cut tail too.

    Parameters
    ----------
    use_case
        Whose journal; all of the home's when it is left out.
    checkpoint
        A witness file; its newest checkpoint is held against the journal.
    public_key
        Keys to believe, instead of the home's own.
    home
        The folder of journal, models, vault and keys.
    """
    place = Home.at(home)
    cases = [use_case] if use_case else use_cases(place.folder / "journal")
    if not cases:
        raise NotFound(f"{place.folder} has no journal yet; headrace run makes one")
    keys = [PublicKey.read(path) for path in public_key] or [signing_key(place).public]
    failed = []
    for case in cases:
        folder = place.journal(case)
        if not folder.is_dir():
            raise NotFound(f"no journal of {case!r} in {place.folder}")
        witnessed = newest(checkpoint, case) if checkpoint else None
        with progress(f"verifying {case}") as done:
            report = verify_journal(folder, keys, witnessed, progress=done)
        vouched = f"{report.records:,} records, {report.segments} segments"
        console.print(f"{case}: {vouched}; head {report.head.hex()} at input {report.next_seq:,}")
        for tail in report.tails:
            console.print(f"  unvouched, moved aside at a start: {tail}")
        if report.fault is not None:
            failed.append(f"{case}: {report.fault}")
        elif report.checkpoint:
            console.print("  [green]good[/green], and the checkpoint agrees")
        else:
            console.print(
                "  [green]good[/green] up to this head; only a checkpoint shows a cut tail"
            )
    if failed:
        raise VerificationFailed("; ".join(failed))
