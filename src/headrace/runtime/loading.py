"""Finding the use case that a command names: a Python file of the user's, or a ready-made one."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.core.errors import DefinitionError, HeadraceError, NotFound, SourceLine
from headrace.pipeline.use_case import UseCase
from headrace.policy.policy import Policy

if TYPE_CHECKING:
    from types import ModuleType

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
    known = solutions()
    if path in known:
        module = importlib.import_module(known[path])
    elif path.endswith(".py"):
        module = _module_of(Path(path))
    else:
        raise NotFound(
            f"no use case {name!r}: give a Python file, or one of {', '.join(sorted(known))}"
        )
    return _chosen(module, name, wanted)


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
    except Exception as error:
        line = next(
            (
                frame.lineno
                for frame in reversed(traceback.extract_tb(error.__traceback__))
                if frame.filename == str(path)
            ),
            getattr(error, "lineno", None),
        )
        raise DefinitionError(
            f"{type(error).__name__}: {error}",
            at=SourceLine(str(path), line or 1),
            fix="run the file with python to see where this comes from",
        ) from error
    finally:
        sys.path.pop(0)
    return module


def _chosen(module: ModuleType, name: str, wanted: str) -> UseCase:
    found = {key: value for key, value in vars(module).items() if isinstance(value, UseCase)}
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
    policies = {key: value for key, value in vars(module).items() if isinstance(value, Policy)}
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
