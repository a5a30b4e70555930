"""Back-tests: a changed model or policy over history, and what it would have changed.

Features are computed once; both ways of deciding see the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError, NotFound
from headrace.lifecycle.training_set import training_set
from headrace.pipeline.step import decide

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from headrace.core.columns import Floats, Int64s
    from headrace.definitions.labels import LabelDefinition
    from headrace.definitions.plan import Plan
    from headrace.journal.batch import Decisions
    from headrace.pipeline.inputs import Inputs
    from headrace.pipeline.lane import Definition, Lane


@dataclass(frozen=True, slots=True)
class Side:
    """How one of the two decided.

    Attributes:
        outcomes: Names of outcomes, the mildest first.
        outcome: Of each event.
        score: Of each event; NaN without a model.
        counts: Events by outcome.
        money: What they are worth, by outcome; empty where no feature is money.
        precision: Share of the mature events acted on that were labelled; NaN if there are none.
        recall: Share of the labelled mature events that were acted on; NaN if there are none.
        reasons: How often each feature raised the score of an event acted on the most.
    """

    outcomes: tuple[str, ...]
    outcome: NDArray[np.uint8]
    score: Floats
    counts: dict[str, int]
    money: dict[str, float]
    precision: float
    recall: float
    reasons: dict[str, int]


@dataclass(frozen=True, slots=True)
class Backtest:
    """What a change would have changed.

    Attributes:
        events: How many were decided.
        before: As it is.
        after: With the change.
        moved: Events by (outcome before, outcome after), where the two differ.
        moved_money: What those are worth.
        labels: Whether each event was labelled by the end of the history.
        mature: Whether that is settled.
        amounts: What each event is worth; NaN where missing, empty where no feature is money.
        amount_feature: The feature that says so; "" for none.
    """

    events: int
    before: Side
    after: Side
    moved: dict[tuple[str, str], int]
    moved_money: dict[tuple[str, str], float]
    labels: NDArray[np.bool_]
    mature: NDArray[np.bool_]
    amounts: Floats
    amount_feature: str


def backtest(
    lane: Lane,
    after: Definition,
    label: LabelDefinition | None,
    history: Iterable[Inputs],
    *,
    amount: str | None = None,
) -> Backtest:
    """Decide a history twice: as the lane's definition does, and as `after` does.

    Args:
        lane: A fresh one; its definition is what is compared with.
        after: Another model or policy over the same features.
        label: What says how events turned out; None leaves precision and recall open.
        history: In known order.
        amount: The feature that says what an event is worth; the first that is money when None.

    Raises:
        DefinitionError: When the two have other features.
        NotFound: When `amount` is no feature.
    """
    before = lane.definition
    if before.plan.digest() != after.plan.digest():
        raise DefinitionError(
            "the change has other features than the use case",
            fix="back-test another model or policy; for other features, train and compare metrics",
        )
    place = _amount_place(before.plan, amount)
    data = training_set(lane, label, history)
    seq = np.arange(len(data), dtype=np.int64)
    labelled = data.labelled_ns <= data.end_ns
    maturity_ns = label.within_ns + label.stream.arrives_after_ns if label else 0
    mature = labelled | (data.at_ns + maturity_ns <= data.end_ns)
    if label is None:
        mature = np.zeros(len(data), dtype=bool)
    amounts = data.values[place] if place >= 0 else np.zeros(0)
    sides = [
        _side(
            definition,
            decide(
                definition,
                data.values,
                data.dictionary,
                data.events,
                seq,
                sequences=data.sequences,
            ),
            labelled,
            mature,
            amounts,
        )
        for definition in (before, after)
    ]
    moved, moved_money = _moved(sides[0], sides[1], amounts)
    return Backtest(
        events=len(data),
        before=sides[0],
        after=sides[1],
        moved=moved,
        moved_money=moved_money,
        labels=labelled,
        mature=mature,
        amounts=amounts,
        amount_feature=before.plan.features[place].name if place >= 0 else "",
    )


def _amount_place(plan: Plan, amount: str | None) -> int:
    """The place of the feature that says what an event is worth; -1 for none."""
    names = [feature.name for feature in plan.features]
    if amount is not None:
        if amount not in names:
            raise NotFound(f"no feature {amount!r}; there are: {', '.join(names)}")
        return names.index(amount)
    return next((i for i, item in enumerate(plan.features) if item.kind is Kind.MONEY), -1)


def _side(
    definition: Definition,
    decisions: Decisions,
    labelled: NDArray[np.bool_],
    mature: NDArray[np.bool_],
    amounts: Floats,
) -> Side:
    outcome = decisions.outcome
    outcomes = tuple(definition.policy.outcomes) if definition.policy else ("undecided",)
    acted = outcome > 0
    judged = acted & mature
    names = [feature.name for feature in definition.plan.features]
    reasons = decisions.reason_feature
    first = reasons[0] if len(reasons) else np.full(len(outcome), -1, dtype=np.int16)
    counted = np.bincount(first[acted & (first >= 0)].astype(np.int64), minlength=len(names))
    return Side(
        outcomes=outcomes,
        outcome=outcome,
        score=decisions.score,
        counts={name: int((outcome == i).sum()) for i, name in enumerate(outcomes)},
        money={name: float(np.nansum(amounts[outcome == i])) for i, name in enumerate(outcomes)}
        if len(amounts)
        else {},
        precision=_share(labelled & judged, judged),
        recall=_share(labelled & judged, labelled & mature),
        reasons={
            names[i]: int(counted[i]) for i in np.argsort(-counted, kind="stable") if counted[i]
        },
    )


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    total = int(whole.sum())
    return int(part.sum()) / total if total else float("nan")


def _moved(
    before: Side, after: Side, amounts: Floats
) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], float]]:
    old = np.array(before.outcomes)[before.outcome]
    new = np.array(after.outcomes)[after.outcome]
    counts: dict[tuple[str, str], int] = {}
    money: dict[tuple[str, str], float] = {}
    for one in before.outcomes:
        for other in after.outcomes:
            chosen: Int64s = np.flatnonzero((old == one) & (new == other))
            if one != other and len(chosen):
                counts[one, other] = len(chosen)
                if len(amounts):
                    money[one, other] = float(np.nansum(amounts[chosen]))
    return counts, money
