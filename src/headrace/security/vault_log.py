"""A vault as records of a log that is compacted: each has a key, and its last value counts.

It is for whoever takes a lane over from another machine: what a commit adds is given out as records
(`taken`), to be kept in the same transaction as what names the surrogates. A value of None removes
a record: what was erased is gone when the log is compacted.

Whatever holds a key, a hash of a value or a sealed value is itself sealed by AES-256-GCM under an
*epoch key*, as in the vault's files (`vault_store`). A new one is drawn each time the log is
opened, and kept wrapped by the master key; its nonces are a counter from zero. The place of the log
is bound into every seal, so no record can stand for another, nor for one of another lane.
"""

from __future__ import annotations

import struct
from threading import Lock
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from headrace.core.errors import NotFound, SecurityError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from headrace.security.keys import MasterKey

_VERSION = b"headrace/vault-log/v1 "
_INDEX_KEY = 16
#: What a sealed record begins with: epoch and counter.
_SEAL = struct.Struct("<QQ")
#: What a page begins with before it is sealed: the bytes of its keys.
_KEYS = struct.Struct("<I")
#: What refused bytes begin with before they are sealed: when they expire, the bytes of the reason.
_REFUSED = struct.Struct("<qI")
#: Refused bytes: when they expire stands outside of the seal too, so that they can be purged.
_EXPIRES = struct.Struct("<q")


