"""What a vault is kept in: files of a home, or records of a log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from headrace.security.vault_store import Unwritten


class AppendedTo(Protocol):
    """What small commits are appended to, until `VaultPlace.add` makes pages of them."""

    def fits_tail(self, size: int) -> bool:
        """Whether so many bytes, with the refused ones, are to be appended rather than added."""

    def part(self, at: int, keys: bytes, entries: bytes) -> Unwritten:
        """Keys and entries that `add` gets again as pages, and refused bytes, to be appended."""

    def append(self, unwritten: Unwritten, *, durable: bool, meanwhile: Callable[[], None]) -> None:
        """Keep what `part` laid out; the disk may write while `meanwhile` is called."""

    def sync(self) -> None:
        """Make durable what was appended without."""

    def cut_tail(self) -> None:
        """Remove what was appended, once `add` has made pages of it."""


class VaultPlace(Protocol):
    """Keeps pages of keys and entries, refused bytes, and the names of what was erased."""

    index_key: bytes

    @property
    def tail(self) -> AppendedTo | None:
        """What small commits are appended to; None where every commit adds pages."""

    def domains(self) -> dict[str, int]:
        """The number of each domain."""

    def last_page(self) -> int:
        """The highest number that a page has; 0 if there is none."""

    def pages(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Number, keys and entries of every page, in the order in which they were written."""

    def page(self, page: int) -> tuple[bytes, bytes]:
        """Keys and entries of one page."""

    def add(
        self, domains: Sequence[tuple[int, str]], pages: Sequence[tuple[int, bytes, bytes]]
    ) -> None:
        """Keep domains, pages (number, keys, entries) and refused bytes: all or none."""

    @property
    def unwritten(self) -> int:
        """How many were sealed since the last `add` or `append`."""

    def erase(self, pages: Iterable[tuple[int, bytes, bytes]], surrogates: Iterable[str]) -> None:
        """Put pages in the place of older ones, and note what was erased."""

    def is_erased(self, surrogate: str) -> bool:
        """Whether this surrogate stood for something that was erased."""

    def seal(self, reference: str, content: bytes, reason: str, expires_ns: int) -> None:
        """Keep bytes under a name until a time; the next `add` or `append` writes them."""

    def unseal(self, reference: str) -> bytes:
        """The bytes kept under a name."""

    def purge(self, now_ns: int) -> int:
        """Remove sealed bytes whose time has passed; how many."""

    def close(self) -> None:
        """Let go of it."""
