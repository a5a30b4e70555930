"""Candidates of a search: models that differ from the declared one in seed, settings or features.

What is drawn depends on a seed and on the declared model alone, never on data.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.models.specification import Scorecard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headrace.models.specification import Fittable, LightGBM, XGBoost

#: The most features that a candidate leaves out.
LEFT_OUT_MOST = 3
#: How often a model is drawn anew that has been drawn already; few features allow few models.
_TRIES = 20


def candidates(
    declared: Fittable, features: Sequence[str], count: int, seed: int
) -> Iterator[Fittable]:
    """So many models, the declared one first; then, in turn, other seeds, settings and features.

    Args:
        declared: Where the others start.
        features: Names of all that the use case has.
        count: Models in all.
        seed: Of what is drawn.

    >>> from headrace.models.specification import XGBoost
    >>> found = list(candidates(XGBoost(), ["a", "b", "c", "d", "e"], 5, seed=1))
    >>> found[0] == XGBoost(), [bool(one.without) for one in found]
    (True, [False, False, False, True, True])
    """
    random = np.random.default_rng(seed)
    drawn = [declared]
    yield declared
    for number in range(1, count):
        for _ in range(_TRIES):
            model = _drawn(declared, features, (number - 1) % 4, random)
            if model not in drawn:
                break
        drawn.append(model)
        yield model


def _drawn(
    declared: Fittable, features: Sequence[str], turn: int, random: np.random.Generator
) -> Fittable:
    """Another seed (turn 0), other settings (1), other features (2), or both of these (3)."""
    model = declared
    # another seed makes another model only where fitting draws something
    if turn == 0 and not isinstance(model, Scorecard) and min(model.subsample, model.colsample) < 1:
        return replace(model, seed=int(random.integers(1, 10_000)))
    if turn != 2:
        model = _other_settings(model, random)
    if turn >= 2:
        model = replace(model, without=_left_out(declared, features, random))
    return model


def _left_out(
    declared: Fittable, features: Sequence[str], random: np.random.Generator
) -> tuple[str, ...]:
    read = [name for name in features if name not in declared.without]
    most = min(LEFT_OUT_MOST, len(read) - 1)
    if most < 1:
        return tuple(declared.without)
    gone = random.choice(len(read), size=int(random.integers(1, most + 1)), replace=False)
    return (*declared.without, *(read[place] for place in sorted(gone.tolist())))


def _other_settings(model: Fittable, random: np.random.Generator) -> Fittable:
    if isinstance(model, Scorecard):
        return replace(
            model,
            bins=int(random.integers(4, 13)),
            smallest=round(float(random.uniform(0.01, 0.08)), 3),
            information=round(float(random.choice([0.005, 0.01, 0.02, 0.05])), 3),
            l2=round(float(model.l2 * 2.0 ** random.uniform(-3, 3)), 3),
        )
    return _other_trees(model, random)


def _other_trees(model: XGBoost | LightGBM, random: np.random.Generator) -> XGBoost | LightGBM:
    depth = int(np.clip(model.max_depth + random.integers(-1, 3), 1, 8))
    pace = float(2.0 ** random.uniform(-1.0, 1.0))
    return replace(
        model,
        max_depth=depth,
        # a slower model grows more trees, so that both come as far
        learning_rate=round(min(model.learning_rate * pace, 1.0), 4),
        trees=max(10, round(model.trees / pace)),
        min_child_weight=round(
            float(max(model.min_child_weight, 0.5) * 2 ** random.uniform(-1, 3)), 2
        ),
        subsample=round(float(random.uniform(0.5, 1.0)), 2),
        colsample=round(float(random.uniform(0.4, 1.0)), 2),
        l2=round(float(max(model.l2, 0.5) * 2.0 ** random.uniform(-2, 3)), 2),
    )


def difference(declared: Fittable, model: Fittable) -> str:
    """In what a model differs from the declared one, in words."""
    parts = []
    for one in fields(declared):
        was, now = getattr(declared, one.name), getattr(model, one.name)
        if one.name == "at" or was == now:
            continue
        parts.append(_said(one.name, was, now))
    return ", ".join(parts) or "nothing: as declared"


def _said(name: str, was: Any, now: Any) -> str:
    if name != "without":
        return f"{name} {now:g}" if isinstance(now, float) else f"{name} {now}"
    return f"without {' and '.join(one for one in now if one not in was)}"
