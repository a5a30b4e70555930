"""Search for less discriminatory alternatives: models on the front of accuracy against impact.

A lender may have to show that no other model serves as well and weighs less on a protected group
(12 CFR 1002.6, official interpretation, on the effects test). So many models are fitted that differ
in what nobody has a reason to prefer beforehand: the seed, settings, and which features are left
out. All are judged on the same folds of the same events: by the area under the curve, and by the
rates of approval of the groups, where each approves the same share of a fold, its lowest scores.
The protected attribute measures; no candidate reads it, and how candidates are drawn does not
depend on it.

A person then chooses one, and says why. That is recorded in the manifest of the model that is
trained with it, so that it is part of the model's id, which every decision names.

The best of many looks better than it is. Events after the cut take no part in the search; training
measures the chosen model on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headrace.core.errors import DataError, DefinitionError
from headrace.events.arrow_forms import to_arrow
from headrace.lifecycle.candidates import candidates, difference
from headrace.lifecycle.impact import Impact, bands, impact
from headrace.lifecycle.metrics import roc_auc
from headrace.lifecycle.split import split_in_time
from headrace.lifecycle.training_set import training_set
from headrace.models.encoding import CategoryEncoder, vocabularies
from headrace.models.scorer import TreeScorer
from headrace.models.serving import read_model
from headrace.models.specification import LightGBM, Scorecard, XGBoost
from headrace.models.training import Examples, fit, model_matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Batch, Floats, Int64s
    from headrace.events.schema import Schema
    from headrace.lifecycle.split import Split, SplitSettings
    from headrace.lifecycle.training_set import TrainingSet
    from headrace.models.specification import Fittable
    from headrace.pipeline.inputs import Inputs
    from headrace.pipeline.lane import Lane
    from headrace.pipeline.use_case import UseCase

#: Of the rows that a fold learns from, every so many-th decides when to stop.
_HELD_EVERY = 7


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How alternatives are searched for.

    Attributes:
        by: Protected attributes of the decided event; for one that is a number, the edges of its
            bands, each the first value of the band above: `{"sex": (), "age": (30, 62)}`.
        count: Models to fit, the declared one among them.
        folds: Parts of the events; each is judged by models of the others.
        approved: Share of a fold that each model approves, its lowest scores.
        seed: Of folds and of how candidates are drawn.
    """

    by: Mapping[str, Sequence[float]]
    count: int = 24
    folds: int = 5
    approved: float = 0.8
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.by, Mapping) or not self.by:
            raise DefinitionError(
                f"by={self.by!r} names no protected attribute",
                fix='name them, as in by={"sex": (), "age": (30, 62)}',
            )
        for name, least in (("count", 2), ("folds", 2), ("seed", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise DefinitionError(
                    f"{name}={value!r} of a search", fix=f"give a whole number, at least {least}"
                )
        if not 0.0 < self.approved < 1.0:
            raise DefinitionError(
                f"approved={self.approved!r} of a search",
                fix="give the share that is approved, as in 0.8",
            )


@dataclass(frozen=True, slots=True)
class Alternative:
    """One model that was tried.

    Attributes:
        number: In the order of trying; 0 is the declared model.
        model: Its settings; `without` names the features that it leaves out.
        says: In what it differs from the declared model.
        areas: Under the curve, of each fold.
        impacts: By attribute, over all folds together.
    """

    number: int
    model: Fittable
    says: str
    areas: tuple[float, ...]
    impacts: tuple[Impact, ...]

    @property
    def area(self) -> float:
        """The mean over folds."""
        return float(np.mean(self.areas))

    @property
    def ratio(self) -> float:
        """The lowest adverse impact ratio of any attribute."""
        return min(found.ratio for found in self.impacts)

    def over(self, other: Alternative) -> tuple[float, float]:
        """The mean difference in area to another on the same folds, and its standard error."""
        apart = np.array(self.areas) - np.array(other.areas)
        return float(apart.mean()), float(apart.std(ddof=1) / np.sqrt(len(apart)))


@dataclass(frozen=True, slots=True)
class Alternatives:
    """What a search found.

    Attributes:
        case: Name of the use case.
        definition: Digest of its plan.
        settings: Of the search.
        events: How many were judged.
        positives: Of them, those that were labelled.
        cut_ns: Events from here on took no part.
        tried: Every model, the declared one first.
    """

    case: str
    definition: str
    settings: SearchSettings
    events: int
    positives: int
    cut_ns: int
    tried: tuple[Alternative, ...]

    @property
    def declared(self) -> Alternative:
        """The use case's own model."""
        return self.tried[0]

    @property
    def front(self) -> tuple[Alternative, ...]:
        """Those that no other beats in both area and ratio, the most accurate first.

        A model that ranks no better than guessing approves evenly, and is no alternative.
        """
        ranked = sorted(self.tried, key=lambda one: (-one.area, -one.ratio, one.number))
        kept: list[Alternative] = []
        for one in ranked:
            if one.area > 0.5 and (not kept or one.ratio > kept[-1].ratio):
                kept.append(one)
        return tuple(kept)

    def table(self) -> pa.Table:
        """A row for each model: area, difference to the declared one, ratios and differences."""
        front = {one.number for one in self.front}
        rows = []
        for one in self.tried:
            apart, error = one.over(self.declared)
            row: dict[str, Any] = {
                "number": one.number,
                "on the front": one.number in front,
                "differs in": one.says,
                "AUC": one.area,
                "to declared": apart,
                "standard error": error,
            }
            for found in one.impacts:
                name = found.attribute
                row[f"{name} impact ratio"] = found.ratio
                row[f"{name} ratio's error"] = found.error
                row[f"{name} worst group"] = found.worst.name
                row[f"{name} difference"] = found.difference
            rows.append(row)
        return pa.Table.from_pylist(rows)

    def choose(self, number: int, *, because: str) -> Chosen:
        """Take one of the models, with the reason.

        Args:
            number: Of the model.
            because: Why this one: it is recorded in the trained model's manifest.

        Raises:
            DefinitionError: There is no such number, or no reason.
        """
        if type(number) is not int or not 0 <= number < len(self.tried):
            raise DefinitionError(
                f"there is no alternative {number!r}",
                fix=f"name one from 0, the declared model, to {len(self.tried) - 1}",
            )
        if not isinstance(because, str) or not because.strip():
            raise DefinitionError(
                "no reason is given for the chosen model",
                fix='say why, as in because="as accurate, and the ratio is higher"',
            )
        return Chosen(self, self.tried[number], because.strip())


@dataclass(frozen=True, slots=True)
class Chosen:
    """The model that a person chose, and why.

    Attributes:
        search: What it was chosen from.
        alternative: The model.
        because: The reason.
    """

    search: Alternatives
    alternative: Alternative
    because: str

    def check(self, case: UseCase, cut_ns: int) -> None:
        """See that it may be trained for a use case.

        Raises:
            DefinitionError: It was searched for with other features.
            DataError: Events that it would be judged on took part in the search.
        """
        if self.search.definition != case.plan.digest():
            raise DefinitionError(
                f"the alternatives are of another definition of {self.search.case}",
                at=case.at,
                fix="search again with the features as they are now",
            )
        if cut_ns < self.search.cut_ns:
            raise DataError(
                "events that the model would be judged on took part in the search:"
                " give the same history and the same share of it for the test"
            )

    def record(self, judged: Sequence[Impact]) -> dict[str, Any]:
        """What the manifest says of the choice.

        Args:
            judged: The chosen model's impact on the events after the cut.
        """
        search, settings = self.search, self.search.settings
        return {
            "tried": len(search.tried),
            "events": search.events,
            "folds": settings.folds,
            "seed": settings.seed,
            "approved": settings.approved,
            "bands": {name: list(edges) for name, edges in settings.by.items()},
            "front": [one.number for one in search.front],
            "declared": _figures(search.declared),
            "chosen": _figures(self.alternative),
            "because": self.because,
            "on the test part": {found.attribute: _of(found) for found in judged},
        }


def _figures(one: Alternative) -> dict[str, Any]:
    return {
        "number": one.number,
        "differs in": one.says,
        "ROC AUC": one.area,
        **{found.attribute: _of(found) for found in one.impacts},
    }


def _of(found: Impact) -> dict[str, Any]:
    return {
        "impact ratio": found.ratio,
        "standard error": found.error,
        "difference": found.difference,
        "lowest": found.worst.name,
        "highest": found.best.name,
    }


def search_history(
    case: UseCase,
    lane: Lane,
    history: Iterable[Inputs],
    split: SplitSettings,
    settings: SearchSettings,
    *,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
) -> Alternatives:
    """Put a history through a fresh lane, and search on its events before the cut.

    Args:
        case: With a label, and a model to be fitted.
        lane: A fresh one of its definition.
        history: In known order.
        split: How the history is parted, as training will part it.
        settings: See `SearchSettings`.
        progress: Called with (what is done, done, of how many).
    """
    label = case.label
    if label is None:
        raise DefinitionError(
            f"{case.name} has no label, so there is nothing to learn",
            at=case.at,
            fix='give it label=defaults.of(applications).within("180d")',
        )
    data = training_set(lane, label, history)
    parted = split_in_time(
        data.at_ns,
        maturity_ns=label.within_ns + label.stream.arrives_after_ns,
        end_ns=data.end_ns,
        settings=split,
    )
    return search_alternatives(case, data, parted, settings, progress=progress)


def search_alternatives(
    case: UseCase,
    data: TrainingSet,
    split: Split,
    settings: SearchSettings,
    *,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
) -> Alternatives:
    """Fit many models to the events before the cut, and judge them on the same folds.

    Args:
        case: With a model to be fitted.
        data: Of its history.
        split: Events after its cut take no part.
        settings: See `SearchSettings`.
        progress: Called with (what is done, done, of how many).

    Raises:
        DefinitionError: When an attribute is not a protected field of the decided event.
        DataError: When a group or a class is too small to be judged.
    """
    declared = case.model
    if not isinstance(declared, XGBoost | LightGBM | Scorecard):
        raise DefinitionError(
            f"{case.name} has no model that is fitted to labels",
            at=case.at,
            fix="give it model=hr.XGBoost(), hr.LightGBM() or hr.Scorecard()",
        )
    rows = np.sort(np.concatenate([split.train, split.validation]))
    schema = case.plan.stream(case.plan.on).schema
    groups = groups_of(schema, data.events.take(rows), settings.by)
    judge = _Judge(case, data, rows, split.cut_ns, settings)
    names = [feature.name for feature in case.plan.features]
    tried: list[Alternative] = []
    for model in candidates(declared, names, settings.count, settings.seed):
        progress("fitting alternatives", len(tried), settings.count)
        areas, approved = judge.judged(model)
        tried.append(
            Alternative(
                len(tried),
                model,
                difference(declared, model),
                areas,
                tuple(impact(approved, group, name) for name, group in groups.items()),
            )
        )
    return Alternatives(
        case.name,
        case.plan.digest(),
        settings,
        len(rows),
        int(judge.y.sum()),
        split.cut_ns,
        tuple(tried),
    )


class _Judge:
    """Judges models on the same folds of the same events."""

    def __init__(
        self,
        case: UseCase,
        data: TrainingSet,
        rows: Int64s,
        cut_ns: int,
        settings: SearchSettings,
    ) -> None:
        self.features = case.plan.features
        vocabulary = vocabularies(self.features, data.values[:, rows], data.dictionary)
        encoder = CategoryEncoder(self.features, vocabulary)
        self.taken = encoder.encode(np.ascontiguousarray(data.values[:, rows]), data.dictionary)
        self.y = data.labels(rows, cut_ns)
        self.approved = settings.approved
        self.fold = stratified(self.y, settings.folds, settings.seed)
        least = min(int(self.y.sum()), int((1.0 - self.y).sum()))
        if least < 2 * settings.folds:
            raise DataError(
                f"{int(self.y.sum()):,} of {len(rows):,} events are positive: too few of one class"
                f" for {settings.folds} folds; give a longer history, or fewer folds"
            )

    def judged(self, model: Fittable) -> tuple[tuple[float, ...], NDArray[np.bool_]]:
        """The area under the curve of each fold, and which events are approved."""
        names, categorical, places = model.reads(self.features)
        taken, own = self.taken[places], model.of(names)
        approved = np.zeros(len(self.y), dtype=bool)
        areas = []
        for number in range(int(self.fold.max()) + 1):
            learned, held = np.flatnonzero(self.fold != number), np.flatnonzero(self.fold == number)
            stop = None
            if getattr(model, "early_stopping", None) is not None:
                stop = learned[::_HELD_EVERY]
                learned = np.delete(learned, np.s_[::_HELD_EVERY])
            fitted = fit(
                own,
                Examples(model_matrix(taken[:, learned]), self.y[learned]),
                None if stop is None else Examples(model_matrix(taken[:, stop]), self.y[stop]),
                names=names,
                categorical=categorical,
            )
            scorer = TreeScorer(read_model(fitted.content, fitted.form))
            margin = scorer.margins(np.ascontiguousarray(taken[:, held]))
            areas.append(roc_auc(self.y[held], margin))
            lowest = np.argsort(margin, kind="stable")[: round(self.approved * len(held))]
            approved[held[lowest]] = True
        return tuple(areas), approved


def stratified(y: Floats, folds: int, seed: int) -> Int64s:
    """The fold of each event: both classes spread evenly over them, in an order from a seed.

    >>> stratified(np.array([0.0, 0.0, 1.0, 1.0]), 2, 0)[:2].tolist() in ([0, 1], [1, 0])
    True
    """
    random = np.random.default_rng(seed)
    fold = np.empty(len(y), dtype=np.int64)
    for value in (0.0, 1.0):
        places = random.permutation(np.flatnonzero(y == value))
        fold[places] = np.arange(len(places)) % folds
    return fold


def groups_of(
    schema: Schema, events: Batch, by: Mapping[str, Sequence[float]]
) -> dict[str, NDArray[np.str_]]:
    """The group of each event, by protected attribute.

    Raises:
        DefinitionError: When an attribute is no protected field, or is a number without bands.
    """
    table = to_arrow(schema, events)
    known = [one.name for one in schema.fields if one.protected]
    found = {}
    for name, edges in by.items():
        if name not in known:
            raise DefinitionError(
                f"{name!r} is no protected field of {schema.name}",
                fix=f"name one of {', '.join(known)}"
                if known
                else "declare it by hr.field(protected=True), so that no feature reads it",
            )
        column = table[name]
        number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        if number != bool(edges):
            raise DefinitionError(
                f"{name!r} is {'a number' if number else 'no number'}, and is given"
                f" {'no' if number else ''} edges of bands",
                fix=f"write {name}=30,62: each is the first value of a band"
                if number
                else f"name {name!r} alone",
            )
        if number:
            if list(edges) != sorted(set(edges)):
                raise DefinitionError(f"{name}={edges!r}", fix="give the edges in ascending order")
            found[name] = bands(column.cast(pa.float64()).to_numpy(zero_copy_only=False), edges)
        else:
            found[name] = np.array([text or "not known" for text in column.to_pylist()])
    return found
