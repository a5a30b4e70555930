"""Where a model's features stand among those of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import ArtefactError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.columns import Int64s
    from headrace.definitions.plan import Feature
    from headrace.models.artefact import Artefact


def places_of(artefact: Artefact, features: Sequence[Feature]) -> Int64s:
    """The place of each feature of a model among a plan's.

    Raises:
        ArtefactError: The plan lacks some.
    """
    names = [feature.name for feature in features]
    lacking = [name for name in artefact.manifest.features if name not in names]
    if lacking:
        raise ArtefactError(
            f"model {artefact.id[:12]} needs the features {lacking}, which the use case does"
            f" not have; it has {names}. Train again, or name the model's features"
        )
    return np.array([names.index(name) for name in artefact.manifest.features], dtype=np.int64)
