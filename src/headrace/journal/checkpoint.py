"""Checkpoints: signed heads that are kept outside the journal's folder.

A journal cannot show by itself that its end was cut off, nor that whoever holds the key has not
written it anew. A checkpoint in a witness's hands (a file elsewhere, an object-locked bucket) can:
a journal that does not hold the checkpoint's head is not the one that the checkpoint was made of.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.core.errors import JournalError, VerificationFailed
from headrace.journal.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headrace.journal.keys import SigningKey

_DOMAIN = b"headrace/checkpoint/v1\0"


@dataclass(frozen=True, slots=True)
class LaneHead:
    """Where one lane's journal stood.

    Attributes:
        lane: Its name.
        next_seq: The sequence number after the last input.
        head: The head, 32 bytes.
    """

    lane: str
    next_seq: int
    head: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The heads of all lanes at one moment, signed.

    Attributes:
        lanes: By name.
        made_ns: When, nanoseconds since 1970, by the clock of the machine that signed.
        public_key: The key that signed, 32 bytes.
        signature: Ed25519 over `message()`.
    """

    lanes: tuple[LaneHead, ...]
    made_ns: int
    public_key: bytes
    signature: bytes = b""

    def message(self) -> bytes:
        """What is signed: the body as JSON with sorted keys and no spaces."""
        body = json.dumps(self._body(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return _DOMAIN + body.encode()

    def _body(self) -> dict[str, object]:
        return {
            "format": "headrace/checkpoint/v1",
            "lanes": [
                {"lane": item.lane, "next_seq": item.next_seq, "head": item.head.hex()}
                for item in self.lanes
            ],
            "made_ns": self.made_ns,
            "public_key": self.public_key.hex(),
        }

    def encoded(self) -> bytes:
        """One line of JSON."""
        return json.dumps(
            {**self._body(), "signature": self.signature.hex()}, sort_keys=True
        ).encode()

    @staticmethod
    def decoded(line: bytes) -> Checkpoint:
        """The inverse of `encoded`.

        Raises:
            JournalError: The line is no checkpoint.
        """
        try:
            plain = json.loads(line)
            lanes = tuple(
                LaneHead(item["lane"], item["next_seq"], bytes.fromhex(item["head"]))
                for item in plain["lanes"]
            )
            found = Checkpoint(
                lanes,
                plain["made_ns"],
                bytes.fromhex(plain["public_key"]),
                bytes.fromhex(plain["signature"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise JournalError(f"{line[:80]!r} is no checkpoint: {error}") from error
        return found

    def lane(self, name: str) -> LaneHead | None:
        """The head of one lane; None if the checkpoint does not bind it."""
        return next((item for item in self.lanes if item.lane == name), None)

    def check(self, keys: Sequence[PublicKey]) -> None:
        """Be sure that one of the keys signed it.

        Raises:
            VerificationFailed: None did, or it was changed.
        """
        known = any(key.raw == self.public_key for key in keys)
        if not known or not PublicKey(self.public_key).verifies(self.signature, self.message()):
            raise VerificationFailed(
                "the checkpoint was changed, or signed by a key that is not among those given"
            )


def make_checkpoint(lanes: Sequence[LaneHead], key: SigningKey, now_ns: int) -> Checkpoint:
    """Bind the heads of all lanes."""
    ordered = tuple(sorted(lanes, key=lambda item: item.lane))
    bare = Checkpoint(ordered, now_ns, key.public.raw)
    return Checkpoint(ordered, now_ns, key.public.raw, key.sign(bare.message()))


def write_checkpoint(witness: Path, checkpoint: Checkpoint) -> None:
    """Append a checkpoint to a witness file, one line each, durably."""
    witness.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(witness, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        os.write(descriptor, checkpoint.encoded() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_checkpoints(witness: Path) -> list[Checkpoint]:
    """Every checkpoint of a witness file, the oldest first.

    Raises:
        JournalError: It cannot be read, or holds none.
    """
    try:
        lines = witness.read_bytes().splitlines()
    except OSError as error:
        raise JournalError(f"the witness file {witness} cannot be read: {error}") from error
    found = [Checkpoint.decoded(line) for line in lines if line.strip()]
    if not found:
        raise JournalError(f"the witness file {witness} holds no checkpoint")
    return found
