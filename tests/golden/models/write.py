"""Writes `sequence.onnx`: what a sequence model has, as small as it goes, from a seed.

Run it with `onnx` installed; the file is committed, so that tests need ONNX Runtime alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

FLAT, LENGTH, WIDTH, HIDDEN, CLASSES = 5, 6, 4, 4, 2


def main() -> None:
    """Write the file beside this one."""
    random = np.random.default_rng(11)

    def drawn(name: str, *shape: int) -> Any:
        return numpy_helper.from_array(random.normal(0.0, 0.5, shape).astype(np.float32), name)

    weights = [
        drawn("W", 2, 4 * HIDDEN, WIDTH),
        drawn("R", 2, 4 * HIDDEN, HIDDEN),
        drawn("B", 2, 8 * HIDDEN),
        drawn("V", 2 * HIDDEN + FLAT, CLASSES),
        drawn("c", CLASSES),
        numpy_helper.from_array(np.zeros(1, dtype=np.float32), "zero"),
        numpy_helper.from_array(np.array([2], dtype=np.int64), "last"),
        numpy_helper.from_array(np.array([0, -1], dtype=np.int64), "rows"),
    ]
    nodes = []

    def node(kind: str, *inputs: str, to: str, **options: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [to], **options))
        return to

    def squashed(name: str) -> str:
        """Missing as 0, and a logarithm of what is there: amounts have a long tail."""
        there = node("Where", node("IsNaN", name, to=f"{name}_gone"), "zero", name, to=f"{name}_0")
        grown = node("Log", node("Add", node("Abs", there, to=f"{name}_1"), "one", to=f"{name}_2"),
                     to=f"{name}_3")  # fmt: skip
        return node("Mul", node("Sign", there, to=f"{name}_4"), grown, to=f"{name}_5")

    weights.append(numpy_helper.from_array(np.ones(1, dtype=np.float32), "one"))
    masked = node(
        "Mul", squashed("sequence"), node("Unsqueeze", "mask", "last", to="wide"), to="masked"
    )
    by_time = node("Transpose", masked, to="by_time", perm=[1, 0, 2])
    nodes.append(
        helper.make_node(
            "LSTM", [by_time, "W", "R", "B"], ["", "hidden", ""],
            hidden_size=HIDDEN, direction="bidirectional",
        )
    )  # fmt: skip
    rows = node(
        "Reshape", node("Transpose", "hidden", to="turned", perm=[1, 0, 2]), "rows", to="read"
    )
    both = node("Concat", rows, squashed("flat"), to="both", axis=1)
    node("Softmax", node("Gemm", both, "V", "c", to="margins"), to="scores", axis=-1)
    graph = helper.make_graph(
        nodes,
        "sequence",
        [
            helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["n", FLAT]),
            helper.make_tensor_value_info("sequence", TensorProto.FLOAT, ["n", LENGTH, WIDTH]),
            helper.make_tensor_value_info("mask", TensorProto.FLOAT, ["n", LENGTH]),
        ],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", CLASSES])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    (Path(__file__).parent / "sequence.onnx").write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
