"""Headrace: streams of financial events become decisions that are fast, explained and provable.

The public names are loaded when they are first used, so that importing Headrace is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.adapters.service_client import Client as Client
    from headrace.adapters.service_client import Refused as Refused

    # for type checkers and editors; when a program runs, `_PLACES` loads each name on first use
    from headrace.core.errors import DataError as DataError
    from headrace.core.errors import DefinitionError as DefinitionError
    from headrace.core.errors import HeadraceError as HeadraceError
    from headrace.core.errors import NotFound as NotFound
    from headrace.definitions.directions import direction as direction
    from headrace.definitions.expressions import Expression as Expression
    from headrace.definitions.expressions import coalesce as coalesce
    from headrace.definitions.expressions import great_circle as great_circle
    from headrace.definitions.expressions import maximum as maximum
    from headrace.definitions.expressions import minimum as minimum
    from headrace.definitions.expressions import money as money
    from headrace.definitions.expressions import seconds_between as seconds_between
    from headrace.definitions.expressions import when as when
    from headrace.definitions.feature_set import features as features
    from headrace.definitions.plan import BookStatus as BookStatus
    from headrace.definitions.sequences import sequence as sequence
    from headrace.definitions.streams import stream as stream
    from headrace.definitions.streams import table as table
    from headrace.events.event import Event as Event
    from headrace.events.event import Row as Row
    from headrace.events.event import schema_of as schema_of
    from headrace.events.fields import Bool as Bool
    from headrace.events.fields import Category as Category
    from headrace.events.fields import Country as Country
    from headrace.events.fields import Currency as Currency
    from headrace.events.fields import Decimal as Decimal
    from headrace.events.fields import EventTime as EventTime
    from headrace.events.fields import Float as Float
    from headrace.events.fields import Id as Id
    from headrace.events.fields import Int as Int
    from headrace.events.fields import Key as Key
    from headrace.events.fields import KnownAt as KnownAt
    from headrace.events.fields import Money as Money
    from headrace.events.fields import Ref as Ref
    from headrace.events.fields import Text as Text
    from headrace.events.fields import Time as Time
    from headrace.events.fields import field as field
    from headrace.lifecycle.classification import block_error as block_error
    from headrace.lifecycle.classification import class_metrics as class_metrics
    from headrace.lifecycle.classification import macro_f1 as macro_f1
    from headrace.lifecycle.classification import paired_test as paired_test
    from headrace.lifecycle.directions import classes_of as classes_of
    from headrace.lifecycle.directions import moves as moves
    from headrace.lifecycle.directions import threshold_of as threshold_of
    from headrace.lifecycle.drawing import Plot as Plot
    from headrace.lifecycle.drawing import if_drawable as if_drawable
    from headrace.lifecycle.figures import bar_plot as bar_plot
    from headrace.lifecycle.figures import line_plot as line_plot
    from headrace.lifecycle.figures import matrix_plot as matrix_plot
    from headrace.lifecycle.figures import ordered_plot as ordered_plot
    from headrace.lifecycle.report import KeyFigure as KeyFigure
    from headrace.lifecycle.report import Report as Report
    from headrace.lifecycle.sharpe import Sharpe as Sharpe
    from headrace.lifecycle.sharpe import annualised_sharpe as annualised_sharpe
    from headrace.lifecycle.sharpe import deflated_sharpe as deflated_sharpe
    from headrace.lifecycle.sharpe import sharpe as sharpe
    from headrace.models.artefact import Artefact as Artefact
    from headrace.models.net_specification import LogisticRegression as LogisticRegression
    from headrace.models.net_specification import Lstm as Lstm
    from headrace.models.onnx_specification import Onnx as Onnx
    from headrace.models.specification import LightGBM as LightGBM
    from headrace.models.specification import ModelFile as ModelFile
    from headrace.models.specification import Scorecard as Scorecard
    from headrace.models.specification import XGBoost as XGBoost
    from headrace.pipeline.use_case import UseCase as UseCase
    from headrace.policy.adverse_action import AdverseAction as AdverseAction
    from headrace.policy.adverse_action import Change as Change
    from headrace.policy.adverse_action import ScoreScale as ScoreScale
    from headrace.policy.policy import Policy as Policy
    from headrace.policy.policy import approve as approve
    from headrace.policy.policy import block as block
    from headrace.policy.policy import outcome as outcome
    from headrace.policy.policy import review as review
    from headrace.policy.translate import score as score
    from headrace.policy.translate import score_of as score_of
    from headrace.runtime.closed_loop import Counterparty as Counterparty
    from headrace.runtime.closed_loop import Heard as Heard
    from headrace.runtime.frames import OpenLane as OpenLane
    from headrace.runtime.frames import alternatives as alternatives
    from headrace.runtime.frames import backtest as backtest
    from headrace.runtime.frames import compute as compute
    from headrace.runtime.frames import decide as decide
    from headrace.runtime.frames import open_lane as open_lane
    from headrace.runtime.frames import train as train
    from headrace.runtime.models import import_model as import_model

__version__ = "0.1.0"

#: Public name to the module that holds it.
_PLACES = {
    **dict.fromkeys(["Client", "Refused"], "adapters.service_client"),
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
    "BookStatus": "definitions.plan",
    **dict.fromkeys(["stream", "table"], "definitions.streams"),
    "features": "definitions.feature_set",
    "sequence": "definitions.sequences",
    **dict.fromkeys(
        [
            "Expression",
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
    **dict.fromkeys(["LightGBM", "ModelFile", "Scorecard", "XGBoost"], "models.specification"),
    "direction": "definitions.directions",
    "Onnx": "models.onnx_specification",
    **dict.fromkeys(["LogisticRegression", "Lstm"], "models.net_specification"),
    "Artefact": "models.artefact",
    **dict.fromkeys(["AdverseAction", "Change", "ScoreScale"], "policy.adverse_action"),
    **dict.fromkeys(["Policy", "approve", "block", "outcome", "review"], "policy.policy"),
    **dict.fromkeys(["score", "score_of"], "policy.translate"),
    "UseCase": "pipeline.use_case",
    **dict.fromkeys(
        ["block_error", "class_metrics", "macro_f1", "paired_test"], "lifecycle.classification"
    ),
    **dict.fromkeys(["classes_of", "moves", "threshold_of"], "lifecycle.directions"),
    **dict.fromkeys(["Plot", "if_drawable"], "lifecycle.drawing"),
    **dict.fromkeys(["bar_plot", "line_plot", "matrix_plot", "ordered_plot"], "lifecycle.figures"),
    **dict.fromkeys(["KeyFigure", "Report"], "lifecycle.report"),
    **dict.fromkeys(
        ["Sharpe", "annualised_sharpe", "deflated_sharpe", "sharpe"], "lifecycle.sharpe"
    ),
    **dict.fromkeys(["Counterparty", "Heard"], "runtime.closed_loop"),
    **dict.fromkeys(
        ["OpenLane", "alternatives", "backtest", "compute", "decide", "open_lane", "train"],
        "runtime.frames",
    ),
    "import_model": "runtime.models",
    **dict.fromkeys(["DataError", "DefinitionError", "HeadraceError", "NotFound"], "core.errors"),
}

__all__ = sorted(["__version__", *_PLACES])  # noqa: PLE0605 - one list says what is public


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        suggestions = importlib.import_module("headrace.definitions.suggestions")
        near = suggestions.did_you_mean(name, _PLACES)
        raise AttributeError(f"headrace has no {name!r}{near}; it has {', '.join(sorted(_PLACES))}")
    value = getattr(importlib.import_module(f"headrace.{_PLACES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