class VaultLog:
    """What a `Vault` keeps its pages in, where they are records of a log.

    Args:
        place: Name of the log, as it is bound into every seal.
        records: The last value of each key.
        master: Wraps the index key and the epoch keys.
        random: Draws keys.
        keep: Whether single pages will be asked for, to reveal a value or to erase a person; what
            is only loaded need not stay in memory.

    Raises:
        SecurityError: The master key is another, or the records were changed.
    """

    def __init__(
        self,
        place: str,
        records: Mapping[str, bytes],
        master: MasterKey,
        random: Callable[[int], bytes],
        *,
        keep: bool = False,
    ) -> None:
        self._place = place.encode()
        self._records: Mapping[str, bytes] = records
        self._keep = keep
        self._lock = Lock()
        self._changes: dict[str, bytes | None] = {}
        self._refused: dict[str, bytes] = {}
        self._own: dict[str, bytes] = {}
        self._erased = {name.partition("/")[2] for name in records if name.startswith("erased/")}
        self._expires = {
            name: _EXPIRES.unpack_from(value)[0]
            for name, value in records.items()
            if name.startswith("refused/")
        }
        self.index_key = self._open_index_key(master, random)
        self._open_epochs(master, random)
        self._pages = sorted(_number(name) for name in records if name.startswith("page/"))
        self._last_page = self._pages[-1] if self._pages else 0

    @property
    def tail(self) -> None:
        """A log has none: every commit is pages, durable with the transaction they are sent in."""
        return

    def taken(self) -> list[tuple[str, bytes | None]]:
        """The records that were added or removed since it was last asked, each once."""
        with self._lock:
            changes, self._changes = self._changes, {}
        return list(changes.items())

    def _change(self, changes: Iterable[tuple[str, bytes | None]]) -> None:
        with self._lock:
            self._changes.update(changes)

    def _open_index_key(self, master: MasterKey, random: Callable[[int], bytes]) -> bytes:
        """The secret that values are hashed under, drawn when the log is begun."""
        wrapped = self._records.get("index key")
        if wrapped is not None:
            return master.unwrap(wrapped, self._context("index key"))
        key = random(_INDEX_KEY)
        self._change([("index key", master.wrap(key, self._context("index key")))])
        return key

    def _open_epochs(self, master: MasterKey, random: Callable[[int], bytes]) -> None:
        """Open the keys that records are sealed under, and begin an epoch."""
        self._sealings = {
            _number(name): AESGCM(master.unwrap(wrapped, self._context(name)))
            for name, wrapped in self._records.items()
            if name.startswith("epoch/")
        }
        self._epoch = max(self._sealings, default=0) + 1
        self._counter = 0
        key = random(32)
        self._sealings[self._epoch] = AESGCM(key)
        name = f"epoch/{self._epoch}"
        # written with the first record that is sealed under it
        self._epoch_record: tuple[str, bytes] | None = (
            name,
            master.wrap(key, self._context(name)),
        )

    def _context(self, name: str) -> bytes:
        return _VERSION + self._place + b" " + name.encode()

    def _seal(self, name: str, plain: bytes) -> bytes:
        if self._epoch_record is not None:
            self._change([self._epoch_record])
            self._epoch_record = None
        counter = self._counter
        self._counter += 1
        sealed = self._sealings[self._epoch].encrypt(_nonce(counter), plain, self._context(name))
        return _SEAL.pack(self._epoch, counter) + sealed

    def _open(self, name: str, sealed: bytes) -> bytes:
        try:
            epoch, counter = _SEAL.unpack_from(sealed)
            opening = self._sealings[epoch]
            return opening.decrypt(_nonce(counter), sealed[_SEAL.size :], self._context(name))
        except (InvalidTag, KeyError, struct.error) as error:
            raise SecurityError(
                f"the record {name!r} of the vault {self._place.decode()} does not open: it was"
                " changed, or is of another vault; restore the topic from a backup"
            ) from error

    def domains(self) -> dict[str, int]:
        """The number of each domain."""
        return {
            value.decode(): _number(name)
            for name, value in self._records.items()
            if name.startswith("domain/")
        }

    def last_page(self) -> int:
        """The highest number that a page has; 0 if there is none."""
        return self._last_page

    def pages(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Number, keys and entries of every page; asked for once, when the vault is opened."""
        for page in self._pages:
            yield page, *self.page(page)
        if not self._keep:
            self._records = {}

    def page(self, page: int) -> tuple[bytes, bytes]:
        """Keys and entries of one page.

        Raises:
            NotFound: It is not kept in memory.
        """
        name = f"page/{page}"
        value = self._own.get(name) or self._records.get(name)
        if value is None:
            raise NotFound(
                f"page {page} of the vault {self._place.decode()} is in its topic alone: a worker"
                " opens no values; headrace erase --from kafka://HOST:PORT does"
            )
        plain = self._open(name, value)
        (keys,) = _KEYS.unpack_from(plain)
        middle = _KEYS.size + keys
        return plain[_KEYS.size : middle], plain[middle:]

    def _sealed_page(self, page: int, keys: bytes, entries: bytes) -> tuple[str, bytes]:
        name = f"page/{page}"
        sealed = self._seal(name, b"".join((_KEYS.pack(len(keys)), keys, entries)))
        if self._keep:
            self._own[name] = sealed
        return name, sealed

    def add(
        self, domains: Sequence[tuple[int, str]], pages: Sequence[tuple[int, bytes, bytes]]
    ) -> None:
        """Give out domains, pages (number, keys, entries) and refused bytes as records."""
        self._change((f"domain/{number}", name.encode()) for number, name in domains)
        self._change([self._sealed_page(*page) for page in pages])
        if pages:
            self._last_page = pages[-1][0]
        if self._refused:
            self._change(self._refused.items())
            self._refused = {}

    @property
    def unwritten(self) -> int:
        """How many were sealed since the last `add`."""
        return len(self._refused)

    def erase(self, pages: Iterable[tuple[int, bytes, bytes]], surrogates: Iterable[str]) -> None:
        """Put pages in the place of older ones, remove those left empty, note what was erased."""
        for page, keys, entries in pages:
            name, sealed = self._sealed_page(page, keys, entries)
            self._change([(name, sealed if entries else None)])
        names = list(surrogates)
        self._erased.update(names)
        self._change((f"erased/{name}", b"erased") for name in names)

    def is_erased(self, surrogate: str) -> bool:
        """Whether this surrogate stood for something that was erased."""
        return surrogate in self._erased

    def seal(self, reference: str, content: bytes, reason: str, expires_ns: int) -> None:
        """Keep bytes under a name until a time; the next `add` gives them out."""
        name = f"refused/{reference}"
        told = reason.encode()
        plain = b"".join((_REFUSED.pack(expires_ns, len(told)), told, content))
        sealed = _EXPIRES.pack(expires_ns) + self._seal(name, plain)
        self._refused[name] = sealed
        self._expires[name] = expires_ns
        if self._keep:
            self._own[name] = sealed

    def unseal(self, reference: str) -> bytes:
        """The bytes kept under a name.

        Raises:
            NotFound: There are none, or they are not kept in memory.
        """
        name = f"refused/{reference}"
        value = self._refused.get(name) or self._own.get(name) or self._records.get(name)
        if value is None:
            raise NotFound(
                f"the vault {self._place.decode()} holds no sealed bytes {reference!r} here: their"
                " retention has passed, or they are in its topic alone"
            )
        plain = self._open(name, value[_EXPIRES.size :])
        _, reason = _REFUSED.unpack_from(plain)
        return plain[_REFUSED.size + reason :]

    def purge(self, now_ns: int) -> int:
        """Remove sealed bytes whose time has passed; how many."""
        gone = [name for name, expires_ns in self._expires.items() if expires_ns <= now_ns]
        for name in gone:
            del self._expires[name]
            self._own.pop(name, None)
        self._change((name, None) for name in gone)
        return len(gone)

    def close(self) -> None:
        """Let go of the records."""
        self._records = {}
        self._own = {}
        self._sealings = {}


def _number(name: str) -> int:
    return int(name.partition("/")[2])


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(12, "big")
