"""The Containerfile: what it names is there, and what it builds starts with nothing to compile.

There is no container engine in these tests. The commands of its first stage are carried out in a
folder, for a plain processor (`tests/parity/test_processors.py` works with the same code); what
comes out is run with the variables of the last stage, and with the rights of its container: no
capabilities, and no file to write but in the home and in /tmp.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from benchmarks.ports import free_port

sys.path.insert(0, str(Path(__file__).parent))
from container_file import (  # type: ignore[import-not-found]  # on the path above
    INSTALLED,
    PLAIN,
    ROOT,
    ignored,
    plain_image,
    stages,
)
from manifests import DEPLOY, documents  # type: ignore[import-not-found]  # on the path above
from tests.session_folder import session_folder

from headrace.cli import build as commands

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

CASE = ROOT / "tests" / "integration" / "http" / "served_case.py"
PAYMENT = {
    "payment_id": "p1",
    "at": "2026-03-01T12:00:00Z",
    "card": "c1",
    "amount": "12.50",
    "country": "DE",
}


def test_both_stages_look_for_the_same_machine_code() -> None:
    first, last = (stage.environment for stage in stages())
    for name in ("HEADRACE_CACHE", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"):
        assert first[name] == last[name]
    # without it, the features of the machine that builds would go into the code
    assert last["NUMBA_CPU_FEATURES"] == ""
    assert last["NUMBA_CPU_NAME"] == "x86-64-v3"
    assert last["HEADRACE_CACHE"].startswith(INSTALLED)
    for stage in stages({"PROCESSOR": "x86-64-v2"}):
        assert stage.environment["NUMBA_CPU_NAME"] == "x86-64-v2"


def test_what_is_copied_is_there_and_reaches_the_build() -> None:
    first, last = stages()
    named = [part for rest in first.all("COPY") for part in rest.split()[:-1]]
    assert named == ["pyproject.toml", "README.md", "LICENSE", "src"]
    assert all((ROOT / name).exists() and not ignored(name) for name in named)
    assert last.all("COPY") == [f"--from={first.name} {INSTALLED} {INSTALLED}"]
    for kept_out in (".git/config", "tests/x.py", "docs/index.md", "src/headrace/__pycache__/x"):
        assert ignored(kept_out)
    assert not ignored("src/headrace/cli/serve.py")
    # Docker knows the other name alone
    assert (ROOT / ".dockerignore").read_text() == (ROOT / ".containerignore").read_text()


def test_it_runs_as_nobody_in_particular() -> None:
    last = stages()[1]
    assert last.all("USER") == ["10001:10001"]
    assert json.loads(last.all("VOLUME")[0]) == [last.environment["HEADRACE_HOME"], "/tmp"]  # noqa: S108 - the container's


def test_its_command_is_one_that_there_is() -> None:
    last = stages()[1]
    assert last.command("ENTRYPOINT") == ["headrace"]
    words = last.command("CMD")
    _, bound, _ = commands().parse_args(words, exit_on_error=False, print_error=False)
    assert bound.arguments["listening"].host == "0.0.0.0"  # noqa: S104 - the container's own
    assert last.all("EXPOSE") == [str(bound.arguments["listening"].port)]


@pytest.mark.parametrize("extra", stages()[0].variables["EXTRAS"].split(","))
def test_its_extras_are_ones_that_there_are(extra: str) -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert f"\n{extra} = [" in text.split("[project.optional-dependencies]")[1].split("\n[")[0]


class Container:
    """What a container of the image is, without a container: its files, variables and rights."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image = image
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)
        temporary = folder / "tmp"
        temporary.mkdir()
        for path in (self.image, *self.image.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & 0o555)
        self.environment = {"TMPDIR": str(temporary), "HOME": "/nonexistent"}
        for name, value in stages(PLAIN)[1].environment.items():
            said = value.replace(INSTALLED, str(self.image))
            said = said.replace("/var/lib/headrace", str(self.home))
            self.environment[name] = said.replace("${PATH}", os.environ["PATH"])

    def start(self, words: list[str], said: Path, **variables: str) -> subprocess.Popen[bytes]:
        """Start a command in it; what it prints goes to a file."""
        command = words
        if os.geteuid() == 0:
            if shutil.which("setpriv") is None:
                pytest.skip("root can write everywhere: run as another user, or install setpriv")
            command = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", *words]
        environment = self.environment | variables
        with said.open("wb") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.home)

    def run(self, words: list[str], said: Path, **variables: str) -> int:
        """Run a command in it to its end; its exit status."""
        return self.start(words, said, **variables).wait(timeout=240)

    def files(self) -> dict[str, tuple[int, float]]:
        """The image's files: their size and when they were last written."""
        return {
            str(path): (path.stat().st_size, path.stat().st_mtime)
            for path in self.image.rglob("*")
            if path.is_file()
        }


