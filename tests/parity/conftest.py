"""What the parity tests share: use cases, a history of each, its model, and a run over it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cases import CASES, History, home_with_model, skipped_without_libraries
from cases import history as history_of
from journaled import copied, run
from tests.session_folder import session_folder

from headrace.lifecycle.registry import Registry

if TYPE_CHECKING:
    import headrace as hr
    from headrace.journal.batch import JournalBatch
    from headrace.models.artefact import Artefact
    from headrace.runtime.home import Home


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory, case: hr.UseCase) -> History:
    return history_of(case, tmp_path_factory.mktemp("history"))


@pytest.fixture(scope="session", params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> hr.UseCase:
    found: hr.UseCase = request.param
    skipped_without_libraries(found)
    return found


@pytest.fixture(scope="session")
def seed_home(tmp_path_factory: pytest.TempPathFactory, case: hr.UseCase) -> Home:
    """A home with a model in it and nothing else; copies of it are run."""
    return home_with_model(case, session_folder(tmp_path_factory))


@pytest.fixture(scope="session")
def model(case: hr.UseCase, seed_home: Home) -> Artefact:
    found = Registry(seed_home.models).current(case.name)
    assert found is not None
    return found


@pytest.fixture(scope="session")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory,
    case: hr.UseCase,
    seed_home: Home,
    history: History,
) -> tuple[Home, list[JournalBatch]]:
    home = copied(seed_home, tmp_path_factory.mktemp("undisturbed"))
    return home, run(case, home, history, rows=4_096, threads=1)
