"""What `deploy/Containerfile` says, and its build carried out without a container engine."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from tests.session_folder import made_once

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[3]
CONTAINERFILE = ROOT / "deploy" / "Containerfile"
#: Where a file of the image stands in it, and so what is replaced by a folder of the test.
INSTALLED = "/opt/headrace"
IN_FOLDER = "headrace"
#: What a build is told beside the file.
NOTHING: Mapping[str, str] = MappingProxyType({})
#: For a processor without wide vectors or fused multiply-add: its code runs on every other one.
PLAIN: Mapping[str, str] = MappingProxyType({"PROCESSOR": "generic"})
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)")


@dataclass
class Stage:
    """One stage: its instructions in order, and the variables they leave."""

    base: str
    name: str
    instructions: list[tuple[str, str]] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def all(self, word: str) -> list[str]:
        """What stands behind every instruction of a kind."""
        return [rest for kind, rest in self.instructions if kind == word]

    def command(self, word: str) -> list[str]:
        """The list behind CMD or ENTRYPOINT, or behind the CMD of HEALTHCHECK."""
        (rest,) = self.all(word)
        found = json.loads(rest[rest.index("[") :])
        assert isinstance(found, list)
        return [str(part) for part in found]


def filled(text: str, variables: dict[str, str]) -> str:
    """A text with what variables stand for, where they are known."""

    def value(match: re.Match[str]) -> str:
        return variables.get(match[1] or match[2], match[0])

    return _VARIABLE.sub(value, text)


def stages(arguments: Mapping[str, str] = NOTHING) -> list[Stage]:
    """The stages of the file.

    Args:
        arguments: What `--build-arg` gives; other variables have the values of the file.
    """
    text = re.sub(r"^\s*#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    before: dict[str, str] = {}
    found: list[Stage] = []
    for line in lines:
        if not line.strip():
            continue
        word, rest = line.split(maxsplit=1)
        if word == "FROM":
            base, _, name = filled(rest, before).partition(" AS ")
            found.append(Stage(base, name))
        elif word == "ARG":
            name, _, value = rest.partition("=")
            value = arguments.get(name) or value or before.get(name, "")
            (found[-1].variables if found else before)[name] = value
        else:
            found[-1].instructions.append((word, rest))
            if word == "ENV":
                given = dict(part.split("=", 1) for part in shlex.split(rest))
                for name, value in given.items():
                    found[-1].environment[name] = filled(value, found[-1].variables)
    return found


def ignored(path: str) -> bool:
    """Whether a path of the working copy does not reach a build: the last rule for it decides."""
    out = False
    for line in (ROOT / ".containerignore").read_text().splitlines():
        rule = line.removeprefix("!")
        parts = [path, *(str(above) for above in Path(path).parents if str(above) != ".")]
        if line and not line.startswith("#"):
            rule = rule.removeprefix("**/")
            named = [part for part in parts if fnmatch.fnmatchcase(part, rule)]
            named += [part for part in Path(path).parts if fnmatch.fnmatchcase(part, rule)]
            out = not line.startswith("!") if named else out
    return out


def copied(sources: list[str], target: Path) -> None:
    """Copy what a COPY names from the working copy, less what is ignored."""
    for source in sources:
        if (ROOT / source).is_file():
            assert not ignored(source), f"{source} is in .containerignore"
            shutil.copy(ROOT / source, target)
            continue
        for path in (ROOT / source).rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            if path.is_file() and not ignored(name):
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target / name)


def plain_image(shared: Path) -> Path:
    """Where `INSTALLED` lies of an image for a plain processor, which is built once for a session.

    Args:
        shared: The folder of the session (`tests.session_folder`).
    """
    return made_once(shared / "image", lambda folder: build(folder, PLAIN)) / IN_FOLDER


def build(folder: Path, arguments: Mapping[str, str]) -> None:
    """Carry out the first stage in a folder; `INSTALLED` lies at `IN_FOLDER` then."""
    stage = stages(arguments)[0]
    installed, here = folder / IN_FOLDER, folder / "source"
    here.mkdir()
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for name, value in stage.environment.items():
        environment[name] = value.replace(INSTALLED, str(installed))
    # the packages are those that are kept for other tests
    del environment["PIP_NO_CACHE_DIR"]
    for word, rest in stage.instructions:
        if word == "COPY":
            *sources, _ = rest.split()
            copied(sources, here)
        elif word == "RUN":
            command = filled(rest, stage.variables).replace(INSTALLED, str(installed))
            done = subprocess.run(
                ["sh", "-c", command],
                cwd=here,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
