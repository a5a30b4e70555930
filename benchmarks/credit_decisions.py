"""Credit decisions on public data: learn from the first rows, decide the rest, and report on them.

    HEADRACE_DATA=FOLDER python -m benchmarks.credit_decisions OUT [--sets taiwan gmsc german]

For each set, OUT holds a folder with what a lender would have: the files of applications and
defaults, the home (journal, model, keys), every decision as Parquet, a notice of each refusal that
the report tells of, the proof of one decision with what verifies it, and `report.html`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks.credit_page import page_of
from benchmarks.lending import SETS, lend

from headrace_solutions.credit_risk.open_data import taiwan


def main() -> int:
    """Decide on each set, and write its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--rows", type=int, default=None, help="take the first rows alone")
    asked = parser.parse_args()
    data = Path(os.environ.get("HEADRACE_DATA", "data"))
    if not (data / taiwan.FILE).exists():
        sys.exit("credit_taiwan is not there; set HEADRACE_DATA to the folder that holds it")
    for name in asked.sets:
        lent = lend(SETS[name], data, asked.out / name, asked.rows)
        page_of(lent).write(lent.place.report)
        sys.stdout.write(f"wrote {lent.place.report}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
