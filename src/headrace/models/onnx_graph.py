"""Writing nets as ONNX, node by node: what is served is then known to the last operation.

Every net begins by standardising its input, with missing values at the mean, so that features go in
as they are; and ends in a softmax over classes.
"""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

#: Names of inputs and outputs.
FLAT, SEQUENCE, SCORES = "features", "sequence", "scores"
#: The newest operators that all supported versions of ONNX Runtime have.
_OPERATORS, _FORMAT = 17, 9


def onnx_library() -> Any:
    """The `onnx` package.

    Raises:
        DefinitionError: It is not installed.
    """
    try:
        return importlib.import_module("onnx")
    except ImportError as missing:
        raise DefinitionError(
            "the model is written as ONNX, and the package for that is not installed",
            fix="pip install 'headrace[deep]'",
        ) from missing


class _Graph:
    """Nodes and weights in the making."""

    def __init__(self) -> None:
        self._onnx = onnx_library()
        self._nodes: list[Any] = []
        self._weights: list[Any] = []

    def weight(self, name: str, values: NDArray[Any]) -> str:
        """Keep an array under a name."""
        self._weights.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str, **options: object) -> str:
        """Add an operation; the name of its output."""
        return self.nodes(kind, inputs, [output], **options)[0]

    def nodes(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **options: object
    ) -> list[str]:
        """Add an operation with several outputs."""
        made = self._onnx.helper.make_node(kind, list(inputs), list(outputs), **options)
        self._nodes.append(made)
        return list(outputs)

    def standardised(
        self, source: str, mean: NDArray[np.float32], scale: NDArray[np.float32]
    ) -> str:
        """`(source - mean) / scale`, and 0 where the source is missing."""
        centred = self.node("Sub", [source, self.weight("mean", mean)], "centred")
        scaled = self.node("Div", [centred, self.weight("scale", scale)], "scaled")
        zero = self.weight("zero", np.zeros(1, dtype=np.float32))
        gone = self.node("IsNaN", [source], "missing")
        return self.node("Where", [gone, zero, scaled], "standardised")

    def classified(
        self, source: str, weight: NDArray[np.float32], bias: NDArray[np.float32]
    ) -> None:
        """The softmax of a linear layer, as the scores."""
        product = self.node("MatMul", [source, self.weight("output_weight", weight)], "products")
        margins = self.node("Add", [product, self.weight("output_bias", bias)], "margins")
        self.node("Softmax", [margins], SCORES, axis=-1)

    def model(self, name: str, shape: Sequence[str | int], classes: int) -> bytes:
        """The model with one input of that shape, once it is known to be whole."""
        helper, floats = self._onnx.helper, self._onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            self._nodes,
            "headrace",
            [helper.make_tensor_value_info(name, floats, list(shape))],
            [helper.make_tensor_value_info(SCORES, floats, ["events", classes])],
            self._weights,
        )
        made = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _OPERATORS)], ir_version=_FORMAT
        )
        self._onnx.checker.check_model(made)
        return bytes(made.SerializeToString())


def linear_model(
    mean: NDArray[np.float32],
    scale: NDArray[np.float32],
    weight: NDArray[np.float32],
    bias: NDArray[np.float32],
) -> bytes:
    """A multinomial logistic regression as ONNX: `features` in, `scores` out.

    Args:
        mean: Of each feature; what stands for a missing one.
        scale: Of each feature.
        weight: Features by classes.
        bias: Of each class.
    """
    graph = _Graph()
    graph.classified(graph.standardised(FLAT, mean, scale), weight, bias)
    return graph.model(FLAT, ["events", len(mean)], weight.shape[1])


def lstm_model(
    mean: NDArray[np.float32],
    scale: NDArray[np.float32],
    state: Mapping[str, NDArray[np.float32]],
    *,
    hidden: int,
    layers: int,
    length: int,
) -> bytes:
    """A bi-directional LSTM as ONNX: `sequence` in, `scores` out.

    The scores are read from the last state of each direction of the last layer.

    Args:
        mean: Of each feature of a vector; what stands for a missing one.
        scale: Of each feature.
        state: Weights by PyTorch's names, `lstm.weight_ih_l0_reverse` and `head.weight` among them.
        hidden: Units of each direction.
        layers: How many lie on each other.
        length: Vectors of a sequence.
    """
    graph = _Graph()
    here = graph.standardised(SEQUENCE, mean, scale)
    here = graph.node("Transpose", [here], "by_place", perm=[1, 0, 2])
    joined = graph.weight("joined", np.array([0, 0, -1], dtype=np.int64))
    last = ""
    for layer in range(layers):
        names = [
            graph.weight(f"{part}_{layer}", values)
            for part, values in zip("WRB", _layer(state, layer, hidden), strict=True)
        ]
        every, last, _ = graph.nodes(
            "LSTM",
            [here, *names],
            [f"every_{layer}" if layer + 1 < layers else "", f"last_{layer}", ""],
            hidden_size=hidden,
            direction="bidirectional",
        )
        if every:
            turned = graph.node("Transpose", [every], f"turned_{layer}", perm=[0, 2, 1, 3])
            here = graph.node("Reshape", [turned, joined], f"layer_{layer}")
    read = graph.node("Transpose", [last], "read", perm=[1, 0, 2])
    rows = graph.weight("rows", np.array([0, -1], dtype=np.int64))
    flat = graph.node("Reshape", [read, rows], "flat")
    graph.classified(flat, state["head.weight"].T, state["head.bias"])
    return graph.model(SEQUENCE, ["events", length, len(mean)], len(state["head.bias"]))


def _layer(
    state: Mapping[str, NDArray[np.float32]], layer: int, hidden: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The weights of a layer as ONNX has them: both directions, gates in its order."""

    def gates(values: NDArray[np.float32]) -> NDArray[np.float32]:
        # PyTorch's order is input, forget, cell, output; ONNX's input, output, forget, cell
        enters, forgets, cell, leaves = np.split(values, [hidden, 2 * hidden, 3 * hidden])
        return np.concatenate([enters, leaves, forgets, cell])

    weights, recurrent, biases = [], [], []
    for side in ("", "_reverse"):
        place = f"l{layer}{side}"
        weights.append(gates(state[f"lstm.weight_ih_{place}"]))
        recurrent.append(gates(state[f"lstm.weight_hh_{place}"]))
        biases.append(
            np.concatenate(
                [gates(state[f"lstm.bias_ih_{place}"]), gates(state[f"lstm.bias_hh_{place}"])]
            )
        )
    return np.stack(weights), np.stack(recurrent), np.stack(biases)


def quantised(content: bytes) -> bytes:
    """A model with its weights in 8 bits, and activations rounded to 8 bits as they come.

    The scale of activations is taken from all rows of a run, so rows are no longer independent of
    each other: such a model is scored row by row.
    """
    onnx = onnx_library()
    quantisation: Any = importlib.import_module("onnxruntime.quantization")
    model = onnx.shape_inference.infer_shapes(onnx.load_model_from_string(content))
    # shapes are all that the library's own preparation would add to such a graph; it warns unless
    # told that it was done
    onnx.helper.set_model_props(model, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "quantised.onnx"
        quantisation.quantize_dynamic(model, str(path), weight_type=quantisation.QuantType.QInt8)
        return path.read_bytes()
