"""Fitting nets that tell classes apart: a bi-directional LSTM, and logistic regression.

What is fitted comes out as ONNX, and is run once by ONNX Runtime beside the library that fitted it:
both must agree within a tolerance. Options that make a net smaller come out one by one, so that the
cost of each can be told.
"""

from __future__ import annotations

import importlib
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.core.errors import ArtefactError, DataError, DefinitionError
from headrace.models.onnx_graph import (
    FLAT,
    SCORES,
    SEQUENCE,
    linear_model,
    lstm_model,
    onnx_library,
    quantised,
)
from headrace.models.onnx_model import Binding, opened, run
from headrace.models.onnx_specification import TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from headrace.models.net_specification import LogisticRegression, Lstm

    Progress = Callable[[int, int], None]

#: Rows that the two libraries are compared on.
_COMPARED = 256


@dataclass(frozen=True, slots=True)
class ClassExamples:
    """What a net is fitted to, or stopped by.

    Attributes:
        X: Events by features; or events by places by features of a sequence; NaN is missing.
        y: Number of the class of each event.
    """

    X: NDArray[np.float32]
    y: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FittedNet:
    """A net in ONNX.

    Attributes:
        stages: What it went through, by name, in order: as fitted first; as served last.
        binding: What goes into it.
        library: Name and version of what fitted it.
        told: What training has to say, for the manifest.
    """

    stages: dict[str, bytes]
    binding: Binding
    library: str
    told: dict[str, Any]

    @property
    def content(self) -> bytes:
        """The net as it is served."""
        return list(self.stages.values())[-1]


def class_weights(y: NDArray[np.int64], classes: int, how: str | None) -> NDArray[np.float32]:
    """The weight of each class.

    Raises:
        DataError: When there is none of a class.

    >>> class_weights(np.array([0, 0, 0, 1]), 2, "balanced").tolist()
    [0.6666666865348816, 2.0]
    """
    counts = np.bincount(y, minlength=classes)
    if (counts == 0).any():
        raise DataError(
            f"the training part has {counts.tolist()} events of each class: all are needed; give a"
            " longer history, or a lower threshold"
        )
    if how is None:
        return np.ones(classes, dtype=np.float32)
    return (len(y) / (classes * counts)).astype(np.float32)


