"""Trees that tell classes apart: an ensemble for the margin of each, scored by the exact kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import ArtefactError
from headrace.models.class_kernels import softmax
from headrace.models.contributions import ContributionScorer
from headrace.models.encoding import CategoryEncoder
from headrace.models.places import places_of
from headrace.models.reasons import top_reasons
from headrace.models.scorer import TreeScorer
from headrace.models.scores import Scores
from headrace.models.xgboost_format import read_xgboost_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Floats, Int64s
    from headrace.core.sequences import Sequences
    from headrace.definitions.plan import Feature
    from headrace.models.artefact import Artefact


class ServedClasses:
    """An XGBoost model of several classes made ready to score the features of a plan.

    Margins equal the library's, bit for bit; their softmax is ours. Reasons are what raised the
    margin of a class, exactly.

    Attributes:
        artefact: The model.
        classes: What its scores are of.
        exact: True: its scores are the same on every processor.
        tolerance: 0: they recompute to the last bit.

    Args:
        artefact: The model.
        features: Of the plan, in its order.

    Raises:
        ArtefactError: When the model needs a feature that the plan does not have, or has other
            classes than it says.
    """

    exact = True
    tolerance = 0.0

    def __init__(self, artefact: Artefact, features: Sequence[Feature]) -> None:
        self.artefact = artefact
        manifest = artefact.manifest
        self.classes = manifest.classes
        self._places = places_of(artefact, features)
        # the last one names the feature -1, which is none
        self._named = np.array([*self._places, -1], dtype=np.int16)
        self._encoder = CategoryEncoder([features[i] for i in self._places], manifest.vocabulary)
        self._ensembles = read_xgboost_classes(artefact.content)
        if len(self._ensembles) != len(self.classes):
            raise ArtefactError(
                f"model {artefact.id[:12]} has {len(self._ensembles)} outputs, and its manifest"
                f" names the classes {list(self.classes)}: restore it, or train again"
            )
        self._scorers = [TreeScorer(ensemble) for ensemble in self._ensembles]
        self._contributions: dict[int, ContributionScorer] = {}

    def contributions(self, place: int) -> ContributionScorer:
        """Exact contributions to the margin of a class, by its number; made when first needed."""
        if place not in self._contributions:
            made = ContributionScorer(self._ensembles[place], self._scorers[place])
            self._contributions[place] = made
        return self._contributions[place]

    def make_ready(self, *, reasons: bool) -> None:
        """Make what scoring needs before the first events come."""
        for place in range(len(self.classes)) if reasons else ():
            self.contributions(place)

    def taken(self, values: Floats, dictionary: Sequence[str]) -> Floats:
        """Features of the plan (features by rows) as the model takes them."""
        return self._encoder.encode(np.ascontiguousarray(values[self._places]), dictionary)

    def margins(self, taken: Floats) -> Floats:
        """The margin of each class, classes by rows."""
        return np.stack([scorer.margins(taken) for scorer in self._scorers])

    def score(self, taken: Floats, sequences: Sequences | None = None) -> Scores:  # noqa: ARG002 - as every model
        """Scores of rows that `taken` gave; trees read no sequences."""
        margins = self.margins(taken)
        scores = np.empty_like(margins)
        softmax(margins, scores)
        return Scores(margins[0].copy(), scores[0].copy(), scores)

    def reasons(
        self, taken: Floats, rows: Int64s, count: int, of: Int64s | None = None
    ) -> tuple[NDArray[np.int16], Floats]:
        """What raised the margin of a class most in the rows numbered `rows`.

        Args:
            taken: Of all rows.
            rows: Those to explain.
            count: Reasons of each at most.
            of: The number of the class that each of them is explained by; None is the first.

        Returns:
            Feature (by place in the plan, -1: none) and contribution, each `[count, len(rows)]`.
        """
        feature = np.full((count, len(rows)), -1, dtype=np.int16)
        contribution = np.zeros((count, len(rows)))
        asked = np.zeros(len(rows), dtype=np.int64) if of is None else of
        for place in np.unique(asked).tolist():
            mine = (asked == place).nonzero()[0]
            made = self.contributions(place).contributions(taken, rows=rows[mine])
            found, contribution[:, mine] = top_reasons(made, count)
            feature[:, mine] = self._named[found]
        return feature, contribution
