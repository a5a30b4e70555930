"""Going on with sources of which an earlier run has decided a part.

The journal holds, for each source, how many of its rows were decided, how many it had, and a digest
of its bytes then. Sources may have grown since, and there may be new ones. But what was decided
must be there unchanged, and must come before all else in known order: then what is decided now is
what one run over the sources as they are would have decided.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

import numpy as np
from msgspec.structs import replace

from headrace.core.errors import DataError
from headrace.journal.batch import Position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from headrace.adapters.history import HistoricSource
    from headrace.adapters.stored import Stored
    from headrace.events.order import Ordered

#: What to do when a source is not what it was.
_ELSE = (
    "Put it back as it was, or decide the sources as they are now under another name of the use"
    " case or in another home (--home)"
)


class Continuation:
    """What an earlier run left of historic sources; digests are computed beside other work.

    Use it in a `with` block, from before the times of the sources are read.

    Args:
        sources: Of the run.
        earlier: Where the journal says that each goes on, by name.
        arrives_after_ns: Of each stream by name; known order depends on it.
    """

    def __init__(
        self,
        sources: Sequence[HistoricSource],
        earlier: Mapping[str, Position],
        arrives_after_ns: Mapping[str, int],
    ) -> None:
        self._sources = sources
        self._earlier = [earlier.get(source.name, Position(0)) for source in sources]
        self._pool = ThreadPoolExecutor(1, "digests")
        self._positions = [
            self._pool.submit(_position, source, before, arrives_after_ns.get(source.stream, 0))
            for source, before in zip(sources, self._earlier, strict=True)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def positions(self, rows: Sequence[int]) -> list[Position]:
        """Where each source goes on; `rows` says how many each has now.

        Raises:
            DataError: When one is not what it was, or has not grown at its end alone.
        """
        return [
            replace(made.result(), rows=count)
            for made, count in zip(self._positions, rows, strict=True)
        ]

    def begin(self, order: Ordered) -> int:
        """The place in known order that the run begins with.

        Raises:
            DataError: When rows that are new stand before some that were decided.
        """
        decided = np.zeros(len(order), dtype=bool)
        for index, before in enumerate(self._earlier):
            if before.ordinal:
                decided[np.flatnonzero(order.ranks == index)[: before.ordinal]] = True
        begin = int(decided.sum())
        for place in np.flatnonzero(~decided[:begin])[:1].tolist():
            raise DataError(self._between(order, place, int(np.flatnonzero(decided)[-1])))
        for index, before in enumerate(self._earlier):
            mine = np.flatnonzero(order.ranks == index)[: before.ordinal]
            added = np.flatnonzero(order.positions[mine] >= before.rows)
            for place in mine[added[:1]].tolist():
                raise DataError(self._between(order, place, int(mine[-1])))
        return begin

    def _between(self, order: Ordered, place: int, last: int) -> str:
        new, old = (self._sources[int(order.ranks[at])] for at in (place, last))
        alone = (
            "give it as the only source, and it is decided after what was decided"
            if self._earlier[int(order.ranks[place])].ordinal == 0
            else "put its new rows into a file of their own and give that as the only source"
        )
        return (
            f"{new.name}: its row {int(order.positions[place]):,} was known at"
            f" {_text(order.known[place])}, and was not there when rows known up to"
            f" {_text(order.known[last])} were decided (of {old.name}); expected new rows"
            f" to come after those in known order. Either {alone}, or decide all sources under"
            " another name of the use case or in another home (--home)"
        )


def _text(known_ns: np.int64) -> str:
    return f"{np.datetime64(int(known_ns), 'ns').astype('datetime64[ms]')}Z"


def _position(source: HistoricSource, before: Position, arrives_after_ns: int) -> Position:
    """The source as it is now, once what it was is known to be its beginning still."""
    stored = source.stored
    if stored is None:
        return before
    about = f"headrace/source/v1\0{source.stream}\0{arrives_after_ns}\0".encode()
    if not before.ordinal:
        (now,) = stored.digests(about, [stored.size])
        return Position(0, stored.size, now)
    was = f"{source.name} is not what it was when {before.ordinal:,} events of it were decided"
    if stored.size < before.offset or (stored.size > before.offset and not stored.grows):
        raise DataError(f"{was}: it had {before.offset:,} bytes, and has {stored.size:,}. {_ELSE}")
    then, now = stored.digests(about, [before.offset, stored.size])
    if then != before.digest:
        raise DataError(
            f"{was}: SHA-256 of its stream, `arrives_after` and first {before.offset:,} bytes was"
            f" {before.digest}, and is {then}. {_ELSE}"
        )
    if not _ends_a_line(stored, before.offset):
        raise DataError(
            f"{was}: its last line was cut off then, at byte {before.offset:,}, and goes on now."
            f" {_ELSE}"
        )
    return Position(before.ordinal, stored.size, now)


def _ends_a_line(stored: Stored, end: int) -> bool:
    """Whether the bytes up to `end` are whole lines, so that what follows is another one."""
    if end in (0, stored.size):
        return True
    around = bytes(stored.at(end - 1, min(end + 2, stored.size)))
    return around[:1] == b"\n" or around[1:2] == b"\n" or around[1:] == b"\r\n"


class FedAgain:
    """The beginning of a live source that is fed once more: it must be what was decided before.

    Args:
        name: Of the source.
        before: Where the journal says that it goes on.
    """

    def __init__(self, name: str, before: Position) -> None:
        self._name = name
        self._before = before
        self._hashed = hashlib.sha256()
        self._size = 0

    def fresh(self, data: bytes) -> bytes:
        """The part of the lines that comes next which was not decided before.

        Raises:
            DataError: When those that were decided are not the same lines.
        """
        left = self._before.offset - self._size
        if left <= 0:
            self._add(data)
            return data
        self._add(data[:left])
        if len(data) < left:
            return b""
        if self._hashed.hexdigest() != self._before.digest:
            raise DataError(
                f"{self._name}: {self._before.ordinal:,} lines were decided before; SHA-256 of"
                f" their {self._before.offset:,} bytes was {self._before.digest}, and that of what"
                f" is fed now is {self._hashed.hexdigest()}. Feed the same lines again from their"
                " start, or feed others under a name of their own: --source STREAM=-:NAME"
            )
        return self.fresh(data[left:])

    def end(self) -> None:
        """There is no more.

        Raises:
            DataError: When not all that was decided came again.
        """
        if self._size < self._before.offset:
            raise DataError(
                f"{self._name} ended after {self._size:,} bytes;"
                f" {self._before.offset:,} were decided before. Feed the same lines again from"
                " their start, or feed others under a name of their own: --source STREAM=-:NAME"
            )

    def position(self, ordinal: int) -> Position:
        """Where the source goes on after what came, its lines up to `ordinal`."""
        return Position(ordinal, self._size, self._hashed.hexdigest())

    def _add(self, data: bytes) -> None:
        self._hashed.update(data)
        self._size += len(data)
