"""Which use case a file has, where its errors are, and what its paths are relative to."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

import headrace as hr
from headrace.runtime.loading import load_case, load_policy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CASE = """
import headrace as hr


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    amount: hr.Money("EUR")


payments = hr.stream(Payment)
features = hr.features(amount=payments.amount)
policy = hr.Policy(hr.review("big", features.amount > 5), otherwise=hr.approve())
{name} = hr.UseCase(on=payments, features=features, name="{name}", policy=policy)
"""


@pytest.fixture(autouse=True)
def _apart() -> Iterator[None]:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working folder too."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "as_said", ["broken_case.py", "./broken_case.py", "{folder}/broken_case.py"]
)
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import headrace as hr\n\nx = None.upper()\n", "AttributeError"),
        ("import headrace as hr\n\nx = = 5\n", "SyntaxError"),
        ("import sys\n\nsys.exit(3)\n", r"exit\(3\)"),
    ],
)
def test_an_error_is_on_its_line(folder: Path, text: str, says: str, as_said: str) -> None:
    (folder / "broken_case.py").write_text(text)
    with pytest.raises(hr.DefinitionError, match=says) as caught:
        load_case(as_said.format(folder=folder))
    assert caught.value.at is not None
    assert caught.value.at.path.endswith("broken_case.py")
    assert caught.value.at.line == 3


def test_an_error_in_an_imported_file_is_on_the_line_that_imports(folder: Path) -> None:
    (folder / "imported_part.py").write_text("\n\n\n\nraise ValueError('no')\n")
    (folder / "importing_case.py").write_text("\nimport imported_part\n")
    with pytest.raises(hr.DefinitionError, match=r"importing_case\.py:2: ValueError: no"):
        load_case("importing_case.py")


def test_an_imported_use_case_counts_only_where_there_is_no_other(folder: Path) -> None:
    (folder / "loaded_limits.py").write_text(CASE.format(name="limits"))
    (folder / "loaded_own.py").write_text(
        "from loaded_limits import limits, policy\n" + CASE.format(name="own")
    )
    (folder / "loaded_only.py").write_text("from loaded_limits import limits, policy\n")
    assert load_case("loaded_own.py").name == "own"
    assert load_case("loaded_own.py:limits").name == "limits"
    assert load_case("loaded_only.py").name == "limits"
    assert load_policy("loaded_only.py").rule("big")
    (folder / "loaded_two.py").write_text(CASE.format(name="one") + CASE.format(name="two"))
    with pytest.raises(hr.NotFound, match=r"2 use cases \(one, two\)"):
        load_case("loaded_two.py")


def test_a_model_file_lies_beside_the_file_that_names_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "models").mkdir()
    (folder / "models" / "scored_case.py").write_text(
        CASE.format(name="scored").replace('"scored",', '"scored", model=hr.ModelFile("m.json"),')
        + f'other = hr.ModelFile("{folder}/m.json")\n'
    )
    monkeypatch.chdir("/")
    loaded = load_case(f"{folder}/models/scored_case.py")
    assert isinstance(loaded.model, hr.ModelFile)
    assert loaded.model.path == folder / "models" / "m.json"
    assert sys.modules["scored_case"].other.path == folder / "m.json"
