"""Reading XGBoost models: JSON or UBJSON, from a file, bytes or a live `Booster`.

The library itself is not needed to read its files. What is read repeats XGBoost's own arithmetic:
features are rounded to float32, leaves are summed as float32 in the order of the trees, starting
from the base margin.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from headrace.core.errors import ArtefactError
from headrace.models.ensemble import Link, Missing, TreeEnsemble
from headrace.models.float_log import float_log
from headrace.models.node_arrays import Node, NodeLists
from headrace.models.ubjson import read_ubjson

#: Objectives with one output, how their margin becomes a prediction, and whether `base_score` is a
#: probability that has to be turned into a margin first.
_OBJECTIVES: Final = {
    "binary:logistic": (Link.LOGISTIC, True),
    "binary:logitraw": (Link.IDENTITY, False),
    "reg:logistic": (Link.LOGISTIC, True),
    "reg:squarederror": (Link.IDENTITY, False),
    "reg:squaredlogerror": (Link.IDENTITY, False),
    "reg:absoluteerror": (Link.IDENTITY, False),
    "reg:pseudohubererror": (Link.IDENTITY, False),
    "rank:pairwise": (Link.IDENTITY, False),
    "rank:ndcg": (Link.IDENTITY, False),
    "rank:map": (Link.IDENTITY, False),
}


#: Objectives with a margin for each class, whose softmax is the prediction.
_CLASS_OBJECTIVES: Final = ("multi:softprob", "multi:softmax")


def read_xgboost_classes(document: bytes) -> tuple[TreeEnsemble, ...]:
    """Read an XGBoost model of several classes: an ensemble for the margin of each.

    Args:
        document: the bytes of a JSON or UBJSON model.

    Raises:
        ArtefactError: the bytes are no model, or one of a kind that is not supported.
    """
    try:
        parsed = _parse(document)
        learner = parsed["learner"]
        objective = learner["objective"]["name"]
        if objective not in _CLASS_OBJECTIVES:
            raise ArtefactError(
                f"the objective {objective!r} tells no classes apart; supported are"
                f" {', '.join(_CLASS_OBJECTIVES)}"
            )
        count = int(learner["learner_model_param"]["num_class"])
        return tuple(_ensemble(parsed, output) for output in range(count))
    except _UNREADABLE as error:
        raise _unreadable(error) from error


def read_xgboost(model: str | Path | bytes | bytearray | Any) -> TreeEnsemble:
    """Read an XGBoost model with one output.

    Args:
        model: a path, the bytes of a JSON or UBJSON model, or a `Booster`. A `Booster` is read
            whole, whatever its best iteration: slice it first to keep fewer trees.

    Returns:
        The ensemble. A categorical feature takes the category codes of the training data.

    Raises:
        ArtefactError: the bytes are no model, or one of a kind that is not supported.
    """
    if isinstance(model, str | Path):
        try:
            document = Path(model).read_bytes()
        except OSError as error:
            raise ArtefactError(f"the model {str(model)!r} cannot be read: {error}") from error
    elif isinstance(model, bytes | bytearray):
        document = bytes(model)
    elif hasattr(model, "save_raw"):
        document = bytes(model.save_raw("ubj"))
    else:
        raise ArtefactError(
            f"a model of type {type(model).__name__} is not an XGBoost model; "
            "give a path, bytes, or a Booster (of a scikit-learn model, `get_booster()`)"
        )
    try:
        return _ensemble(_parse(document))
    except _UNREADABLE as error:
        raise _unreadable(error) from error


_UNREADABLE: Final = (KeyError, TypeError, IndexError, ValueError)


def _unreadable(error: Exception) -> ArtefactError:
    return ArtefactError(
        f"this is no XGBoost model as version 1.6 or later saves it ({error!r}); "
        "save it again with Booster.save_model, as .json or .ubj"
    )


def _parse(document: bytes) -> Any:
    """The document of a JSON or UBJSON model; both begin with a brace."""
    if not document.startswith(b"{"):
        raise ArtefactError(
            f"the model begins with {document[:8]!r}, which is neither JSON nor UBJSON; "
            "save it again with Booster.save_model, as .json or .ubj"
        )
    if document[1:2] in b' \r\n\t"}':
        return json.loads(document)
    return read_ubjson(document)


def _base_margin(written: str, output: int | None, *, probability: bool) -> float:
    """The margin that sums of an output start from; None where there is one output.

    Written as a number up to version 3.0, as a vector of one since. The steps are XGBoost's own,
    each rounded to float32.
    """
    numbers = json.loads(written.lower())
    if isinstance(numbers, list) and output is not None:
        # one for all outputs up to version 3.0
        numbers = numbers[output if len(numbers) > 1 else 0]
    if isinstance(numbers, list):
        if len(numbers) != 1:
            raise ArtefactError(
                f"base_score has {len(numbers)} values; only models with one output are supported"
            )
        numbers = numbers[0]
    score = np.float32(numbers)
    if not probability:
        return float(score)
    if not 0 < score < 1:
        raise ArtefactError(f"base_score is {score}; a logistic model's lies between 0 and 1")
    odds = np.float32(1) / score - np.float32(1)
    return -float(float_log(odds))


def _trees(booster: Any) -> tuple[Any, list[float] | None]:
    """The model of a booster and, for DART, the weight of each tree."""
    name = booster["name"]
    if name == "gbtree":
        return booster["model"], None
    if name == "dart":
        return booster["gbtree"]["model"], [float(weight) for weight in booster["weight_drop"]]
    raise ArtefactError(
        f"the booster {name!r} has no trees to score; supported are 'gbtree' and 'dart'"
    )


def _ensemble(document: Any, output: int | None = None) -> TreeEnsemble:
    """The ensemble of a parsed document; of one output's trees, where it has several."""
    learner = document["learner"]
    objective = learner["objective"]["name"]
    if output is None and objective not in _OBJECTIVES:
        raise ArtefactError(
            f"the objective {objective!r} is not supported; supported, with one output each, are "
            f"{', '.join(sorted(_OBJECTIVES))}"
        )
    parameters = learner["learner_model_param"]
    outputs = max(int(parameters.get("num_class", 0)), int(parameters.get("num_target", 1)))
    if output is None and outputs > 1:
        raise ArtefactError(
            f"the model has {outputs} outputs; supported are models with one "
            "(two classes: objective='binary:logistic')"
        )
    model, weights = _trees(learner["gradient_booster"])
    trees = NodeLists()
    for number, tree in enumerate(model["trees"]):
        if output is not None and int(model["tree_info"][number]) != output:
            continue
        if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
            raise ArtefactError(
                "the model has vector leaves (multi_strategy='multi_output_tree'); "
                "supported are models with one output"
            )
        trees.add_tree(_nodes(tree, 1.0 if weights is None else weights[number]))
    link, probability = _OBJECTIVES.get(objective, (Link.IDENTITY, False))
    count = int(parameters["num_feature"])
    names = learner.get("feature_names") or [f"f{column}" for column in range(count)]
    types = learner.get("feature_types") or ["float"] * count
    arrays: Any = trees.arrays()
    return TreeEnsemble(
        library="xgboost",
        objective=objective,
        feature_names=tuple(names),
        feature_types=tuple(types),
        link=link,
        link_scale=1.0,
        single=True,
        base_margin=_base_margin(parameters["base_score"], output, probability=probability),
        divisor=1.0,
        inside_right=True,
        **arrays,
    )


