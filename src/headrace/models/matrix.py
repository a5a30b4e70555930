"""The matrix of features that kernels read, and the checks that keep them inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from headrace.core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.models.ensemble import TreeEnsemble

_ALL_ROWS: Final = np.empty(0, np.int64)


def check_matrix(
    ensemble: TreeEnsemble,
    X: NDArray[np.float64],
    rows: NDArray[np.int64] | None,
    low: int,
    high: int | None,
) -> tuple[int, int, NDArray[np.int64]]:
    """Check what a kernel is about to read, and say which rows it is to read.

    Returns:
        The first row, one past the last, and the row numbers (empty for all rows).

    Raises:
        DataError: a shape, type or layout that the kernel cannot read, or a row that is not there.
    """
    if X.dtype != np.float64 or X.ndim != 2 or not X.flags.c_contiguous:
        raise DataError(
            f"X is {X.dtype} with {X.ndim} axes; it must be a C-contiguous float64 matrix "
            "[features, rows]: np.ascontiguousarray(table.T, np.float64)"
        )
    if X.shape[0] != ensemble.features:
        raise DataError(
            f"X has {X.shape[0]} features (its rows), the model {ensemble.features}: "
            f"{', '.join(ensemble.feature_names[:8])}{', ...' if ensemble.features > 8 else ''}"
        )
    places = X.shape[1]
    if rows is not None:
        if rows.dtype != np.int64 or rows.ndim != 1 or not rows.flags.c_contiguous:
            raise DataError(f"rows is {rows.dtype} with {rows.ndim} axes; it must be int64 [n]")
        # as a number without a sign, one below 0 is above all others
        if len(rows) and rows.view(np.uint64).max() >= places:
            raise DataError(f"rows goes from {rows.min()} to {rows.max()}; X has {places} rows")
        places = len(rows)
    end = places if high is None else high
    if not 0 <= low <= end <= places:
        raise DataError(f"rows {low} to {end} were asked for; there are {places}")
    return low, end, _ALL_ROWS if rows is None else rows
