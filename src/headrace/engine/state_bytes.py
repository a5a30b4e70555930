"""The bytes of an engine's state: what they begin with, their pieces, their checksum.

The pieces are the watermark, the texts, the rows of each reference table, the order books of each
declaration, the keys of each group.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from headrace.core.errors import ArtefactError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAGIC = b"headrace/engine/v1\0"

_DIGEST = 32


def head_of(digest: str) -> bytes:
    """What the state of a plan with this digest begins with."""
    return MAGIC + bytes.fromhex(digest)


def framed(piece: bytes) -> bytes:
    """A piece after its length.

    >>> framed(b"ab").hex()
    '02000000000000006162'
    """
    return len(piece).to_bytes(8, "little") + piece


def sealed(digest: str, pieces: Sequence[bytes]) -> bytes:
    """The state of a plan with this digest."""
    body = b"".join([head_of(digest), *map(framed, pieces)])
    return body + hashlib.sha256(body).digest()


def opened(state: bytes) -> tuple[str, list[bytes]]:
    """The digest of the plan, and the pieces.

    Raises:
        ArtefactError: If these are not the bytes of a state.

    >>> opened(sealed("ab" * 32, [b"watermark", b""])) == ("ab" * 32, [b"watermark", b""])
    True
    """
    body, checksum = state[:-_DIGEST], state[-_DIGEST:]
    if not body.startswith(MAGIC):
        raise ArtefactError(
            f"not a snapshot of this version: it begins with {state[:24]!r}, expected "
            f"{MAGIC!r}; replay the journal to make the state anew"
        )
    if hashlib.sha256(body).digest() != checksum:
        raise ArtefactError("the snapshot was damaged or cut: its checksum differs; take an older")
    place = len(MAGIC) + _DIGEST
    digest, pieces = body[len(MAGIC) : place].hex(), []
    while place < len(body):
        size = int.from_bytes(body[place : place + 8], "little")
        pieces.append(body[place + 8 : place + 8 + size])
        place += 8 + size
    return digest, pieces
