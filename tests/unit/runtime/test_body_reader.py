"""Bodies are read whole, or whoever sends them is told why not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from headrace.runtime.http.body_reader import LAST_BODY_SECONDS, BodyReader
from headrace.runtime.http.problems import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MOST = 10


class Sent:
    """A body that comes in pieces, and ends or does not."""

    def __init__(self, *pieces: bytes, ends: bool = True) -> None:
        self._pieces, self._ends = pieces, ends

    async def __call__(self) -> bytes:
        return b"".join([piece async for piece in self])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        if not self._ends:
            await asyncio.Event().wait()


async def watched(reader: BodyReader, *reads: tuple[str | None, Sent]) -> list[bytes | Problem]:
    """What comes of bodies that are read at once, while the reader cuts off who is late."""
    watch = asyncio.create_task(reader.watch())
    try:
        async with asyncio.timeout(60):
            return list(await asyncio.gather(*[reader.read(*item) for item in reads]))
    finally:
        watch.cancel()


@pytest.mark.parametrize("said", ["4", None])
def test_a_body_comes_out_as_it_came_in(said: str | None) -> None:
    reader = BodyReader(MOST)
    assert asyncio.run(reader.read(said, Sent(b"ab", b"", b"cd"))) == b"abcd"


@pytest.mark.parametrize(("said", "sent"), [("11", Sent()), (None, Sent(b"12345678", b"901"))])
def test_a_body_that_is_too_long_is_refused(said: str | None, sent: Sent) -> None:
    refused = asyncio.run(BodyReader(MOST).read(said, sent))
    assert isinstance(refused, Problem)
    assert refused.status == 413
    assert "10 bytes" in refused.detail


@pytest.mark.parametrize("said", ["4", None])
def test_who_takes_too_long_is_cut_off_alone(said: str | None) -> None:
    late = (said, Sent(b"ab", ends=False))
    cut, read = asyncio.run(watched(BodyReader(MOST, seconds=0.1), late, ("1", Sent(b"x"))))
    assert isinstance(cut, Problem)
    assert cut.status == 408
    assert read == b"x"


def test_at_the_end_nobody_has_longer_than_a_moment() -> None:
    reader = BodyReader(MOST, seconds=3_600)

    async def hurried() -> list[bytes | Problem]:
        begun = asyncio.get_running_loop().time()
        reader.hurry()
        found = await watched(reader, ("4", Sent(ends=False)))
        assert asyncio.get_running_loop().time() - begun >= LAST_BODY_SECONDS
        return found

    (cut,) = asyncio.run(hurried())
    assert isinstance(cut, Problem)
    assert cut.status == 408


def test_a_request_that_is_given_up_is_no_late_one() -> None:
    async def given_up() -> None:
        reading = asyncio.create_task(BodyReader(MOST).read("4", Sent(ends=False)))
        await asyncio.sleep(0)
        reading.cancel()
        await reading

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(given_up())
