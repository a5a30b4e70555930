"""What the parity tests share: use cases, a history of each, its model, and a run over it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cases import CASES, History, trained
from cases import history as history_of
from journaled import copied, run

import headrace as hr
from headrace.lifecycle.registry import Registry
from headrace.runtime.home import Home
from headrace.runtime.models import import_declared

if TYPE_CHECKING:
    from headrace.journal.batch import JournalBatch
    from headrace.models.artefact import Artefact


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory, case: hr.UseCase) -> History:
    return history_of(case, tmp_path_factory.mktemp("history"))


@pytest.fixture(scope="session", params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> hr.UseCase:
    found: hr.UseCase = request.param
    if isinstance(found.model, hr.Onnx):
        pytest.importorskip("onnxruntime")
    return found


@pytest.fixture(scope="session")
def model(case: hr.UseCase, history: History) -> Artefact:
    if isinstance(case.model, hr.Onnx):
        return import_declared(case, case.model)
    return trained(case, history)


@pytest.fixture(scope="session")
def seed_home(tmp_path_factory: pytest.TempPathFactory, case: hr.UseCase, model: Artefact) -> Home:
    """A home with a model in it and nothing else; copies of it are run."""
    home = Home(tmp_path_factory.mktemp("home"))
    registry = Registry(home.models)
    registry.use(case.name, registry.add(model))
    return home


@pytest.fixture(scope="session")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
    case: hr.UseCase,
    seed_home: Home,
    history: History,
) -> tuple[Home, list[JournalBatch]]:
    home = copied(seed_home, tmp_path_factory.mktemp("undisturbed"))
    return home, run(case, home, history, rows=4_096, threads=1)
