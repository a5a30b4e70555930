"""The proof of one record: a small file that anyone can verify without Headrace.

`verify_proof.py`, beside this module, is the verifier: one file that imports nothing of Headrace.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.core.errors import JournalError
from headrace.core.sha256 import audit_path, leaves_of
from headrace.journal import verify_proof
from headrace.journal.canonical import RecordWriter
from headrace.journal.reader import find, groups

if TYPE_CHECKING:
    from headrace.journal.checkpoint import Checkpoint, LaneHead
    from headrace.journal.frames import BatchHeader
    from headrace.journal.index import JournalIndex
    from headrace.journal.keys import PublicKey

#: The stand-alone verifier, to be handed over with a proof.
VERIFIER = Path(verify_proof.__file__)


def prove(
    folder: Path,
    seq: int,
    key: PublicKey,
    checkpoint: Checkpoint | None = None,
    *,
    index: JournalIndex | None = None,
) -> dict[str, Any]:
    """The proof that input `seq` was recorded, and decided as it says.

    Args:
        folder: The journal.
        seq: Sequence number of the input.
        key: The public key that signed its head.
        checkpoint: A witness's checkpoint that comes after it, to be bound into the proof.
        index: Of the journal, if there is one: it is not read from the start then.

    Returns:
        Plain data for a JSON file. `said` is what the record says, for people; the verifier works
        it out anew from `record`, and refuses a proof that says something else.

    Raises:
        NotFound: The journal does not reach that far.
        JournalError: What is stored is not what was signed, the key is another, or the checkpoint
            does not come after the record.
    """
    found = find(folder, seq) if index is None else index.find(seq)
    stored = found.stored
    batch = stored.batch()
    writer = RecordWriter(batch, stored.header)
    digests = writer.digests()
    leaves = leaves_of(digests, batch.inputs.read_ns)
    at = seq - batch.first_seq
    proof: dict[str, Any] = {
        "format": verify_proof.FORMAT,
        "seq": seq,
        "record": writer.record(seq).hex(),
        "digest": digests[at].tobytes().hex(),
        "measured_ns": int(batch.inputs.read_ns[at]),
        "leaf": leaves[at].tobytes().hex(),
        "path": [node.hex() for node in audit_path(leaves, at)],
        "batch": stored.link.encoded().hex(),
        "header": stored.header_encoded.decode(),
        "links": [link.encoded().hex() for link in found.after],
        "signed": found.signed.encoded().hex(),
        "public_key": key.raw.hex(),
    }
    if checkpoint is not None:
        expected = checkpoint.lane(stored.header.lane)
        if expected is None:
            raise JournalError(f"the checkpoint binds no lane {stored.header.lane!r}")
        further = _links_to(folder, found.signed.next_seq, found.signed.head, expected)
        proof["checkpoint"] = json.loads(checkpoint.encoded())
        proof["links_to_checkpoint"] = [link.encoded().hex() for link in further]
    try:
        proof["said"] = verify_proof.verify(proof)
    except verify_proof.ProofFailed as error:
        raise JournalError(f"input {seq} cannot be proved: {error}; run headrace verify") from error
    return proof


def _links_to(folder: Path, next_seq: int, head: bytes, expected: LaneHead) -> list[BatchHeader]:
    """The batches from a signed head on to the checkpoint's."""
    links: list[BatchHeader] = []
    if head == expected.head:
        return links
    for group in groups(folder, next_seq):
        links += [item.link for item in group.batches]
        if group.signed.head == expected.head:
            return links
    raise JournalError(
        f"the checkpoint at input {expected.next_seq} does not come after "
        f"input {next_seq - 1} in {folder}"
    )


def write_proof(path: Path, proof: dict[str, Any]) -> None:
    """Write a proof as JSON."""
    path.write_text(json.dumps(proof, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
