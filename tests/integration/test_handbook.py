"""The Fraud Detection Handbook's published features and figures come out of the serving kernels."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.handbook import (  # noqa: E402 - the same
    BOOK_MODEL,
    CHAPTER_3,
    ORACLE,
    ORACLE_FIRST,
    ORACLE_LAST,
    PUBLISHED_CHAPTER_3,
    TOLERANCE,
    Example,
    book_case,
    judged,
    largest_differences,
    payments_of,
    values_of,
)
from benchmarks.handbook_protocol import Payments, fold  # noqa: E402 - the same

import headrace as hr  # noqa: E402 - after the folder of the benchmarks is known

DATA = Path(os.environ.get("HEADRACE_DATA", ROOT / "data"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (DATA / ORACLE).exists(),
        reason="HEADRACE_DATA names no folder with fraud_handbook/",
    ),
]


@dataclass(frozen=True)
class Book:
    """The book's features, computed once."""

    example: Example
    case: hr.UseCase
    payments: Payments
    computed: pa.Table
    values: NDArray[np.float64]


@pytest.fixture(scope="module")
def book() -> Book:
    example = Example.load(DATA)
    case = book_case(example)
    frames = example.history(example.file, ORACLE_FIRST, ORACLE_LAST)
    computed = hr.compute(case, frames)
    return Book(example, case, payments_of(frames), computed, values_of(case, computed))


def test_every_payment_is_accepted(book: Book) -> None:
    assert set(book.computed["status"].unique().to_pylist()) == {"accepted"}


def test_the_authors_window_features_come_out_equal(book: Book) -> None:
    oracle = pq.read_table(DATA / ORACLE)
    assert len(oracle) == 201_295
    differences = largest_differences(book.computed, oracle)
    windows = [name for name in differences if name.endswith("_WINDOW")]
    assert len(windows) == 12
    for name, difference in differences.items():
        exact = "_NB_TX_" in name or name.startswith("TX_DURING_")
        assert difference <= (0.0 if exact else TOLERANCE), name


def test_the_days_are_parted_as_in_the_book(book: Book) -> None:
    part = fold(book.payments, CHAPTER_3)
    fraud = book.payments.fraud
    assert (len(part.train), int(fraud[part.train].sum())) == (67_240, 598)
    assert (len(part.test), int(fraud[part.test].sum())) == (58_264, 385)


def test_the_published_model_is_reproduced(book: Book) -> None:
    (found,) = judged(book.case, BOOK_MODEL, book.values, book.payments, [CHAPTER_3])
    assert round(found.roc_auc, 3) == PUBLISHED_CHAPTER_3.roc_auc
    assert round(found.average_precision, 3) == PUBLISHED_CHAPTER_3.average_precision
    assert round(found.card_precision, 3) == PUBLISHED_CHAPTER_3.card_precision


def test_our_settings_are_not_below_the_published(book: Book) -> None:
    model = book.example.case.model
    assert isinstance(model, hr.XGBoost)
    (found,) = judged(book.case, model, book.values, book.payments, [CHAPTER_3])
    assert found.roc_auc >= PUBLISHED_CHAPTER_3.roc_auc
    assert found.average_precision >= PUBLISHED_CHAPTER_3.average_precision
    assert found.card_precision >= PUBLISHED_CHAPTER_3.card_precision
