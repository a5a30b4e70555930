"""Every command and every example of the README and the docs does what its page says."""

import contextlib
import doctest
import importlib
import inspect
import io
import os
import pkgutil
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Self

import pytest
from numba.core.dispatcher import Dispatcher
from registry_stub import RegistryStub, serving
from tests.integration.s3_server import IDENTITY, S3Server

import headrace
import headrace_solutions

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: What runs, what is shown, and what other languages are shown in.
LANGUAGES = {"python", "console", "text", "json", "sql", "toml"}
#: A page may leave out these commands alone: they set up or run the whole working copy, or ask an
#: engine of containers or a cluster, of which tests have none (see `tests/integration/deploy`).
SETTING_UP = re.compile(r"git clone |cd |make |pip install |source |docker |kubectl ")
FENCE = re.compile(r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\s*$")
EXEMPT = re.compile(r"^<!-- not run: .+ -->$")
OUTPUT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass
class Block:
    """A fenced block: where it stands, its language, the file that it is, its text."""

    page: Path
    line: int
    language: str
    title: str
    exempt: bool
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def commands(self) -> list[str]:
        """The commands behind `$`, those with a `\\` at the end joined with the next line."""
        found: list[str] = []
        for line in self.lines:
            if found and found[-1].endswith("\\"):
                found[-1] += "\n" + line
            else:
                assert line.startswith("$ "), (
                    f"{self.place}: {line!r} is no command; output is text"
                )
                found.append(line[2:])
        return found


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    inside = False
    said = ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if inside:
            if line.strip() == "```":
                inside, said = False, ""
            else:
                found[-1].lines.append(line)
        elif line.startswith("```"):
            opened = FENCE.match(line)
            assert opened, f"{page}:{number}: {line!r} opens a block that this test can't read"
            exempt = bool(EXEMPT.match(said))
            found.append(
                Block(page, number, opened["language"], opened["title"] or "", exempt=exempt)
            )
            inside = True
        elif line.strip():
            said = line.strip()
    assert not inside, f"{page}: a block is not closed"
    return found


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def with_something_to_run() -> list[object]:
    pages: list[object] = []
    for page in PAGES:
        run = [b for b in blocks(page) if b.language in {"python", "console"} and not b.exempt]
        if run:
            slow = [pytest.mark.slow] if any(b.language == "console" for b in run) else []
            pages.append(pytest.param(page, id=named(page), marks=slow))
    return pages


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A fresh folder with a home in it, and the commands of this installation on the path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("MPLBACKEND", "agg")
    return dict(os.environ)


#: The broker that pages name; a real one takes its place.
SHOWN_BROKER = "localhost:9092"


@pytest.fixture
def kafka(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Gives the address of a Kafka, started when it is first asked for."""
    return lambda: str(request.getfixturevalue("servers"))


#: The schema registry that pages name; a stub of one takes its place.
SHOWN_REGISTRY = "http://localhost:8081"
#: The bucket that pages name, on a server of the tests' own.
SHOWN_BUCKET = "bank-evidence"


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    """The address of a stub of a schema registry."""
    with serving(RegistryStub()) as stub:
        yield stub.url


@pytest.fixture(scope="session")
def s3() -> Iterator[Callable[[], Mapping[str, str]]]:
    """Gives what a client of S3 has to know, of a server that is started when it is asked for."""
    started: list[S3Server] = []

    def known() -> Mapping[str, str]:
        if not started:
            started.append(S3Server())
            started[0].start()
            started[0].bucket(SHOWN_BUCKET)
        return {**IDENTITY, "AWS_ENDPOINT_URL": started[0].url}

    yield known
    for server in started:
        server.stop()


def with_real(shown: list[Block], named: str, real: Callable[[], str]) -> list[Block]:
    """The blocks of a page; those that name a server name a real one."""
    if any(named in block.text for block in shown):
        address = real()
        for block in shown:
            block.lines = [line.replace(named, address) for line in block.lines]
    return shown


class Terminal:
    """Where commands of a page are typed; whatever they left running ends with it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder, self._environment = folder, environment
        self._shells: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for group in self._shells:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def run(self, block: Block) -> str:
        """What the commands of a block say; each must go well."""
        said = ""
        for command in block.commands():
            code, out, errors = self._typed(command)
            assert code == 0, f"{block.place}: {command}\nended with {code}\n{out}{errors}"
            said += out
        return said

    def _typed(self, command: str) -> tuple[int, str, str]:
        """Exit status, output and errors of a command, when the prompt would come back.

        Output goes to files: a process in the background keeps a pipe open for as long as it runs.
        """
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            shell = subprocess.Popen(
                ["bash", "-o", "pipefail", "-c", command],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                start_new_session=True,
            )
            self._shells.append(shell.pid)
            try:
                code = shell.wait(timeout=500)
            finally:
                if shell.poll() is None:
                    os.killpg(shell.pid, signal.SIGKILL)
                    shell.wait()
            out.seek(0)
            errors.seek(0)
            return code, out.read(), errors.read()


def run_python(block: Block, namespace: dict[str, object]) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        # the line numbers of the page, for messages
        code = compile("\n" * block.line + block.text, str(block.page), "exec")
        exec(code, namespace)  # noqa: S102 - running what the page shows is the test
    return said.getvalue()


@pytest.mark.parametrize("page", with_something_to_run())
def test_page_runs(
    page: Path,
    tmp_path: Path,
    environment: dict[str, str],
    kafka: Callable[[], str],
    registry: str,
    s3: Callable[[], Mapping[str, str]],
) -> None:
    shown = with_real(blocks(page), SHOWN_BROKER, kafka)
    shown = with_real(shown, SHOWN_REGISTRY, lambda: registry)
    if any(f"s3://{SHOWN_BUCKET}" in block.text for block in shown):
        environment = {**environment, **s3()}
    namespace: dict[str, object] = {"__name__": "__main__"}
    before = set(sys.modules)
    said: str | None = None
    try:
        with Terminal(tmp_path, environment) as terminal:
            for block in shown:
                if block.title:
                    path = tmp_path / block.title
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(block.text, encoding="utf-8")
                    said = None
                elif block.exempt:
                    said = None
                elif block.language == "python":
                    said = run_python(block, namespace)
                elif block.language == "console":
                    said = terminal.run(block)
                elif block.language == "text" and said is not None:
                    agreed = doctest.OutputChecker().check_output(block.text, said, OUTPUT)
                    assert agreed, f"{block.place}: shown\n{block.text}\nbut came\n{said}"
                    said = None
    finally:
        # files that this page wrote are modules of this page alone
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
                del sys.modules[name]


def alive(process: int) -> bool:
    """Whether a process of a terminal, whose parent has ended, still runs."""
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip()[:1] not in {"", "Z"}


def test_a_terminal_waits_for_no_process_in_the_background(tmp_path: Path) -> None:
    """It keeps the terminal's errors open, as `&` behind a pipe does; it ends with the page."""
    command = "$ sleep 500 | sleep 500 > out & echo $! > pid"
    block = Block(ROOT / "README.md", 1, "console", "", exempt=False, lines=[command])
    with Terminal(tmp_path, dict(os.environ)) as terminal:
        assert terminal.run(block) == ""
        process = int((tmp_path / "pid").read_text())
        assert alive(process)
    while alive(process):
        time.sleep(0.01)


def test_a_command_that_fails_is_told_with_what_it_said(tmp_path: Path) -> None:
    block = Block(ROOT / "README.md", 7, "console", "", exempt=False, lines=["$ ls no-such-file"])
    with (
        Terminal(tmp_path, dict(os.environ)) as terminal,
        pytest.raises(AssertionError, match=r"(?s)README.md:7.*no-such-file.*ended with"),
    ):
        terminal.run(block)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_blocks_are_of_known_languages(page: Path) -> None:
    strange = [b.place for b in blocks(page) if b.language not in LANGUAGES]
    assert not strange, f"commands are `console`, output is `text`: {strange}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_only_setting_up_is_left_out(page: Path) -> None:
    left_out = [
        f"{block.place}: {command}"
        for block in blocks(page)
        if block.exempt
        for command in (block.commands() if block.language == "console" else [block.language])
        if not SETTING_UP.match(command)
    ]
    assert not left_out


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    """Inside the working copy; the built site checks the docs' own once more, with anchors."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path = target.split("#")[0]
        if "://" in target or not path:
            continue
        if not (page.parent / path).exists():
            dead.append(target)
    assert not dead


def modules() -> list[str]:
    return sorted(
        found.name
        for package in (headrace, headrace_solutions)
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
        if not found.name.endswith("__main__")
    )


def examples_of_kernels(module: ModuleType) -> list[doctest.DocTest]:
    """The examples of compiled kernels, which `doctest` does not take for functions."""
    return [
        doctest.DocTest(
            doctest.DocTestParser().get_examples(inspect.getdoc(kernel.py_func) or ""),
            dict(vars(module)),
            f"{module.__name__}.{name}",
            kernel.py_func.__code__.co_filename,
            kernel.py_func.__code__.co_firstlineno,
            None,
        )
        for name, kernel in vars(module).items()
        if isinstance(kernel, Dispatcher) and kernel.py_func.__module__ == module.__name__
    ]


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize("name", modules())
def test_docstrings_hold(name: str) -> None:
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    said = io.StringIO()
    for test in doctest.DocTestFinder().find(module, name) + examples_of_kernels(module):
        runner.run(test, out=said.write)
    assert not runner.summarize(verbose=False).failed, said.getvalue()


def public_names() -> list[str]:
    return [name for name in headrace.__all__ if not name.startswith("__")]


@pytest.mark.parametrize("name", public_names())
def test_public_name_is_documented(name: str) -> None:
    value = getattr(headrace, name)
    if inspect.isroutine(value) or inspect.isclass(value):
        assert inspect.getdoc(value), f"hr.{name} has no docstring"
    reference = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md")
    )
    documented = re.search(rf"^::: headrace\.(?:[\w.]+\.)?{name}$", reference, re.MULTILINE)
    assert documented or f"`hr.{name}`" in reference, f"hr.{name} is not in docs/reference"


@pytest.mark.slow
def test_site_builds_strictly(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "docs.build", "--site", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    built = tmp_path / "site" / "index.html"
    assert "Headrace" in built.read_text(encoding="utf-8")


def test_page_of_commands_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    commands = importlib.import_module("docs.commands")
    written = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    assert written == commands.page(), "run `make docs`, which writes it anew"
