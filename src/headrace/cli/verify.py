"""`headrace verify`: is the journal what was recorded?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headrace.cli.terminal import console, progress
from headrace.core.errors import VerificationFailed
from headrace.journal.keys import PublicKey
from headrace.journal.verification import verify as verify_journal
from headrace.runtime.audit import journals_of, newest
from headrace.runtime.evidence import evidence
from headrace.runtime.home import Home
from headrace.runtime.local_lane import signing_key


def verify(
    use_case: str | None = None,
    /,
    *,
    checkpoint: Path | None = None,
    public_key: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    journal: str | None = None,
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
    journal
        Where headrace collect --to put it, s3://BUCKET/PREFIX or a folder; the home's when left
        out.
    home
        The folder of journal, models, vault and keys.
    """
    place = Home.at(home)
    with progress("fetching the journal") as done:
        lanes = journals_of(evidence(place, journal, use_case, done), use_case)
    keys = [PublicKey.read(path) for path in public_key] or [signing_key(place).public]
    failed = []
    for lane in lanes:
        witnessed = newest(checkpoint, lane.name) if checkpoint else None
        with progress(f"verifying {lane.shown}") as done:
            report = verify_journal(lane.folder, keys, witnessed, progress=done)
        vouched = f"{report.records:,} records, {report.segments} segments"
        console.print(
            f"{lane.shown}: {vouched}; head {report.head.hex()} at input {report.next_seq:,}"
        )
        for tail in report.tails:
            console.print(f"  unvouched, moved aside at a start: {tail}")
        if report.fault is not None:
            failed.append(f"{lane.shown}: {report.fault}")
        elif report.checkpoint:
            console.print("  [green]good[/green], and the checkpoint agrees")
        else:
            console.print(
                "  [green]good[/green] up to this head; only a checkpoint shows a cut tail"
            )
    if failed:
        raise VerificationFailed("; ".join(failed))
