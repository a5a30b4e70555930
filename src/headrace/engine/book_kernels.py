"""Order books: how the changes of a message are applied, and what is read of a book.

A book is one row of words: a head, then for each side the prices, sizes and update ids of its
levels, then slots for orders. Prices of asks are held with the other sign, so that on both sides
the best level is the greatest; levels lie in that order, the best last.

While a book is not in sync a level that was deleted stays, with size 0 and the id of the update:
then a snapshot that is older than updates seen already is put under them, level by level, and
nothing need be held back for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.compiled import inner_kernel, kernel, load_i64, load_u8
from headrace.engine import book_words as w
from headrace.engine.level_kernels import (
    end_snapshot,
    keep_later,
    prices_of,
    set_level,
    tell_level,
)
from headrace.engine.order_kernels import apply_order, forget_orders

if TYPE_CHECKING:
    from headrace.core.columns import Bytes, Int64s

_LEAST, _GREATEST = -(2**63), 2**63 - 1


@inner_kernel
def _word(columns: Int64s, column: int, row: int, otherwise: int) -> int:
    """A word of a column of changes; `otherwise` where there is no such column."""
    return load_i64(columns[column] + 8 * row) if columns[column] else otherwise


@inner_kernel
def _is_there(columns: Int64s, column: int, row: int) -> bool:
    """Whether there is such a column, with a value in this row."""
    return bool(columns[column] != 0 and load_u8(columns[column] + row) != 0)


@inner_kernel
def _leave_sync(book: Int64s, state: int) -> None:
    """Note that something is missing; levels are held on, to be put over a snapshot."""
    if book[w.H_STATE] != w.WAITING:
        book[w.H_STATE] = state


@inner_kernel
def _break(book: Int64s) -> None:
    """Note that a change is lost: a snapshot is of use if it is no older than this message."""
    _leave_sync(book, w.BROKEN)
    book[w.H_FIRST] = book[w.H_LAST] + 1
    if book[w.H_SNAPSHOT]:
        book[w.H_SKIPPED] = 1


@inner_kernel
def _follow(book: Int64s, first: int, last: int) -> None:
    """Look whether an update follows the one before; one that is behind is skipped."""
    if first > last:
        book[w.H_SKIPPED] = 1
        _break(book)
    elif not book[w.H_HAS_LAST]:
        book[w.H_FIRST], book[w.H_LAST], book[w.H_HAS_LAST] = first, last, 1
    elif last <= book[w.H_LAST]:
        book[w.H_SKIPPED] = 1
    else:
        if first > book[w.H_LAST] + 1:
            book[w.H_GAPS] += 1
            book[w.H_FIRST] = first
            _leave_sync(book, w.GAP)
        book[w.H_LAST] = last


@inner_kernel
def _begin_snapshot(book: Int64s, layout: Int64s, numbered: int, last: int) -> None:
    """Let go of what a snapshot replaces; one that is too old to be of use is skipped."""
    behind = numbered and book[w.H_HAS_LAST] and last < book[w.H_LAST]
    of_use = book[w.H_STATE] != w.IN_SYNC and book[w.H_FIRST] <= last + 1
    if behind and (layout[w.L_ORDERS] or not of_use):
        book[w.H_SKIPPED] = 1
        return
    if not numbered:
        # of a feed without numbers it is all that is known
        last = book[w.H_LAST] if book[w.H_HAS_LAST] else 0
    book[w.H_SNAPSHOT_ID], book[w.H_DIFFERS] = last, 0
    stays = layout[w.L_SNAPSHOT_LEVELS] and book[w.H_STATE] == w.IN_SYNC
    for side in range(2):
        book[w.H_TOLD + side], book[w.H_FARTHEST + side] = 0, 0
        if not stays:
            keep_later(book, layout[w.L_LEVELS], side, last if behind else _GREATEST)
            if not behind:
                book[w.H_HAS_HORIZON + side], book[w.H_HORIZON + side] = 0, 0
    if numbered and not behind:
        book[w.H_FIRST], book[w.H_LAST], book[w.H_HAS_LAST] = last + 1, last, 1


@inner_kernel
def _begin(book: Int64s, layout: Int64s, columns: Int64s, row: int) -> None:
    """Begin a message."""
    book[w.H_OPEN], book[w.H_SKIPPED], book[w.H_NEXT] = 1, 0, 0
    book[w.H_SNAPSHOT] = _word(columns, w.C_SNAPSHOT, row, 0)
    if layout[w.L_STARTS_EMPTY] and book[w.H_STATE] == w.WAITING:
        book[w.H_STATE] = w.IN_SYNC
    numbered = 1 if _is_there(columns, w.C_LAST_VALID, row) else 0
    last = _word(columns, w.C_LAST, row, 0)
    book[w.H_MESSAGE] = last
    if book[w.H_SNAPSHOT]:
        _begin_snapshot(book, layout, numbered, last)
    elif numbered:
        first = last
        if _is_there(columns, w.C_FIRST_VALID, row):
            first = _word(columns, w.C_FIRST, row, 0)
        _follow(book, first, last)


@inner_kernel
def _top(book: Int64s, layout: Int64s, side: int, part: int) -> int:
    """The best level's price (part 0, as it is held) or size (part 1)."""
    levels = layout[w.L_LEVELS]
    place = prices_of(side, levels) + part * levels
    return int(book[place + book[w.H_COUNT + side] - 1])


