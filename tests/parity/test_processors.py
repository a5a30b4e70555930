"""Machine code is made for one processor: all of it by `headrace compile`, and with the same bits.

It is that of an image for a plain processor, without wide vectors or fused multiply-add, and is
worked with from outside of the image.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xgboost
from kernel_work import WITHOUT
from tests.integration.deploy.container_file import PLAIN, plain_image, stages
from tests.session_folder import session_folder

from headrace.models.contributions import ContributionScorer
from headrace.models.scorer import TreeScorer
from headrace.models.xgboost_format import read_xgboost

HERE = Path(__file__).parent

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class PlainProcessor:
    """Commands run with machine code for a plain processor.

    Attributes:
        packages: Those of the image, which are found before others.
        cache: A copy of the image's machine code, to which more can be written.
    """

    packages: Path
    cache: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, **stages(PLAIN)[0].environment}
        environment |= {"HEADRACE_CACHE": str(self.cache), "PYTHONPATH": str(self.packages)}
        environment.pop("NUMBA_CACHE_DIR", None)
        return subprocess.run(command, env=environment, capture_output=True, check=False)

    def done(self, *command: str) -> bytes:
        """What a command prints, which must go well."""
        ran = self.run(*command)
        assert ran.returncode == 0, ran.stdout.decode() + ran.stderr.decode()
        return ran.stdout

    def code(self) -> set[str]:
        """Names of the files of machine code."""
        return {path.name for path in self.cache.rglob("*.nbc")}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> tuple[PlainProcessor, set[str]]:
    """A plain processor for which `headrace compile` ran, and what code that made."""
    image, cache = plain_image(session_folder(tmp_path_factory)), tmp_path_factory.mktemp("plain")
    for path in (image / "cache").rglob("*"):
        if path.is_file():
            copy = cache / path.relative_to(image / "cache")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    (packages,) = image.glob("lib/python*/site-packages")
    plain = PlainProcessor(packages, cache)
    return plain, plain.code()


def test_once_compiled_no_work_compiles_anything(
    compiled: tuple[PlainProcessor, set[str]], tmp_path: Path
) -> None:
    """Nothing is compiled when events are waiting."""
    plain, code = compiled
    work = str(HERE / "kernel_work.py")
    assert plain.done(sys.executable, work, WITHOUT).split() == []
    assert len(code) > 200
    plain.done(sys.executable, work, str(tmp_path))
    assert plain.code() - code == set()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere a plain one fuses too")
def test_a_plain_processor_gives_the_conformance_vectors(
    compiled: tuple[PlainProcessor, set[str]],
) -> None:
    plain, _ = compiled
    said = plain.done(sys.executable, str(HERE / "vectors.py"), "--check")
    assert said.count(b" 0 differences") > 10


SCORED = """
import sys
import numpy as np
from headrace.models.contributions import ContributionScorer
from headrace.models.scorer import TreeScorer
from headrace.models.xgboost_format import read_xgboost
ensemble = read_xgboost(sys.argv[1])
X = np.load(sys.argv[2])
scorer = TreeScorer(ensemble)
margins = scorer.margins(X)
sys.stdout.buffer.write(margins.tobytes() + scorer.probabilities(margins).tobytes())
sys.stdout.buffer.write(ContributionScorer(ensemble).contributions(X).tobytes())
"""


def test_a_plain_processor_scores_with_the_same_bits(
    compiled: tuple[PlainProcessor, set[str]], tmp_path: Path
) -> None:
    plain, _ = compiled
    random = np.random.default_rng(3)
    table = random.normal(size=(400, 3))
    data = xgboost.DMatrix(table, (table[:, 0] > 0).astype(int))
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 9}, data, 20)
    model, rows = tmp_path / "model.json", tmp_path / "X.npy"
    booster.save_model(model)
    X = random.normal(size=(3, 900))
    X[random.random(X.shape) < 0.1] = np.nan
    np.save(rows, X)
    ensemble = read_xgboost(model)
    scorer = TreeScorer(ensemble)
    margins = scorer.margins(X)
    here = margins.tobytes() + scorer.probabilities(margins).tobytes()
    here += ContributionScorer(ensemble).contributions(X).tobytes()
    assert plain.done(sys.executable, "-c", SCORED, str(model), str(rows)) == here
