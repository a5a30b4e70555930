from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from headrace.core import mapping
from headrace.core.errors import LimitReached

_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage")


def test_more_is_reserved_than_the_machine_has_and_reads_zero() -> None:
    words = mapping.reserve(2**36, np.int64)
    words[2**35] = -1
    assert words[2**35] == -1
    assert words[2**35 + 1] == 0
    assert words.flags.writeable
    assert words.flags.c_contiguous


def test_touching_keeps_what_is_written() -> None:
    words = mapping.reserve(10_000, np.uint32)
    words[5_000] = 9
    mapping.touch(words, 0, 10_000)
    assert words[5_000] == 9
    assert words.sum() == 9
    mapping.touch(words, 3, 3)


def test_touching_where_the_system_cannot_make_pages_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mapping, "_POPULATE_WRITE", 9_999)
    words = mapping.reserve(10_000, np.uint32)
    words[5_000] = 9
    mapping.touch(words, 0, 10_000)
    assert words.sum() == 9


def test_refused_addresses_are_a_limit_with_the_next_step() -> None:
    with pytest.raises(LimitReached, match="ulimit"):
        mapping.reserve(2**60, np.int64)


def test_memory_outlives_a_view_and_then_goes() -> None:
    part = mapping.reserve(1_000, np.int64)[10:20]
    gc.collect()
    part[:] = 3
    assert part.sum() == 30


@pytest.mark.skipif(not _HUGE_PAGES.exists(), reason="the system has no pages of two megabytes")
def test_what_is_in_memory_moves_into_large_pages_and_stays_what_it_is() -> None:
    held, before = bytearray(b"held") * 2**21, _huge_bytes()
    taken = mapping.take_large_pages()
    assert held == b"held" * 2**21
    if taken == 0:
        pytest.skip("the system moves nothing into large pages: Linux before 6.1, or forbidden")
    assert _huge_bytes() > before


def test_elsewhere_memory_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping, "_MAPS", Path("/nowhere/maps"))
    assert mapping.take_large_pages() == 0


def _huge_bytes() -> int:
    rollup = Path("/proc/self/smaps_rollup").read_text()
    said = next(line for line in rollup.splitlines() if line.startswith("AnonHugePages"))
    return int(said.split()[1]) * 1024
