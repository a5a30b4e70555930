"""The orders of a book that is told of each order: a table by order id, beside the levels.

A slot is the order's id, its side (0 is an empty slot, 1 a bid, 2 an ask), its price as levels hold
it, and its size. Slots are probed one after the other, and a hole is closed as it is made, so that
nothing but the orders there are is ever looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.compiled import inner_kernel, kernel
from headrace.engine import book_words as w
from headrace.engine.level_kernels import add_level, place_of, prices_of, remove_level

if TYPE_CHECKING:
    from headrace.core.columns import Int64s

SLOT = 4


@inner_kernel
def _home(layout: Int64s, order: int) -> int:
    """The first slot that an order may lie in."""
    mixed = (order ^ layout[w.L_HASH_0]) * -7046029254386353131
    mixed ^= (mixed >> 32) & 0xFFFFFFFF
    mixed = (mixed ^ layout[w.L_HASH_1]) * -4417276706812531889
    mixed ^= (mixed >> 29) & 0x7FFFFFFFF
    return int(mixed & (layout[w.L_ORDERS] - 1))


@inner_kernel
def _table(layout: Int64s) -> int:
    """Where the slots begin."""
    return int(w.HEAD + 6 * layout[w.L_LEVELS])


@inner_kernel
def find_order(book: Int64s, layout: Int64s, order: int) -> int:
    """Where the order's slot is, or the empty one where it would be."""
    start, last = _table(layout), layout[w.L_ORDERS] - 1
    slot = _home(layout, order)
    while book[start + SLOT * slot + 1] and book[start + SLOT * slot] != order:
        slot = (slot + 1) & last
    return int(start + SLOT * slot)


@inner_kernel
def _forget(book: Int64s, layout: Int64s, place: int) -> None:
    """Empty a slot, and move up those that were pushed past it."""
    start, last = _table(layout), layout[w.L_ORDERS] - 1
    hole = (place - start) // SLOT
    slot = hole
    while True:
        slot = (slot + 1) & last
        if book[start + SLOT * slot + 1] == 0:
            break
        home = _home(layout, book[start + SLOT * slot])
        if ((slot - home) & last) >= ((slot - hole) & last):
            for k in range(SLOT):
                book[start + SLOT * hole + k] = book[start + SLOT * slot + k]
            hole = slot
    for k in range(SLOT):
        book[start + SLOT * hole + k] = 0
    book[w.H_ORDERS] -= 1


@inner_kernel
def forget_orders(book: Int64s, layout: Int64s) -> None:
    """Empty all slots."""
    start = _table(layout)
    for i in range(start, start + SLOT * layout[w.L_ORDERS]):
        book[i] = 0
    book[w.H_ORDERS] = 0


@inner_kernel
def put_order(book: Int64s, place: int, order: int, side: int, price: int, size: int) -> None:
    """Fill a slot that was empty."""
    book[place] = order
    book[place + 1] = side + 1
    book[place + 2] = price
    book[place + 3] = size
    book[w.H_ORDERS] += 1


@inner_kernel
def _shift(book: Int64s, layout: Int64s, side: int, price: int, by: int, orders: int) -> int:
    """Change the size at a price, and how many orders are there; 0 where that cannot be."""
    levels = layout[w.L_LEVELS]
    base, count = prices_of(side, levels), book[w.H_COUNT + side]
    place = place_of(book, base, count, price)
    if place == count or book[base + place] != price:
        if by > 0:
            add_level(book, levels, side, place, price, by, orders)
        else:
            # it was let go of, or a snapshot took it out
            book[w.H_IGNORED] += 1
        return 1
    size = book[base + levels + place] + by
    if size > w.EXACT_LIMIT:
        return 0
    book[base + levels + place] = size
    book[base + 2 * levels + place] += orders
    if size < 0:
        # a snapshot of levels has said that there is less than orders amount to
        book[w.H_IGNORED] += 1
    if size <= 0:
        remove_level(book, levels, side, place)
    return 1


@inner_kernel
def apply_order(  # noqa: PLR0911 - one way for each case
    book: Int64s,
    layout: Int64s,
    order: int,
    side: int,
    price: int,
    priced: bool,  # noqa: FBT001 - kernels take no names
    size: int,
    reduces: bool,  # noqa: FBT001 - as above
    removes: bool,  # noqa: FBT001 - as above
) -> int:
    """Add an order, change it, or take it out (size 0); 1, or 0 where that cannot be.

    Args:
        book: The book.
        layout: Of all books.
        order: Its id.
        side: 0 for a bid, 1 for an ask.
        price: As levels hold it.
        priced: Whether the event says a price: one that does not leaves it as it is.
        size: What remains; or by how much it is reduced; or what it still had when it was removed.
            An order that is not known is reduced or removed at its level alone.
        reduces: Whether it is reduced.
        removes: Whether it is removed.
    """
    place = find_order(book, layout, order)
    if book[place + 1] == 0:
        if (reduces or removes) and priced and size > 0:
            return _shift(book, layout, side, price, -size, 0)
        if reduces or removes or size == 0:
            book[w.H_IGNORED] += 1
            return 1
        if not priced or book[w.H_ORDERS] >= layout[w.L_MOST_ORDERS]:
            return 0
        put_order(book, place, order, side, price, size)
        return _shift(book, layout, side, price, size, 1)
    held_side, held_price, held = book[place + 1] - 1, book[place + 2], book[place + 3]
    left = size
    if reduces or removes:
        left = held - size if reduces else 0
    if left < 0:
        return 0
    if not priced or reduces or left == 0:
        side, price = held_side, held_price
    if side == held_side and price == held_price and left > 0:
        book[place + 3] = left
        return _shift(book, layout, side, price, left - held, 0)
    if not _shift(book, layout, held_side, held_price, -held, -1):
        return 0
    if left == 0:
        _forget(book, layout, place)
        return 1
    book[place + 1], book[place + 2], book[place + 3] = side + 1, price, left
    return _shift(book, layout, side, price, left, 1)


@kernel
def restore_orders(book: Int64s, layout: Int64s, slots: Int64s) -> None:
    """Put orders that were written down, slot by slot, into a book that has none."""
    book[w.H_ORDERS] = 0
    for i in range(0, len(slots), SLOT):
        place = find_order(book, layout, slots[i])
        put_order(book, place, slots[i], slots[i + 1] - 1, slots[i + 2], slots[i + 3])
