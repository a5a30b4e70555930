"""What a user says of models that tell classes apart and are served in ONNX."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from headrace.core.errors import DefinitionError
from headrace.definitions.calls import checked_methods
from headrace.definitions.source_lines import user_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.core.errors import SourceLine


@dataclass(frozen=True, slots=True)
class _Settings:
    """Checks that both share.

    Attributes:
        class_weight: "balanced" makes all classes weigh the same; None leaves them as they are.
        seed: Of whatever is drawn.
    """

    class_weight: Literal["balanced"] | None = "balanced"
    seed: int = 0
    #: The user's line, for errors that only training can find.
    at: SourceLine | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", user_line())
        self._check("seed", "a whole number from 0 on", lambda n: type(n) is int and n >= 0)
        self._check("class_weight", '"balanced" or None', lambda w: w in ("balanced", None))

    def _check(self, name: str, expected: str, holds: Callable[[Any], bool]) -> None:
        value = getattr(self, name)
        if not holds(value):
            raise DefinitionError(
                f"{name}={value!r} of hr.{type(self).__name__}", at=self.at, fix=f"give {expected}"
            )

    def plain(self) -> dict[str, object]:
        """The settings as plain data, for manifests."""
        names = [name for name in self.__dataclass_fields__ if name != "at"]
        return {"kind": type(self).__name__, **{name: getattr(self, name) for name in names}}


def _is_number(value: object, least: float, most: float) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and least <= value <= most
    )


@checked_methods
@dataclass(frozen=True, slots=True)
class Lstm(_Settings):
    """A bi-directional LSTM over the use case's sequence, trained by PyTorch, served in ONNX.

    (S. Hochreiter and J. Schmidhuber, *Long Short-Term Memory*, 1997; M. Schuster and K. Paliwal,
    *Bidirectional Recurrent Neural Networks*, 1997.) Training needs `pip install headrace[deep]`,
    serving `headrace[onnx]`.

    Attributes:
        hidden: Units of each direction.
        layers: How many lie on each other.
        epochs: Passes over the training part at most.
        early_stopping: Stop when so many epochs in a row have not lowered the validation loss;
            None makes all passes.
        batch: Sequences of a step.
        learning_rate: Of Adam (D. Kingma and J. Ba, 2015).
        dropout: Share of units left out between layers and before the output.
        prune: Share of weights, the smallest in size, that are set to 0 after training.
        quantise: Whether weights are stored in 8 bits, and activations rounded to 8 as they come
            (dynamic quantisation).
        device: "auto" takes a GPU where there is one.

    >>> Lstm(hidden=16, prune=0.5).prune
    0.5
    """

    hidden: int = 32
    layers: int = 1
    epochs: int = 30
    early_stopping: int | None = 5
    batch: int = 256
    learning_rate: float = 1e-3
    dropout: float = 0.0
    prune: float = 0.0
    quantise: bool = False
    device: Literal["auto", "cpu"] = "auto"

    def __post_init__(self) -> None:
        _Settings.__post_init__(self)
        for name in ("hidden", "layers", "epochs", "batch"):
            self._check(name, "a whole number, at least 1", lambda n: type(n) is int and n >= 1)
        if self.early_stopping is not None:
            self._check("early_stopping", "1 or more, or None", lambda n: type(n) is int and n >= 1)
        self._check("learning_rate", "above 0 and at most 1", lambda r: _is_number(r, 1e-12, 1.0))
        for name in ("dropout", "prune"):
            self._check(name, "a share from 0 to below 1", lambda s: _is_number(s, 0.0, 0.999))
        self._check("quantise", "True or False", lambda q: isinstance(q, bool))
        self._check("device", '"auto" or "cpu"', lambda d: d in ("auto", "cpu"))


@checked_methods
@dataclass(frozen=True, slots=True)
class LogisticRegression(_Settings):
    """Multinomial logistic regression over standardised features, fitted by scikit-learn.

    A baseline: missing values count as the mean. Training needs `pip install headrace[deep]`,
    serving `headrace[onnx]`.

    Attributes:
        penalty: Strength of the penalty on the squares of weights (1 / C of scikit-learn).
        steps: Of the solver at most.
    """

    penalty: float = 1.0
    steps: int = 1_000

    def __post_init__(self) -> None:
        _Settings.__post_init__(self)
        self._check("penalty", "a number above 0", lambda p: _is_number(p, 1e-12, 1e12))
        self._check("steps", "a whole number, at least 1", lambda n: type(n) is int and n >= 1)
