"""What would have had to be different: a search over the served model and policy themselves.

A tree ensemble and a policy are constant between thresholds. So of a feature only one value in each
stretch between two thresholds has to be tried to know all of them. The search tries every stretch
of each changeable feature, then of each pair, through the scorer and the policy that decided, and
takes the fewest features, and of those the least change. With one feature it finds an answer if
there is one; with two, if neither has more than `PAIR_STRETCHES_MAX` stretches, of which else so
many are tried. It never names a value that it has not tried.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import DefinitionError
from headrace.models.serving import ServedModel
from headrace.policy.conditions import Comparison, Constant, Source, atoms

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from headrace.core.columns import Batch, Floats
    from headrace.pipeline.lane import Definition
    from headrace.policy.adverse_action import Change
    from headrace.policy.policy import Policy

#: Stretches of one feature that a pair is tried with, evenly spread, where there are more.
PAIR_STRETCHES_MAX = 256


@dataclass(frozen=True, slots=True)
class Decided:
    """One event as it was decided.

    Attributes:
        values: Of its features, in the plan's order.
        dictionary: What the codes of texts stand for.
        event: The event, a batch of one.
    """

    values: Floats
    dictionary: Sequence[str]
    event: Batch


@dataclass(frozen=True, slots=True)
class Wanted:
    """A feature that would have had to be different.

    Attributes:
        change: What was declared of it.
        was: Its value.
        value: The least change that is enough.
        beyond: Whether any further change up to the limit is enough too.
    """

    change: Change
    was: float
    value: float
    beyond: bool

    @property
    def text(self) -> str:
        """As the declaration says it."""
        return self.change.text.format(value=self.value)


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """What would have led to another outcome, with all else as it was.

    Attributes:
        outcome: That it would have led to.
        score: That it would have had.
        wanted: One feature, or two together.
    """

    outcome: str
    score: float
    wanted: tuple[Wanted, ...]

    def text(self, granted: Mapping[str, str]) -> str:
        """In words.

        Args:
            granted: What the applicant would have been, by outcome.
        """
        both = " and ".join(item.text for item in self.wanted)
        came = granted.get(self.outcome, self.outcome)
        return f"With {both}, and all else unchanged, your application would have been {came}."


class CounterfactualSearch:
    """Finds what would have led to another outcome.

    Args:
        definition: What decided, with a model and a policy.
        changes: What may be changed.

    Raises:
        DefinitionError: When the model is not of trees, or tells classes apart.
    """

    def __init__(self, definition: Definition, changes: Sequence[Change]) -> None:
        if definition.model is not None and not isinstance(definition.model, ServedModel):
            raise DefinitionError(
                f"{definition.name} has a model in which no least change can be searched for",
                fix="use one whose answers change at thresholds: hr.XGBoost(), hr.LightGBM() or"
                " hr.Scorecard()",
            )
        self._definition = definition
        self._changes = changes
        self._names = [feature.name for feature in definition.plan.features]

    def find(self, decided: Decided, outcomes: Collection[str]) -> Counterfactual | None:
        """The least change that would have led to one of `outcomes`; None if no two features do.

        Args:
            decided: The event as it was.
            outcomes: Those that are wanted.
        """
        stretches = [self.stretches(change, decided) for change in self._changes]
        for count in (1, 2):
            best: tuple[float, tuple[int, ...], tuple[float, ...]] | None = None
            for chosen in itertools.combinations(range(len(self._changes)), count):
                tried = self._tried(decided, chosen, [stretches[i] for i in chosen], outcomes)
                if tried is not None and (best is None or tried[0] < best[0]):
                    best = (tried[0], chosen, tried[1])
            if best is not None:
                return self._told(decided, outcomes, best[1], best[2], stretches)
        return None

    def stretches(self, change: Change, decided: Decided) -> Floats:
        """A value in each stretch that the feature can be brought to, the nearest first.

        It is the value of the stretch that is nearest to what the feature was, of the multiples of
        the change's step; a stretch that holds none is left out.
        """
        was = float(decided.values[self._names.index(change.feature)])
        if np.isnan(was) or change.direction * (change.limit - was) <= 0:
            return np.zeros(0)
        edges = np.array(sorted(set(self._thresholds(change.feature))))
        steps = edges / change.step
        # a row goes right when it is at least the threshold: to the left lies what is below it;
        # one step further on, since a model may round what it compares
        near = np.ceil(steps) if change.direction > 0 else np.ceil(steps) - 1
        whole = np.concatenate([near, near + change.direction])
        values = np.unique(np.append(np.round(whole * change.step, 12), change.limit))
        values = values[(change.direction * (values - was) > 0)]
        values = values[change.direction * (change.limit - values) >= 0]
        return values if change.direction > 0 else values[::-1]

    def _thresholds(self, feature: str) -> Iterator[float]:
        """Where the model or the policy may come to another answer."""
        model = self._definition.model
        if isinstance(model, ServedModel) and feature in model.ensemble.feature_names:
            ensemble = model.ensemble
            place = ensemble.feature_names.index(feature)
            numbers = (ensemble.feature == place) & (ensemble.category_set < 0)
            yield from ensemble.threshold[numbers].tolist()
        if self._definition.policy is not None:
            for value in _constants(self._definition.policy.policy, feature):
                yield value
                yield float(np.nextafter(value, np.inf))

    def _scored(self, decided: Decided, values: Floats) -> tuple[Floats, list[str]]:
        """Scores and outcomes of the event with other values: features by rows."""
        definition = self._definition
        rows = values.shape[1]
        score = np.full(rows, np.nan)
        if definition.model is not None:
            score = definition.model.score(
                definition.model.taken(values, decided.dictionary)
            ).probability
        if definition.policy is None:
            return score, ["undecided"] * rows
        events = decided.event.take(np.zeros(rows, dtype=np.int64))
        found = definition.policy.evaluate(values, score, events).outcome
        return score, [definition.policy.outcomes[number] for number in found.tolist()]

    def _with(
        self, decided: Decided, chosen: Sequence[int], grid: Sequence[tuple[float, ...]]
    ) -> Floats:
        """The event's features once for each row of a grid of values."""
        values = np.repeat(decided.values[:, None], len(grid), axis=1)
        for place, number in enumerate(chosen):
            feature = self._names.index(self._changes[number].feature)
            values[feature] = [row[place] for row in grid]
        return np.ascontiguousarray(values)

    def _tried(
        self,
        decided: Decided,
        chosen: Sequence[int],
        stretches: Sequence[Floats],
        wanted: Collection[str],
    ) -> tuple[float, tuple[float, ...]] | None:
        """The least change of these features that is enough, with its size."""
        if len(chosen) > 1:
            stretches = [_spread(values, PAIR_STRETCHES_MAX) for values in stretches]
        grid = list(itertools.product(*[values.tolist() for values in stretches]))
        if not grid:
            return None
        _, outcomes = self._scored(decided, self._with(decided, chosen, grid))
        sizes = [
            (sum(self._size(decided, n, value) for n, value in zip(chosen, row, strict=True)), row)
            for row, found in zip(grid, outcomes, strict=True)
            if found in wanted
        ]
        return min(sizes, default=None)

    def _size(self, decided: Decided, number: int, value: float) -> float:
        """How large a change is: the share of the way to the limit."""
        change = self._changes[number]
        was = float(decided.values[self._names.index(change.feature)])
        return abs(value - was) / abs(change.limit - was)

    def _told(
        self,
        decided: Decided,
        enough: Collection[str],
        chosen: tuple[int, ...],
        found: tuple[float, ...],
        stretches: Sequence[Floats],
    ) -> Counterfactual:
        score, came = self._scored(decided, self._with(decided, chosen, [found]))
        wanted = []
        for place, number in enumerate(chosen):
            change = self._changes[number]
            further = stretches[number]
            further = further[change.direction * (further - found[place]) >= 0]
            rows = [(*found[:place], value, *found[place + 1 :]) for value in further.tolist()]
            _, outcomes = self._scored(decided, self._with(decided, chosen, rows))
            was = float(decided.values[self._names.index(change.feature)])
            wanted.append(Wanted(change, was, found[place], set(outcomes) <= set(enough)))
        return Counterfactual(came[0], float(score[0]), tuple(wanted))


def _spread(values: Floats, most: int) -> Floats:
    """At most so many of the values, the ends among them."""
    if len(values) <= most:
        return values
    spread: Floats = values[np.unique(np.linspace(0, len(values) - 1, most).astype(int))]
    return spread


def _constants(policy: Policy, feature: str) -> Iterator[float]:
    """The numbers that a policy's rules compare a feature to."""
    for rule in policy.rules:
        for atom in atoms(rule.condition):
            if not isinstance(atom, Comparison):
                continue
            left, right = atom.left, atom.right
            asks = left.source is Source.FEATURE and left.name == feature
            if asks and isinstance(right, Constant) and isinstance(right.value, Decimal):
                yield float(right.value)
