"""What the sets do not have: an id and a time for each row, and who decides."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

import headrace as hr

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


def adverse_action(*changes: hr.Change, bureau: str = "") -> hr.AdverseAction:
    """What notices say, of a creditor that is made up.

    Args:
        changes: What an applicant can change.
        bureau: Whose report was used, made up too; "" where none was.

    >>> adverse_action().outcomes
    {'block': 'Your application for credit was declined.'}
    """
    return hr.AdverseAction(
        creditor="Example Bank, 1 Main Street, Springfield",
        agency="Consumer Financial Protection Bureau, 1700 G Street NW, Washington, DC 20552",
        bureau=bureau,
        outcomes={"block": "Your application for credit was declined."},
        scale=hr.ScoreScale(),
        changes=changes,
    )


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
