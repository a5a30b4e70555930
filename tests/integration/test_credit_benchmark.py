"""The benchmark of credit scores on its smallest set: folds, rows, and what is claimed of them."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import credit  # noqa: E402 - after the folder of the benchmarks is known
from benchmarks.pages import filled  # noqa: E402 - the same

from headrace_solutions.credit_risk.open_data import german  # noqa: E402 - the same

DATA = Path(os.environ.get("HEADRACE_DATA", "data"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (DATA / german.FILE).exists(), reason="HEADRACE_DATA has no credit data"
    ),
]


@pytest.fixture(scope="module")
def found() -> credit.DataSet:
    return credit.load(DATA, 2)["german"]()


def test_folds_part_all_rows_and_no_feature_is_protected(found: credit.DataSet) -> None:
    for repeat in range(found.repeats):
        judged = [part for _, part in found.folds(repeat)]
        assert np.array_equal(np.sort(np.concatenate(judged)), np.arange(1000))
        for learned, judged_rows in found.folds(repeat):
            assert not set(learned.tolist()) & set(judged_rows.tolist())
    rows = credit.rows_of(found)
    protected = {"age", "sex_status", "foreign_worker"}
    assert set(found.protected.names) == protected
    for name in ("fair", "served", "rival_fair", "scorecard"):
        assert not protected & set(rows[name].matrix.names)
    for name in ("untuned", "rival", "free"):
        assert protected < set(rows[name].matrix.names)


def test_it_is_not_below_lightgbm_and_prints_what_its_page_asks_for(
    found: credit.DataSet, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = credit.measure(found, ("rival_fair", "served"))
    apart, error = measured.rows["served"].over(measured.rows["rival_fair"])
    assert apart > -error
    assert not np.isnan(measured.probability).any()
    for title in ("Taiwan", "Give Me Some Credit", "German"):
        credit.print_set(replace(found, title=title), measured)
    printed = capsys.readouterr().out
    page = (ROOT / "docs" / "benchmarks" / "credit.md").read_text()
    assert filled(page, "credit", printed) != page
