"""Losses given default of a European bank (Baesens and others, Credit Risk Analytics, 2016).

2,545 defaulted loans with loan-to-value, a purpose and the share that was lost. The other columns
of the file are functions of that share, and are not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Below the folder of data.
FILE = "credit_lgd/lgd.parquet"
NAMES = ("loan_to_value", "other_purpose")
#: Loss may only rise as these grow.
MONOTONE = {"loan_to_value": 1}


def losses(folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Features, float64[n, 2], and the share that was lost, float64[n].

    Args:
        folder: Of data, with `FILE` below it.
    """
    table = pq.read_table(folder / FILE)
    values = np.column_stack([table["LTV"].to_numpy(), table["purpose1"].to_numpy()])
    return values.astype(np.float64), table["lgd_time"].to_numpy()
