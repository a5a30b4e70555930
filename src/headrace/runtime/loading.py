"""Finding the use case that a command names: a Python file of the user's, or a ready-made one."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from headrace.core.errors import DefinitionError, HeadraceError, NotFound, SourceLine
from headrace.pipeline.use_case import UseCase
from headrace.policy.policy import Policy

if TYPE_CHECKING:
    from types import ModuleType

    from headrace.runtime.closed_loop import MakeCounterparty

#: The group of entry points under which ready-made use cases are found.
SOLUTIONS = "headrace.solutions"


def solutions() -> dict[str, str]:
    """The ready-made use cases: name to module.

    >>> "card-fraud" in solutions()
    True
    """
    return {point.name: point.value for point in entry_points(group=SOLUTIONS)}


def load_case(name: str) -> UseCase:
    """The use case called so: `my_case.py`, `my_case.py:card_fraud`, or `card-fraud`.

    Raises:
        NotFound: When there is no such file or ready-made use case, or none in the file.
        DefinitionError: When its definition cannot be meant, or its file fails.
    """
    path, _, wanted = name.partition(":")
    return _chosen(_module_called(path), name, wanted)


def load_counterparty(name: str) -> MakeCounterparty:
    """What makes the counterparty of a use case: `counterparty` in the same module.

    Args:
        name: As `load_case` takes it.

    Raises:
        NotFound: There is none.
    """
    path, _, _ = name.partition(":")
    found: MakeCounterparty | None = getattr(_module_called(path), "counterparty", None)
    if not callable(found):
        raise NotFound(
            f"{path} has no counterparty to answer its decisions: define"
            " counterparty(frames, since_ns) in the same file, which gives an hr.Counterparty, or"
            " leave --closed-loop out"
        )
    return found


def _module_called(path: str) -> ModuleType:
    """The module of a ready-made use case, or a Python file."""
    known = solutions()
    if path in known:
        return importlib.import_module(known[path])
    if path.endswith(".py"):
        return _module_of(Path(path))
    raise NotFound(
        f"no use case {path!r}: give a Python file, or one of {', '.join(sorted(known))}"
    )


def _module_of(path: Path) -> ModuleType:
    if not path.is_file():
        raise NotFound(f"no file {path}; check the name, or the folder you are in")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise NotFound(f"{path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except HeadraceError:
        raise
    except SystemExit as left:
        raise DefinitionError(
            f"the file ends Python by exit({'' if left.code is None else repr(left.code)})",
            at=_place_in(path, left),
            fix="a file with a use case only declares it: take the call out, or put it under"
            ' `if __name__ == "__main__":`',
        ) from left
    except Exception as error:
        raise DefinitionError(
            f"{type(error).__name__}: {error}",
            at=_place_in(path, error),
            fix="run the file with python to see where this comes from",
        ) from error
    finally:
        sys.path.pop(0)
    return module


def _place_in(path: Path, error: BaseException) -> SourceLine:
    """The line of the file that an error came out of."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return SourceLine(error.filename, error.lineno)
    whole = str(path.resolve())
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if str(Path(frame.filename).resolve()) == whole
    ]
    return SourceLine(str(path), (lines[-1] if lines else None) or 1)


_Found = TypeVar("_Found", UseCase, Policy)


def _declared(module: ModuleType, kind: type[_Found], wanted: str) -> dict[str, _Found]:
    """The use cases or policies of a file; those it imports only where it has none of its own."""
    found = {key: value for key, value in vars(module).items() if isinstance(value, kind)}
    own = {
        key: value
        for key, value in found.items()
        if value.at is not None and value.at.path == module.__file__
    }
    return found if wanted else own or found


def _chosen(module: ModuleType, name: str, wanted: str) -> UseCase:
    found = _declared(module, UseCase, wanted)
    if wanted:
        if wanted not in found:
            raise NotFound(
                f"{name}: no use case {wanted!r} there; it has {sorted(found) or 'none'}"
            )
        return found[wanted]
    if len(found) != 1:
        what = f"{len(found)} use cases ({', '.join(sorted(found))})" if found else "no use case"
        raise NotFound(f"{name} has {what}; name one as FILE.py:NAME")
    return next(iter(found.values()))


def load_policy(name: str) -> Policy:
    """The policy in a Python file: one of its own, or that of its use case.

    Raises:
        NotFound: When there is no such file, or no policy in it.
    """
    path, _, wanted = name.partition(":")
    module = _module_of(Path(path))
    policies = _declared(module, Policy, wanted)
    if wanted and wanted in policies:
        return policies[wanted]
    if not wanted and len(policies) == 1:
        return next(iter(policies.values()))
    if not wanted and policies:
        raise NotFound(f"{name} has the policies {sorted(policies)}; name one as FILE.py:NAME")
    policy = _chosen(module, name, wanted).policy
    if policy is None:
        raise NotFound(f"the use case in {name} has no policy")
    return policy
