"""Verify the proof of one decision: `python verify_proof.py PROOF.json [--public-key FILE]`.

This file stands alone: it needs Python 3.9 or later and nothing else, so it can be handed over with
a proof. What it checks is written down in docs/reference/journal-format.md. Without `--public-key`
the signature is checked against the key that the proof names, which shows that nothing was changed
since, but not who signed: compare the printed key with one that you know.
"""

from __future__ import annotations

import argparse
import base64
import datetime as dt
import hashlib
import json
import struct
import sys
from pathlib import Path
from typing import Any

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
FORMAT = "headrace/proof/v1"
BOOL, INT, DECIMAL, MONEY, FLOAT, TIME, CURRENCY, COUNTRY, TEXT = range(1, 10)
KINDS = ("accepted", "duplicate", "quarantined", "accepted (backfill)", "control record")


class ProofFailed(Exception):
    """The proof does not hold; the message says where."""


def need(condition: object, what: str) -> None:
    """Stop unless the condition holds."""
    if not condition:
        raise ProofFailed(what)


def sha256(*parts: bytes) -> bytes:
    """SHA-256 of the parts, one after the other."""
    return hashlib.sha256(b"".join(parts)).digest()


def point_add(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """RFC 8032, 5.1.4: the sum of two points in extended coordinates."""
    m, n = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = n - m, d - c, d + c, n + m
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def point_times(scalar: int, point: tuple[int, ...]) -> tuple[int, ...]:
    """A multiple of a point, by doubling and adding."""
    total: tuple[int, ...] = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = point_add(total, point)
        point, scalar = point_add(point, point), scalar >> 1
    return total


def point_read(raw: bytes) -> tuple[int, ...]:
    """RFC 8032, 5.1.3: a point from its 32 bytes."""
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    need(y < P and (x * x - square) % P == 0 and (x or not sign), "a point is not on the curve")
    x = P - x if x & 1 != sign else x
    return (x, y, 1, x * y % P)


def signed_by(public: bytes, signature: bytes, message: bytes) -> bool:
    """RFC 8032, 5.1.7: whether an Ed25519 signature holds."""
    if len(public) != 32 or len(signature) != 64:
        return False
    scalar = int.from_bytes(signature[32:], "little")
    base_y = 4 * pow(5, P - 2, P) % P
    try:
        base, key = point_read(base_y.to_bytes(32, "little")), point_read(public)
        nonce = point_read(signature[:32])
    except ProofFailed:
        return False
    challenge = hashlib.sha512(signature[:32] + public + message).digest()
    left = point_times(scalar, base)
    right = point_add(nonce, point_times(int.from_bytes(challenge, "little") % Q, key))
    same_x = (left[0] * right[2] - right[0] * left[2]) % P == 0
    return scalar < Q and same_x and (left[1] * right[2] - right[1] * left[2]) % P == 0


class Reader:
    """Takes the values of canonical bytes one by one."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, layout: str) -> tuple:  # type: ignore[type-arg]  # as struct has it
        """The next values of a `struct` layout, little-endian."""
        size = struct.calcsize("<" + layout)
        need(len(self.data) >= size, "the record is cut short")
        values, self.data = struct.unpack("<" + layout, self.data[:size]), self.data[size:]
        return values

    def bytes(self) -> bytes:
        """The next bytes, with their length before them."""
        (size,) = self.take("I")
        return bytes(self.take(f"{size}s")[0])

    def field(self) -> object:
        """The next field; None if it is missing."""
        (tag,) = self.take("B")
        if tag in (0, TEXT):
            return self.bytes().decode() if tag else None
        return self.take("d" if tag == FLOAT else "q")[0]


def name_of(names: list[str], index: int) -> str:
    """The name that an index stands for."""
    return names[index] if 0 <= index < len(names) else str(index)


def number(value: float) -> object:
    """A float as JSON can hold it: None if it is missing (NaN), infinities by name."""
    if value != value:  # noqa: PLR0124 - only NaN differs from itself
        return None
    return value if abs(value) != float("inf") else f"{value:+}"


def readable(field: dict, value: Any) -> object:  # type: ignore[type-arg]  # plain JSON
    """A field's value as people read it, without loss."""
    kind = field["kind"]
    if value is None or kind in (INT, FLOAT, TEXT):
        return value
    if kind == BOOL:
        return bool(value)
    if kind == TIME:
        seconds, nanoseconds = divmod(value, 10**9)
        moment = dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds)  # noqa: DTZ001 - it is in UTC
        return f"{moment.isoformat()}.{nanoseconds:09d}Z"
    if kind in (CURRENCY, COUNTRY):
        places = (676, 26, 1) if kind == CURRENCY else (26, 1)
        return "".join(chr(65 + value // place % 26) for place in places)
    if field["currency_field"]:
        return f"{value} minor units of {field['currency_field']}"
    whole, part = divmod(abs(value), 10 ** field["scale"])
    digits = f".{part:0{field['scale']}d}" if field["scale"] else ""
    return f"{'-' if value < 0 else ''}{whole}{digits} {field['currency']}".strip()


def decode_decision(reader: Reader, names: dict) -> dict:  # type: ignore[type-arg]  # plain JSON
    """The decision of a record, by the names of the journal's header."""
    margin, score, rules, rule, outcome, arm, marks, count = reader.take("ddQhBBBH")
    features = reader.take(f"{count}d")
    reasons = [reader.take("hd") for _ in range(reader.take("B")[0])]
    return {
        "outcome": name_of(names["outcomes"], outcome),
        "rule": name_of(names["rules"], rule) if rule >= 0 else "otherwise",
        "rules_matched": [name for bit, name in enumerate(names["rules"]) if rules >> bit & 1],
        "score": number(score),
        "margin": number(margin),
        "reasons": [
            {"feature": name_of(names["features"], f), "contribution": number(c)}
            for f, c in reasons
        ],
        "features": {
            name: number(value)
            for name, value in zip(names["features"], features)  # noqa: B905 - Python 3.9 has no strict
        },
        "arm": arm,
        "backfilled": bool(marks & 1),
    }


def decode_record(record: bytes, names: dict) -> dict:  # type: ignore[type-arg]  # plain JSON
    """What the canonical bytes of a record say, by the names of the journal's header."""
    reader = Reader(record)
    magic, seq, stream, kind, source, position, received, reason, original, parts = reader.take(
        "4sQBBHqqHqB"
    )
    need(magic == b"HRR1", "these are not the canonical bytes of a record")
    streams = names["streams"]
    said = {
        "seq": seq,
        "stream": streams[stream]["name"] if stream < len(streams) else "control",
        "kind": KINDS[kind],
        "source": name_of(names["sources"], source),
        "position": position,
        "received_ns": received,
    }
    if kind == 2:
        said["reason"] = name_of(names["reasons"], reason)
    if original >= 0:
        said["duplicate_of"] = original
    if parts & 1:
        event = Reader(reader.bytes())
        said["event"] = {
            field["name"]: readable(field, event.field())
            for field in streams[stream]["schema"]["fields"]
        }
    if parts & 2:
        said["decision"] = decode_decision(Reader(reader.bytes()), names)
    if parts & 4:
        told = Reader(reader.bytes())
        said["quarantine"] = {
            name: told.field() for name in ("field", "value", "expected", "vault", "length")
        }
    if parts & 8:
        said["control"] = json.loads(str(Reader(reader.bytes()).field()))
    return said


def root_of(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """RFC 6962, 2.1.1: the root that an audit path leads to."""
    need(0 <= index < size, "the record is not of this batch")
    node, rest = leaf, list(path)
    while size > 1:
        if index ^ 1 < size:
            need(rest, "the audit path is too short")
            pair = rest.pop(0) + node if index & 1 else node + rest.pop(0)
            node = sha256(b"\x01", pair)
        index, size = index // 2, (size + 1) // 2
    need(not rest, "the audit path is too long")
    return node


def follow(head: bytes, links: list[str]) -> bytes:
    """The head after further batches, each of which names the one before it."""
    for link in map(bytes.fromhex, links):
        need(
            len(link) == 144 and link[48:80] == head,
            "a later batch does not follow the one before it",
        )
        head = sha256(b"headrace/batch/v1\0", link)
    return head


def verify(proof: dict, public: bytes | None = None) -> dict:  # type: ignore[type-arg]  # plain JSON
    """Check a proof; returns what was decided. Raises `ProofFailed` where it does not hold."""
    need(proof["format"] == FORMAT, f"its format is not {FORMAT}")
    record, batch = bytes.fromhex(proof["record"]), bytes.fromhex(proof["batch"])
    need(len(batch) == 144, "the batch header has 144 bytes")
    first_seq, size, _, root, _, header, _ = struct.unpack("<QII32s32s32s32s", batch)
    digest = sha256(record)
    need(digest.hex() == proof["digest"], "the digest is not that of the record")
    leaf = sha256(b"\x00", digest, struct.pack("<q", proof["measured_ns"]))
    path = [bytes.fromhex(node) for node in proof["path"]]
    need(leaf.hex() == proof["leaf"], "the leaf is not that of the record")
    (seq,) = struct.unpack("<Q", record[4:12])
    need(seq == proof["seq"], "the sequence number is not the record's")
    need(root_of(leaf, seq - first_seq, size, path) == root, "the record is not in the batch")
    names = proof["header"].encode()
    need(sha256(b"headrace/header/v1\0", names) == header, "the header is not the batch's")
    head = follow(sha256(b"headrace/batch/v1\0", batch), proof["links"])
    signed = bytes.fromhex(proof["signed"])
    need(len(signed) == 144 and signed[40:72] == head, "the signed head is not that of the chain")
    key = bytes.fromhex(proof["public_key"])
    need(public is None or public == key, "it is signed by another key than the one given")
    need(sha256(key) == signed[:32], "the key is not the one that the signed head names")
    message = b"headrace/head/v1\0" + signed[:80]
    need(signed_by(key, signed[80:], message), "the signature of the head does not hold")
    said = decode_record(record, json.loads(names))
    same = "said" not in proof or proof["said"] == said
    need(same, "what it says for people is not what its record says")
    if proof.get("checkpoint"):
        check_checkpoint(proof, head, json.loads(names)["lane"], public)
    return said


def check_checkpoint(proof: dict, head: bytes, lane: str, public: bytes | None) -> None:  # type: ignore[type-arg]  # plain JSON
    """The checkpoint is signed, and its head of this lane comes after the proof's."""
    body = dict(proof["checkpoint"])
    signature = bytes.fromhex(body.pop("signature"))
    message = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    key = bytes.fromhex(body["public_key"])
    need(
        public is None or public == key,
        "the checkpoint is signed by another key than the one given",
    )
    need(
        signed_by(key, signature, b"headrace/checkpoint/v1\0" + message),
        "the checkpoint's signature does not hold",
    )
    reached = follow(head, proof["links_to_checkpoint"]).hex()
    heads = [item["head"] for item in body["lanes"] if item["lane"] == lane]
    need(heads == [reached], "the checkpoint does not bind this chain")


def read_key(path: Path) -> bytes:
    """The 32 bytes of an Ed25519 public key, from PEM or hexadecimal."""
    text = path.read_text().strip()
    if text.startswith("-----BEGIN PUBLIC KEY-----"):
        return base64.b64decode("".join(text.splitlines()[1:-1]))[-32:]
    return bytes.fromhex(text)


def main(arguments: list[str] | None = None) -> int:
    """Read the proof, check it, print what was decided; 1 if it does not hold."""
    options = argparse.ArgumentParser(description="Verify the proof of one decision.")
    options.add_argument("proof", type=Path)
    options.add_argument("--public-key", type=Path, help="the signer's key, from whom you trust")
    given = options.parse_args(arguments)
    try:
        proof = json.loads(given.proof.read_text(encoding="utf-8"))
        said = verify(proof, read_key(given.public_key) if given.public_key else None)
    except OSError as error:
        sys.stdout.write(f"FAILED: {error.filename} cannot be read: {error.strerror}\n")
        return 1
    except json.JSONDecodeError as error:
        sys.stdout.write(f"FAILED: {given.proof} is not JSON: {error}\n")
        return 1
    except KeyError as error:
        sys.stdout.write(f"FAILED: it has no {error}\n")
        return 1
    except (ProofFailed, ValueError, IndexError, TypeError, OverflowError, struct.error) as error:
        sys.stdout.write(f"FAILED: {error}\n")
        return 1
    sys.stdout.write(json.dumps(said, indent=2, ensure_ascii=False) + "\n")
    whose = "the key given" if given.public_key else "the key that the proof names; compare it"
    sys.stdout.write(f"VERIFIED: signed by {proof['public_key']} ({whose})\n")
    if proof.get("checkpoint"):
        sys.stdout.write("VERIFIED: the chain goes on to the witness's checkpoint\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
