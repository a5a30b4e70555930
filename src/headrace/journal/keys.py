"""Ed25519 keys that sign the journal's heads."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from headrace.core.errors import SecurityError

if TYPE_CHECKING:
    from pathlib import Path


_MAC_DOMAIN = b"headrace/mac-key/v1\0"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What signatures are checked with.

    Attributes:
        raw: The 32 bytes of RFC 8032.
    """

    raw: bytes

    @property
    def key_id(self) -> bytes:
        """SHA-256 of the raw key: 32 bytes that name it."""
        return hashlib.sha256(self.raw).digest()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature over the message is this key's."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def write(self, path: Path) -> None:
        """Write the key as PEM (SubjectPublicKeyInfo)."""
        key = Ed25519PublicKey.from_public_bytes(self.raw)
        path.write_bytes(
            key.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    @staticmethod
    def read(path: Path) -> PublicKey:
        """Read a PEM file.

        Raises:
            SecurityError: It is not there, or holds no Ed25519 public key.
        """
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except (OSError, ValueError) as error:
            raise SecurityError(f"{path} holds no public key: {error}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise SecurityError(
                f"{path} holds a {type(key).__name__}; an Ed25519 public key is needed"
            )
        return PublicKey(key.public_bytes_raw())


class SigningKey:
    """A private key, kept in memory; its file is readable by its owner alone."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self._mac_key = hashlib.blake2s(_MAC_DOMAIN, key=private.private_bytes_raw()).digest()
        self.public = PublicKey(private.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature over `message`."""
        return self._private.sign(message)

    def mac(self, message: bytes) -> bytes:
        """Keyed BLAKE2s of `message` (RFC 7693), 32 bytes, under a key derived from this one.

        Whoever holds the key can check it, and nobody else; it takes a thirtieth of a signature.

        >>> key = SigningKey.from_seed(bytes(32))
        >>> key.mac(b"message") == key.mac(b"message"), len(key.mac(b"message"))
        (True, 32)
        """
        return hashlib.blake2s(message, key=self._mac_key).digest()

    @staticmethod
    def from_seed(seed: bytes) -> SigningKey:
        """The key of a 32-byte seed (RFC 8032): for vectors and tests.

        >>> len(SigningKey.from_seed(bytes(32)).sign(b"message"))
        64
        """
        return SigningKey(Ed25519PrivateKey.from_private_bytes(seed))

    @staticmethod
    def create(path: Path) -> SigningKey:
        """Make a key: PKCS #8 PEM at `path` (mode 0600), its public half at `path` + `.pub`.

        Raises:
            SecurityError: There is a file already; a key is never overwritten.
        """
        key = SigningKey(Ed25519PrivateKey.generate())
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise SecurityError(f"{path} exists; a signing key is never overwritten") from error
        with os.fdopen(descriptor, "wb") as file:
            file.write(
                key._private.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
            file.flush()
            os.fsync(file.fileno())
        key.public.write(path.with_name(path.name + ".pub"))
        return key

    @staticmethod
    def load(path: Path) -> SigningKey:
        """Read a key that `create` wrote.

        Raises:
            SecurityError: It is not there, others may read it, or it holds no Ed25519 key.
        """
        try:
            mode = path.stat().st_mode & 0o777
            private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise SecurityError(f"{path} holds no signing key: {error}") from error
        if mode & 0o077:
            raise SecurityError(
                f"{path} has mode {mode:o}, so others can read it; run chmod 600 {path}"
            )
        if not isinstance(private, Ed25519PrivateKey):
            raise SecurityError(
                f"{path} holds a {type(private).__name__}; an Ed25519 key is needed"
            )
        return SigningKey(private)

    @staticmethod
    def load_or_create(path: Path) -> SigningKey:
        """The key at `path`, made if there is none."""
        return SigningKey.load(path) if path.exists() else SigningKey.create(path)
