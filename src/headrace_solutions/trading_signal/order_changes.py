"""Order-level feeds: each order as it comes, changes, is executed and goes.

Readers of such feeds give the streams of this module, and each a book made of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

import headrace as hr
from headrace_solutions.trading_signal.feed import TIME

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class OrderChange(hr.Event):
    """An order has come, changed or gone; or a level of a snapshot, which is of no one order.

    `size` is what remains of the order; what it is reduced by, where `reduces` says so; what it
    still had, where it `removes` it.
    """

    change_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    symbol: hr.Key
    order: hr.Int | None
    bid: hr.Bool
    price: hr.Decimal | None = hr.field(scale=8)
    size: hr.Decimal = hr.field(scale=8, minimum=0)
    removes: hr.Bool
    reduces: hr.Bool
    place: hr.Int
    is_snapshot: hr.Bool
    is_last: hr.Bool


class Execution(hr.Event):
    """A part of an order, or all of it, was traded: what it is reduced by."""

    execution_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    symbol: hr.Key
    order: hr.Int
    bid: hr.Bool
    price: hr.Decimal = hr.field(scale=8)
    size: hr.Decimal = hr.field(scale=8, minimum=0)


class Moment(hr.Event):
    """A snapshot is about to be known, or was taken: when a book is compared with it."""

    moment_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    symbol: hr.Key


order_changes = hr.stream(OrderChange, name="order_changes", dedupe="1m")
executions = hr.stream(Execution, name="executions", dedupe="1m")
moments = hr.stream(Moment, name="moments", dedupe="1m")


def books_of(
    *, levels: int, orders: int, snapshot_levels: int = 0, starts_empty: bool = False
) -> Any:
    """Books of order changes, whatever the feed.

    Args:
        levels: How many a side holds.
        orders: How many are held.
        snapshot_levels: How many levels of a side a snapshot tells at most, if not all.
        starts_empty: Whether a book is known to be empty before its first message.
    """
    return order_changes.book(
        order="order",
        removes="removes",
        reduces="reduces",
        place="place",
        snapshot="is_snapshot",
        ends="is_last",
        levels=levels,
        orders=orders,
        snapshot_levels=snapshot_levels,
        starts_empty=starts_empty,
    )


def changes_of(
    ids: pa.Array,
    times: tuple[NDArray[np.int64], NDArray[np.int64]],
    symbol: str | pa.Array,
    **columns: pa.Array | pa.Scalar,
) -> pa.Table:
    """Rows of `order_changes`; what is the same in all rows may be a scalar.

    Args:
        ids: Of the changes.
        times: When each happened and was known, in nanoseconds.
        symbol: Of all, or of each.
        columns: The others by their names; without `removes`, `reduces`, `is_snapshot` nothing is
            so, without `place` and `is_last` each row is a message.
    """
    count = len(ids)
    no = pa.scalar(value=False)
    given = {
        "removes": no,
        "reduces": no,
        "place": pa.scalar(0, pa.int64()),
        "is_snapshot": no,
        "is_last": pa.scalar(value=True),
        **columns,
    }
    names = pa.scalar(symbol) if isinstance(symbol, str) else symbol
    made = {
        "change_id": ids,
        "at": pa.array(times[0]).cast(TIME),
        "received": pa.array(times[1]).cast(TIME),
        "symbol": names,
        **{
            name: given[name]
            for name in (
                "order", "bid", "price", "size", "removes", "reduces", "place", "is_snapshot",
                "is_last",
            )
        },
    }  # fmt: skip
    return pa.table({name: _whole(column, count) for name, column in made.items()})


def moments_of(
    names: pa.Array, times: NDArray[np.int64], symbol: str, *, id_name: str = "moment_id"
) -> pa.Table:
    """Rows of `moments`, which happen when they are known.

    Args:
        names: Their ids.
        times: In nanoseconds.
        symbol: Of all.
        id_name: What the column of ids is called.
    """
    known = pa.array(times).cast(TIME)
    return pa.table(
        {
            id_name: names,
            "at": known,
            "received": known,
            "symbol": _whole(pa.scalar(symbol), len(names)),
        }
    )


def numbered(*parts: NDArray[np.integer] | str) -> pa.Array:
    """Ids of numbers and words, as in `7/1`.

    >>> import numpy as np
    >>> numbered("a", np.array([1, 2])).to_pylist()
    ['a/1', 'a/2']
    """
    texts = [
        pa.scalar(part) if isinstance(part, str) else pc.cast(pa.array(part), pa.string())
        for part in parts
    ]
    return pc.binary_join_element_wise(*texts, "/")


def _whole(column: pa.Array | pa.Scalar, count: int) -> pa.Array:
    """A column of so many rows."""
    return pa.repeat(column, count) if isinstance(column, pa.Scalar) else column
