"""Where the vault lies on disk: a SQLite file and its tail, synced at each commit, nothing plain.

What small commits add is appended to the tail (`vault_tail`), sealed as pages are. When there is
enough for pages, they are written to SQLite, and the tail is cut to nothing; so is what a run left
in it, when the vault is opened.

Whatever holds a key, a hash of a value or a sealed value is itself sealed by AES-256-GCM under an
*epoch key*. A new one is drawn each time the vault is opened, and kept wrapped by the master key;
its nonces are a counter from zero. So no nonce is used twice under one key, neither after a crash
(whose unfinished writes had another key) nor when a vault is copied and both copies go on.

What is removed is overwritten with zeros (`secure_delete`); the write-ahead log and the tail, where
older copies of a page can lie, are emptied at once. What a disk or a backup keeps of blocks that
were given back is beyond a program's reach: keep the master key apart, and let backups expire.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from headrace.core.errors import NotFound, SecurityError, invariant
from headrace.security import refused
from headrace.security.refused import Refused
from headrace.security.vault_tail import Part, VaultTail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from headrace.security.keys import MasterKey

_VERSION = b"headrace/vault/v1"
_INDEX_KEY = 16
#: More than so many bytes to commit, some 700 values, are written to SQLite at once.
_PART_BYTES = 2**16
#: Most bytes in the tail. To make pages of them takes some milliseconds.
_TAIL_BYTES = 2**20
#: Most refused events in the tail: each becomes a row of the database, which takes far longer than
#: an entry on a page, and whoever asks for a decision meanwhile waits for it.
_TAIL_REFUSED = 512
#: Bytes of entries on a page that is made of the tail when the vault is opened, or a few more.
_PAGE_BYTES = 2**17
#: What a part begins with: the bytes of its keys and entries. Refused bytes take the rest.
_LENGTHS = struct.Struct("<II")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS epochs (epoch INTEGER PRIMARY KEY, wrapped BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS domains (domain INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS pages (
    page INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, counter INTEGER NOT NULL,
    keys BLOB NOT NULL, entries BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS erased (surrogate TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sealed (
    reference TEXT PRIMARY KEY, epoch INTEGER NOT NULL, counter INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL, reason TEXT NOT NULL, content BLOB NOT NULL);
"""


class Unwritten(NamedTuple):
    """A part that is sealed and not written yet.

    Attributes:
        part: For the tail.
        refused: How many of the refused bytes that wait for `add` are in the tail with it.
    """

    part: Part
    refused: int


