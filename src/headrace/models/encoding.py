"""From features to what a model takes: categories become the codes that the model was trained with.

A number goes to the model as it is. A category (text, country, currency) is looked up in the
model's vocabulary, which is part of its artefact; a category that was not seen in training is
missing to the model, in training's terms too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import CATEGORICAL, Kind, category_text, pack_letters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.core.columns import Floats
    from headrace.definitions.plan import Feature


def vocabularies(
    features: Sequence[Feature], values: Floats, dictionary: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """The categories of each categorical feature in `values` (features by rows), sorted."""
    found: dict[str, tuple[str, ...]] = {}
    for index, feature in enumerate(features):
        if feature.kind in CATEGORICAL:
            codes = np.unique(values[index][~np.isnan(values[index])]).astype(np.int64)
            found[feature.name] = tuple(
                sorted(category_text(feature.kind, int(code), dictionary) for code in codes)
            )
    return found


@dataclass(slots=True)
class CategoryEncoder:
    """Turns the codes of categorical features into the codes of one model's vocabulary."""

    features: Sequence[Feature]
    vocabulary: Mapping[str, Sequence[str]]
    _categorical: bool = field(init=False)
    _tables: dict[int, Floats] | None = None
    _known: int = -1

    def __post_init__(self) -> None:
        self._categorical = any(feature.kind in CATEGORICAL for feature in self.features)

    def encode(self, values: Floats, dictionary: Sequence[str]) -> Floats:
        """`values` (features by rows) as the model takes them; itself if none is a category.

        The look-up tables are made again when the dictionary has grown.
        """
        if not self._categorical:
            return values
        if self._tables is None or len(dictionary) != self._known:
            self._tables = self._made(dictionary)
            self._known = len(dictionary)
        encoded = values.copy()
        for index, table in self._tables.items():
            present = ~np.isnan(values[index])
            codes = np.where(present, values[index], 0.0).astype(np.int64)
            encoded[index] = np.where(present, table[codes], np.nan)
        return encoded

    def _made(self, dictionary: Sequence[str]) -> dict[int, Floats]:
        tables: dict[int, Floats] = {}
        for index, feature in enumerate(self.features):
            if feature.kind not in CATEGORICAL:
                continue
            places = {text: float(i) for i, text in enumerate(self.vocabulary[feature.name])}
            if feature.kind is Kind.TEXT:
                table = np.array([places.get(text, np.nan) for text in (*dictionary, "")])
            else:
                table = np.full(26 ** (2 if feature.kind is Kind.COUNTRY else 3), np.nan)
                for text, place in places.items():
                    table[pack_letters(text)] = place
            tables[index] = table
        return tables
