"""A model as a lane uses it: features in, margins, probabilities and reason codes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from headrace.core.errors import ArtefactError
from headrace.models.class_ensembles import ServedClasses
from headrace.models.contributions import ContributionScorer
from headrace.models.encoding import CategoryEncoder
from headrace.models.ensemble import Link
from headrace.models.lightgbm_format import read_lightgbm
from headrace.models.onnx_model import OnnxModel
from headrace.models.places import places_of
from headrace.models.reasons import top_reasons
from headrace.models.scorecard import read_scorecard
from headrace.models.scorer import TreeScorer
from headrace.models.scores import Scores
from headrace.models.xgboost_format import read_xgboost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Floats, Int64s
    from headrace.core.sequences import Sequences
    from headrace.definitions.plan import Feature, Plan
    from headrace.models.artefact import Artefact
    from headrace.models.ensemble import TreeEnsemble


def read_model(content: bytes, form: str) -> TreeEnsemble:
    """The trees of a model file.

    Args:
        content: Of the file.
        form: "xgboost-json", "xgboost-ubj", "lightgbm-text" or "scorecard-json".

    Raises:
        ArtefactError: When it is not what `form` says, or of a kind that is not served.
    """
    if form == "scorecard-json":
        return read_scorecard(content)
    return read_lightgbm(content) if form == "lightgbm-text" else read_xgboost(content)


class ServedModel:
    """An artefact of trees made ready to score the features of a plan.

    Attributes:
        artefact: The model.
        classes: None: it gives one probability.
        exact: True: its scores are the same on every processor.
        tolerance: 0: they recompute to the last bit.

    Args:
        artefact: The model.
        features: Of the plan, in its order.

    Raises:
        ArtefactError: When the model needs a feature that the plan does not have, or when what it
            predicts is no probability.
    """

    exact = True
    tolerance = 0.0
    classes: tuple[str, ...] = ()

    def __init__(self, artefact: Artefact, features: Sequence[Feature]) -> None:
        self.artefact = artefact
        manifest = artefact.manifest
        self._places = places_of(artefact, features)
        # the last one names the feature -1, which is none
        self._named = np.array([*self._places, -1], dtype=np.int16)
        self._as_they_are = manifest.features == tuple(feature.name for feature in features)
        self._encoder = CategoryEncoder([features[i] for i in self._places], manifest.vocabulary)
        self.ensemble = read_model(artefact.content, manifest.form)
        if self.ensemble.link is not Link.LOGISTIC:
            raise ArtefactError(
                f"model {artefact.id[:12]} has the objective {self.ensemble.objective!r}, whose"
                " predictions have no bounds, and a score lies from 0 to 1: train it as a"
                " classifier (XGBoost: binary:logistic, LightGBM: binary)"
            )
        self._scorer = TreeScorer(self.ensemble)
        self._contributions: ContributionScorer | None = None

    @property
    def contributions(self) -> ContributionScorer:
        """Exact contributions; their tables are made when they are first asked for."""
        if self._contributions is None:
            self._contributions = ContributionScorer(self.ensemble, self._scorer)
        return self._contributions

    def make_ready(self, *, reasons: bool) -> None:
        """Make what scoring needs before the first events come."""
        if reasons:
            _ = self.contributions

    def taken(self, values: Floats, dictionary: Sequence[str]) -> Floats:
        """Features of the plan (features by rows) as the model takes them."""
        chosen = values if self._as_they_are else np.ascontiguousarray(values[self._places])
        return self._encoder.encode(chosen, dictionary)

    def score(self, taken: Floats, sequences: Sequences | None = None) -> Scores:  # noqa: ARG002 - as every model
        """Margins and probabilities of rows that `taken` gave; trees read no sequences."""
        margin = self._scorer.margins(taken)
        calibration = self.artefact.manifest.calibration
        if calibration is not None:
            return Scores(margin, calibration.probability(margin))
        return Scores(margin, self._scorer.probabilities(margin))

    def reasons(
        self,
        taken: Floats,
        rows: Int64s,
        count: int,
        of: Int64s | None = None,  # noqa: ARG002 - as every model
    ) -> tuple[NDArray[np.int16], Floats]:
        """What raised the margin most in the rows numbered `rows`; features by place in the plan.

        Returns:
            Feature (-1: none) and contribution to the margin, each `[count, len(rows)]`.
        """
        contributions = self.contributions.contributions(taken, rows=rows)
        feature, contribution = top_reasons(contributions, count)
        return self._named[feature], contribution


#: What scores: all have `artefact`, `classes`, `exact`, `taken`, `score` and `reasons`.
Model: TypeAlias = ServedModel | ServedClasses | OnnxModel


def served(artefact: Artefact, plan: Plan) -> Model:
    """An artefact made ready to score the features of a plan, of whatever kind it is.

    Raises:
        ArtefactError: When the model needs what the plan does not have, or predicts no scores.
    """
    if artefact.manifest.form == "onnx":
        return OnnxModel(artefact, plan)
    if artefact.manifest.form == "xgboost-classes-json":
        return ServedClasses(artefact, plan.features)
    return ServedModel(artefact, plan.features)
