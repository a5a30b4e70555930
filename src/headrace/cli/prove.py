"""`headrace prove`: a proof of one decision."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from headrace.cli.terminal import console, progress
from headrace.journal.proof import prove as make_proof
from headrace.journal.proof import write_proof
from headrace.runtime.audit import newest
from headrace.runtime.evidence import evidence
from headrace.runtime.home import Home
from headrace.runtime.journals import Journals
from headrace.runtime.local_lane import lane_name, signing_key


def prove(
    decision: str,
    /,
    *,
    out: Path | None = None,
    checkpoint: Path | None = None,
    verifier: Path | None = None,
    journal: str | None = None,
    home: Path | None = None,
) -> None:
    """Write a proof of a decision that anyone can verify without Headrace.

    Parameters
    ----------
    decision
        Its id, such as card-fraud/0/123, or the id of the event.
    out
        Where the proof goes; named after the decision when left out.
    checkpoint
        A witness file whose newest checkpoint is bound into the proof.
    verifier
        Where to put a copy of the verifier, a script that stands alone.
    journal
        Where headrace collect --to put it, s3://BUCKET/PREFIX or a folder; the home's when left
        out.
    home
        The folder of journal, models, vault and keys.
    """
    place = Home.at(home)
    with progress("fetching the journal") as done:
        found = Journals(evidence(place, journal, progress=done)).decision(decision)
    witnessed = newest(checkpoint, lane_name(found.use_case, found.lane)) if checkpoint else None
    proof = make_proof(
        found.folder, found.seq, signing_key(place).public, witnessed, index=found.index
    )
    path = out or Path(f"{found.use_case}-{found.lane}-{found.seq}.proof.json")
    write_proof(path, proof)
    script = files("headrace.journal") / "verify_proof.py"
    if verifier is not None:
        verifier.write_text(script.read_text(encoding="utf-8"), encoding="utf-8")
    console.print(f"wrote {path}; verify it with: python {verifier or script} {path}")
