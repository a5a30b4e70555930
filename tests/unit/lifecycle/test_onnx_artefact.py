"""Models in ONNX that were made elsewhere: taken in where they fit, refused in words where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headrace as hr
from headrace.core.errors import ArtefactError, DefinitionError, NotFound
from headrace.core.sequences import Sequences
from headrace.lifecycle.onnx_artefact import imported_onnx
from headrace.models.artefact import Artefact
from headrace.models.onnx_model import OnnxModel
from headrace.runtime.models import import_declared

pytest.importorskip("onnxruntime")

FILE = Path(__file__).parents[2] / "golden" / "models" / "sequence.onnx"
SAID: dict[str, Any] = {
    "classes": ("fraud", "genuine"),
    "flat": "flat",
    "sequence": "sequence",
    "mask": "mask",
}


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key
    a: hr.Float
    b: hr.Float
    c: hr.Float
    d: hr.Float
    e: hr.Float
    shop: hr.Category


payments = hr.stream(Payment)
features = hr.features(
    a=payments.a, b=payments.b, c=payments.c, d=payments.d, e=payments.e, shop=payments.shop
)


def case(length: int = 6, width: int = 4, **more: Any) -> hr.UseCase:
    only = ("a", "b", "c", "d", "e")[:width]
    sequence = hr.sequence(features, key="card", length=length, within="1h", only=only)
    model = hr.Onnx(FILE, **{**SAID, **more})
    return hr.UseCase(on=payments, features=features, sequence=sequence, model=model)


def taken_in(made: hr.UseCase) -> Artefact:
    assert isinstance(made.model, hr.Onnx)
    return imported_onnx(made, FILE.read_bytes(), made.model)


def test_a_model_is_bound_by_names_and_kept_by_its_digest(tmp_path: Path) -> None:
    artefact = taken_in(case())
    manifest = artefact.manifest
    assert manifest.onnx is not None
    assert manifest.features == ("a", "b", "c", "d", "e")
    assert manifest.onnx.vector == ("a", "b", "c", "d")
    assert (manifest.onnx.length, manifest.onnx.output) == (6, "scores")
    # neighbours of a block were seen not to change a row
    assert manifest.onnx.rows == 8
    home = artefact.save(tmp_path)
    assert (home / "model.onnx").read_bytes() == FILE.read_bytes()
    assert Artefact.load(home).manifest == manifest
    (home / "model.onnx").write_bytes(FILE.read_bytes() + b"x")
    with pytest.raises(ArtefactError, match="it was changed"):
        Artefact.load(home)


def test_scores_do_not_depend_on_how_many_rows_come_at_once() -> None:
    made = case()
    model = OnnxModel(taken_in(made), made.plan)
    random = np.random.default_rng(2)
    taken = random.normal(size=(5, 21))
    lengths = random.integers(1, 7, 21)
    vectors = random.normal(size=(21, 6, 4)).astype(np.float32)
    for row, length in enumerate(lengths.tolist()):
        vectors[row, : 6 - length] = np.nan
    sequences = Sequences(lengths, vectors)
    whole = model.score(taken, sequences)
    np.testing.assert_allclose(whole.classes.sum(axis=0), 1.0, atol=1e-6)
    assert np.isnan(whole.margin).all()
    for row in range(21):
        at = np.array([row])
        alone = model.score(np.ascontiguousarray(taken[:, at]), sequences.take(at))
        assert alone.classes.tobytes() == np.ascontiguousarray(whole.classes[:, at]).tobytes()
    none = model.score(taken[:, :0], sequences.take(np.zeros(0, dtype=np.int64)))
    assert none.probability.shape == (0,)


def test_what_is_missing_may_be_a_number_to_the_model() -> None:
    made = case(missing=0.0)
    model = OnnxModel(taken_in(made), made.plan)
    nothing = Sequences(np.array([1]), np.full((1, 6, 4), np.nan, dtype=np.float32))
    zeros = Sequences(np.array([1]), np.zeros((1, 6, 4), dtype=np.float32))
    flat = np.full((5, 1), np.nan)
    one, other = model.score(flat, nothing), model.score(np.zeros((5, 1)), zeros)
    assert one.classes.tobytes() == other.classes.tobytes()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"mask": ""}, r"hr.Onnx names \['flat', 'sequence'\]"),
        ({"flat": "rows"}, "the model's inputs are"),
        ({"output": "labels"}, "the scores are to be labels"),
        ({"features": ("a", "shop")}, "'shop', which is a category"),
        ({"features": ("a", "z")}, "'z', which is no feature"),
    ],
)
def test_what_is_bound_wrongly_is_told(more: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        taken_in(case(**more))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: case(length=5), "does not take 5 features and 5 vectors of 4"),
        (lambda: case(classes=("a", "b", "c")), "has 2 columns, and 3 classes"),
    ],
)
def test_what_does_not_fit_the_model_is_told(made: Any, said: str) -> None:
    with pytest.raises(ArtefactError, match=said):
        taken_in(made())


def test_a_model_of_another_sequence_is_refused() -> None:
    artefact = taken_in(case())
    with pytest.raises(ArtefactError, match=r"reads the last 6 vectors of \['a', 'b', 'c', 'd'\]"):
        OnnxModel(artefact, case(length=7).plan)
    bare = hr.UseCase(on=payments, features=features).plan
    with pytest.raises(ArtefactError, match="the use case's sequence is none"):
        OnnxModel(artefact, bare)


def test_bytes_that_are_no_model_are_refused() -> None:
    made = case()
    assert isinstance(made.model, hr.Onnx)
    with pytest.raises(ArtefactError, match="does not run the model"):
        imported_onnx(made, b"no model", made.model)
    absent = hr.Onnx(FILE.parent / "absent.onnx", **SAID)
    with pytest.raises(NotFound, match="no model file"):
        import_declared(made, absent)


def test_margins_in_place_of_scores_are_refused() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(FILE)
    margins = onnx.helper.make_tensor_value_info("margins", onnx.TensorProto.FLOAT, ["n", 2])
    model.graph.output.append(margins)
    made = case(output="margins")
    assert isinstance(made.model, hr.Onnx)
    with pytest.raises(ArtefactError, match="a score lies from 0 to 1"):
        imported_onnx(made, model.SerializeToString(), made.model)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "reads neither features nor a sequence"),
        ({"flat": "x", "classes": ("one",)}, r"classes=\('one',\)"),
        ({"flat": "x", "mask": "m"}, "no sequence that it is of"),
        ({"flat": "x", "tolerance": 2.0}, r"tolerance=2\.0"),
        ({"flat": "x", "missing": float("nan")}, "missing=nan"),
    ],
)
def test_settings_that_mean_nothing_are_refused(said: dict[str, Any], words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        hr.Onnx("m.onnx", **said)


def test_classes_that_the_model_does_not_have_are_no_part_of_rules() -> None:
    with pytest.raises(DefinitionError, match="score_other"):
        hr.UseCase(
            on=payments,
            features=features,
            sequence=hr.sequence(features, key="card", length=6, within="1h"),
            model=hr.Onnx(FILE, **SAID),
            policy=hr.Policy(
                hr.review("other", hr.score_of("other") > 0.5), otherwise=hr.approve()
            ),
        )
