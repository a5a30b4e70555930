"""The journal's format in plain Python, from its specification alone: no Headrace in here."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

CANONICAL_NAN = struct.pack("<Q", 0x7FF8000000000000)
FLOAT, TEXT = 5, 9


def real(text: str) -> bytes:
    """A float, written as `float.hex` writes it."""
    value = float.fromhex(text)
    return CANONICAL_NAN if value != value else struct.pack("<d", value)  # noqa: PLR0124 - only NaN


def field(kind: int, value: Any) -> bytes:
    """One field: its tag and its value."""
    if value is None:
        return b"\0"
    if kind == TEXT:
        raw = value.encode()
        return bytes([kind]) + struct.pack("<I", len(raw)) + bytes(raw)
    if kind == FLOAT:
        return bytes([kind]) + struct.pack("<d", float.fromhex(value))
    return bytes([kind]) + struct.pack("<q", value)


def decision(plain: dict[str, Any]) -> bytes:
    """The decision section."""
    out = real(plain["margin"]) + real(plain["score"])
    out += struct.pack(
        "<QhBBBH",
        plain["rules"],
        plain["rule"],
        plain["outcome"],
        plain["arm"],
        plain["marks"],
        len(plain["features"]),
    )
    out += b"".join(map(real, plain["features"]))
    out += bytes([len(plain["reasons"])])
    return out + b"".join(struct.pack("<h", name) + real(value) for name, value in plain["reasons"])


def record(plain: dict[str, Any], schemas: list[list[int]]) -> bytes:
    """The canonical bytes of a record; `schemas` has the kinds of each stream's fields."""
    sections, flags = b"", 0
    if plain["event"] is not None:
        kinds = schemas[plain["stream"]]
        body = b"".join(map(field, kinds, plain["event"]))
        sections, flags = sections + struct.pack("<I", len(body)) + body, flags | 1
    if plain["decision"] is not None:
        body = decision(plain["decision"])
        sections, flags = sections + struct.pack("<I", len(body)) + body, flags | 2
    if plain["quarantine"] is not None:
        body = b"".join(map(field, (TEXT, TEXT, TEXT, TEXT, 2), plain["quarantine"]))
        sections, flags = sections + struct.pack("<I", len(body)) + body, flags | 4
    if plain["control"] is not None:
        body = field(TEXT, plain["control"])
        sections, flags = sections + struct.pack("<I", len(body)) + body, flags | 8
    fixed = struct.pack(
        "<4sQBBHqqHqB",
        b"HRR1",
        plain["seq"],
        plain["stream"],
        plain["kind"],
        plain["source"],
        plain["position"],
        plain["received_ns"],
        plain["reason"],
        plain["original_seq"],
        flags,
    )
    return fixed + sections


def sha(*parts: bytes) -> bytes:
    """SHA-256 of the parts, one after the other."""
    return hashlib.sha256(b"".join(parts)).digest()


def leaf(digest: bytes, read_ns: int) -> bytes:
    """The leaf of a record."""
    return sha(b"\0", digest, struct.pack("<q", read_ns))


def root(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, by recursion."""
    if not leaves:
        return sha()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return sha(b"\1", root(leaves[:split]), root(leaves[split:]))


def head(batch: dict[str, Any]) -> bytes:
    """The head after a batch."""
    texts = ("root", "previous", "header", "payload")
    numbers = struct.pack("<QII", batch["first_seq"], batch["inputs"], batch["decisions"])
    return sha(b"headrace/batch/v1\0", numbers, *(bytes.fromhex(batch[name]) for name in texts))


def signed_message(signed: dict[str, Any]) -> bytes:
    """What a commit's signature is over."""
    return b"".join(
        (
            b"headrace/head/v1\0",
            sha(bytes.fromhex(signed["public_key"])),
            struct.pack("<Q", signed["next_seq"]),
            bytes.fromhex(signed["head"]),
            struct.pack("<q", signed["signed_ns"]),
        )
    )
