"""The calls on frames: which model scores, what columns come back, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import xgboost

import headrace as hr
from headrace.core.errors import ArtefactError
from headrace.definitions.feature_set import RESULT_COLUMNS
from headrace.journal.tables import _OWN
from headrace.runtime.backtesting import history_of
from headrace.runtime.home import Home

if TYPE_CHECKING:
    from pathlib import Path


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key
    amount: hr.Money = hr.field(currency="EUR")


payments = hr.stream(Payment)
card = payments.by("card")
features = hr.features(spent=payments.amount, card_count_1h=card.count("1h"))
policy = hr.Policy(hr.review("score_high", hr.score >= 0.5), otherwise=hr.approve())


def case(**more: Any) -> hr.UseCase:
    return hr.UseCase(**{"on": payments, "features": features, "policy": policy, **more})


def frame(amounts: tuple[float, ...] = (5, 900, 20, 700)) -> pa.Table:
    return pa.table(
        {
            "payment_id": [f"p{i}" for i in range(len(amounts))],
            "at": [f"2026-03-01T12:{i:02}:00Z" for i in range(len(amounts))],
            "card": ["c"] * len(amounts),
            "amount": [f"{amount:.2f}" for amount in amounts],
        }
    )


def saved(path: Path, objective: str = "binary:logistic", names: tuple[str, ...] = ()) -> Path:
    """A model file that XGBoost wrote: amounts over 500 score high."""
    random = np.random.default_rng(7)
    matrix = random.uniform(0, 1000, size=(400, 2))
    labelled = xgboost.DMatrix(
        matrix,
        label=matrix[:, 0] > 500,
        feature_names=list(names or ("spent", "card_count_1h")),
    )
    parameters = {"objective": objective, "max_depth": 2, "nthread": 1}
    xgboost.train(parameters, labelled, num_boost_round=10).save_model(path)
    return path


def test_a_model_file_of_the_use_case_scores_by_itself(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.json")
    decided = hr.decide(case(model=hr.ModelFile(path)), frame())
    assert decided["outcome"].to_pylist() == ["approve", "review", "approve", "review"]
    trained = case(model=hr.XGBoost())
    given = hr.decide(trained, frame(), model=hr.import_model(trained, path))
    assert given["score"].to_pylist() == decided["score"].to_pylist()
    assert None not in decided["score"].to_pylist()


def test_a_back_test_scores_by_the_model_file_too(tmp_path: Path) -> None:
    scored = case(model=hr.ModelFile(saved(tmp_path / "model.json")))
    stricter = hr.Policy(hr.block("any", hr.score >= 0.5), otherwise=hr.approve())
    assert hr.backtest(scored, frame(), new_policy=stricter).moved == {("review", "block"): 2}


@pytest.mark.parametrize("call", [hr.decide, hr.backtest])
def test_a_model_that_was_not_trained_is_refused_with_the_way_out(call: Any) -> None:
    with pytest.raises(hr.NotFound, match=r"hr\.XGBoost\(\).*model=trained\.artefact"):
        call(case(model=hr.XGBoost()), frame())


def test_a_model_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(hr.NotFound, match=r"no model file .*nowhere\.json"):
        hr.decide(case(model=hr.ModelFile(tmp_path / "nowhere.json")), frame())


def test_a_model_of_other_features_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "model.json")
    one = case(model=hr.XGBoost())
    features = hr.features(spent=payments.amount, card_count_1h=card.count("2h"))
    other = case(model=hr.XGBoost(), features=features)
    with pytest.raises(ArtefactError, match="trained for other features"):
        hr.decide(other, frame(), model=hr.import_model(one, path))
    with pytest.raises(ArtefactError, match=r"needs the features \['height'\]"):
        hr.import_model(one, saved(tmp_path / "other.json", names=("spent", "height")))


@pytest.mark.parametrize("objective", ["rank:pairwise", "reg:squarederror", "binary:logitraw"])
def test_a_model_whose_predictions_have_no_bounds_is_refused(
    tmp_path: Path, objective: str
) -> None:
    path = saved(tmp_path / "model.json", objective)
    with pytest.raises(ArtefactError, match=f"{objective}.*binary:logistic"):
        hr.decide(case(model=hr.ModelFile(path)), frame())


def test_no_feature_can_be_called_as_a_column_of_results() -> None:
    decided = hr.decide(case(policy=None), frame())
    columns = set(decided.column_names) | set(_OWN)
    assert columns - set(features) <= RESULT_COLUMNS


class Rate(hr.Row):
    base: hr.Currency
    quote: hr.Currency
    rate: hr.Decimal = hr.field(scale=8)
    valid_from: hr.EventTime


class Chargeback(hr.Event):
    chargeback_id: hr.Id
    at: hr.EventTime
    payment_id: hr.Ref[Payment]
    card: hr.Key


rates = hr.table(Rate, key=("base", "quote"))
chargebacks = hr.stream(Chargeback)
usd = payments.amount.in_currency("USD", rates)
reading = hr.UseCase(
    on=payments,
    features=hr.features(
        usd=usd, spent=card.sum(usd, "1h"), lost=card.count("1h", where=usd.is_missing())
    ),
    label=chargebacks.of(payments).within("1d"),
    model=hr.XGBoost(),
)


@pytest.mark.parametrize("frames", [frame(), {"payment": frame()}])
def test_a_table_that_features_read_must_be_given(frames: Any) -> None:
    with pytest.raises(hr.DataError, match=r"no frame of 'rate', .* \{'payment': \.\.\., 'rate'"):
        hr.compute(reading, frames)


def test_none_says_that_a_table_has_no_rows() -> None:
    computed = hr.compute(reading, {"payment": frame((5, 7)), "rate": None})
    assert computed["usd"].to_pylist() == [None, None]
    assert computed["spent"].to_pylist() == [0, 0]
    assert computed["lost"].to_pylist() == [1, 2]


def test_what_is_called_otherwise_than_any_stream_is_refused() -> None:
    with pytest.raises(hr.DataError, match="called 'rates', and payment-decisions reads payment"):
        hr.compute(reading, {"payment": frame(), "rates": None})


def test_training_needs_the_stream_of_labels() -> None:
    with pytest.raises(hr.DataError, match="no frame of 'chargeback'"):
        hr.train(reading, {"payment": frame(), "rate": None})


def test_files_of_history_must_have_what_features_read(tmp_path: Path) -> None:
    with pytest.raises(hr.DataError, match="--history rate=FILE"):
        next(history_of(reading, Home.at(tmp_path), ["payments.csv"], lambda *_: None))


def test_a_lazy_frame_is_to_be_collected() -> None:
    lazy = pl.LazyFrame({"payment_id": ["p1"]})
    with pytest.raises(hr.DataError, match=r"a LazyFrame has no rows yet; .* collect\(\)"):
        hr.compute(case(policy=None), lazy)
