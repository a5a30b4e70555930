"""Reading LightGBM models: the text that `Booster.save_model` writes.

The library itself is not needed. A numeric split of LightGBM sends `x <= t` left, so it goes right
when `x >= ` the next number after `t`. Values no larger than `ZERO_MAX` are zero to LightGBM.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np

from headrace.core.errors import ArtefactError
from headrace.models.ensemble import Link, Missing, TreeEnsemble
from headrace.models.node_arrays import Node, NodeLists

#: LightGBM's kZeroThreshold, a float32 there: smaller values are read as zero.
ZERO_MAX: Final = float(np.float32(1e-35))

_IDENTITY: Final = frozenset(
    {"regression", "regression_l1", "huber", "fair", "quantile", "mape", "custom", "none"}
)
_CATEGORICAL = 1
_DEFAULT_LEFT = 2


def read_lightgbm(model: str | Path | bytes | Any) -> TreeEnsemble:
    """Read a LightGBM model with one output.

    Args:
        model: a path, the model's text or its bytes, or a `Booster`, which is read whole,
            whatever its best iteration. A text is told from a path by its first line, `tree`.

    Returns:
        The ensemble.

    Raises:
        ArtefactError: the text is no model, or one of a kind that is not supported.
    """
    if hasattr(model, "model_to_string"):
        text = str(model.model_to_string(num_iteration=-1))
    elif isinstance(model, bytes | bytearray):
        text = bytes(model).decode(errors="replace")
    elif isinstance(model, str) and model.startswith("tree\n"):
        text = model
    elif isinstance(model, str | Path):
        try:
            text = Path(model).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise ArtefactError(f"the model {str(model)!r} cannot be read: {error}") from error
    else:
        raise ArtefactError(
            f"a model of type {type(model).__name__} is not a LightGBM model; "
            "give a path, its text, or a Booster (of a scikit-learn model, `booster_`)"
        )
    if not text.startswith("tree\n"):
        raise ArtefactError(
            f"the model begins with {text[:16]!r}, a LightGBM model with 'tree'; "
            "save it again with Booster.save_model"
        )
    if "\nend of trees" not in text:
        raise ArtefactError("the model has no line 'end of trees': it was cut short, copy it again")
    try:
        return _ensemble(text)
    except (KeyError, IndexError, ValueError) as error:
        raise ArtefactError(
            f"this is no LightGBM model as version 3 or later saves it ({error!r}); "
            "save it again with Booster.save_model"
        ) from error


def _section(lines: list[str]) -> dict[str, str]:
    """The `key=value` lines of one section; a line without a value is a flag."""
    return {key: value for key, _, value in (line.partition("=") for line in lines) if key}


def _link(objective: list[str]) -> tuple[Link, float]:
    """How a margin becomes a prediction, and the factor before a logistic link."""
    name = objective[0] if objective else "none"
    options = dict(option.partition(":")[::2] for option in objective[1:])
    if name == "binary":
        return Link.LOGISTIC, float(options.get("sigmoid", "1"))
    if name == "cross_entropy":
        return Link.LOGISTIC, 1.0
    if name in _IDENTITY and "sqrt" not in options:
        return Link.IDENTITY, 1.0
    raise ArtefactError(
        f"the objective {' '.join(objective)!r} is not supported; supported, with one output "
        f"each, are binary, cross_entropy, {', '.join(sorted(_IDENTITY))}"
    )


def _ensemble(text: str) -> TreeEnsemble:
    """The ensemble of a model's text."""
    body, _, _ = text.partition("\nend of trees")
    head, *trees = body.split("\nTree=")
    header = _section(head.splitlines())
    outputs = max(int(header["num_class"]), int(header["num_tree_per_iteration"]))
    if outputs > 1:
        raise ArtefactError(
            f"the model has {outputs} outputs; supported are models with one "
            "(two classes: objective='binary')"
        )
    objective = header.get("objective", "").split()
    link, scale = _link(objective)
    nodes = NodeLists()
    for tree in trees:
        number, *lines = tree.splitlines()
        section = _section(lines)
        if section.get("is_linear", "0").strip() == "1":
            raise ArtefactError(
                f"tree {number} has linear leaves, which are not supported; "
                "train with linear_tree=False"
            )
        nodes.add_tree(_nodes(section))
    names = header["feature_names"].split()
    infos = header.get("feature_infos", "").split()
    categorical = {
        node.feature for node in nodes.nodes if node.feature >= 0 and node.categories is not None
    }
    types = ["c" if feature in categorical else "float" for feature in range(len(names))]
    if len(names) != int(header["max_feature_idx"]) + 1 or len(infos) not in {0, len(names)}:
        raise ArtefactError(
            f"the model names {len(names)} features and uses {header['max_feature_idx']} + 1; "
            "it was changed after it was saved, save it again"
        )
    arrays: Any = nodes.arrays()
    return TreeEnsemble(
        library="lightgbm",
        objective=" ".join(objective) or "none",
        feature_names=tuple(names),
        feature_types=tuple(types),
        link=link,
        link_scale=scale,
        single=False,
        base_margin=0.0,
        divisor=float(max(len(trees), 1)) if "average_output" in header else 1.0,
        inside_right=False,
        **arrays,
    )


def _missing(decision: int) -> Missing:
    """The rule of a numeric split, from the bits of its decision type."""
    default_left = bool(decision & _DEFAULT_LEFT)
    kind = (decision >> 2) & 3
    if kind == 0:
        return Missing.AS_ZERO
    if kind == 1:
        return Missing.LEFT_WITH_ZERO if default_left else Missing.RIGHT_WITH_ZERO
    return Missing.LEFT if default_left else Missing.RIGHT


def _nodes(section: dict[str, str]) -> list[Node]:
    """The nodes of one tree: splits first, then leaves; LightGBM writes leaf `n` as `-n - 1`."""
    leaves = int(section["num_leaves"])
    values = [float(value) for value in section["leaf_value"].split()]
    counts = [float(count) for count in section.get("leaf_count", "").split()] or [1.0] * leaves
    if leaves == 1:
        return [Node(value=values[0], cover=counts[0])]
    splits = leaves - 1
    feature, left, right, decisions = (
        [int(number) for number in section[key].split()]
        for key in ("split_feature", "left_child", "right_child", "decision_type")
    )
    thresholds = [float(threshold) for threshold in section["threshold"].split()]
    internal = [float(count) for count in section["internal_count"].split()]
    boundaries = [int(at) for at in section.get("cat_boundaries", "").split()]
    words = [int(word) for word in section.get("cat_threshold", "").split()]
    nodes = []
    for split in range(splits):
        children = [
            child if child >= 0 else splits - child - 1 for child in (left[split], right[split])
        ]
        node = Node(
            value=0.0,
            cover=internal[split],
            feature=feature[split],
            left=children[0],
            right=children[1],
        )
        if decisions[split] & _CATEGORICAL:
            number = int(thresholds[split])
            held = words[boundaries[number] : boundaries[number + 1]]
            node.categories = tuple(
                32 * at + bit
                for at, word in enumerate(held)
                for bit in range(32)
                if word >> bit & 1
            )
            node.missing = Missing.RIGHT
        else:
            # every number is at most infinity, so there none goes right
            at_most = thresholds[split]
            node.threshold = math.nan if at_most == math.inf else math.nextafter(at_most, math.inf)
            node.missing = _missing(decisions[split])
        nodes.append(node)
    nodes += [Node(value=values[leaf], cover=counts[leaf]) for leaf in range(leaves)]
    return nodes
