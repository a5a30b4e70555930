"""Where things stand in the words of an order book, and what kernels are told of one."""

from __future__ import annotations

# the head of a book. The key's code; its state; whether a message is open, whether that is a
# snapshot, whether it is skipped; the update ids that a run without gaps began and ended with,
# whether there is one; the id of the snapshot that is being taken; times of the last message and of
# the last move of a best price, whether there were any
(
    H_KEY,
    H_STATE,
    H_OPEN,
    H_SNAPSHOT,
    H_SKIPPED,
    H_FIRST,
    H_LAST,
    H_HAS_LAST,
    H_SNAPSHOT_ID,
    H_UPDATED_AT,
    H_UPDATED,
    H_MOVED_AT,
    H_MOVED,
    # price, size of the best bid, of the best ask after the last message, whether they are known
    H_TOP,
    _,
    _,
    _,
    H_TOP_KNOWN,
    # the same after the message before
    H_PREVIOUS,
    _,
    _,
    _,
    H_PREVIOUS_KNOWN,
    # order flow of the last message at the best bid, at the best ask, whether it is known
    H_FLOW,
    _,
    H_FLOW_KNOWN,
    H_CROSSED,
    # counters
    H_GAPS,
    H_CROSSINGS,
    H_SNAPSHOTS,
    H_IGNORED,
    H_DROPPED,
    H_CORRECTIONS,
    # of bids, of asks: levels held; the best price that was dropped, whether there is one
    H_COUNT,
    _,
    H_HORIZON,
    _,
    H_HAS_HORIZON,
    _,
    H_ORDERS,
    # of the message that is open: its last update id, the place of the change that comes next
    H_MESSAGE,
    H_NEXT,
    # of the snapshot that is being taken: levels told of bids, of asks, the farthest of each, and
    # whether it says otherwise than the book did
    H_TOLD,
    _,
    H_FARTHEST,
    _,
    H_DIFFERS,
) = range(47)
HEAD = 47

# what a kernel is told of all books: levels of a side, slots for orders, nanoseconds until one is
# stale (0 is never), whether a book is known to be empty before its first message, two halves of
# the key of the hash of orders, the most orders, and how many levels of a side a snapshot tells at
# most, or 0 for all
(
    L_LEVELS,
    L_ORDERS,
    L_STALE,
    L_STARTS_EMPTY,
    L_HASH_0,
    L_HASH_1,
    L_MOST_ORDERS,
    L_SNAPSHOT_LEVELS,
) = range(8)

# columns of changes, by address; 0 is a column that there is none of
(
    C_BOOK,
    C_AT,
    C_BID,
    C_PRICE,
    C_PRICE_VALID,
    C_SIZE,
    C_FIRST,
    C_FIRST_VALID,
    C_LAST,
    C_LAST_VALID,
    C_SNAPSHOT,
    C_ENDS,
    C_ORDER,
    C_ORDER_VALID,
    C_REDUCES,
    C_REMOVES,
    C_PLACE,
) = range(17)
COLUMN_WORDS = 17

# what is read, as `BookPart` of the plan is numbered
(
    PART_PRICE,
    PART_SIZE,
    PART_DEPTH,
    PART_FLOW,
    PART_PREVIOUS,
    PART_UPDATED_AT,
    PART_MOVED_AT,
    PART_STATUS,
    PART_GAPS,
    PART_CROSSINGS,
    PART_SNAPSHOTS,
    PART_IGNORED,
    PART_DROPPED,
    PART_CORRECTIONS,
) = range(14)

# an event that asks: how many changes were known before it, its book (-1 for none), its time, its
# place among the answers, and which values it asks
A_CHANGES, A_BOOK, A_AT, A_PLACE, A_FIRST_VALUE, A_LAST_VALUE = range(6)
ASKED_WORDS = 6

# a stream that asks by a field: addresses of the places of its rows in known order, of the codes of
# their keys, of whether there is one and of their times; how many rows there are; which values they
# ask; and how many of them are in order already
(
    S_SEQUENCE,
    S_ROWS,
    S_CODE,
    S_THERE,
    S_AT,
    S_FIRST_VALUE,
    S_LAST_VALUE,
    S_DONE,
) = range(8)

# a value that is read: what, of which side, which level (or of how many)
V_PART, V_SIDE, V_LEVEL = range(3)
VALUE_WORDS = 3

# the state of a book, and its status where these alone decide
IN_SYNC, WAITING, GAP, CROSSED, STALE, IN_MESSAGE, BROKEN = range(7)

#: In the place of whether a snapshot differs: it tells orders, not levels.
OF_ORDERS = 2

#: The greatest price, size and sum of sizes of a level.
EXACT_LIMIT = 2**53 - 1