def _nodes(tree: Any, weight: float) -> list[Node]:
    """The nodes of one tree in the file's numbering; a DART tree's leaves take its weight."""
    categories: dict[int, tuple[int, ...]] = {}
    codes = [int(code) for code in tree.get("categories", ())]
    for node, start, size in zip(
        tree.get("categories_nodes", ()),
        tree.get("categories_segments", ()),
        tree.get("categories_sizes", ()),
        strict=True,
    ):
        categories[int(node)] = tuple(codes[int(start) : int(start) + int(size)])
    left = [int(child) for child in tree["left_children"]]
    right = [int(child) for child in tree["right_children"]]
    conditions = np.asarray(tree["split_conditions"], np.float32).astype(np.float64).tolist()
    covers = np.asarray(tree["sum_hessian"], np.float32).astype(np.float64).tolist()
    if np.isnan(conditions).any():
        raise ArtefactError("a split or leaf of the model is NaN; train it again on finite labels")
    nodes = []
    for index, feature in enumerate(tree["split_indices"]):
        if left[index] < 0:
            value = float(np.float32(weight) * np.float32(conditions[index]))
            nodes.append(Node(value=value, cover=covers[index]))
            continue
        nodes.append(
            Node(
                value=0.0,
                cover=covers[index],
                feature=int(feature),
                threshold=0.0 if index in categories else conditions[index],
                left=left[index],
                right=right[index],
                missing=Missing.LEFT if int(tree["default_left"][index]) else Missing.RIGHT,
                categories=categories.get(index),
            )
        )
    return nodes
