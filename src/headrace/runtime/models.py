"""Which model a use case runs: the one that was trained in the home, or a file it names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.errors import ArtefactError, DefinitionError, NotFound
from headrace.definitions.calls import checked, shown
from headrace.definitions.source_lines import user_line
from headrace.lifecycle.onnx_artefact import imported_onnx
from headrace.lifecycle.registry import Registry
from headrace.lifecycle.training import imported
from headrace.models.onnx_specification import Onnx
from headrace.models.serving import served
from headrace.models.specification import ModelFile
from headrace.pipeline.use_case import UseCase

if TYPE_CHECKING:
    from headrace.models.artefact import Artefact
    from headrace.models.serving import Model
    from headrace.runtime.home import Home


def form_of(path: Path, content: bytes) -> str:
    """What kind of model a file holds, by what stands in it.

    Raises:
        ArtefactError: When it is of no kind that is served.
    """
    head = content[:64].lstrip()
    if head.startswith((b"tree\n", b"tree\r\n")):
        return "lightgbm-text"
    if b'"scorecard-json"' in head:
        return "scorecard-json"
    if head.startswith((b'{"', b"{ ", b"{\n")):
        return "xgboost-json"
    if head.startswith(b"{L") or path.suffix == ".ubj":
        return "xgboost-ubj"
    raise ArtefactError(
        f"{path} is no model that is served: expected XGBoost's JSON or UBJSON"
        " (save_model('model.json')), or LightGBM's text (save_model('model.txt'))"
    )


@checked
def import_model(case: UseCase, path: str | Path) -> Artefact:
    """A model that was trained elsewhere, as an artefact: what `decide` and `backtest` take.

    Args:
        case: The use case that it is to score; features are matched by name.
        path: Of XGBoost's JSON or UBJSON, or of LightGBM's text.

    Raises:
        NotFound: When there is no such file.
        ArtefactError: When it holds no model that is served, or one that does not fit the use
            case.
    """
    if not isinstance(case, UseCase) or not isinstance(path, str | Path):
        raise DefinitionError(
            f"import_model({shown(case)}, {shown(path)})",
            at=user_line(),
            fix='give a use case and the path of a file, as in hr.import_model(case, "m.json")',
        )
    artefact = _of_file(case, Path(path))
    served_model(case, artefact)  # what does not fit is said here, and not at the first decision
    return artefact


def import_declared(case: UseCase, model: ModelFile | Onnx) -> Artefact:
    """The model that a use case names by its file, as an artefact.

    Raises:
        NotFound: When there is no such file.
        ArtefactError: When it holds no model that is served.
    """
    if isinstance(model, ModelFile):
        return _of_file(case, Path(model.path))
    if not model.file.is_file():
        raise NotFound(f"no model file {model.file}; check the path")
    return imported_onnx(case, model.file.read_bytes(), model)


def _of_file(case: UseCase, file: Path) -> Artefact:
    if not file.is_file():
        raise NotFound(f"no model file {file}; check the path")
    content = file.read_bytes()
    return imported(case, content, form_of(file, content), ModelFile(file))


def served_model(case: UseCase, artefact: Artefact) -> Model:
    """An artefact made ready to score a use case.

    Raises:
        ArtefactError: When it was trained for other features than the use case has.
    """
    if artefact.manifest.definition != case.plan.digest():
        raise ArtefactError(
            f"model {artefact.id[:12]} was trained for other features than {case.name} has now"
            f" (definition {artefact.manifest.definition[:12]}, now {case.plan.digest()[:12]});"
            " train again, or bring the features back"
        )
    model = served(artefact, case.plan)
    said = case.classes
    if model.classes != said:
        raise ArtefactError(
            f"model {artefact.id[:12]} tells apart {list(model.classes) or 'no classes'}, and the"
            f" model that {case.name} declares {list(said) or 'none'}: train again, or declare"
            " the same classes in the same order"
        )
    return model


def model_of(case: UseCase, home: Home, wanted: str | None = None) -> Model | None:
    """The model that a use case runs; None when it declares none.

    Args:
        case: The use case.
        home: Where its models are.
        wanted: The id of an artefact, or how it begins, in place of the current one.

    Raises:
        NotFound: When it declares a model and none was trained.
        ArtefactError: When the model does not fit the use case.
    """
    if case.model is None and wanted is None:
        return None
    registry = Registry(home.models)
    if wanted is None and isinstance(case.model, ModelFile | Onnx):
        artefact = import_declared(case, case.model)
        model = served_model(case, artefact)
        registry.add(artefact)
        return model
    return served_model(case, _registered(case, home, registry, wanted))


def _registered(case: UseCase, home: Home, registry: Registry, wanted: str | None) -> Artefact:
    if wanted is not None:
        return registry.load(wanted)
    current = registry.current(case.name)
    if current is None:
        raise NotFound(
            f"{case.name} has no trained model in {home.folder};"
            " train one: headrace train CASE --history FILE --labels FILE"
        )
    return current