@inner_kernel
def _flow(price: int, size: int, before: int, before_size: int) -> int:
    """What came to the best price of a side, less what left it; prices as they are held."""
    flow = 0
    if price >= before:
        flow += size
    if price <= before:
        flow -= before_size
    return flow


@inner_kernel
def _end(book: Int64s, layout: Int64s, at: int) -> None:
    """End a message: what is at the top now, and what became of what was there before."""
    levels = layout[w.L_LEVELS]
    if book[w.H_SNAPSHOT]:
        update = _GREATEST if layout[w.L_ORDERS] else book[w.H_SNAPSHOT_ID]
        for side in range(2 if book[w.H_DIFFERS] != w.OF_ORDERS else 0):
            end_snapshot(book, levels, side, update, layout[w.L_SNAPSHOT_LEVELS])
        book[w.H_SNAPSHOTS] += 1
        if layout[w.L_SNAPSHOT_LEVELS] and book[w.H_STATE] == w.IN_SYNC:
            book[w.H_CORRECTIONS] += 1 if book[w.H_DIFFERS] == 1 else 0
        book[w.H_STATE] = w.IN_SYNC
    there = book[w.H_COUNT] > 0 and book[w.H_COUNT + 1] > 0
    crossed = 0
    for k in range(5):
        book[w.H_PREVIOUS + k] = book[w.H_TOP + k]
    if there and book[w.H_STATE] == w.IN_SYNC:
        for side in range(2):
            for part in range(2):
                book[w.H_TOP + 2 * side + part] = _top(book, layout, side, part)
        crossed = 1 if book[w.H_TOP] >= -book[w.H_TOP + 2] else 0
    if crossed and not book[w.H_CROSSED]:
        book[w.H_CROSSINGS] += 1
    book[w.H_CROSSED] = crossed
    known = 1 if there and book[w.H_STATE] == w.IN_SYNC and not crossed else 0
    book[w.H_TOP_KNOWN] = known
    compared = known and book[w.H_PREVIOUS_KNOWN]
    book[w.H_FLOW_KNOWN] = 1 if compared else 0
    moved = False
    for side in range(2):
        now, before = w.H_TOP + 2 * side, w.H_PREVIOUS + 2 * side
        if not known:
            book[now], book[now + 1] = 0, 0
        moved = moved or book[now] != book[before]
        flow = _flow(book[now], book[now + 1], book[before], book[before + 1])
        book[w.H_FLOW + side] = flow if compared else 0
    if compared and moved:
        book[w.H_MOVED_AT], book[w.H_MOVED] = max(at, book[w.H_MOVED_AT]), 1
    elif not known:
        book[w.H_MOVED_AT], book[w.H_MOVED] = _LEAST, 0
    book[w.H_UPDATED_AT], book[w.H_UPDATED] = max(at, book[w.H_UPDATED_AT]), 1


@inner_kernel
def _change(book: Int64s, layout: Int64s, columns: Int64s, row: int) -> int:
    """Change one level or order; 0 where that cannot be."""
    size = _word(columns, w.C_SIZE, row, 0)
    if size < 0:
        return 0
    side = 0 if _word(columns, w.C_BID, row, 0) else 1
    price = _word(columns, w.C_PRICE, row, 0)
    price = -price if side else price
    levels = layout[w.L_LEVELS]
    if _is_there(columns, w.C_ORDER_VALID, row):
        order = _word(columns, w.C_ORDER, row, 0)
        priced = _is_there(columns, w.C_PRICE_VALID, row)
        reduces = _word(columns, w.C_REDUCES, row, 0) != 0
        removes = _word(columns, w.C_REMOVES, row, 0) != 0
        return apply_order(book, layout, order, side, price, priced, size, reduces, removes)
    if book[w.H_SNAPSHOT]:
        update = _GREATEST if layout[w.L_ORDERS] else book[w.H_SNAPSHOT_ID]
        tell_level(book, levels, side, price, size, update)
    else:
        mark = 0 if layout[w.L_ORDERS] else book[w.H_LAST]
        set_level(book, levels, side, price, size, mark)
    return 1


