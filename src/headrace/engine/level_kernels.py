"""The levels of one side of an order book: found, set, dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.compiled import inner_kernel, move_words
from headrace.engine import book_words as w

if TYPE_CHECKING:
    from headrace.core.columns import Int64s

_GREATEST = 2**63 - 1


@inner_kernel
def prices_of(side: int, levels: int) -> int:
    """Where the prices of a side begin; sizes follow after `levels` words, then ids."""
    return w.HEAD + 3 * side * levels


@inner_kernel
def place_of(book: Int64s, base: int, count: int, price: int) -> int:
    """Where the first level at this price or a better one lies; most changes are near the top."""
    low, high = 0, count
    step = 1
    while step <= count and book[base + count - step] >= price:
        high = count - step
        step *= 2
    if step <= count:
        low = count - step + 1
    while low < high:
        middle = (low + high) >> 1
        if book[base + middle] >= price:
            high = middle
        else:
            low = middle + 1
    return low


@inner_kernel
def _remove(book: Int64s, base: int, levels: int, count: int, place: int) -> None:
    """Take a level out; better ones move down."""
    first = book.ctypes.data + 8 * (base + place)
    for part in range(3):
        at = first + 8 * part * levels
        move_words(at, at + 8, count - 1 - place)


@inner_kernel
def _insert(book: Int64s, base: int, levels: int, count: int, place: int) -> None:
    """Make room for a level; better ones move up."""
    first = book.ctypes.data + 8 * (base + place)
    for part in range(3):
        at = first + 8 * part * levels
        move_words(at + 8, at, count - place)


@inner_kernel
def remove_level(book: Int64s, levels: int, side: int, place: int) -> None:
    """Take the level at this place out."""
    count = book[w.H_COUNT + side]
    _remove(book, prices_of(side, levels), levels, count, place)
    book[w.H_COUNT + side] = count - 1


@inner_kernel
def add_level(
    book: Int64s, levels: int, side: int, place: int, price: int, size: int, mark: int
) -> int:
    """Put a level in at its place; 0 where it is beyond what the side holds.

    A full side lets go of its farthest level. What is as far as a level that was let go of is not
    held any more: levels between might be missing.
    """
    base, count = prices_of(side, levels), book[w.H_COUNT + side]
    beyond = book[w.H_HAS_HORIZON + side] and price <= book[w.H_HORIZON + side]
    if beyond and not book[w.H_SNAPSHOT]:
        book[w.H_DROPPED] += 1
        return 0
    if count == levels:
        book[w.H_DROPPED] += 1
        book[w.H_HAS_HORIZON + side] = 1
        if place == 0:
            book[w.H_HORIZON + side] = price
            return 0
        book[w.H_HORIZON + side] = book[base]
        _remove(book, base, levels, count, 0)
        count -= 1
        place -= 1
    _insert(book, base, levels, count, place)
    book[base + place] = price
    book[base + levels + place] = size
    book[base + 2 * levels + place] = mark
    book[w.H_COUNT + side] = count + 1
    return 1


@inner_kernel
def set_level(book: Int64s, levels: int, side: int, price: int, size: int, update: int) -> None:
    """Set the size at a price, as an update says.

    In a book that is not in sync a deleted level stays, of size 0, until the next snapshot.
    """
    base, count = prices_of(side, levels), book[w.H_COUNT + side]
    place = place_of(book, base, count, price)
    holds = book[w.H_STATE] != w.IN_SYNC
    if place < count and book[base + place] == price:
        if size == 0 and not holds:
            remove_level(book, levels, side, place)
        else:
            book[base + levels + place] = size
            book[base + 2 * levels + place] = update
    elif size > 0 or holds:
        add_level(book, levels, side, place, price, size, update)


@inner_kernel
def keep_later(book: Int64s, levels: int, side: int, update: int) -> None:
    """Keep the levels of a side that a later update has set."""
    base, count, kept = prices_of(side, levels), book[w.H_COUNT + side], 0
    for i in range(count):
        if book[base + 2 * levels + i] > update:
            for part in range(3):
                book[base + part * levels + kept] = book[base + part * levels + i]
            kept += 1
    book[w.H_COUNT + side] = kept


@inner_kernel
def tell_level(book: Int64s, levels: int, side: int, price: int, size: int, update: int) -> None:
    """Take a level of a snapshot; its size is held with the other sign until the snapshot ends.

    What a later update has set stays. Marks of a book of orders are no update ids: `update` is then
    the greatest word.
    """
    told = book[w.H_TOLD + side]
    book[w.H_FARTHEST + side] = min(price, book[w.H_FARTHEST + side]) if told else price
    book[w.H_TOLD + side] = told + 1
    base, count = prices_of(side, levels), book[w.H_COUNT + side]
    place = place_of(book, base, count, price)
    if place < count and book[base + place] == price:
        if book[base + 2 * levels + place] <= update:
            if abs(book[base + levels + place]) != size:
                book[w.H_DIFFERS] = 1
            book[base + levels + place] = -size
    elif size > 0:
        book[w.H_DIFFERS] = 1
        mark = update if update < _GREATEST else 0
        add_level(book, levels, side, place, price, -size, mark)


@inner_kernel
def end_snapshot(book: Int64s, levels: int, side: int, update: int, partial: int) -> None:
    """Let go of the levels that a snapshot should have told, and did not.

    Args:
        book: The book.
        levels: The most of a side.
        side: Which.
        update: Levels that a later one has set stay.
        partial: So many levels told say nothing of what is farther than all of them; 0 if any
            number says all.
    """
    base, count, kept = prices_of(side, levels), book[w.H_COUNT + side], 0
    is_partial = partial != 0 and book[w.H_TOLD + side] >= partial
    farthest = book[w.H_FARTHEST + side]
    for i in range(count):
        size = book[base + levels + i]
        beyond = is_partial and book[base + i] < farthest
        if size > 0 and not beyond and book[base + 2 * levels + i] <= update:
            book[w.H_DIFFERS] = 1
        elif size != 0:
            book[base + levels + i] = abs(size)
            for part in range(3):
                book[base + part * levels + kept] = book[base + part * levels + i]
            kept += 1
    book[w.H_COUNT + side] = kept
    if is_partial and book[w.H_HAS_HORIZON + side] and farthest <= book[w.H_HORIZON + side]:
        book[w.H_HORIZON + side] = farthest - 1
