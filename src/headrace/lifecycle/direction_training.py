"""Training a use case whose label is a direction: walk forward, judge, keep the last model.

A model is fitted on each fold and judged on later events that share nothing with what it learned
from (`headrace.lifecycle.folds`). What is kept is the model of the last fold; the figures of its
report are those of all folds, of events that no judged model had seen.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np

from headrace.core.columns import CATEGORICAL, Text
from headrace.core.errors import DefinitionError
from headrace.core.interning import TextTable
from headrace.definitions.directions import DIRECTIONS
from headrace.lifecycle.classification import class_metrics
from headrace.lifecycle.directions import classes_of, moves, threshold_of
from headrace.lifecycle.folds import FoldSettings, walk_forward
from headrace.lifecycle.training import arrival_of, libraries_of, range_of
from headrace.lifecycle.training_set import training_set
from headrace.models.artefact import Artefact, Manifest
from headrace.models.class_training import fit_xgboost_classes
from headrace.models.encoding import CategoryEncoder, vocabularies
from headrace.models.net_specification import LogisticRegression, Lstm
from headrace.models.net_training import ClassExamples, fit_logistic, fit_lstm
from headrace.models.onnx_model import feeds_of, independent_rows, opened, run, tried_rows
from headrace.models.serving import served
from headrace.models.specification import XGBoost
from headrace.models.training import model_matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from headrace.core.columns import Floats, Int64s
    from headrace.definitions.directions import DirectionDefinition
    from headrace.lifecycle.classification import ClassMetrics
    from headrace.lifecycle.directions import Moves
    from headrace.lifecycle.folds import Fold
    from headrace.lifecycle.training_set import TrainingSet
    from headrace.models.net_training import FittedNet
    from headrace.models.onnx_model import Binding
    from headrace.pipeline.inputs import Inputs
    from headrace.pipeline.lane import Lane
    from headrace.pipeline.use_case import UseCase

Classifier: TypeAlias = XGBoost | Lstm | LogisticRegression


@dataclass(frozen=True, slots=True)
class Judged:
    """A fold and how its model did on it.

    Attributes:
        fold: Which events were learned from and judged on.
        threshold: The least move that is not flat, as set on its training part.
        truth: Number of the class of each judged event.
        scores: Of each class, classes by judged events.
        metrics: Of the judged events.
    """

    fold: Fold
    threshold: float
    truth: NDArray[np.int8]
    scores: Floats
    metrics: ClassMetrics


@dataclass(frozen=True, slots=True)
class TrainedDirection:
    """What training gave.

    Attributes:
        artefact: The model of the last fold, with its manifest.
        data: The whole history, as features.
        moves: Of the labelled value, by event.
        judged: Each fold.
        metrics: Of the judged events of all folds.
    """

    artefact: Artefact
    data: TrainingSet
    moves: Moves
    judged: tuple[Judged, ...]
    metrics: ClassMetrics

    def __repr__(self) -> str:
        return (
            f"<model {self.artefact.id[:12]}, macro-F1 {self.metrics.macro_f1:.3f} over"
            f" {len(self.judged)} folds>"
        )


def train_direction(
    case: UseCase,
    lane: Lane,
    history: Iterable[Inputs],
    *,
    settings: FoldSettings | None = None,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
) -> TrainedDirection:
    """Train the use case's model to tell where its label's value goes.

    Args:
        case: With a label of direction and a model to be fitted.
        lane: A fresh one of its definition; the history goes through it.
        history: In known order.
        settings: How history is parted.
        progress: Called with (what is done, done, of how many).

    Raises:
        DefinitionError: When the model cannot be fitted to directions.
        DataError: When the history is too short, or lacks a class.
    """
    specification, label = _learnable(case)
    settings = settings or FoldSettings()
    data = training_set(lane, None, history)
    names = [feature.name for feature in case.plan.features]
    key = data.events.columns[label.key]
    series = TextTable().intern(key) if isinstance(key, Text) else key.values
    made = moves(
        data.values[names.index(label.feature)],
        data.at_ns,
        np.asarray(series, dtype=np.int64),
        after_ns=label.after_ns,
        events=label.events,
    )
    settled = np.where(np.isnan(made.size), np.iinfo(np.int64).max, made.settled_ns)
    judged: list[Judged] = []
    fitted: _Fitted | None = None
    for number, fold in enumerate(walk_forward(data.at_ns, settled, settings)):
        threshold = label.threshold
        if threshold is None:
            threshold = threshold_of(made.size[fold.train], label.flat)
        truth = classes_of(made.size, threshold)
        fitting = _Fitting(case, specification, data, truth.astype(np.int64), fold)
        told = f"fitting fold {number + 1} of {settings.folds}"
        fitted = fitting.fitted(
            lambda done, most, told=told: progress(told, done, most)  # type: ignore[misc]  # a default keeps each fold's own words
        )
        scores = _scores(fitted.artefact, case, data, fold.test)
        figures = class_metrics(truth[fold.test], scores, DIRECTIONS)
        judged.append(Judged(fold, threshold, truth[fold.test], scores, figures))
    assert fitted is not None
    pooled = class_metrics(
        np.concatenate([item.truth for item in judged]),
        np.concatenate([item.scores for item in judged], axis=1),
        DIRECTIONS,
    )
    manifest = msgspec.structs.replace(
        fitted.artefact.manifest,
        split=_split(judged, settings),
        metrics={**pooled.plain(), **fitted.costs},
        label={
            "move of": label.feature,
            "horizon": f"{label.after_ns / 1e9:g} s"
            if label.after_ns
            else f"{label.events} events",
            "threshold": judged[-1].threshold,
        },
    )
    artefact = Artefact(fitted.artefact.content, manifest)
    return TrainedDirection(artefact, data, made, tuple(judged), pooled)


def _learnable(case: UseCase) -> tuple[Classifier, DirectionDefinition]:
    """What is to be fitted, and to which labels."""
    specification, label = case.model, case.direction
    if label is None or not isinstance(specification, XGBoost | Lstm | LogisticRegression):
        raise DefinitionError(
            f"{case.name} has no model that is fitted to directions, or no such label",
            fix="give it label=hr.direction(features.mid, ...), and model=hr.XGBoost(), hr.Lstm()"
            " or hr.LogisticRegression()",
        )
    if isinstance(specification, XGBoost) and specification.without:
        raise DefinitionError(
            "without= is said of a model that tells directions apart, which reads every feature",
            at=specification.at,
            fix="leave the features out of hr.features(...)",
        )
    if isinstance(specification, Lstm) and case.plan.sequence is None:
        raise DefinitionError(
            "hr.Lstm reads a sequence, and the use case has none",
            at=specification.at,
            fix='give it sequence=hr.sequence(features, key="...", length=32, within="...")',
        )
    return specification, label


@dataclass(frozen=True, slots=True)
class _Fitted:
    """The model of a fold, and what each step that made it smaller cost."""

    artefact: Artefact
    costs: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Fitting:
    """One fold's model in the making."""

    case: UseCase
    specification: Classifier
    data: TrainingSet
    truth: NDArray[np.int64]
    fold: Fold

    def fitted(self, progress: Callable[[int, int], None]) -> _Fitted:
        """The model."""
        if isinstance(self.specification, XGBoost):
            return self._trees(self.specification, progress)
        if isinstance(self.specification, Lstm):
            net = fit_lstm(
                self.specification,
                self._sequences(self.fold.train),
                self._sequences(self.fold.validation),
                len(DIRECTIONS),
                progress,
            )
            return self._net(net, ())
        names = self._numbers()
        net = fit_logistic(self.specification, self._flat(self.fold.train), len(DIRECTIONS))
        return self._net(net, tuple(names))

    def _trees(self, said: XGBoost, progress: Callable[[int, int], None]) -> _Fitted:
        features, data = self.case.plan.features, self.data
        vocabulary = vocabularies(features, data.values[:, self.fold.train], data.dictionary)
        taken = CategoryEncoder(features, vocabulary).encode(data.values, data.dictionary)
        label = self.case.direction
        if label is not None and not label.read_value:
            # a tree that never saw a value of it does not split by it
            taken = taken.copy()
            taken[[feature.name for feature in features].index(label.feature)] = np.nan

        def examples(rows: Int64s) -> ClassExamples:
            return ClassExamples(model_matrix(taken[:, rows]), self.truth[rows])  # type: ignore[arg-type]  # trees take floats of 64 bits

        fitted = fit_xgboost_classes(
            said,
            examples(self.fold.train),
            examples(self.fold.validation),
            len(DIRECTIONS),
            names=[feature.name for feature in features],
            categorical=[feature.kind in CATEGORICAL for feature in features],
            progress=progress,
        )
        manifest = self._manifest(fitted.content, fitted.form, fitted.library)
        names = tuple(feature.name for feature in features)
        manifest = msgspec.structs.replace(
            manifest, features=names, vocabulary=vocabulary, trees=fitted.trees
        )
        return _Fitted(Artefact(fitted.content, manifest), {})

    def _net(self, net: FittedNet, names: tuple[str, ...]) -> _Fitted:
        """A net in ONNX, with the macro-F1 of each stage that it went through."""
        binding, plan = net.binding, self.case.plan
        if binding.sequence:
            assert plan.sequence is not None
            vector = tuple(plan.features[place].name for place in plan.sequence.features)
            binding = msgspec.structs.replace(binding, vector=vector)
        costs: dict[str, Any] = dict(net.told)
        artefact: Artefact | None = None
        for stage, content in net.stages.items():
            bound = msgspec.structs.replace(binding, rows=_rows(content, binding, len(names)))
            manifest = self._manifest(content, "onnx", net.library)
            manifest = msgspec.structs.replace(manifest, features=names, onnx=bound)
            artefact = Artefact(content, manifest)
            if len(net.stages) > 1:
                scores = _scores(artefact, self.case, self.data, self.fold.test)
                truth = self.truth[self.fold.test]
                figures = class_metrics(truth, scores, DIRECTIONS)
                costs[f"macro-F1 {stage}, last fold"] = figures.macro_f1
                costs[f"bytes {stage}"] = len(content)
        assert artefact is not None
        return _Fitted(artefact, costs)

    def _manifest(self, content: bytes, form: str, library: str) -> Manifest:
        libraries = libraries_of(library)
        if form == "onnx":
            libraries["onnxruntime"] = version("onnxruntime")
        return Manifest(
            model_sha256=hashlib.sha256(content).hexdigest(),
            form=form,
            definition=self.case.plan.digest(),
            features=(),
            vocabulary={},
            specification=self.specification.plain(),
            trees=0,
            data=range_of(self.data),
            arrival=arrival_of(self.case),
            label={},
            split={},
            metrics={},
            libraries=libraries,
            classes=DIRECTIONS,
        )

    def _sequences(self, rows: Int64s) -> ClassExamples:
        assert self.data.sequences is not None
        return ClassExamples(self.data.sequences.vectors[rows], self.truth[rows])

    def _numbers(self) -> list[str]:
        """The features that are numbers, and may be read."""
        features, label = self.case.plan.features, self.case.direction
        hidden = label.feature if label is not None and not label.read_value else ""
        return [
            feature.name
            for feature in features
            if feature.kind not in CATEGORICAL and feature.name != hidden
        ]

    def _flat(self, rows: Int64s) -> ClassExamples:
        names = [feature.name for feature in self.case.plan.features]
        places = [names.index(name) for name in self._numbers()]
        values = self.data.values[places][:, rows].T
        with np.errstate(over="ignore"):
            return ClassExamples(np.ascontiguousarray(values, np.float32), self.truth[rows])


def _rows(content: bytes, binding: Binding, flat: int) -> int:
    """How many rows may go through a net at once."""
    values, sequences = tried_rows(flat, binding.length, len(binding.vector))
    session, feeds = opened(content), feeds_of(binding, values, sequences)
    run(session, binding, feeds)
    return independent_rows(session, binding, feeds)


def _scores(artefact: Artefact, case: UseCase, data: TrainingSet, rows: Int64s) -> Floats:
    """Scores of the classes by the serving scorer, classes by events."""
    model = served(artefact, case.plan)
    values = np.ascontiguousarray(data.values[:, rows])
    sequences = data.sequences.take(rows) if data.sequences is not None else None
    return model.score(model.taken(values, data.dictionary), sequences).classes


def _split(judged: list[Judged], settings: FoldSettings) -> dict[str, Any]:
    last = judged[-1].fold
    return {
        "folds, walking forward": len(judged),
        "embargo, seconds": settings.embargo_ns / 1e9,
        "last fold trained on": len(last.train),
        "last fold stopped by": len(last.validation),
        "judged on, all folds": sum(len(item.fold.test) for item in judged),
    }
