"""Training a use case: history in, an artefact out."""

from __future__ import annotations

import datetime as dt
import hashlib
import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from headrace.core.errors import DataError, DefinitionError
from headrace.events.schema import Role
from headrace.lifecycle.alternatives import groups_of
from headrace.lifecycle.folds import FoldSettings
from headrace.lifecycle.impact import impact
from headrace.lifecycle.metrics import (
    average_precision,
    brier,
    calibration_error,
    precision_at,
    roc_auc,
)
from headrace.lifecycle.split import SplitSettings, split_in_time
from headrace.lifecycle.training_set import training_set
from headrace.models.artefact import Artefact, Manifest
from headrace.models.calibration import fit_calibration
from headrace.models.encoding import CategoryEncoder, vocabularies
from headrace.models.scorer import TreeScorer
from headrace.models.serving import read_model, served
from headrace.models.specification import LightGBM, Scorecard, XGBoost
from headrace.models.training import Examples, fit, model_matrix, positive_weight, try_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace.core.columns import Floats, Int64s
    from headrace.definitions.labels import LabelDefinition
    from headrace.lifecycle.alternatives import Chosen
    from headrace.lifecycle.split import Split
    from headrace.lifecycle.training_set import TrainingSet
    from headrace.models.calibration import Calibration
    from headrace.models.specification import Fittable
    from headrace.models.specifications import ModelSpecification
    from headrace.models.training import Fitted
    from headrace.pipeline.inputs import Inputs
    from headrace.pipeline.lane import Lane
    from headrace.pipeline.use_case import UseCase


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a model is trained.

    Attributes:
        split: How history is parted.
        alerts: How many of the highest scores `precision_at` is measured over.
        folds: How history is parted where the label is a direction.
    """

    split: SplitSettings = field(default_factory=SplitSettings)
    alerts: int = 100
    folds: FoldSettings = field(default_factory=FoldSettings)


@dataclass(frozen=True, slots=True)
class Trained:
    """What training gave.

    Attributes:
        artefact: The model with its manifest.
        data: The whole history, as features.
        split: Which events were learned from and judged on.
        test_labels: Of the test part, as known at the end of the history.
        test_scores: Of the test part.
    """

    artefact: Artefact
    data: TrainingSet
    split: Split
    test_labels: Floats
    test_scores: Floats

    def __repr__(self) -> str:
        return f"<model {self.artefact.id[:12]}, trained on {len(self.split.train):,} events>"


def train(
    case: UseCase,
    lane: Lane,
    history: Iterable[Inputs],
    *,
    settings: TrainingSettings | None = None,
    alternative: Chosen | None = None,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
) -> Trained:
    """Train the use case's model on a history.

    Args:
        case: With a label and a model to be fitted.
        lane: A fresh one of its definition; the history goes through it.
        history: In known order.
        settings: See `TrainingSettings`.
        alternative: The model to train in place of the declared one; None trains that.
        progress: Called with (what is done, done, of how many) while trees are grown.

    Raises:
        DefinitionError: When the use case has no label, or no model to fit.
        DataError: When the history is too short, or has no positives.
    """
    specification, label = _learnable(case)
    if alternative is not None:
        specification = alternative.alternative.model
    settings = settings or TrainingSettings()
    plan = case.plan
    names, categorical, places = specification.reads(plan.features)
    own = specification.of(names)
    try_out(own, names=names, categorical=categorical)
    data = training_set(lane, label, history)
    maturity_ns = maturity_of(label)
    split = split_in_time(
        data.at_ns, maturity_ns=maturity_ns, end_ns=data.end_ns, settings=settings.split
    )
    if alternative is not None:
        alternative.check(case, split.cut_ns)
    read = [plan.features[place] for place in places]
    values = data.values[places]
    vocabulary = vocabularies(read, values[:, split.train], data.dictionary)
    taken = CategoryEncoder(read, vocabulary).encode(values, data.dictionary)

    def examples(rows: Int64s) -> Examples:
        return Examples(model_matrix(taken[:, rows]), data.labels(rows, split.cut_ns))

    learned, held_out = examples(split.train), examples(split.validation)
    fitted = fit(
        own,
        learned,
        _validation(held_out),
        names=names,
        categorical=categorical,
        progress=lambda done, most: progress("growing trees", done, most),
    )
    manifest = Manifest(
        model_sha256=hashlib.sha256(fitted.content).hexdigest(),
        form=fitted.form,
        definition=plan.digest(),
        features=tuple(names),
        vocabulary=vocabulary,
        specification={**specification.plain(), **_weight(specification, learned.y)},
        trees=fitted.trees,
        data=range_of(data),
        arrival=arrival_of(case),
        label={"stream": label.stream.name, "within days": maturity_ns / 86_400e9},
        split=_parts(split),
        metrics={},
        libraries=libraries_of(fitted.library),
        calibration=_calibration(specification, fitted, held_out),
    )
    scores, labels = _test(Artefact(fitted.content, manifest), case, data, split)
    metrics = _metrics(labels, scores, settings.alerts)
    chosen = {} if alternative is None else _chosen(alternative, case, data, split, scores)
    artefact = Artefact(
        fitted.content, msgspec.structs.replace(manifest, metrics=metrics, alternatives=chosen)
    )
    return Trained(artefact, data, split, labels, scores)


def maturity_of(label: LabelDefinition) -> int:
    """How long after an event its label is known for certain, nanoseconds."""
    return label.within_ns + label.stream.arrives_after_ns


def _chosen(
    alternative: Chosen, case: UseCase, data: TrainingSet, split: Split, scores: Floats
) -> dict[str, Any]:
    """The record of the choice, with the impact on the events after the cut."""
    settings = alternative.search.settings
    schema = case.plan.stream(case.plan.on).schema
    groups = groups_of(schema, data.events.take(split.test), settings.by)
    approved = np.zeros(len(scores), dtype=bool)
    approved[np.argsort(scores, kind="stable")[: round(settings.approved * len(scores))]] = True
    return alternative.record([impact(approved, group, name) for name, group in groups.items()])


def _weight(specification: Fittable, y: Floats) -> dict[str, float]:
    """What a positive weighs; a scorecard weighs every example the same."""
    if isinstance(specification, Scorecard):
        return {}
    return {"weight of a positive": positive_weight(y, specification.class_weight)}


def _learnable(case: UseCase) -> tuple[Fittable, LabelDefinition]:
    """What is to be fitted, and to which labels."""
    specification = case.model
    if not isinstance(specification, XGBoost | LightGBM | Scorecard):
        raise DefinitionError(
            f"{case.name} has {'no model' if specification is None else 'a ready-made model file'}",
            fix="give it model=hr.XGBoost(), hr.LightGBM() or hr.Scorecard() to train one",
        )
    if case.label is None:
        raise DefinitionError(
            f"{case.name} has no label, so there is nothing to learn",
            fix='give it label=chargebacks.of(payments).within("60d")',
        )
    return specification, case.label


def _parts(split: Split) -> dict[str, Any]:
    return {
        "trained on": len(split.train),
        "stopped by": len(split.validation),
        "judged on": len(split.test),
        "labels known by": _day(split.cut_ns),
    }


def libraries_of(training: str) -> dict[str, str]:
    """Names and versions of what a model was made by."""
    return {
        "training": training,
        "numpy": np.__version__,
        "headrace": version("headrace"),
        "python": platform.python_version(),
    }


def _calibration(specification: Fittable, fitted: Fitted, held_out: Examples) -> Calibration | None:
    """A calibration of the fitted model to the examples that it did not learn from."""
    if specification.calibration is None:
        return None
    scorer = TreeScorer(read_model(fitted.content, fitted.form))
    margins = scorer.margins(np.ascontiguousarray(held_out.X.T))
    return fit_calibration(specification.calibration, margins, held_out.y)


def _validation(examples: Examples) -> Examples | None:
    """Examples to stop by; None when they hold one class alone, which says nothing."""
    positives = int(examples.y.sum())
    return examples if 0 < positives < len(examples.y) else None


def _test(
    artefact: Artefact, case: UseCase, data: TrainingSet, split: Split
) -> tuple[Floats, Floats]:
    """Scores of the test part by the serving scorer, and its labels at the end of the history."""
    model = served(artefact, case.plan)
    values = np.ascontiguousarray(data.values[:, split.test])
    scores = model.score(model.taken(values, data.dictionary)).probability
    return scores, data.labels(split.test, split.end_ns)


def _metrics(labels: Floats, scores: Floats, alerts: int) -> dict[str, Any]:
    positives = int(labels.sum())
    found: dict[str, Any] = {"test events": len(labels), "test positives": positives}
    if 0 < positives < len(labels):
        found["ROC AUC"] = roc_auc(labels, scores)
        found["average precision"] = average_precision(labels, scores)
        found[f"precision at {alerts}"] = precision_at(labels, scores, min(alerts, len(labels)))
    found["Brier score"] = brier(labels, scores)
    found["calibration error"] = calibration_error(labels, scores)
    return found


def range_of(data: TrainingSet) -> dict[str, Any]:
    """What a history holds: times, and counts of events."""
    return {
        "first event": _day(int(data.at_ns.min())),
        "last event": _day(int(data.at_ns.max())),
        "end of history": _day(data.end_ns),
        "events": len(data),
        "quarantined": data.quarantined,
        "duplicates": data.duplicates,
        "labelled": int((data.labelled_ns <= data.end_ns).sum()),
    }


def arrival_of(case: UseCase) -> str:
    """Whether every event says when it was known, or that is assumed."""
    streams = [case.plan.stream(case.plan.on), *case.plan.streams]
    known = all(stream.schema.having(Role.KNOWN_AT) is not None for stream in streams)
    return "known" if known else "assumed"


def _day(ns: int) -> str:
    moment = dt.datetime.fromtimestamp(ns // 1_000_000_000, tz=dt.UTC)
    return moment.isoformat().replace("+00:00", "Z")


def imported(
    case: UseCase, content: bytes, form: str, specification: ModelSpecification
) -> Artefact:
    """An artefact of a model that was trained elsewhere; its features are matched by name.

    Raises:
        DataError: When the file is of neither library.
    """
    if form not in ("xgboost-json", "xgboost-ubj", "lightgbm-text", "scorecard-json"):
        raise DataError(
            f"a model of form {form!r}: expected XGBoost's JSON or UBJSON, LightGBM's text, or a"
            " scorecard"
        )
    ensemble = read_model(content, form)
    names = tuple(ensemble.feature_names) or tuple(f.name for f in case.plan.features)
    manifest = Manifest(
        model_sha256=hashlib.sha256(content).hexdigest(),
        form=form,
        definition=case.plan.digest(),
        features=names,
        vocabulary={},
        specification=specification.plain(),
        trees=ensemble.trees,
        data={"source": "a model file that was trained elsewhere"},
        arrival="assumed",
        label={},
        split={},
        metrics={},
        libraries={"headrace": version("headrace")},
    )
    return Artefact(content, manifest)
