from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core import slot_kernels as slots
from headrace.core.columns import Text
from headrace.core.errors import ArtefactError, LimitReached
from headrace.core.interning import TextTable

words = st.one_of(
    st.none(), st.text(max_size=20), st.sampled_from(["a", "b", "ab", "", "12345678"])
)


def pieces(rows: list[str | None], size: int) -> list[Text]:
    return [Text.of(rows[at : at + size]) for at in range(0, len(rows), size)]


@settings(max_examples=60, deadline=None)
@given(st.lists(words, max_size=60), st.sampled_from([1, 7, 60]), st.integers(0, 2**64 - 1))
def test_codes_follow_first_appearance_whatever_the_batches_and_the_key(
    rows: list[str | None], size: int, key: int
) -> None:
    table = TextTable(key=(key, 1))
    known: dict[str, int] = {}
    expected = [-1 if row is None else known.setdefault(row, len(known)) for row in rows]
    found = [int(code) for piece in pieces(rows, size) for code in table.intern(piece)]
    assert found == expected
    assert len(table) == len(known)
    assert table.find(Text.of(rows)).tolist() == expected
    assert table.strings(np.array(expected, dtype=np.int64)).strings() == rows
    again = TextTable()
    again.restore(table.snapshot())
    assert again.snapshot() == table.snapshot()
    assert again.find(Text.of(rows)).tolist() == expected


def test_many_texts_grow_the_table_a_part_at_a_time() -> None:
    names = [f"card-{number:07d}" for number in range(60_000)]
    table = TextTable(key=(1, 2))
    sizes = set()
    for piece in pieces(list(names), 4_000):
        table.intern(piece)
        sizes.add(tuple(table._parts[1 : 3 * slots.PARTS : 3]))
    # doubling is spread out: between any two batches some parts have grown and some have not
    assert len(sizes) == 15
    assert table.intern(Text.of(names)).tolist() == list(range(60_000))
    assert table.find(Text.of(["card-", "x"])).tolist() == [-1, -1]
    assert table.memory() < 60_000 * 100


def test_a_full_table_refuses_and_keeps_what_it_has() -> None:
    table = TextTable(most_bytes=64)
    assert table.intern(Text.of(["one", "two", "three"])).tolist() == [0, 1, 2]
    with pytest.raises(LimitReached, match="4 texts in 64 of 64 bytes"):
        table.intern(Text.of(["four", "five"]))
    assert table.find(Text.of(["one", "four", "five"])).tolist() == [0, 3, -1]


def test_a_snapshot_that_was_changed_is_refused() -> None:
    table = TextTable()
    table.intern(Text.of(["one", "two"]))
    snapshot = table.snapshot()
    for wrong in (b"", snapshot[:-1], snapshot + b"x", b"X" + snapshot[1:]):
        with pytest.raises(ArtefactError, match="not a whole snapshot"):
            TextTable().restore(wrong)
    with pytest.raises(ArtefactError, match="differ"):
        TextTable().restore(snapshot.replace(b"two", b"one"))
    with pytest.raises(ArtefactError, match="empty table"):
        table.restore(snapshot)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=200), st.integers(0, 3))
def test_slots_agree_with_a_set_when_entries_come_and_go(
    steps: list[tuple[bool, int]], crowding: int
) -> None:
    """Few distinct hashes, all in one part: long chains that wrap round."""
    pool = np.zeros(2**16, dtype=np.uint64)
    parts = np.zeros(slots.TOP + 1, dtype=np.int64)
    slots.slots_begin(parts)
    held: set[int] = set()
    for add, entry in steps:
        hashed = np.uint64(entry % (crowding + 2) + 13)
        if add and entry not in held:
            assert slots.slot_put(pool, parts, hashed, entry)
            held.add(entry)
        elif not add:
            assert slots.slot_remove(pool, parts, hashed, entry) == (entry in held)
            held.discard(entry)
    assert parts[2] == len(held)
    for entry in sorted(held):
        assert slots.slot_remove(pool, parts, np.uint64(entry % (crowding + 2) + 13), entry)
    start, mask = int(parts[0]), int(parts[1])
    assert not pool[start : start + mask + 1].any()


def test_a_pool_that_is_used_up_says_so() -> None:
    pool = np.zeros(slots.PARTS * slots.FIRST_SIZE, dtype=np.uint64)
    parts = np.zeros(slots.TOP + 1, dtype=np.int64)
    slots.slots_begin(parts)
    added = [slots.slot_put(pool, parts, np.uint64(entry), entry) for entry in range(8)]
    assert added == [True] * 6 + [False] * 2
