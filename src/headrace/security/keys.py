"""The master key: what every other key of the vault is kept under."""

from __future__ import annotations

import os
import secrets
import stat
from typing import TYPE_CHECKING, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from headrace.core.errors import SecurityError
from headrace.core.folders import sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MAGIC = b"headrace/master-key/v1\n"
_NONCE = 12


class MasterKey(Protocol):
    """What wraps keys and opens them again: a local file, or a service that never shows its key."""

    def wrap(self, plain: bytes, context: bytes) -> bytes:
        """Seal a key; it opens only in the same context."""

    def unwrap(self, sealed: bytes, context: bytes) -> bytes:
        """Open a key that `wrap` sealed.

        Raises:
            SecurityError: If it was sealed under another master key or in another context, or was
                changed.
        """


class LocalMasterKey:
    """A master key of 256 bits in a file that only its owner can read.

    Keys are sealed by AES-256-GCM with a random nonce of 96 bits. NIST SP 800-38D allows 2 ** 32
    of those under one key; the vault wraps two each time it is opened.

    Keep the file apart from the vault and from its backups: who has both can read everything, and
    without it nothing can be read any more.
    """

    def __init__(self, key: bytes, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self._sealing = AESGCM(key)
        self._random = random

    @staticmethod
    def create(path: Path, random: Callable[[int], bytes] = secrets.token_bytes) -> LocalMasterKey:
        """Draw a key and write it to a new file, readable by its owner alone.

        Raises:
            SecurityError: If the file is there already: a master key is never overwritten.
        """
        key = random(32)
        # written whole under another name first: no crash leaves half a key behind
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            with os.fdopen(os.open(draft, flags, stat.S_IRUSR | stat.S_IWUSR), "wb") as file:
                file.write(_MAGIC + key.hex().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.link(draft, path)
        except FileExistsError as error:
            raise SecurityError(
                f"{path} is there already, and a master key is never overwritten; "
                "open it, or move it away if nothing was sealed under it"
            ) from error
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.parent)
        return LocalMasterKey(key, random)

    @staticmethod
    def open(path: Path, random: Callable[[int], bytes] = secrets.token_bytes) -> LocalMasterKey:
        """Read the key in a file that `create` made.

        Raises:
            SecurityError: If the file is not there, others can read it, or it holds no key.
        """
        try:
            mode = path.stat().st_mode
            content = path.read_bytes()
        except OSError as error:
            raise SecurityError(
                f"the master key {path} cannot be read ({error.strerror}); "
                "name the file it is in, or restore it from where it is kept safe"
            ) from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SecurityError(
                f"the master key {path} has mode {stat.S_IMODE(mode):04o}, so others can read it; "
                f"expected 0600: chmod 600 {path}, and think about who has read it"
            )
        digits = content.removeprefix(_MAGIC).strip()
        try:
            key = bytes.fromhex(digits.decode("ascii"))
        except ValueError:
            key = b""
        if not content.startswith(_MAGIC) or len(key) != 32:
            raise SecurityError(
                f"{path} ({len(content)} bytes) holds no master key of version 1; "
                "name the file that `create` made"
            )
        return LocalMasterKey(key, random)

    @staticmethod
    def load_or_create(
        path: Path, random: Callable[[int], bytes] = secrets.token_bytes
    ) -> LocalMasterKey:
        """Read the key in a file, or draw one and write it there, folders included.

        Raises:
            SecurityError: If others can read the file, or it holds no key.
        """
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                return LocalMasterKey.create(path, random)
            except SecurityError:
                if not path.exists():
                    raise
                # another process was faster: its key is the one
        return LocalMasterKey.open(path, random)

    def wrap(self, plain: bytes, context: bytes) -> bytes:
        """Seal a key; it opens only in the same context."""
        nonce = self._random(_NONCE)
        return nonce + self._sealing.encrypt(nonce, plain, context)

    def unwrap(self, sealed: bytes, context: bytes) -> bytes:
        """Open a key that `wrap` sealed.

        Raises:
            SecurityError: If it was sealed under another master key or in another context, or was
                changed.
        """
        try:
            return self._sealing.decrypt(sealed[:_NONCE], sealed[_NONCE:], context)
        except (InvalidTag, ValueError) as error:
            raise SecurityError(
                f"the master key does not open {context.decode()}: it is another key than the one "
                "it was sealed under, or the bytes were changed; give the right key"
            ) from error
