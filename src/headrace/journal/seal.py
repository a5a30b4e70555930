"""The seal: what vouches for a group that was answered before its head was signed.

A signature takes longer than the rest of a small commit. Where a commit does not wait for the disk,
answers do not wait for the signature either: the head is sealed first, by a keyed hash that takes a
few microseconds, and signed when the answers are out. If the process is killed in between, whoever
opens the journal next and holds the key finds the seal, and signs what it vouches for.
"""

from __future__ import annotations

import hmac
import os
import struct
from typing import TYPE_CHECKING

from msgspec import Struct

from headrace.core.errors import JournalError

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.journal.keys import SigningKey

#: The file in the folder of a journal.
NAME = "seal"
_LAYOUT = struct.Struct("<Q32s32s")
_DOMAIN = b"headrace/seal/v1\0"
SIZE = _LAYOUT.size


class Seal(Struct, frozen=True):
    """The head after a group, and what shows that the holder of the key wrote it.

    Attributes:
        next_seq: The sequence number after the last input that it vouches for.
        head: The head.
        mac: Keyed BLAKE2s of both, under a key that is derived from the signing key.
    """

    next_seq: int
    head: bytes
    mac: bytes = bytes(32)

    def message(self) -> bytes:
        """What is hashed."""
        return _DOMAIN + self.encoded()[:-32]

    def encoded(self) -> bytes:
        """The bytes of the file.

        >>> len(Seal(7, bytes(32)).encoded())
        72
        """
        return _LAYOUT.pack(self.next_seq, self.head, self.mac)

    def holds(self, key: SigningKey) -> bool:
        """Whether it was made with the key."""
        return hmac.compare_digest(self.mac, key.mac(self.message()))

    @staticmethod
    def made(key: SigningKey, next_seq: int, head: bytes) -> Seal:
        """The seal of a head."""
        bare = Seal(next_seq, head)
        return Seal(next_seq, head, key.mac(bare.message()))

    @staticmethod
    def read(folder: Path) -> Seal | None:
        """The seal of a journal; None if it has none, or one that was cut short.

        Raises:
            JournalError: It cannot be read.
        """
        try:
            content = (folder / NAME).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise JournalError(f"{folder / NAME} cannot be read ({error})") from error
        return Seal(*_LAYOUT.unpack(content)) if len(content) == SIZE else None


class SealFile:
    """The file that each seal is written over the last one in.

    Args:
        folder: Of the journal.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._file = -1

    def write(self, seal: Seal) -> None:
        """Give it to the operating system.

        Raises:
            OSError: It could not be written.
        """
        if self._file < 0:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o640)
        os.pwrite(self._file, seal.encoded(), 0)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1
