"""Headrace: streams of financial events become decisions that are fast, explained and provable.

The public names are loaded when they are first used, so that importing Headrace is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Public name to the module that holds it.
_PLACES = {
    **dict.fromkeys(["Event", "Row", "schema_of"], "events.event"),
    **dict.fromkeys(
        [
            "Bool",
            "Category",
            "Country",
            "Currency",
            "Decimal",
            "EventTime",
            "Float",
            "Id",
            "Int",
            "Key",
            "KnownAt",
            "Money",
            "Ref",
            "Text",
            "Time",
            "field",
        ],
        "events.fields",
    ),
    **dict.fromkeys(["stream", "table"], "definitions.streams"),
    "features": "definitions.feature_set",
    **dict.fromkeys(
        [
            "coalesce",
            "great_circle",
            "maximum",
            "minimum",
            "money",
            "seconds_between",
            "when",
        ],
        "definitions.expressions",
    ),
    **dict.fromkeys(["LightGBM", "ModelFile", "XGBoost"], "models.specification"),
    "Artefact": "models.artefact",
    **dict.fromkeys(["Policy", "approve", "block", "outcome", "review"], "policy.policy"),
    "score": "policy.translate",
    "UseCase": "pipeline.use_case",
    **dict.fromkeys(["compute", "decide", "train"], "runtime.frames"),
    "HeadraceError": "core.errors",
}

__all__ = sorted(["__version__", *_PLACES])  # noqa: PLE0605 - one list says what is public


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"headrace has no {name!r}; it has {', '.join(sorted(_PLACES))}")
    value = getattr(importlib.import_module(f"headrace.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
