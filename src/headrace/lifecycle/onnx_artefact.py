"""A model in ONNX as an artefact: its inputs are matched with the use case's, and it is tried."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from headrace.core.columns import CATEGORICAL
from headrace.core.errors import ArtefactError, DefinitionError
from headrace.models.artefact import Artefact, Manifest
from headrace.models.onnx_model import (
    Binding,
    feeds_of,
    independent_rows,
    opened,
    run,
    tried_rows,
)

if TYPE_CHECKING:
    from headrace.models.onnx_specification import Onnx
    from headrace.pipeline.use_case import UseCase

_FLOATS = "tensor(float)"


def imported_onnx(case: UseCase, content: bytes, specification: Onnx) -> Artefact:
    """An artefact of a model in ONNX that was made elsewhere.

    Args:
        case: The use case that it is to score.
        content: Of the file.
        specification: What goes where.

    Raises:
        DefinitionError: An input or output is not there, or ONNX Runtime is not installed.
        ArtefactError: It does not run, or what comes out are no scores.
    """
    session = opened(content)
    names = _features(case, specification)
    binding = _bound(case, specification, session)
    binding = tried(session, binding, len(names), specification.classes)
    manifest = Manifest(
        model_sha256=hashlib.sha256(content).hexdigest(),
        form="onnx",
        definition=case.plan.digest(),
        features=names,
        vocabulary={},
        specification=specification.plain(),
        trees=0,
        data={"source": "a model file that was made elsewhere"},
        arrival="assumed",
        label={},
        split={},
        metrics={},
        libraries={"headrace": version("headrace"), "onnxruntime": version("onnxruntime")},
        classes=specification.classes,
        onnx=binding,
    )
    return Artefact(content, manifest)


def _features(case: UseCase, specification: Onnx) -> tuple[str, ...]:
    """The features of the vector, in order."""
    if not specification.flat:
        return ()
    kinds = {feature.name: feature.kind for feature in case.plan.features}
    if not specification.features:
        return tuple(name for name, kind in kinds.items() if kind not in CATEGORICAL)
    for name in specification.features:
        if name not in kinds or kinds[name] in CATEGORICAL:
            what = "a category" if name in kinds else "no feature"
            raise DefinitionError(
                f"hr.Onnx takes {name!r}, which is {what}",
                at=specification.at,
                fix=f"name numbers among {', '.join(kinds)}",
            )
    return specification.features


def _bound(case: UseCase, specification: Onnx, session: Any) -> Binding:
    """The binding, once the model has all that it names."""
    inputs = {item.name: item for item in session.get_inputs()}
    given = [specification.flat, specification.sequence, specification.mask]
    named = [name for name in given if name]
    unbound = [name for name in inputs if name not in named]
    lacking = [name for name in named if name not in inputs]
    if unbound or lacking:
        raise DefinitionError(
            f"the model's inputs are {list(inputs)}, and hr.Onnx names {named}",
            at=specification.at,
            fix='bind each of them, once: flat="...", sequence="...", mask="..."',
        )
    for name, item in inputs.items():
        if item.type != _FLOATS:
            raise DefinitionError(
                f"input {name!r} of the model is a {item.type}",
                at=specification.at,
                fix="export the model for 32-bit floats",
            )
    said = case.plan.sequence
    if specification.sequence and said is None:
        raise DefinitionError(
            "the model reads a sequence, and the use case has none",
            at=specification.at,
            fix='give it sequence=hr.sequence(features, key="...", length=..., within="...")',
        )
    reads = specification.sequence and said is not None
    return Binding(
        output=_output(specification, session),
        flat=specification.flat,
        sequence=specification.sequence,
        mask=specification.mask,
        vector=tuple(case.plan.features[place].name for place in said.features)
        if reads and said
        else (),
        length=said.length if reads and said else 0,
        missing=specification.missing,
        tolerance=specification.tolerance,
    )


def _output(specification: Onnx, session: Any) -> str:
    """The output with the scores."""
    outputs = {item.name: item.type for item in session.get_outputs()}
    floats = [name for name, kind in outputs.items() if kind == _FLOATS]
    wanted = specification.output or (floats[0] if floats else "")
    if wanted not in floats:
        raise DefinitionError(
            f"the model gives {outputs}, and the scores are to be {wanted or 'a tensor of floats'}",
            at=specification.at,
            fix="name one that is a tensor of floats: output=...; export classifiers without a"
            " map of names (zipmap=False)",
        )
    return wanted


def tried(session: Any, binding: Binding, flat: int, classes: tuple[str, ...]) -> Binding:
    """The binding, with how many rows go through at once, once the model was tried on some.

    Args:
        session: Of the model.
        binding: What goes where.
        flat: Features of the vector.
        classes: What the columns of its output are.

    Raises:
        ArtefactError: It does not run, or what comes out are no scores of these classes.
    """
    values, sequences = tried_rows(flat, binding.length, len(binding.vector))
    feeds = feeds_of(binding, values, sequences)
    try:
        output = run(session, msgspec.structs.replace(binding, rows=1), feeds)
    except Exception as error:
        raise ArtefactError(
            f"the model does not take {flat} features"
            f" and {binding.length} vectors of {len(binding.vector)}:"
            f" {str(error).strip().splitlines()[0]}"
        ) from error
    width = output.shape[1]
    if width != len(classes) and (classes or width > 2):
        raise ArtefactError(
            f"the output {binding.output!r} has {width} columns, and {len(classes) or 'no'} classes"
            " are named: name each, as in classes=('up', 'flat', 'down')"
        )
    there = output[~np.isnan(output)]
    if len(there) and (there.min() < 0.0 or there.max() > 1.0 + binding.tolerance):
        raise ArtefactError(
            f"the output {binding.output!r} goes from {there.min():.4g} to {there.max():.4g}, and a"
            " score lies from 0 to 1: export probabilities, the softmax of the margins"
        )
    return msgspec.structs.replace(binding, rows=independent_rows(session, binding, feeds))
