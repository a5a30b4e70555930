"""What the sets do not have and a stream needs: an id and a time for each row."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: When the first row is declared to have come.
START = dt.datetime(2005, 10, 1, tzinfo=dt.UTC)
_TIME = pa.timestamp("s", tz="UTC")


def applications(columns: dict[str, Any]) -> pa.Table:
    """Columns with an id and a time in front: `row_0`, `row_1`, ..., a minute apart.

    >>> applications({"income": [1, 2]})["application_id"].to_pylist()
    ['row_0', 'row_1']
    """
    rows = np.arange(len(next(iter(columns.values()))))
    return pa.table({"application_id": _ids(rows), "at": _times(rows), **columns})


def defaults(bad: NDArray[np.bool_]) -> pa.Table:
    """An event for each row that defaulted, at the row's own time.

    >>> defaults(np.array([False, True]))["application_id"].to_pylist()
    ['row_1']
    """
    rows = np.flatnonzero(bad)
    ids = _ids(rows)
    return pa.table(
        {
            "default_id": pa.array([f"default_{row}" for row in rows.tolist()], pa.string()),
            "at": _times(rows),
            "application_id": ids,
        }
    )


def _ids(rows: NDArray[np.int64]) -> pa.Array:
    return pa.array([f"row_{row}" for row in rows.tolist()], pa.string())


def _times(rows: NDArray[np.int64]) -> pa.Array:
    return pa.array(int(START.timestamp()) + 60 * rows, _TIME)
