from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np
import pytest
import xgboost

from headrace.core.errors import ArtefactError
from headrace.models.lightgbm_format import read_lightgbm
from headrace.models.ubjson import read_ubjson
from headrace.models.xgboost_format import read_xgboost

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = np.random.default_rng(3)
TABLE = RANDOM.normal(size=(400, 3))
LABELS = (TABLE[:, 0] > 0).astype(int)


def booster(trees: int = 3, **parameters: Any) -> xgboost.Booster:
    data = xgboost.DMatrix(TABLE, LABELS)
    return xgboost.train({"objective": "binary:logistic", **parameters}, data, trees)


def test_every_form_of_a_model_is_the_same_ensemble(tmp_path: Path) -> None:
    model = booster()
    model.save_model(tmp_path / "model.json")
    model.save_model(tmp_path / "model.ubj")
    digests = {
        read_xgboost(form).digest()
        for form in (
            model,
            tmp_path / "model.json",
            str(tmp_path / "model.ubj"),
            bytes(model.save_raw("json")),
            model.save_raw("ubj"),
            json.dumps(json.loads(model.save_raw("json")), indent=2).encode(),
        )
    }
    assert len(digests) == 1
    assert read_xgboost(booster(4)).digest() not in digests


def test_a_lightgbm_model_is_the_same_from_text_file_and_booster(tmp_path: Path) -> None:
    model = lightgbm.train(
        {"objective": "binary", "verbose": -1}, lightgbm.Dataset(TABLE, LABELS), 3
    )
    model.save_model(tmp_path / "model.txt")
    text = model.model_to_string()
    forms: list[Any] = [model, tmp_path / "model.txt", text, text.encode()]
    assert len({read_lightgbm(form).digest() for form in forms}) == 1


def test_an_older_way_to_write_the_base_score_is_read() -> None:
    document = json.loads(booster().save_raw("json"))
    parameters = document["learner"]["learner_model_param"]
    expected = read_xgboost(json.dumps(document).encode()).base_margin
    parameters["base_score"] = parameters["base_score"].strip("[]")
    assert read_xgboost(json.dumps(document).encode()).base_margin == expected


def test_base_margins_are_the_librarys() -> None:
    data = xgboost.DMatrix(TABLE, LABELS)
    for score in RANDOM.uniform(1e-6, 1 - 1e-6, 60):
        model = booster(1, base_score=float(score), gamma=1e9, eta=0.0)
        margin = float(model.predict(data, output_margin=True)[0])
        assert read_xgboost(model).base_margin == margin


def test_what_is_not_supported_is_named(tmp_path: Path) -> None:
    classes = xgboost.DMatrix(TABLE, RANDOM.integers(0, 3, 400))
    several = xgboost.train({"objective": "multi:softprob", "num_class": 3}, classes, 1)
    with pytest.raises(ArtefactError, match=r"multi:softprob.*supported.*binary:logistic"):
        read_xgboost(several)
    with pytest.raises(ArtefactError, match="gblinear"):
        read_xgboost(booster(booster="gblinear"))
    with pytest.raises(ArtefactError, match="cannot be read"):
        read_xgboost(tmp_path / "absent.json")
    with pytest.raises(ArtefactError, match="neither JSON nor UBJSON"):
        read_xgboost(b"binf")
    with pytest.raises(ArtefactError, match="no XGBoost model"):
        read_xgboost(b'{"learner": {}}')
    linear = lightgbm.train(
        {"objective": "regression", "linear_tree": True, "verbose": -1},
        lightgbm.Dataset(TABLE, TABLE[:, 0]),
        2,
    )
    with pytest.raises(ArtefactError, match="linear leaves"):
        read_lightgbm(linear)
    with pytest.raises(ArtefactError, match="cut short"):
        read_lightgbm("tree\nversion=v4\n")


@pytest.mark.parametrize("cut", [1, 50, 500, 3000])
def test_a_model_cut_short_is_refused(cut: int) -> None:
    document = bytes(booster().save_raw("ubj"))
    with pytest.raises(ArtefactError):
        read_ubjson(document[:cut])


def test_trees_that_do_not_hang_together_are_refused() -> None:
    document = json.loads(booster().save_raw("json"))
    tree = document["learner"]["gradient_booster"]["model"]["trees"][0]
    for damage in (0, 10**6):
        tree["left_children"][0] = damage
        with pytest.raises(ArtefactError):
            read_xgboost(json.dumps(document).encode())
