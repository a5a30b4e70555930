"""Refused input: bytes that could not be told apart into fields, as the vault keeps them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Refused(NamedTuple):
    """Refused bytes under their name.

    Attributes:
        reference: The name that they are opened by.
        epoch: Of the key that they are sealed under.
        counter: Their nonce.
        expires_ns: When they are removed.
        reason: Why they are kept.
        content: The bytes, sealed.
    """

    reference: str
    epoch: int
    counter: int
    expires_ns: int
    reason: str
    content: bytes


def encoded(rows: Sequence[Refused]) -> bytes:
    """Any number of them as one run of bytes.

    >>> rows = [Refused("a", epoch=1, counter=2, expires_ns=3, reason="why", content=b"sealed")]
    >>> decoded(encoded(rows)) == rows
    True
    """
    if not rows:
        return b""
    texts = [(*row[:-1], base64.b64encode(row.content).decode()) for row in rows]
    return json.dumps(texts).encode()


def decoded(data: bytes) -> list[Refused]:
    """What `encoded` was given."""
    return [
        Refused(reference, epoch, counter, expires_ns, reason, base64.b64decode(content))
        for reference, epoch, counter, expires_ns, reason, content in json.loads(data or b"[]")
    ]