class Serving:
    """The image's own command, over a use case and a home; healthy within the block, ended after.

    It listens at a free port of this machine alone, in the place of the image's.
    """

    def __init__(self, container: Container, case: Path, folder: Path, **variables: str) -> None:
        self._container, self._folder, self._variables = container, folder, variables
        self._port = free_port()
        last = stages()[1]
        here = {"/etc/headrace/case.py": str(case), "0.0.0.0": "127.0.0.1"}  # noqa: S104 - replaced
        words = [here.get(word, word) for word in last.command("CMD")]
        self._words = [*last.command("ENTRYPOINT"), *words, "--port", str(self._port)]
        self._health = [
            word.replace(":8080/", f":{self._port}/") for word in last.command("HEALTHCHECK")
        ]
        self._said = folder / "said"

    def healthy(self) -> bool:
        """What the image's health check says."""
        return self._container.run(self._health, self._folder / "health") == 0

    def decide(self, use_case: str, key: str, payment: dict[str, str]) -> tuple[int, str]:
        """Status and outcome of an answer."""
        url = f"http://127.0.0.1:{self._port}/v1/{use_case}/decisions"
        request = urllib.request.Request(url, json.dumps(payment).encode())
        request.add_header("content-type", "application/json")
        request.add_header("authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310 - it is http
                return answer.status, json.load(answer)["outcome"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code, ""

    def said(self) -> str:
        """All that it printed."""
        return self._said.read_text()

    def __enter__(self) -> Self:
        self._service = self._container.start(self._words, self._said, **self._variables)
        end = time.monotonic() + 240
        while not self.healthy():
            assert self._service.poll() is None, self.said()
            assert time.monotonic() < end, self.said()
        return self

    def __exit__(self, *_: object) -> None:
        self._service.send_signal(signal.SIGTERM)
        assert self._service.wait(timeout=240) == 0, self.said()


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    image = plain_image(session_folder(tmp_path_factory))
    found = Container(image, tmp_path_factory.mktemp("container"))
    yield found
    for path in (found.image, *found.image.rglob("*")):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_container_serves_with_nothing_to_compile(container: Container, tmp_path: Path) -> None:
    before = container.files()
    key = tmp_path / "key"
    words = ["headrace", "access", "add", "gateway", "--role", "decide"]
    assert container.run(words, key) == 0
    with Serving(container, CASE, tmp_path) as serving:
        assert serving.decide("served", key.read_text().strip(), PAYMENT) == (200, "approve")
    assert "compil" not in serving.said()
    assert container.files() == before
    assert not serving.healthy()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_machine_code_is_found_with_its_variables_alone(
    container: Container, tmp_path: Path
) -> None:
    look = "from headrace.core.compiled import cache_folder; print(cache_folder())"
    assert container.run(["python", "-c", look], tmp_path / "same") == 0
    assert (tmp_path / "same").read_text().startswith(str(container.image))
    other = container.run(["python", "-c", look], tmp_path / "other", NUMBA_CPU_NAME="x86-64-v2")
    assert other == 0
    assert (tmp_path / "other").read_text().strip() == "None"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_pod_serves_with_the_keys_of_its_secret(container: Container, tmp_path: Path) -> None:
    """Keys made as the how-to makes them, brought into a home as the pod's own script does."""
    case = DEPLOY / "kubernetes" / "base" / "case.py"
    made, home, said = tmp_path / "made", tmp_path / "home", tmp_path / "key"
    (tmp_path / "nothing.jsonl").touch()
    run = ["headrace", "run", str(case), "--source", str(tmp_path / "nothing.jsonl")]
    assert container.run(run, said, HEADRACE_HOME=str(made)) == 0, said.read_text()
    add = ["headrace", "access", "add", "gateway", "--role", "decide"]
    assert container.run(add, said, HEADRACE_HOME=str(made)) == 0
    key = said.read_text().strip()
    (secret,) = documents(DEPLOY / "kubernetes" / "base" / "secret.example.yaml")
    assert {path.name for path in (made / "keys").iterdir()} == set(secret["stringData"])
    for path in (made / "keys").iterdir():
        path.chmod(0o440)

    (owner,) = documents(DEPLOY / "kubernetes" / "service" / "stateful-set.yaml")
    *shell, script = owner["spec"]["template"]["spec"]["initContainers"][0]["command"]
    (home / "keys").mkdir(parents=True)
    for place in ("/run/secrets/headrace", "/run/secrets/api-keys"):
        script = script.replace(place, str(made / "keys"))
    script = script.replace("/var/lib/headrace/keys", str(home / "keys"))
    assert container.run([*shell, script], tmp_path / "script") == 0
    payment = {name: value for name, value in PAYMENT.items() if name != "country"}
    with Serving(container, case, tmp_path, HEADRACE_HOME=str(home)) as serving:
        assert serving.decide("limits", key, payment) == (200, "approve")
        assert (
            container.run(
                ["headrace", "access", "remove", "gateway"], said, HEADRACE_HOME=str(made)
            )
            == 0
        )
        time.sleep(1.5)
        assert serving.decide("limits", key, payment | {"payment_id": "p2"})[0] == 401
    # one that is missing is not made anew: what is in the vault could not be read with it
    (made / "keys" / "master.key").unlink()
    assert container.run([*shell, script], tmp_path / "script") != 0
