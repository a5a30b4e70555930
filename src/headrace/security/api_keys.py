"""API keys: who may ask a service for what.

A key is 256 random bits, shown once when it is made; its SHA-256 is kept. (A slow hash guards
passwords, which can be guessed; nobody guesses 256 bits.) What a key may do is said by its roles.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from headrace.core.errors import NotFound, SecurityError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_PREFIX = "hr_"
_SECRET_BYTES = 32
#: How long a change of the file may go unnoticed.
_LOOK_SECONDS = 1.0


class Role(StrEnum):
    """What the holder of a key may do."""

    #: Ask for decisions.
    DECIDE = "decide"
    #: Bring in events of other streams, and rows of tables.
    FEED = "feed"
    #: Read decisions, explanations and proofs.
    READ = "read"
    #: Read metrics.
    OBSERVE = "observe"


class ApiKey(msgspec.Struct, frozen=True):
    """A key as it is kept.

    Attributes:
        name: Whose it is.
        roles: What it may do.
        digest: SHA-256 of the key, in hexadecimal.
        made_ns: When it was made, nanoseconds since 1970.
    """

    name: str
    roles: tuple[Role, ...]
    digest: str
    made_ns: int


_KEYS = msgspec.json.Decoder(tuple[ApiKey, ...])


class ApiKeys:
    """The keys in a file, which may change while they are used.

    Args:
        path: Of JSON; it need not be there.
        clock: Seconds, for when to look at the file again.

    Raises:
        SecurityError: The file is no list of keys.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     keys = ApiKeys(Path(folder) / "api-keys.json")
    ...     secret = keys.add("gateway", [Role.DECIDE])
    ...     keys.may(secret, Role.DECIDE), keys.may(secret, Role.READ), keys.may("x", Role.READ)
    (True, False, None)
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._looked = clock()
        self._version = _version(path)
        self._keys = self._read()
        self._guarding = bool(self._keys)

    @property
    def guarding(self) -> bool:
        """Whether a key is asked for: there is one, or was one, since this was made.

        Whoever removes the last key shuts everybody out; it opens nothing.
        """
        self._look_at_times()
        return self._guarding

    def __len__(self) -> int:
        return len(self._keys)

    def all(self) -> tuple[ApiKey, ...]:
        """Every key, in the order in which they were made."""
        self._look()
        return self._keys

    def may(self, secret: str, role: Role) -> bool | None:
        """Whether the holder of a key has a role; None if there is no such key."""
        self._look_at_times()
        digest = hashlib.sha256(secret.encode()).hexdigest()
        found: ApiKey | None = None
        for key in self._keys:
            # every key is looked at, so that the time tells nothing
            if hmac.compare_digest(key.digest, digest):
                found = key
        return None if found is None else role in found.roles

    def add(self, name: str, roles: Sequence[Role]) -> str:
        """Make a key; it is given this once.

        Raises:
            SecurityError: There is one of that name, it is none, or it is to have no role.
        """
        self._look()
        if not name.isprintable() or name != name.strip() or not name:
            raise SecurityError(f"a key {name!r} could not be told from others; name its user")
        if any(key.name == name for key in self._keys):
            raise SecurityError(f"there is a key {name!r} already; remove it, or name another")
        if not roles:
            known = ", ".join(Role)
            raise SecurityError(f"key {name!r} may do nothing; give it a role: {known}")
        secret = _PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
        digest = hashlib.sha256(secret.encode()).hexdigest()
        self._write((*self._keys, ApiKey(name, tuple(roles), digest, time.time_ns())))
        return secret

    def remove(self, name: str) -> None:
        """Forget a key: within a second no service takes it.

        Raises:
            NotFound: There is none of that name.
        """
        self._look()
        kept = tuple(key for key in self._keys if key.name != name)
        if len(kept) == len(self._keys):
            names = ", ".join(key.name for key in self._keys) or "none"
            raise NotFound(f"there is no key {name!r}; there are: {names}")
        self._write(kept)

    def _look_at_times(self) -> None:
        if self._clock() - self._looked >= _LOOK_SECONDS:
            self._look()

    def _look(self) -> None:
        """Read the file again if it has changed."""
        self._looked = self._clock()
        version = _version(self._path)
        if version != self._version:
            self._keys, self._version = self._read(), version
            self._guarding = self._guarding or bool(self._keys)

    def _read(self) -> tuple[ApiKey, ...]:
        try:
            return _KEYS.decode(self._path.read_bytes())
        except FileNotFoundError:
            return ()
        except msgspec.MsgspecError as error:
            raise SecurityError(
                f"{self._path} is no list of API keys ({error}); restore it, or remove it and make"
                " the keys anew"
            ) from error

    def _write(self, keys: tuple[ApiKey, ...]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._path.with_suffix(".draft")
        content = msgspec.json.format(msgspec.json.encode(keys))
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        self._keys, self._version = keys, _version(self._path)
        self._guarding = self._guarding or bool(keys)


def _version(path: Path) -> tuple[int, int, int] | None:
    """What differs when another file stands there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