@inner_kernel
def _apply(book: Int64s, layout: Int64s, columns: Int64s, row: int) -> None:
    """Apply one change."""
    place = _word(columns, w.C_PLACE, row, book[w.H_NEXT])
    last = _word(columns, w.C_LAST, row, book[w.H_MESSAGE])
    if book[w.H_OPEN] and (last != book[w.H_MESSAGE] or place < book[w.H_NEXT]):
        # another message has begun, and the end of this one never came
        if not book[w.H_SKIPPED]:
            _break(book)
        book[w.H_OPEN] = 0
    begins = not book[w.H_OPEN]
    if begins:
        _begin(book, layout, columns, row)
        place = _word(columns, w.C_PLACE, row, 0)
    if place != book[w.H_NEXT] and not book[w.H_SKIPPED]:
        _break(book)
    book[w.H_NEXT] = place + 1
    priced = _is_there(columns, w.C_PRICE_VALID, row)
    ends = _word(columns, w.C_ENDS, row, 1)
    if book[w.H_SKIPPED]:
        book[w.H_IGNORED] += 1
    elif priced or _is_there(columns, w.C_ORDER_VALID, row):
        if begins and book[w.H_SNAPSHOT] and _is_there(columns, w.C_ORDER_VALID, row):
            forget_orders(book, layout)
            book[w.H_COUNT], book[w.H_COUNT + 1], book[w.H_DIFFERS] = 0, 0, w.OF_ORDERS
        if not _change(book, layout, columns, row):
            book[w.H_IGNORED] += 1
            _break(book)
    if ends:
        book[w.H_OPEN] = 0
        if not book[w.H_SKIPPED]:
            _end(book, layout, load_i64(columns[w.C_AT] + 8 * row))
        elif book[w.H_STATE] != w.IN_SYNC:
            book[w.H_TOP_KNOWN], book[w.H_FLOW_KNOWN] = 0, 0


@inner_kernel
def _status(book: Int64s, layout: Int64s, at: int) -> int:
    """What can be said of a book at a time."""
    if book[w.H_STATE] != w.IN_SYNC:
        return int(book[w.H_STATE])
    if book[w.H_OPEN]:
        return w.IN_MESSAGE
    stale = layout[w.L_STALE]
    if stale and book[w.H_UPDATED] and at - book[w.H_UPDATED_AT] > stale:
        return w.STALE
    return w.CROSSED if book[w.H_CROSSED] else w.IN_SYNC


@inner_kernel
def _level(book: Int64s, layout: Int64s, value: Int64s) -> tuple[int, bool]:
    """The price or the size of a level, or the sum of sizes of the best ones."""
    side, wanted = value[w.V_SIDE], value[w.V_LEVEL]
    count, levels = book[w.H_COUNT + side], layout[w.L_LEVELS]
    place = prices_of(side, levels) + count
    if value[w.V_PART] == w.PART_DEPTH:
        total = 0
        for i in range(min(wanted, count)):
            total += book[place + levels - 1 - i]
        return total, wanted <= count or book[w.H_HAS_HORIZON + side] == 0
    if wanted > count:
        return 0, False
    if value[w.V_PART] == w.PART_SIZE:
        return book[place + levels - wanted], True
    price = book[place - wanted]
    return -price if side else price, True


@inner_kernel
def _read(book: Int64s, layout: Int64s, value: Int64s, status: int) -> tuple[int, bool]:  # noqa: PLR0911 - one way for each
    """One value of a book, and whether there is one."""
    part, side = value[w.V_PART], value[w.V_SIDE]
    if part == w.PART_STATUS:
        return status, True
    if part == w.PART_UPDATED_AT:
        return book[w.H_UPDATED_AT], book[w.H_UPDATED] != 0
    if part >= w.PART_GAPS:
        return book[w.H_GAPS + part - w.PART_GAPS], True
    if status != w.IN_SYNC:
        return 0, False
    if part == w.PART_MOVED_AT:
        return book[w.H_MOVED_AT], book[w.H_MOVED] != 0
    if part == w.PART_FLOW:
        return book[w.H_FLOW + side], book[w.H_FLOW_KNOWN] != 0
    if part == w.PART_PREVIOUS:
        price = book[w.H_PREVIOUS + 2 * side]
        return -price if side else price, book[w.H_PREVIOUS_KNOWN] != 0
    return _level(book, layout, value)


