"""A model in ONNX as a lane uses it: columns in, the scores of its classes out.

ONNX Runtime runs in one thread, in the order of the graph. Rows go through in blocks of one size,
the last one filled up, so that what a row gets does not depend on how many came with it: a matrix
product of another shape may be summed in another order. Whether rows of a block are independent is
tried when the artefact is made (`independent_rows`); a model whose rows are not, as with dynamic
quantisation, is scored row by row.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from headrace.core.errors import ArtefactError, DefinitionError, invariant
from headrace.core.sequences import Sequences
from headrace.models.places import places_of
from headrace.models.scores import Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Floats, Int64s
    from headrace.definitions.plan import Plan
    from headrace.models.artefact import Artefact

#: Rows that go through a model at once, where they are independent.
BLOCK_ROWS = 8
#: Rows that independence is tried on.
_TRIED = 3 * BLOCK_ROWS

Feeds = dict[str, "NDArray[np.float32]"]


class Binding(msgspec.Struct, frozen=True, omit_defaults=True):
    """What goes into a model in ONNX and what comes out; part of its manifest.

    Attributes:
        flat: The input that takes the vector of features; "" for none.
        sequence: The input that takes the sequence; likewise.
        mask: The input that takes the mask; likewise.
        output: The output with the scores.
        vector: Names of the features of a vector of the sequence, in order.
        length: Vectors of the sequence.
        missing: What stands for a missing value; None leaves NaN.
        rows: How many rows go through at once.
        tolerance: How far a score may recompute from the journaled one.
    """

    output: str
    flat: str = ""
    sequence: str = ""
    mask: str = ""
    vector: tuple[str, ...] = ()
    length: int = 0
    missing: float | None = None
    rows: int = 1
    tolerance: float = 0.0


def opened(content: bytes) -> Any:
    """A session that does the same on one machine each time.

    Raises:
        DefinitionError: ONNX Runtime is not installed.
        ArtefactError: The bytes are no model that it runs.
    """
    try:
        runtime: Any = importlib.import_module("onnxruntime")
    except ImportError as missing:
        raise DefinitionError(
            "the model is scored by ONNX Runtime, which is not installed",
            fix="pip install 'headrace[onnx]'",
        ) from missing
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ArtefactError(
            f"ONNX Runtime {runtime.__version__} does not run the model:"
            f" {str(error).strip().splitlines()[0]}; export it again, for this version"
        ) from error


class OnnxModel:
    """An artefact in ONNX made ready to score the features of a plan.

    Args:
        artefact: The model.
        plan: Whose features and sequence it reads.

    Raises:
        ArtefactError: When the model needs features, or a sequence, that the plan does not have.

    Attributes:
        artefact: The model.
        classes: What its scores are of; () for one probability.
        exact: False: another processor may give other last bits, so scores are journaled.
        tolerance: How far a score may recompute from the journaled one.
    """

    exact = False

    def __init__(self, artefact: Artefact, plan: Plan) -> None:
        self.artefact = artefact
        self.classes = artefact.manifest.classes
        binding = artefact.manifest.onnx
        invariant(binding is not None, "a model in ONNX says what goes into it")
        assert binding is not None
        self._binding = binding
        self.tolerance = binding.tolerance
        self._places = places_of(artefact, plan.features)
        if binding.sequence:
            self._check_sequence(plan, [feature.name for feature in plan.features])

    def _check_sequence(self, plan: Plan, names: Sequence[str]) -> None:
        said, binding = plan.sequence, self._binding
        has = (
            None if said is None else (tuple(names[place] for place in said.features), said.length)
        )
        if has != (binding.vector, binding.length):
            raise ArtefactError(
                f"model {self.artefact.id[:12]} reads the last {binding.length} vectors of"
                f" {list(binding.vector)}, and the use case's sequence is"
                f" {'none' if has is None else f'{has[1]} of {list(has[0])}'}: give it"
                f" sequence=hr.sequence(features, length={binding.length}, only=...)"
            )

    @property
    def is_scored_here(self) -> bool:
        """Whether ONNX Runtime is installed."""
        return importlib.util.find_spec("onnxruntime") is not None

    @cached_property
    def _session(self) -> Any:
        return opened(self.artefact.content)

    def make_ready(self, *, reasons: bool) -> None:  # noqa: ARG002 - as every model
        """Open the session before the first events come."""
        _ = self._session

    def taken(self, values: Floats, dictionary: Sequence[str]) -> Floats:  # noqa: ARG002 - as every model
        """Features of the plan (features by rows) as the model takes them."""
        return np.ascontiguousarray(values[self._places])

    def score(self, taken: Floats, sequences: Sequences | None = None) -> Scores:
        """The scores of rows that `taken` gave, with their sequences."""
        feeds = feeds_of(self._binding, taken, sequences)
        return scores_of(run(self._session, self._binding, feeds), self.classes)

    def reasons(
        self,
        taken: Floats,  # noqa: ARG002 - as every model
        rows: Int64s,
        count: int,
        of: Int64s | None = None,  # noqa: ARG002 - as every model
    ) -> tuple[NDArray[np.int16], Floats]:
        """No reasons: contributions to such a score cannot be given exactly, so none are."""
        return np.full((count, len(rows)), -1, dtype=np.int16), np.zeros((count, len(rows)))


def feeds_of(binding: Binding, taken: Floats, sequences: Sequences | None) -> Feeds:
    """The inputs of a model by name, for all rows; floats are rounded to 32 bits.

    Args:
        binding: What goes where.
        taken: Features by rows, those that the model names.
        sequences: Of the same rows; None where the model reads none.
    """
    feeds: Feeds = {}
    if binding.flat:
        with np.errstate(over="ignore"):
            feeds[binding.flat] = np.ascontiguousarray(taken.T, dtype=np.float32)
    if binding.sequence:
        invariant(sequences is not None, "the plan of the model has a sequence")
        assert sequences is not None
        feeds[binding.sequence] = sequences.vectors
    if binding.missing is not None:
        feeds = {
            name: np.where(np.isnan(values), np.float32(binding.missing), values)
            for name, values in feeds.items()
        }
    if binding.mask and sequences is not None:
        length = sequences.vectors.shape[1]
        there = np.arange(length)[None, :] >= length - sequences.lengths[:, None]
        feeds[binding.mask] = there.astype(np.float32)
    return feeds


def run(session: Any, binding: Binding, feeds: Feeds) -> NDArray[np.float32]:
    """The output for all rows, one line for each: blocks of `binding.rows`, the last filled up."""
    count, rows = len(next(iter(feeds.values()))), binding.rows
    parts = []
    for first in range(0, count, rows):
        block = {name: values[first : first + rows] for name, values in feeds.items()}
        there = min(rows, count - first)
        if there < rows:
            block = {
                name: np.concatenate([part, np.zeros((rows - there, *part.shape[1:]), part.dtype)])
                for name, part in block.items()
            }
        made = np.asarray(session.run([binding.output], block)[0], dtype=np.float32)
        parts.append(made.reshape(rows, -1)[:there])
    return np.concatenate(parts) if parts else np.zeros((0, 1), dtype=np.float32)


def scores_of(output: NDArray[np.float32], classes: Sequence[str]) -> Scores:
    """The scores that an output means: a column for each class, or one probability.

    Two columns without names are those of a negative and a positive.
    """
    columns = np.ascontiguousarray(output.T, dtype=np.float64)
    nothing = np.full(len(output), np.nan)
    if classes:
        return Scores(nothing, columns[0].copy(), columns)
    return Scores(nothing, columns[-1].copy())


def independent_rows(session: Any, binding: Binding, feeds: Feeds) -> int:
    """How many rows may go through at once: `BLOCK_ROWS`, or 1 where neighbours change a row.

    Args:
        session: Of the model.
        binding: What goes where; its `rows` do not matter.
        feeds: Some rows to try it on, `tried_rows` of them.
    """
    block = msgspec.structs.replace(binding, rows=BLOCK_ROWS)
    try:
        first = run(session, block, feeds)
        for seed in range(3):
            order = np.random.default_rng(seed).permutation(len(first))
            again = run(session, block, {name: values[order] for name, values in feeds.items()})
            if again.tobytes() != first[order].tobytes():
                return 1
    except Exception:  # noqa: BLE001 - a model that takes one row at a time refuses more in its own way
        return 1
    return BLOCK_ROWS


def tried_rows(flat: int, length: int, width: int, seed: int = 0) -> tuple[Floats, Sequences]:
    """Made-up features and sequences to try a model on, with values missing here and there.

    Args:
        flat: Features of the vector.
        length: Vectors of the sequence.
        width: Features of each.
        seed: Of what is drawn.
    """
    random = np.random.default_rng(seed)
    values = random.normal(size=(flat, _TRIED))
    vectors = random.normal(size=(_TRIED, length, width)).astype(np.float32)
    lengths = random.integers(1, max(length, 1) + 1, _TRIED)
    for row, there in enumerate(lengths.tolist()):
        vectors[row, : length - there] = np.nan
    return values, Sequences(lengths, vectors)
