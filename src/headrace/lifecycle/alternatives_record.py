"""A search for alternatives as a file, so that one is chosen from it later, by a person.

The file holds what was tried and how it was judged, as JSON: settings of every model, areas of
folds, approvals of groups. `headrace train --alternatives FILE` reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from headrace.core.errors import DataError, HeadraceError
from headrace.lifecycle.alternatives import Alternative, Alternatives, SearchSettings
from headrace.lifecycle.impact import Group, Impact
from headrace.models.specification import LightGBM, Scorecard, XGBoost

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.models.specification import Fittable

_VERSION = 1
_KINDS: dict[str, Any] = {"XGBoost": XGBoost, "LightGBM": LightGBM, "Scorecard": Scorecard}


class _Tried(msgspec.Struct, frozen=True):
    model: dict[str, Any]
    says: str
    areas: tuple[float, ...]
    approvals: dict[str, dict[str, tuple[int, int]]]


class _Search(msgspec.Struct, frozen=True):
    version: int
    case: str
    definition: str
    by: dict[str, tuple[float, ...]]
    count: int
    folds: int
    approved: float
    seed: int
    events: int
    positives: int
    cut_ns: int
    tried: tuple[_Tried, ...]


_DECODER = msgspec.json.Decoder(_Search)


def write_alternatives(found: Alternatives, path: Path) -> None:
    """Write a search to a file."""
    settings = found.settings
    plain = _Search(
        _VERSION,
        found.case,
        found.definition,
        {name: tuple(map(float, edges)) for name, edges in settings.by.items()},
        settings.count,
        settings.folds,
        settings.approved,
        settings.seed,
        found.events,
        found.positives,
        found.cut_ns,
        tuple(
            _Tried(
                one.model.plain(),
                one.says,
                one.areas,
                {
                    impact.attribute: {
                        group.name: (group.count, group.approved) for group in impact.groups
                    }
                    for impact in one.impacts
                },
            )
            for one in found.tried
        ),
    )
    path.write_bytes(msgspec.json.format(msgspec.json.encode(plain), indent=1))


def read_alternatives(path: Path) -> Alternatives:
    """A search as it was written.

    Raises:
        DataError: When the file is not there, or is no search.
    """
    try:
        plain = _DECODER.decode(path.read_bytes())
        if plain.version != _VERSION or not plain.tried:
            raise DataError(f"version {plain.version} of {len(plain.tried)} models")
        settings = SearchSettings(plain.by, plain.count, plain.folds, plain.approved, plain.seed)
        tried = tuple(
            Alternative(
                number,
                _model(one.model),
                one.says,
                one.areas,
                tuple(
                    Impact(name, tuple(Group(group, *counts) for group, counts in groups.items()))
                    for name, groups in one.approvals.items()
                ),
            )
            for number, one in enumerate(plain.tried)
        )
    except (OSError, KeyError, TypeError, msgspec.DecodeError, HeadraceError) as error:
        raise DataError(
            f"{path} holds no search for alternatives ({error}): name the alternatives.json that"
            " headrace alternatives wrote"
        ) from error
    return Alternatives(
        plain.case,
        plain.definition,
        settings,
        plain.events,
        plain.positives,
        plain.cut_ns,
        tried,
    )


def _model(plain: dict[str, Any]) -> Fittable:
    """A model of its settings as plain data."""
    settings = dict(plain)
    kind = _KINDS[settings.pop("kind")]
    settings["without"] = tuple(settings.get("without", ()))
    made: Fittable = kind(**settings)
    return made
