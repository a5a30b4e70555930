"""Proofs of single decisions, and the verifier that stands alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import journal_samples as samples  # type: ignore[import-not-found]  # on the path above

from headrace.core.errors import JournalError, NotFound
from headrace.journal import verify_proof
from headrace.journal.checkpoint import Checkpoint, LaneHead, make_checkpoint
from headrace.journal.journal import Journal
from headrace.journal.keys import SigningKey
from headrace.journal.proof import VERIFIER, prove, write_proof

KEY = SigningKey.from_seed(bytes(range(32)))
OTHER = SigningKey.from_seed(bytes(32))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Checkpoint]:
    """A journal of three group commits, and a checkpoint of its end."""
    folder = tmp_path_factory.mktemp("journal")
    with Journal.open(folder, samples.header(), KEY, segment_bytes=9000) as journal:
        for i in range(6):
            journal.append(samples.batch(i, 9 * i, 9))
            if i % 2:
                journal.commit()
        head = journal.committed.head
    return folder, make_checkpoint(
        [LaneHead("lane-0", 54, head), LaneHead("lane-1", 1, head)], KEY, 5
    )


def test_every_input_can_be_proved(recorded: tuple[Path, Checkpoint]) -> None:
    folder, _ = recorded
    for seq in range(54):
        proof = prove(folder, seq, KEY.public)
        assert proof["said"]["seq"] == seq
        batch = samples.batch(seq // 9, seq // 9 * 9, 9)
        decided = seq in batch.decisions.seq
        assert ("decision" in proof["said"]) == decided
    with pytest.raises(NotFound):
        prove(folder, 54, KEY.public)


def test_a_proof_says_what_was_decided(recorded: tuple[Path, Checkpoint]) -> None:
    folder, _ = recorded
    batch = samples.batch(2, 18, 9)
    seq = int(batch.decisions.seq[0])
    row = int(batch.inputs.row[seq - 18])
    said = prove(folder, seq, KEY.public)["said"]
    assert said["event"]["payment_id"] == batch.events["payments"].text("payment_id").strings()[row]
    assert said["decision"]["outcome"] == samples.header().outcomes[batch.decisions.outcome[0]]
    assert said["decision"]["score"] == batch.decisions.score[0]
    features = [value for value in said["decision"]["features"].values() if value is not None]
    assert features == [value for value in batch.decisions.features[:, 0] if value == value]  # noqa: PLR0124 - not NaN


@pytest.mark.parametrize(
    "part",
    [
        *("record", "batch", "signed", "header", "path", "measured_ns", "links", "checkpoint"),
        *("format", "seq", "digest", "leaf", "said"),
    ],
)
def test_a_changed_proof_fails(recorded: tuple[Path, Checkpoint], part: str) -> None:
    folder, checkpoint = recorded
    proof: dict[str, Any] = prove(folder, 1, KEY.public, checkpoint)
    verify_proof.verify(proof, KEY.public.raw)
    changed = json.loads(json.dumps(proof))
    if part in {"measured_ns", "seq"}:
        changed[part] += 1
    elif part == "format":
        changed[part] += "2"
    elif part == "said":
        changed[part]["event"]["merchant"] = "another"
    elif part == "header":
        changed[part] = changed[part].replace("approve", "decline")
    elif part == "checkpoint":
        changed[part]["lanes"][0]["next_seq"] += 1
    elif part in {"path", "links"}:
        changed[part][0] = _flipped(changed[part][0])
    else:
        changed[part] = _flipped(changed[part])
    with pytest.raises(verify_proof.ProofFailed):
        verify_proof.verify(changed, KEY.public.raw)


def _flipped(text: str) -> str:
    """Hexadecimal with its last digit changed."""
    return text[:-1] + f"{int(text[-1], 16) ^ 1:x}"


def test_another_key_or_checkpoint_is_not_believed(recorded: tuple[Path, Checkpoint]) -> None:
    folder, checkpoint = recorded
    with pytest.raises(verify_proof.ProofFailed, match="another key"):
        verify_proof.verify(prove(folder, 1, KEY.public), OTHER.public.raw)
    with pytest.raises(JournalError, match="names"):
        prove(folder, 1, OTHER.public)
    early = make_checkpoint([LaneHead("lane-0", 54, bytes(32))], KEY, 5)
    with pytest.raises(JournalError, match="does not come after"):
        prove(folder, 1, KEY.public, early)
    assert "checkpoint" in prove(folder, 53, KEY.public, checkpoint)


def test_the_verifier_runs_alone(recorded: tuple[Path, Checkpoint], tmp_path: Path) -> None:
    folder, checkpoint = recorded
    proof = prove(folder, 3, KEY.public, checkpoint)
    write_proof(tmp_path / "proof.json", proof)
    KEY.public.write(tmp_path / "key.pub")
    (tmp_path / "verify_proof.py").write_bytes(VERIFIER.read_bytes())
    command = [
        sys.executable,
        "-I",
        "-S",
        "verify_proof.py",
        "proof.json",
        "--public-key",
        "key.pub",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "VERIFIED: signed by" in done.stdout
    assert "witness's checkpoint" in done.stdout
    (tmp_path / "other.json").write_text("{")
    for name in ("none.json", "other.json"):
        other = [*command[:4], name]
        done = subprocess.run(other, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, "")
        assert done.stdout.startswith(f"FAILED: {name} ")
    OTHER.public.write(tmp_path / "key.pub")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (
        1,
        "FAILED: it is signed by another key than the one given\n",
    )


def test_the_plain_signature_check_is_ed25519() -> None:
    """RFC 8032, 7.1: its third test, and changes of it."""
    public = bytes.fromhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025")
    signature = bytes.fromhex(
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
    )
    assert verify_proof.signed_by(public, signature, b"\xaf\x82")
    assert not verify_proof.signed_by(public, signature, b"\xaf\x83")
    assert not verify_proof.signed_by(public, signature[:-1] + b"\x0b", b"\xaf\x82")
    assert not verify_proof.signed_by(bytes([2] + [0] * 31), signature, b"\xaf\x82")
    assert not verify_proof.signed_by(public[:-1], signature, b"\xaf\x82")
    for i in range(5):
        message = bytes([i] * i)
        assert verify_proof.signed_by(KEY.public.raw, KEY.sign(message), message)