class VaultStore:
    """The vault's files, held by one process at a time.

    Args:
        folder: Made if it is not there, readable by its owner alone.
        master: Wraps the index key and the epoch keys.
        random: Draws keys.

    Raises:
        SecurityError: If another process holds it, the master key is another, or it was changed.
    """

    def __init__(self, folder: Path, master: MasterKey, random: Callable[[int], bytes]) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / "vault.sqlite"
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._path = path
        #: Refused bytes that are not in SQLite; the first so many of them are in the tail.
        self._refused: dict[str, Refused] = {}
        self._refused_in_tail = 0
        self._connection = sqlite3.connect(
            path, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare()
            # only now: what holds the database holds the tail
            self._tail = VaultTail(folder / "vault.tail")
        except BaseException:
            self._connection.close()
            raise
        try:
            self.index_key = self._open_index_key(master, random)
            self._open_epochs(master, random)
            self._next_page = self.last_page() + 1
            self._move_tail()
            self._drop_epochs()
        except BaseException:
            self.close()
            raise

    @property
    def tail(self) -> VaultStore:
        """What small commits are appended to: it keeps that too."""
        return self

    def _prepare(self) -> None:
        run = self._connection.execute
        try:
            run("PRAGMA locking_mode = EXCLUSIVE")
            run("PRAGMA page_size = 16384")
            run("PRAGMA secure_delete = ON")
            run("PRAGMA journal_mode = WAL")
            run("PRAGMA synchronous = FULL")
            # 64 MB: a checkpoint is rare, and what it writes is bounded
            run("PRAGMA wal_autocheckpoint = 4000")
            self._connection.executescript(_SCHEMA)
            self._empty_log()
        except sqlite3.OperationalError as error:
            raise SecurityError(
                f"the vault {self._path} cannot be opened ({error}); "
                "if another process holds it, stop that one: a vault has one holder"
            ) from error
        except sqlite3.DatabaseError as error:
            raise SecurityError(
                f"{self._path} is not a vault, or was damaged ({error}); restore it from a backup"
            ) from error

    def _open_index_key(self, master: MasterKey, random: Callable[[int], bytes]) -> bytes:
        """The secret that values are hashed under, drawn when the vault is first opened."""
        context = _VERSION + b" index key"
        row = self._connection.execute("SELECT value FROM meta WHERE name = 'index key'").fetchone()
        if row:
            return master.unwrap(row[0], context)
        key = random(_INDEX_KEY)
        wrapped = master.wrap(key, context)
        self._connection.execute("INSERT INTO meta VALUES ('index key', ?)", (wrapped,))
        return key

    def _open_epochs(self, master: MasterKey, random: Callable[[int], bytes]) -> None:
        """Open the keys that pages are sealed under, and begin an epoch."""
        self._sealings: dict[int, AESGCM] = {}
        rows = self._connection.execute("SELECT epoch, wrapped FROM epochs").fetchall()
        for epoch, wrapped in rows:
            self._sealings[epoch] = AESGCM(master.unwrap(wrapped, _epoch_context(epoch)))
        self._epoch = max(self._sealings, default=0) + 1
        key = random(32)
        self._sealings[self._epoch] = AESGCM(key)
        self._counter = 0
        wrapped = master.wrap(key, _epoch_context(self._epoch))
        self._connection.execute("INSERT INTO epochs VALUES (?, ?)", (self._epoch, wrapped))

    def _drop_epochs(self) -> None:
        """Forget the keys that nothing is sealed under any more."""
        self._connection.execute(
            "DELETE FROM epochs WHERE epoch <> ? AND epoch NOT IN (SELECT epoch FROM pages)"
            " AND epoch NOT IN (SELECT epoch FROM sealed)",
            (self._epoch,),
        )

    def _move_tail(self) -> None:
        """Make pages of what the tail holds, and take the refused bytes that it holds."""
        first = self._next_page
        pages: list[tuple[int, bytes, bytes]] = []
        keys, entries = b"", b""
        at = 0
        for part in self._tail.parts():
            if part.page < first:
                # pages were made of it, and then the tail was not cut
                continue
            if (part.page, part.at) != (first, at):
                raise SecurityError(
                    f"the tail of the vault {self._path} goes on with byte {part.at} after page "
                    f"{part.page - 1}, expected byte {at} after page {first - 1}: the two files do "
                    "not belong together; restore both from the same backup"
                )
            more_keys, more, rows = self._opened_part(part)
            keys, entries, at = keys + more_keys, entries + more, at + len(more)
            self._refused.update((row.reference, row) for row in rows)
            if len(entries) >= _PAGE_BYTES:
                pages.append((first + len(pages), keys, entries))
                keys, entries = b"", b""
        if entries:
            pages.append((first + len(pages), keys, entries))
        self.add((), pages)
        self.cut_tail()

    def _take_nonces(self, count: int) -> int:
        """The first of so many counters that were never used in this epoch."""
        first = self._counter
        self._counter += count
        return first

    def _seal(self, counter: int, plain: bytes, context: bytes) -> bytes:
        return self._sealings[self._epoch].encrypt(_nonce(counter), plain, _VERSION + context)

    def _open(self, epoch: int, counter: int, sealed: bytes, context: bytes) -> bytes:
        try:
            return self._sealings[epoch].decrypt(_nonce(counter), sealed, _VERSION + context)
        except (InvalidTag, KeyError) as error:
            raise SecurityError(
                f"{context.decode().strip()} of the vault {self._path} was changed outside of "
                "Headrace and cannot be believed; restore the vault from a backup"
            ) from error

    def _sealed_page(self, page: int, keys: bytes, entries: bytes) -> tuple[int, int, bytes, bytes]:
        """Epoch, first counter, and the two sealed halves of a page."""
        counter = self._take_nonces(2)
        return (
            self._epoch,
            counter,
            self._seal(counter, keys, b" keys of page %d" % page),
            self._seal(counter + 1, entries, b" entries of page %d" % page),
        )

    def domains(self) -> dict[str, int]:
        """The number of each domain."""
        return dict(self._connection.execute("SELECT name, domain FROM domains"))

    def last_page(self) -> int:
        """The highest number that a page has; 0 if there is none."""
        return int(self._connection.execute("SELECT ifnull(max(page), 0) FROM pages").fetchone()[0])

    def pages(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Number, keys and entries of every page, in the order in which they were written."""
        query = "SELECT page, epoch, counter, keys, entries FROM pages ORDER BY page"
        for page, epoch, counter, keys, entries in self._connection.execute(query):
            yield page, *self._opened_page(page, epoch, counter, keys, entries)

    def page(self, page: int) -> tuple[bytes, bytes]:
        """Keys and entries of one page."""
        query = "SELECT epoch, counter, keys, entries FROM pages WHERE page = ?"
        return self._opened_page(page, *self._connection.execute(query, (page,)).fetchone())

    def _opened_page(
        self, page: int, epoch: int, counter: int, keys: bytes, entries: bytes
    ) -> tuple[bytes, bytes]:
        return (
            self._open(epoch, counter, keys, b" keys of page %d" % page),
            self._open(epoch, counter + 1, entries, b" entries of page %d" % page),
        )

    def add(
        self, domains: Sequence[tuple[int, str]], pages: Sequence[tuple[int, bytes, bytes]]
    ) -> None:
        """Write domains, pages (number, keys, entries), refused bytes: all or none, synced."""
        rows = [(page, *self._sealed_page(page, keys, entries)) for page, keys, entries in pages]
        if not (domains or rows or self._refused):
            return
        with _Transaction(self._connection) as run:
            if domains:
                run.executemany("INSERT INTO domains VALUES (?, ?)", domains)
            if rows:
                run.executemany("INSERT INTO pages VALUES (?, ?, ?, ?, ?)", rows)
            if self._refused:
                # there already if the tail, after they were taken out of it, was not cut
                query = "INSERT OR IGNORE INTO sealed VALUES (?, ?, ?, ?, ?, ?)"
                run.executemany(query, self._refused.values())
        self._refused.clear()
        self._refused_in_tail = 0
        if pages:
            self._next_page = pages[-1][0] + 1

    def part(self, at: int, keys: bytes, entries: bytes) -> Unwritten:
        """Keys and entries that `add` gets again as pages, and refused bytes, for `append`.

        Args:
            at: How many bytes of entries were appended before, since `add` last wrote pages.
            keys: Of those entries that are subjects.
            entries: Of later pages, in order.
        """
        page, counter = self._next_page, self._take_nonces(1)
        rest = refused.encoded(self._unwritten())
        plain = b"".join((_LENGTHS.pack(len(keys), len(entries)), keys, entries, rest))
        sealed = self._seal(counter, plain, _part_context(page, at))
        return Unwritten(Part(page, at, self._epoch, counter, sealed), len(self._refused))

    def append(self, unwritten: Unwritten, *, durable: bool, meanwhile: Callable[[], None]) -> None:
        """Write a part; more may be sealed meanwhile, but no pages added.

        Args:
            unwritten: As `part` gave it.
            durable: Whether it is synced to disk too.
            meanwhile: Called once, while the disk writes.

        Raises:
            SecurityError: It could not be written. This can be tried again.
        """
        try:
            self._tail.append(unwritten.part, durable=durable, meanwhile=meanwhile)
        except OSError as error:
            raise _not_written(error) from error
        self._refused_in_tail = unwritten.refused

    def sync(self) -> None:
        """Sync to disk what was appended without.

        Raises:
            SecurityError: It could not be done.
        """
        try:
            self._tail.sync()
        except OSError as error:
            raise _not_written(error) from error

    def _opened_part(self, part: Part) -> tuple[bytes, bytes, list[Refused]]:
        """Keys, entries and refused bytes of a part of the tail."""
        context = _part_context(part.page, part.at)
        plain = self._open(part.epoch, part.counter, part.sealed, context)
        keys, entries = _LENGTHS.unpack_from(plain)
        middle = _LENGTHS.size + keys
        end = middle + entries
        return plain[_LENGTHS.size : middle], plain[middle:end], refused.decoded(plain[end:])

    def fits_tail(self, size: int) -> bool:
        """Whether so many bytes, with what was refused, are to be appended rather than added."""
        if self.unwritten:
            size += sum(len(row.content) for row in self._unwritten())
            if len(self._refused) > _TAIL_REFUSED:
                return False
        return size <= _PART_BYTES and self._tail.size + size <= _TAIL_BYTES

    def cut_tail(self) -> None:
        """Remove what was appended, once `add` has made pages of it."""
        try:
            self._tail.cut()
        except OSError as error:
            raise SecurityError(
                f"the tail of the vault {self._path} could not be cut ({error}), so older copies "
                "of its pages may still lie in it; see to the disk, and open the vault again"
            ) from error

    @property
    def unwritten(self) -> int:
        """How many were sealed since the last `add` or `append`."""
        return len(self._refused) - self._refused_in_tail

    def _unwritten(self) -> list[Refused]:
        return list(islice(self._refused.values(), self._refused_in_tail, None))

    def erase(self, pages: Iterable[tuple[int, bytes, bytes]], surrogates: Iterable[str]) -> None:
        """Put pages in the place of older ones, note what was erased, leave no older copy."""
        invariant(self._tail.size == 0, "the tail is cut before anything is erased")
        rows = [(*self._sealed_page(page, keys, entries), page) for page, keys, entries in pages]
        with _Transaction(self._connection) as run:
            run.executemany(
                "UPDATE pages SET epoch = ?, counter = ?, keys = ?, entries = ? WHERE page = ?",
                rows,
            )
            run.executemany("INSERT INTO erased VALUES (?)", [(name,) for name in surrogates])
        self._empty_log()

    def is_erased(self, surrogate: str) -> bool:
        """Whether this surrogate stood for something that was erased."""
        query = "SELECT 1 FROM erased WHERE surrogate = ?"
        return self._connection.execute(query, (surrogate,)).fetchone() is not None

    def seal(self, reference: str, content: bytes, reason: str, expires_ns: int) -> None:
        """Keep bytes under a name until a time; the next `add` or `append` writes them."""
        counter = self._take_nonces(1)
        sealed = self._seal(counter, content, b" sealed bytes " + reference.encode())
        self._refused[reference] = Refused(
            reference, self._epoch, counter, expires_ns, reason, sealed
        )

    def unseal(self, reference: str) -> bytes:
        """The bytes kept under a name."""
        row = self._refused.get(reference)
        if row is None:
            query = "SELECT * FROM sealed WHERE reference = ?"
            row = self._connection.execute(query, (reference,)).fetchone()
        if row is None:
            raise NotFound(
                f"the vault holds no sealed bytes {reference!r}: they were never sealed here, or "
                "their retention has passed and they were purged"
            )
        _, epoch, counter, _, _, content = row
        return self._open(epoch, counter, content, b" sealed bytes " + reference.encode())

    def purge(self, now_ns: int) -> int:
        """Remove sealed bytes whose time has passed; how many."""
        invariant(self._tail.size == 0, "the tail is cut before anything is purged")
        with _Transaction(self._connection) as run:
            removed = run.execute("DELETE FROM sealed WHERE expires_ns <= ?", (now_ns,)).rowcount
        if removed:
            self._empty_log()
        return int(removed)

    def _empty_log(self) -> None:
        """Bring the write-ahead log into the file and cut it to nothing."""
        busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise SecurityError(
                f"the log of the vault {self._path} could not be emptied, so erased bytes may "
                "still lie in it; stop whatever else reads the file and open the vault again"
            )

    def close(self) -> None:
        """Let go of the files. What is in the tail stays there until the vault is opened again."""
        self._tail.close()
        self._connection.close()


class _Transaction:
    """All statements or none; committed, and synced to disk, when the block ends.

    Raises:
        SecurityError: They could not be written.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> sqlite3.Connection:
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        try:
            self._connection.execute("COMMIT" if kind is None else "ROLLBACK")
        except sqlite3.OperationalError as failed:
            error = error or failed
        if isinstance(error, sqlite3.OperationalError):
            raise _not_written(error) from error


def _not_written(error: Exception) -> SecurityError:
    return SecurityError(
        f"the vault could not be written ({error}); nothing that it was to keep was let"
        " through: make room, and run again"
    )


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(12, "big")


def _part_context(page: int, at: int) -> bytes:
    return b" what goes on with byte %d after page %d" % (at, page - 1)


def _epoch_context(epoch: int) -> bytes:
    return _VERSION + b" epoch key %d" % epoch