def _standard(X: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and scale of each feature, over all that is there; 0 and 1 where that says nothing."""
    values = X.reshape(-1, X.shape[-1]).astype(np.float64)
    there = np.isfinite(values)
    count = np.maximum(there.sum(axis=0), 1)
    values = np.where(there, values, 0.0)
    mean = values.sum(axis=0) / count
    spread = np.sqrt((np.where(there, values - mean, 0.0) ** 2).sum(axis=0) / count)
    scale = np.where(spread > 1e-12, spread, 1.0)
    return mean.astype(np.float32), scale.astype(np.float32)


def fit_logistic(
    specification: LogisticRegression, train: ClassExamples, classes: int
) -> FittedNet:
    """Fit a multinomial logistic regression.

    Raises:
        DefinitionError: A library is not installed.
        DataError: A class is missing.
    """
    onnx_library()
    linear: Any = _needed("sklearn.linear_model", "scikit-learn")
    weights = class_weights(train.y, classes, specification.class_weight)
    mean, scale = _standard(train.X)
    X = np.nan_to_num((train.X - mean) / scale, nan=0.0).astype(np.float64)
    model = linear.LogisticRegression(
        C=1.0 / specification.penalty, max_iter=specification.steps, random_state=specification.seed
    )
    model.fit(X, train.y, sample_weight=weights[train.y])
    weight, bias = model.coef_.T, model.intercept_
    if classes == 2:
        # scikit-learn keeps one margin of two classes
        weight = np.concatenate([np.zeros_like(weight), weight], axis=1)
        bias = np.concatenate([np.zeros(1), bias])
    content = linear_model(mean, scale, weight.astype(np.float32), bias.astype(np.float32))
    binding = Binding(output=SCORES, flat=FLAT, tolerance=TOLERANCE)
    apart = _compared(content, binding, FLAT, train.X, model.predict_proba(X[:_COMPARED]))
    version = importlib.import_module("sklearn").__version__
    return FittedNet(
        {"as fitted": content}, binding, f"scikit-learn {version}", {"apart from library": apart}
    )


def fit_lstm(
    specification: Lstm,
    train: ClassExamples,
    validation: ClassExamples,
    classes: int,
    progress: Progress = lambda _done, _all: None,
) -> FittedNet:
    """Fit a bi-directional LSTM, stopping early on `validation`.

    Args:
        specification: What to fit.
        train: Sequences and their classes.
        validation: Later ones, which decide when to stop.
        classes: How many there are.
        progress: Called with (epochs done, epochs at most).

    Raises:
        DefinitionError: A library is not installed.
        DataError: A class is missing from `train`.
        ArtefactError: PyTorch and ONNX Runtime do not agree.
    """
    onnx_library()
    torch: Any = _needed("torch", "PyTorch")
    weights = class_weights(train.y, classes, specification.class_weight)
    mean, scale = _standard(train.X)
    names = {"hidden": specification.hidden, "layers": specification.layers}

    def exported(state: Any) -> bytes:
        held = {name: value.cpu().numpy() for name, value in state.items()}
        return lstm_model(mean, scale, held, length=train.X.shape[1], **names)

    with _deterministic(torch, specification.seed):
        fitting = _Fitting(torch, specification, mean, scale, weights, train.X.shape[2])
        epochs = fitting.fit(train, validation, progress)
        stages = {"as fitted": exported(fitting.net.state_dict())}
        binding = Binding(
            output=SCORES, sequence=SEQUENCE, length=train.X.shape[1], tolerance=TOLERANCE
        )
        first = train.X[:_COMPARED]
        apart = _compared(
            stages["as fitted"], binding, SEQUENCE, first, fitting.probabilities(first)
        )
        if specification.prune:
            stages["pruned"] = exported(fitting.pruned(specification.prune))
    if specification.quantise:
        stages["quantised"] = quantised(list(stages.values())[-1])
    told = {"epochs": epochs, "device": str(fitting.device), "apart from library": apart}
    return FittedNet(stages, binding, f"torch {torch.__version__}", told)


class _Fitting:
    """A net in training."""

    def __init__(
        self,
        torch: Any,
        specification: Lstm,
        mean: NDArray[np.float32],
        scale: NDArray[np.float32],
        weights: NDArray[np.float32],
        width: int,
    ) -> None:
        self._torch, self._said = torch, specification
        self._mean, self._scale = mean, scale
        gpu = specification.device == "auto" and torch.cuda.is_available()
        self.device = torch.device("cuda" if gpu else "cpu")
        self.net = _net(torch, specification, width, len(weights)).to(self.device)
        self._loss = torch.nn.CrossEntropyLoss(
            weight=torch.from_numpy(weights).to(self.device), reduction="sum"
        )
        self._weights = torch.from_numpy(weights).to(self.device)

    def _tensor(self, X: NDArray[np.float32]) -> Any:
        standard = np.nan_to_num((X - self._mean) / self._scale, nan=0.0, posinf=0.0, neginf=0.0)
        return self._torch.from_numpy(standard.astype(np.float32))

    def _held(self, tensor: Any) -> Any:
        """A tensor where the net is, if it takes at most half of the memory that is free there."""
        if self.device.type == "cuda":
            free, _ = self._torch.cuda.mem_get_info()
            if tensor.nbytes <= free // 2:
                return tensor.to(self.device)
        return tensor

    def fit(self, train: ClassExamples, validation: ClassExamples, progress: Progress) -> int:
        """Pass over the training part until validation gets no better; epochs that were made."""
        torch, said = self._torch, self._said
        X, y = self._held(self._tensor(train.X)), self._held(torch.from_numpy(train.y))
        later, truth = self._tensor(validation.X), torch.from_numpy(validation.y)
        optimiser = torch.optim.Adam(self.net.parameters(), lr=said.learning_rate)
        drawing = torch.Generator().manual_seed(said.seed)
        best, kept, waited, epoch = float("inf"), None, 0, 0
        for epoch in range(1, said.epochs + 1):
            self.net.train()
            for rows in torch.randperm(len(X), generator=drawing).split(said.batch):
                optimiser.zero_grad()
                wanted = y[rows.to(y.device)].to(self.device)
                margins = self.net(X[rows.to(X.device)].to(self.device))
                loss = self._loss(margins, wanted) / self._weights[wanted].sum()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
                optimiser.step()
            progress(epoch, said.epochs)
            judged = self._judged(later, truth)
            if judged < best:
                best, waited = judged, 0
                kept = {name: value.clone() for name, value in self.net.state_dict().items()}
            elif said.early_stopping is not None and (waited := waited + 1) >= said.early_stopping:
                break
        if kept is not None:
            self.net.load_state_dict(kept)
        self.net.eval()
        return epoch

    def _judged(self, X: Any, y: Any) -> float:
        """The weighted loss over examples."""
        self.net.eval()
        total = weight = 0.0
        with self._torch.no_grad():
            for part, wanted in zip(X.split(4_096), y.split(4_096), strict=True):
                told = wanted.to(self.device)
                total += float(self._loss(self.net(part.to(self.device)), told))
                weight += float(self._weights[told].sum())
        return total / max(weight, 1e-12)

    def probabilities(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """What PyTorch itself says of sequences, on a CPU."""
        self.net.eval()
        with self._torch.no_grad():
            margins = self.net.cpu()(self._tensor(X))
            found: NDArray[np.float32] = self._torch.softmax(margins, dim=-1).numpy()
        self.net.to(self.device)
        return found

    def pruned(self, share: float) -> Any:
        """The net's weights without the smallest in size; biases stay."""
        prune: Any = importlib.import_module("torch.nn.utils.prune")
        weights = [
            (module, name)
            for module in (self.net.lstm, self.net.head)
            for name, _ in list(module.named_parameters())
            if name.startswith("weight")
        ]
        prune.global_unstructured(weights, pruning_method=prune.L1Unstructured, amount=share)
        for module, name in weights:
            prune.remove(module, name)
        return self.net.state_dict()


def _net(torch: Any, specification: Lstm, width: int, classes: int) -> Any:
    """The net as PyTorch has it: an LSTM, and a linear layer over its last states."""

    class Net(torch.nn.Module):  # type: ignore[misc]  # loaded late, so without a type
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(
                width,
                specification.hidden,
                specification.layers,
                batch_first=True,
                bidirectional=True,
                dropout=specification.dropout if specification.layers > 1 else 0.0,
            )
            self.dropout = torch.nn.Dropout(specification.dropout)
            self.head = torch.nn.Linear(2 * specification.hidden, classes)

        def forward(self, X: Any) -> Any:
            _, (last, _) = self.lstm(X)
            return self.head(self.dropout(torch.cat([last[-2], last[-1]], dim=-1)))

    return Net()


@contextmanager
def _deterministic(torch: Any, seed: int) -> Iterator[None]:
    """Everything drawn from a seed, and no algorithm that sums in an order of its own."""
    # what cuBLAS asks for before its first use
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)


def _needed(module: str, library: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as missing:
        raise DefinitionError(
            f"the model is fitted by {library}, which is not installed",
            fix="pip install 'headrace[deep]'",
        ) from missing


def _compared(
    content: bytes, binding: Binding, name: str, X: NDArray[np.float32], expected: Any
) -> float:
    """How far ONNX Runtime's scores are at most from the library's.

    Raises:
        ArtefactError: Further than the binding allows.
    """
    rows = np.ascontiguousarray(X[: len(expected)], dtype=np.float32)
    found = run(opened(content), binding, {name: rows})
    apart = float(np.abs(found - expected).max())
    if not apart <= binding.tolerance:
        raise ArtefactError(
            f"ONNX Runtime's scores are {apart:.3g} from those of the library that fitted the"
            f" model, and {binding.tolerance:.3g} is allowed: features may be too large for 32-bit"
            " floats; scale them"
        )
    return apart
