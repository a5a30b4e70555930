"""The vault: personal data goes in at the door and comes out again by role, or never.

Each personal value is replaced by a random surrogate before anything else sees it. The same value
of the same domain has the same surrogate, so state and models work as before; nothing can be
worked out from a surrogate, for it is drawn, not computed. The vault finds the surrogate by a
hash of the value under a secret index key, and keeps the value sealed by AES-256-GCM under a data
key of its **subject**, the person whose data it is. To erase a person is to destroy that key and
the index entries: the surrogates in the journal then stand for nobody.

Two values count as the same when their 128-bit SipHash under the index key is: two different ones
do with a chance of 2 ** -128 for a pair, and nobody without the key can look for such a pair.

A value that several people share (an address, a device) belongs to the person it first came with:
it is erased with that one, and draws a new surrogate when it comes again.

The construction, cheapest first that holds: a surrogate of 96 random bits is also the nonce of
its entry's seal; a subject's data key seals its few values only; keys and entries of up to 2,048
values are sealed and written as one page (`vault_store`), so that neither SQLite nor the master
key sees single values. Small commits append what they add to a file (`vault_tail`), until there is
enough of it for pages.
"""

from __future__ import annotations

import base64
import secrets
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np
from cryptography.exceptions import InvalidTag

from headrace.core.address import address_of
from headrace.core.columns import Text
from headrace.core.errors import LimitReached, NotFound, SecurityError, invariant
from headrace.core.mapping import reserve
from headrace.core.siphash import sip128
from headrace.core.slot_kernels import TOP, slots_begin
from headrace.security import vault_kernels as kernels
from headrace.security.random_bytes import stretch
from headrace.security.sealing import Sealer, library, opened
from headrace.security.stored_pages import walk, without
from headrace.security.vault_store import VaultStore
from headrace.security.vault_tail import nothing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from headrace.core.columns import Int64s
    from headrace.security.keys import MasterKey
    from headrace.security.vault_place import VaultPlace

_MOST_ENTRIES = 2**29
_MOST_SLOTS = 2**30
_MOST_WAITING = 2**30
_RANDOM = 256 * 1_024
_NO_OWNERS = np.zeros(0, dtype=np.int64)


class Erased(NotFound):
    """The person whose data this was has been erased."""


