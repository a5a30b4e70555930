"""Loans of Lending Club that were issued in 2018, for vintages and drift.

31,766 loans as the R package creditmodel has them. What it took for bad is not documented, and
later loans had less time to become so: the share that is bad falls by construction. So vintages
show how it fell, and say nothing of the probability of default.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Below the folder of data.
FILE = "credit_lendingclub/lendingclub_2018.parquet"
#: What is followed over the year.
CHARACTERISTICS = (
    "annual_inc",
    "dti",
    "bc_util",
    "all_util",
    "installment",
    "funded_amnt_inv",
    "inq_last_12m",
    "acc_open_past_24mths",
    "mo_sin_old_rev_tl_op",
    "avg_cur_bal",
    "mort_acc",
    "pct_tl_nvr_dlq",
)


@dataclass(frozen=True, slots=True)
class Loans:
    """The loans, one row each.

    Attributes:
        month: Of issue, from 0 for January 2018.
        bad: As the package has it.
        grade: Of the lender, A to G.
        columns: Characteristics by name, NaN missing.
    """

    month: NDArray[np.int64]
    bad: NDArray[np.bool_]
    grade: NDArray[np.str_]
    columns: dict[str, NDArray[np.float64]]


def loans(folder: Path) -> Loans:
    """Read them.

    Args:
        folder: Of data, with `FILE` below it.
    """
    table = pq.read_table(folder / FILE)
    month = np.array([int(text.split("/")[1]) - 1 for text in table["issue_d"].to_pylist()])
    return Loans(
        month,
        table["loan_status"].to_numpy() == 1,
        np.array(table["grade"].to_pylist()),
        {
            name: table[name].cast(pa.float64()).to_numpy().astype(np.float64)
            for name in CHARACTERISTICS
        },
    )
