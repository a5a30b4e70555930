"""What a user says of a model in ONNX: the file, what goes into it, what comes out."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.errors import DefinitionError
from headrace.definitions.calls import checked_methods, shown
from headrace.definitions.source_lines import user_line
from headrace.models.classes import check_classes

if TYPE_CHECKING:
    from headrace.core.errors import SourceLine

#: How far a score may recompute from the one that was journaled, unless the model says otherwise:
#: some 100 units in the last place of a 32-bit float near 1.
TOLERANCE = 1e-5


@checked_methods
@dataclass(frozen=True, slots=True)
class Onnx:
    """A model in ONNX, scored by ONNX Runtime; needs `pip install headrace[onnx]`.

    Its inputs are bound by name: `flat` takes a vector of features, `sequence` the use case's
    `hr.sequence(...)` as a tensor of events by length by features, `mask` 1 where the sequence has
    a vector and 0 where it is missing. All are 32-bit floats with the events in front.

    The scores of another library are not the same on every processor: they are journaled, a replay
    takes them from there, and says how far they recompute.

    Attributes:
        path: Of the file; a relative one is taken from the folder of the file that says so.
        classes: What the columns of the output are; () for one probability.
        flat: The input that takes the vector; "" where the model has none.
        sequence: The input that takes the sequence; likewise.
        mask: The input that takes the mask; likewise.
        output: The output with the scores; the first that is of floats where not given.
        features: The names that `flat` takes, in order; all numbers of the use case if not given.
        missing: What stands for a missing value; None leaves NaN.
        tolerance: How far a score may recompute from the journaled one.
    """

    path: str | Path
    _: KW_ONLY
    classes: tuple[str, ...] = ()
    flat: str = ""
    sequence: str = ""
    mask: str = ""
    output: str = ""
    features: tuple[str, ...] = ()
    missing: float | None = None
    tolerance: float = TOLERANCE
    #: The user's line, for what only the file can tell.
    at: SourceLine | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        at = user_line()
        object.__setattr__(self, "at", at)
        if not isinstance(self.path, str | Path):
            raise DefinitionError(
                f"hr.Onnx({shown(self.path)}) names no file",
                at=at,
                fix='give its path, as in "m.onnx"',
            )
        said_in = Path(at.path) if at is not None else Path()
        folder = said_in.parent if said_in.is_file() else Path()
        object.__setattr__(self, "path", folder / self.path)
        object.__setattr__(self, "features", tuple(self.features))
        object.__setattr__(self, "classes", check_classes(self.classes, "hr.Onnx", at))
        if not self.flat and not self.sequence:
            raise DefinitionError(
                "hr.Onnx reads neither features nor a sequence",
                at=at,
                fix='name the input of the model that takes them: flat="..." or sequence="..."',
            )
        if self.mask and not self.sequence:
            raise DefinitionError(
                "hr.Onnx has a mask and no sequence that it is of",
                at=at,
                fix='name the input that takes the sequence: sequence="..."',
            )
        if self.missing is not None and not (
            isinstance(self.missing, int | float) and math.isfinite(self.missing)
        ):
            raise DefinitionError(
                f"missing={shown(self.missing)}", at=at, fix="give a number, or None"
            )
        if not isinstance(self.tolerance, float) or not 0.0 <= self.tolerance < 1.0:
            raise DefinitionError(
                f"tolerance={shown(self.tolerance)}", at=at, fix="give a number from 0 to below 1"
            )

    @property
    def file(self) -> Path:
        """Where the model is."""
        return Path(self.path)

    def plain(self) -> dict[str, object]:
        """The settings as plain data, for manifests."""
        return {"kind": "Onnx", "path": self.file.name, "classes": list(self.classes)}