class Vault:
    """Surrogates for personal values, and the values under their keys.

    One process holds a vault; its threads may share it. Nothing is durable before `commit`.
    """

    def __init__(self, store: VaultPlace, random: Callable[[int], bytes]) -> None:
        self._store = store
        self._random = random
        #: Held while the files are written; whoever takes both takes it first.
        self._writing = RLock()
        #: Held while what is in memory is read or changed.
        self._lock = RLock()
        self._sealer = Sealer(library())
        self._index_key = store.index_key
        self._domains = store.domains()
        self._domain_keys: dict[str, tuple[int, int]] = {}
        self._new_domains: list[tuple[int, str]] = []
        self._entries = reserve(_MOST_ENTRIES * kernels.ENTRY, np.uint64)
        self._keys = reserve(_MOST_ENTRIES * kernels.KEY, np.uint8)
        self._values = reserve(_MOST_SLOTS, np.uint64)
        self._value_parts = np.zeros(TOP + 1, dtype=np.int64)
        slots_begin(self._value_parts)
        self._names = reserve(_MOST_SLOTS, np.uint64)
        self._name_parts = np.zeros(TOP + 1, dtype=np.int64)
        slots_begin(self._name_parts)
        self._waiting = reserve(_MOST_WAITING, np.uint64)
        self._waiting_keys = reserve(_MOST_ENTRIES, np.int64)
        self._jobs = np.zeros((8_192, 4), dtype=np.int64)
        self._breaks = reserve(3 * 2**20, np.int64).reshape(-1, 3)
        self._hashes = np.zeros(8_192, dtype=np.uint64)
        self._randoms = np.zeros(_RANDOM, dtype=np.uint8)
        self._state = np.zeros(kernels.STATE, dtype=np.int64)
        self._state[kernels.RANDOM_AT] = _RANDOM
        self._state[kernels.OPEN_PAGE] = store.last_page() + 1
        #: Words and keys, of those waiting to be written as pages, that the tail holds.
        self._in_tail = (0, 0)

    @staticmethod
    def open(
        folder: Path, master: MasterKey, random: Callable[[int], bytes] = secrets.token_bytes
    ) -> Vault:
        """Open the vault in a folder, or begin one there.

        Args:
            folder: Of the vault, which is readable by its owner alone.
            master: The key that its keys are wrapped by.
            random: Draws random bytes: keys and surrogates. Seed it in tests only.

        Raises:
            SecurityError: If another process holds the vault, the master key is another than the
                one it was begun with, or it was changed from outside.
        """
        return Vault.kept_in(VaultStore(folder, master, random), random)

    @staticmethod
    def kept_in(place: VaultPlace, random: Callable[[int], bytes] = secrets.token_bytes) -> Vault:
        """Open the vault that is kept in a place."""
        vault = Vault(place, random)
        try:
            vault._load()
        except BaseException:
            vault.close()
            raise
        return vault

    def _load(self) -> None:
        """Rebuild the indexes from what is stored."""
        for page, keys, entries in self._store.pages():
            whole = kernels.load_page(
                # copies, because kernels are compiled for arrays that may be written to
                np.frombuffer(bytearray(entries), dtype=np.uint64),
                np.frombuffer(bytearray(keys), dtype=np.uint8),
                page,
                self._values,
                self._value_parts,
                self._names,
                self._name_parts,
                self._entries,
                self._keys,
                self._state,
            )
            if not whole:
                raise SecurityError(
                    f"page {page} of the vault does not hang together: an entry has no subject, "
                    "or a subject no key; restore the vault from a backup"
                )

    def __len__(self) -> int:
        """How many values the vault has a surrogate for."""
        return int(self._name_parts[2 : 3 * 256 : 3].sum())

    def surrogates(self, domain: str, text: Text, subject: Text | None = None) -> Text:
        """The surrogate of each row's value; a missing row stays missing.

        Args:
            domain: What kind of value it is (`"card"`); the same value has another surrogate in
                another domain.
            text: The values.
            subject: For values that are not themselves the person: the surrogates of each row's
                person, as this method gave them. A row without one is its own subject.

        Returns:
            Surrogates of 16 characters of base64url. Commit before anything durable names them.

        Raises:
            NotFound: If a subject is no surrogate of this vault.
            LimitReached: If the vault has no room.
        """
        with self._lock:
            number = self._domain(domain)
            owners = _NO_OWNERS if subject is None else self._owners(subject)
            key0, key1 = self._key_of(domain)
            rows = len(text)
            if len(self._hashes) < 2 * rows:
                self._hashes = np.zeros(2 * rows, dtype=np.uint64)
            data = address_of(text.data)
            kernels.hash_values(
                text.offsets, data, np.uint64(key0), np.uint64(key1), self._hashes, rows
            )
            out = np.empty(2 * rows, dtype=np.uint64)
            offsets = np.zeros(rows + 1, dtype=np.int32)
            row = 0
            while row < rows:
                stopped, why = kernels.replace_values(
                    text.offsets,
                    data,
                    address_of(text.valid),
                    owners,
                    row,
                    number,
                    self._hashes,
                    self._values,
                    self._value_parts,
                    self._names,
                    self._name_parts,
                    self._entries,
                    self._keys,
                    self._randoms,
                    self._state,
                    self._waiting,
                    self._waiting_keys,
                    self._jobs,
                    self._breaks,
                    out,
                    offsets,
                )
                row = int(stopped)
                self._seal_waiting()
                if why == kernels.FULL:
                    raise LimitReached(
                        f"the vault has no room for another value beside {len(self):,}; "
                        "commit more often, or look for a field that is not personal data"
                    )
                if why == kernels.NEEDS_RANDOM:
                    stretch(self._random, self._randoms)
                    self._state[kernels.RANDOM_AT] = 0
            return Text(offsets, out.view(np.uint8)[: int(offsets[-1])], text.valid)

    def _seal_waiting(self) -> None:
        """Seal the values that were laid out, where they lie."""
        count = int(self._state[kernels.UNSEALED])
        if count:
            self._sealer.seal(self._jobs[:count])
            self._state[kernels.UNSEALED] = 0

    def _domain(self, name: str) -> int:
        if name not in self._domains:
            self._domains[name] = len(self._domains)
            self._new_domains.append((self._domains[name], name))
        return self._domains[name]

    def _key_of(self, domain: str) -> tuple[int, int]:
        """The key of the index of a domain."""
        if domain not in self._domain_keys:
            halves = _halves(self._index_key)
            self._domain_keys[domain] = sip128(b"domain " + domain.encode(), *halves)
        return self._domain_keys[domain]

    def _owners(self, subject: Text) -> Int64s:
        """The entry whose key each row's value is sealed under; -1 for none but its own."""
        owners = np.full(len(subject), -1, dtype=np.int64)
        rows = np.flatnonzero(subject.valid)
        if np.any(np.diff(subject.offsets)[rows] != 16):
            raise NotFound("a subject is a surrogate of 16 characters; give what the vault gave")
        entries = np.empty(len(rows), dtype=np.int64)
        words = np.ascontiguousarray(subject.data).view(np.uint64)
        kernels.find_names(words, self._names, self._name_parts, self._entries, entries)
        if np.any(entries < 0):
            row = int(rows[np.argmax(entries < 0)])
            raise NotFound(f"row {row}: its subject is no surrogate of this vault, or was erased")
        owners[rows] = self._entries[entries * kernels.ENTRY + kernels.OWNER].astype(np.int64)
        return owners

    def commit(self, *, durable: bool = True, meanwhile: Callable[[], None] = nothing) -> None:
        """Write every surrogate and seal given out so far; others may be drawn meanwhile.

        Args:
            durable: Whether they are synced to disk too; `sync` does it later where they are not.
            meanwhile: Called once, while the disk writes; what it raises ends the commit.
        """
        with self._writing:
            with self._lock:
                word, key = self._in_tail
                last_word = int(self._state[kernels.WORDS])
                last_key = int(self._state[kernels.KEYS])
                size = 8 * (last_word - word)
                tail, part = self._store.tail, None
                if tail is None or self._new_domains or not tail.fits_tail(size):
                    self._write_pages()
                elif size or self._store.unwritten:
                    part = tail.part(8 * word, *self._laid_out(word, last_word, key, last_key))
            if tail is None or part is None:
                meanwhile()
                return
            tail.append(part, durable=durable, meanwhile=meanwhile)
            self._in_tail = last_word, last_key

    def sync(self) -> None:
        """Sync to disk what was written without."""
        with self._writing:
            if self._store.tail is not None:
                self._store.tail.sync()

    def _laid_out(self, word: int, last_word: int, key: int, last_key: int) -> tuple[bytes, bytes]:
        """Keys and entries between two places of what waits."""
        owners = self._waiting_keys[key:last_key]
        keys = self._keys.reshape(-1, kernels.KEY)[owners].tobytes()
        return keys, self._waiting[word:last_word].tobytes()

    def _write_pages(self) -> None:
        """Make all that waits durable as pages, and empty the tail."""
        kernels.close_page(self._state, self._breaks)
        count = int(self._state[kernels.WAITING])
        pages = []
        word, key = 0, 0
        for last_word, last_key, page in self._breaks[:count].tolist():
            pages.append((page, *self._laid_out(word, last_word, key, last_key)))
            word, key = last_word, last_key
        self._store.add(self._new_domains, pages)
        self._new_domains = []
        self._waiting[:word] = 0
        self._state[[kernels.WORDS, kernels.KEYS, kernels.WAITING]] = 0
        self._in_tail = (0, 0)
        if self._store.tail is not None:
            self._store.tail.cut_tail()

    def reveal(self, surrogate: str) -> str:
        """The value that a surrogate stands for. Who may ask is for the caller to check.

        Raises:
            Erased: If its person was erased.
            NotFound: If no surrogate of this vault reads so.
            SecurityError: If what is stored was changed.
        """
        return self.identified(surrogate)[1]

    def identified(self, surrogate: str) -> tuple[str, str]:
        """The domain and the value that a surrogate stands for, as another vault may know them.

        Raises what `reveal` raises; who may ask is for the caller to check here too.
        """
        with self._writing, self._lock:
            entry = self._found(surrogate)
            self._write_pages()
            page, owner = (
                int(self._entries[entry * kernels.ENTRY + word])
                for word in (kernels.PAGE, kernels.OWNER)
            )
            for stored in walk(self._store.page(page)[1]):
                if stored.surrogate == surrogate:
                    key = self._keys[owner * kernels.KEY : (owner + 1) * kernels.KEY]
                    nonce = base64.urlsafe_b64decode(surrogate)
                    domains = {number: name for name, number in self._domains.items()}
                    try:
                        value = opened(key, nonce, stored.sealed).decode()
                    except InvalidTag as error:
                        raise SecurityError(
                            f"what is sealed under {surrogate} does not open with its subject's "
                            "key: the vault was changed; restore it from a backup"
                        ) from error
                    return domains[stored.domain], value
            raise SecurityError(f"page {page} of the vault lacks {surrogate}; restore a backup")

    def _found(self, surrogate: str) -> int:
        """The entry of a surrogate."""
        encoded = surrogate.encode()
        entry = -1
        if len(encoded) == 16:
            low, high = np.frombuffer(encoded, dtype=np.uint64)
            entry = int(kernels.find_name(self._names, self._name_parts, self._entries, low, high))
        if entry < 0 and self._store.is_erased(surrogate):
            raise Erased(f"{surrogate} stood for a person who was erased; nothing is left of it")
        if entry < 0:
            raise NotFound(
                f"{surrogate!r} is no surrogate of this vault; "
                "expected 16 characters of base64url, as they stand in the journal"
            )
        return entry

    def find(self, domain: str, value: str) -> str | None:
        """The surrogate that a value has; None if it has none. Nothing is drawn."""
        with self._lock:
            if domain not in self._domains:
                return None
            low, high = (np.uint64(half) for half in sip128(value.encode(), *self._key_of(domain)))
            entry = kernels.find_value(self._values, self._value_parts, self._entries, low, high)
            return None if entry < 0 else self._surrogate(int(entry))

    def _surrogate(self, entry: int) -> str:
        base = entry * kernels.ENTRY
        return self._entries[base + kernels.NAME_LOW : base + kernels.OWNER].tobytes().decode()

    def owned(self, surrogate: str) -> int:
        """How many values would be erased with a person, the person's own included.

        Raises what `erase` raises.
        """
        with self._lock:
            return len(self._owned(surrogate))

    def _owned(self, surrogate: str) -> Int64s:
        """The entries of a person."""
        entry = self._found(surrogate)
        count = int(self._state[kernels.ENTRIES])
        owners = self._entries[: count * kernels.ENTRY].reshape(-1, kernels.ENTRY)[:, kernels.OWNER]
        owner = int(owners[entry])
        if owner != entry:
            raise SecurityError(
                f"{surrogate} is a value of the person {self._surrogate(owner)}; erase that one"
            )
        return np.flatnonzero(owners == np.uint64(entry))

    def erase(self, surrogate: str) -> int:
        """Erase a person: destroy the data key, and every entry and index entry under it.

        When this returns, neither the key nor anything sealed under it is in the vault's files or
        in its memory.

        Args:
            surrogate: Of the person (`find` gives it for a value).

        Returns:
            How many values were erased, the person's own included.

        Raises:
            Erased: If that was done before.
            NotFound: If no surrogate of this vault reads so.
            SecurityError: If it stands for a value of someone else's; the message names whose.
        """
        with self._writing, self._lock:
            owned = self._owned(surrogate)
            self._write_pages()
            entries = self._entries.reshape(-1, kernels.ENTRY)
            names = {self._surrogate(int(one)) for one in owned}
            pages = [
                (page, *without(names, *self._store.page(page)))
                for page in sorted(set(entries[owned, kernels.PAGE].tolist()))
            ]
            self._store.erase(pages, sorted(names))
            for one in owned:
                gone = kernels.forget_entry(
                    int(one),
                    self._values,
                    self._value_parts,
                    self._names,
                    self._name_parts,
                    self._entries,
                    self._keys,
                )
                invariant(gone, "an entry of the vault is in both of its indexes")
            # hashes of the last values that were looked up
            self._hashes[:] = 0
            return len(owned)

    def seal(self, content: bytes, *, reason: str, expires_ns: int) -> str:
        """Keep bytes that could not be told apart into fields, sealed.

        They are durable from the next `commit` on, as surrogates are.

        Args:
            content: As they came in.
            reason: Why they are kept, without personal data.
            expires_ns: When `purge` removes them (ns since 1970): keep it soon.

        Returns:
            The name to `unseal` them by.
        """
        with self._lock:
            reference = base64.urlsafe_b64encode(self._random(12)).decode()
            self._store.seal(reference, content, reason, expires_ns)
            return reference

    def unseal(self, reference: str) -> bytes:
        """The bytes that `seal` kept. Who may ask is for the caller to check.

        Raises:
            NotFound: If there are none of that name any more.
        """
        with self._lock:
            return self._store.unseal(reference)

    def purge(self, now_ns: int) -> int:
        """Remove sealed bytes whose retention has passed; how many they were."""
        with self._writing, self._lock:
            self._write_pages()
            return self._store.purge(now_ns)

    def close(self) -> None:
        """Let go of the files, and overwrite the keys in memory. What was not committed is lost."""
        with self._writing, self._lock:
            self._keys[: int(self._state[kernels.ENTRIES]) * kernels.KEY] = 0
            self._randoms[:] = 0
            self._store.close()


def _halves(key: bytes) -> tuple[int, int]:
    return int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