@kernel
def places_of(codes: Int64s, there: Bytes, places: Int64s, out: Int64s) -> bool:
    """The place of each row's book, -1 for none; whether a row has a key that has no book.

    Args:
        codes: Of the rows' keys.
        there: Whether a row has a key.
        places: Of books, by code of their keys.
        out: Gets them.
    """
    missing = False
    for row in range(len(codes)):
        out[row] = -1
        if there[row]:
            if codes[row] < len(places):
                out[row] = places[codes[row]]
            missing |= out[row] < 0
    return missing


@kernel
def in_known_order(askers: Int64s, changes: Int64s, places: Int64s, asked: Int64s) -> None:
    """Put the events that ask in known order; a change that asks is applied before.

    Args:
        askers: A row for each stream and field by which it asks (`S_...`).
        changes: The changes' places in known order.
        places: Of books, by code of their keys.
        asked: Gets a row for each event that asks (`A_...`).
    """
    done = 0
    for event in range(len(asked)):
        asker, sequence = -1, 0
        for k in range(len(askers)):
            row = askers[k, w.S_DONE]
            if row < askers[k, w.S_ROWS]:
                its = load_i64(askers[k, w.S_SEQUENCE] + 8 * row)
                if asker < 0 or its < sequence:
                    asker, sequence = k, its
        row = askers[asker, w.S_DONE]
        askers[asker, w.S_DONE] = row + 1
        while done < len(changes) and changes[done] <= sequence:
            done += 1
        code = load_i64(askers[asker, w.S_CODE] + 8 * row)
        there = load_u8(askers[asker, w.S_THERE] + row) != 0 and code < len(places)
        asked[event, w.A_CHANGES] = done
        asked[event, w.A_BOOK] = places[code] if there else -1
        asked[event, w.A_AT] = load_i64(askers[asker, w.S_AT] + 8 * row)
        asked[event, w.A_PLACE] = row
        asked[event, w.A_FIRST_VALUE] = askers[asker, w.S_FIRST_VALUE]
        asked[event, w.A_LAST_VALUE] = askers[asker, w.S_LAST_VALUE]


@kernel
def advance(
    books: Int64s,
    layout: Int64s,
    columns: Int64s,
    changes: int,
    asked: Int64s,
    values: Int64s,
    words: Int64s,
    present: Bytes,
    part: int,
    parts: int,
) -> None:
    """Apply changes in known order, and read values for events between them.

    Args:
        books: A row of words for each book.
        layout: Of all books (`L_...`).
        columns: Addresses of the changes' columns (`C_...`).
        changes: How many changes there are.
        asked: A row for each event that asks (`A_...`), in known order.
        values: What events ask, a row for each value (`V_...`).
        words: The answers: values by events, in the events' own places.
        present: Whether there is one.
        part: Which part of the books is worked on.
        parts: Of how many.
    """
    done = 0
    for event in range(len(asked) + 1):
        until = asked[event, w.A_CHANGES] if event < len(asked) else changes
        while done < until:
            number = load_i64(columns[w.C_BOOK] + 8 * done)
            if number >= 0 and number % parts == part:
                _apply(books[number], layout, columns, done)
            done += 1
        if event == len(asked):
            break
        number = asked[event, w.A_BOOK]
        if max(number, 0) % parts != part:
            continue
        place, at = asked[event, w.A_PLACE], asked[event, w.A_AT]
        status = _status(books[number], layout, at) if number >= 0 else w.WAITING
        for k in range(asked[event, w.A_FIRST_VALUE], asked[event, w.A_LAST_VALUE]):
            word, there = 0, False
            if number >= 0:
                word, there = _read(books[number], layout, values[k], status)
            elif values[k, w.V_PART] == w.PART_STATUS or values[k, w.V_PART] >= w.PART_GAPS:
                word, there = status if values[k, w.V_PART] == w.PART_STATUS else 0, True
            words[k, place] = word if there else 0
            present[k, place] = 1 if there else 0
