"""Machine code lies by what it was made from, and is made in memory where nothing can be kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import headrace
from headrace.core import kernel_cache
from headrace.core.compiled import as_bits, as_float, cache_folder, kernel, load_i64

PACKAGE = Path(headrace.__file__).parent
DAY = 86_400
HERE = ("compiler 1", "processor 2")

WITHOUT_A_CACHE = """
import numpy as np
from headrace.core import compiled, slot_kernels
assert compiled.cache_folder() is None
parts = np.zeros(slot_kernels.TOP + 1, dtype=np.int64)
slot_kernels.slots_begin(parts)
assert parts[slot_kernels.TOP] == slot_kernels.PARTS * slot_kernels.FIRST_SIZE
"""

ONE_KERNEL = """
import sys
import numpy as np
from headrace.core import compiled, slot_kernels
parts = np.zeros(slot_kernels.TOP + 1, dtype=np.int64)
slot_kernels.slots_begin(parts)
found = slot_kernels.slots_begin.stats
print(compiled.cache_folder(), sum(found.cache_hits.values()), sum(found.cache_misses.values()))
"""


def kernel_run(cache: Path, *before: str, **variables: str) -> list[str]:
    """The cache of a process that calls one kernel; how often it is found there, how often not."""
    done = subprocess.run(
        [*before, sys.executable, "-c", ONE_KERNEL],
        env={**os.environ, "HEADRACE_CACHE": str(cache), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def without_rights() -> list[str]:
    """What goes before a command so that root, too, can only write what files' modes allow."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root can write everywhere: run as another user, or install setpriv")
    return ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"]


def read_only(folder: Path) -> dict[str, tuple[int, float]]:
    """Take away the right to write from all that is below a folder; its files as they are."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.chmod(0o555 if path.is_dir() else 0o444)
    folder.chmod(0o555)
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, path.stat().st_mtime)
        for path in folder.rglob("*")
    }


def copied(tmp_path: Path) -> Path:
    """A copy of all sources that go into machine code."""
    package = tmp_path / "headrace"
    for name, content in kernel_cache.kernel_sources(PACKAGE).items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_bytes(content)
    return package


def test_every_file_with_a_kernel_goes_into_the_fingerprint() -> None:
    known = kernel_cache.kernel_sources(PACKAGE)
    holding = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for line in path.read_text().splitlines()
        if line in {"@kernel", "@inner_kernel", "@intrinsic"}
    }
    assert len(holding) > 15
    assert holding <= set(known)
    assert "core/compiled.py" in known


def test_the_fingerprint_follows_every_kernel_and_what_it_calls(tmp_path: Path) -> None:
    package = copied(tmp_path)
    first = kernel_cache.fingerprint(package, HERE)
    assert first == kernel_cache.fingerprint(PACKAGE, HERE)
    seen = {first}
    for name in ("core/siphash.py", "pipeline/acceptance_kernels.py", "core/errors.py"):
        changed = package / name
        before = changed.read_bytes()
        changed.write_bytes(before + b"\n")
        seen.add(kernel_cache.fingerprint(package, HERE))
        changed.write_bytes(before)
    assert len(seen) == 4
    assert kernel_cache.fingerprint(package, ("compiler 1", "processor 3")) not in seen
    (package / "core" / "unrelated.py").write_text('"""Nothing that kernels read."""\n')
    assert kernel_cache.fingerprint(package, HERE) == first
    (package / "core" / "new_kernels.py").write_text("")
    assert kernel_cache.fingerprint(package, HERE) not in seen


def test_versions_lie_apart_and_old_ones_go(tmp_path: Path) -> None:
    now = 2_000_000_000.0
    for name, days in (("fresh", 29), ("stale", 31), (".gone-1-half", 0)):
        folder = kernel_cache.version_folder(tmp_path, name, now - days * DAY)
        assert folder is not None
        (folder / "code").touch()
        os.utime(folder, (now - days * DAY, now - days * DAY))
    mine = kernel_cache.version_folder(tmp_path, "mine", now)
    assert mine == tmp_path / "kernels" / "mine"
    assert sorted(path.name for path in mine.parent.iterdir()) == ["fresh", "mine"]
    # the same day again: nothing is looked through
    (mine.parent / "stale").mkdir()
    os.utime(mine.parent / "stale", (0, 0))
    kernel_cache.version_folder(tmp_path, "mine", now + 100)
    assert (mine.parent / "stale").exists()
    kernel_cache.version_folder(tmp_path, "mine", now + 2 * DAY)
    assert not (mine.parent / "stale").exists()


def test_where_nothing_can_be_written_there_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert kernel_cache.version_folder(tmp_path / "file", "mine") is None
    assert kernel_cache.version_folder(None, "mine") is None


def test_kernels_run_without_a_cache(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environment = {**os.environ, "HEADRACE_CACHE": str(tmp_path / "file")}
    subprocess.run([sys.executable, "-c", WITHOUT_A_CACHE], env=environment, check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_complete_cache_is_read_where_it_cannot_be_written(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder = kernel_run(cache)[0]
    Path(folder, kernel_cache.COMPLETE).touch()
    before = read_only(cache)
    assert kernel_run(cache, *without_rights()) == [folder, "1", "0"]
    assert read_only(cache) == before
    # what is not there is compiled for the process alone
    for code in Path(folder).rglob("*.nb[ci]"):
        code.parent.chmod(0o755)
        code.unlink()
    before = read_only(cache)
    assert kernel_run(cache, *without_rights()) == [folder, "0", "1"]
    assert read_only(cache) == before


def test_a_cache_that_is_not_complete_or_of_another_processor_is_not_read(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder = kernel_run(cache)[0]
    read_only(cache)
    assert kernel_run(cache, *without_rights())[0] == "None"
    Path(folder).chmod(0o755)
    Path(folder, kernel_cache.COMPLETE).touch()
    read_only(cache)
    assert kernel_run(cache, *without_rights())[0] == folder
    other = {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""}
    assert kernel_run(cache, *without_rights(), **other)[0] == "None"


def test_code_of_this_version_lies_in_its_folder() -> None:
    folder = cache_folder()
    assert folder is not None
    assert folder.parent.name == "kernels"
    assert len(folder.name) == 32
    assert (folder / "used").exists()


def test_loads_and_bits() -> None:
    @kernel
    def through(address: int) -> tuple[int, float, int]:
        word = load_i64(address)
        value = as_float(word)
        return word, value, as_bits(value)

    words = np.array([1, 0x3FF8000000000000], dtype=np.int64)
    assert through(words.ctypes.data + 8) == (words[1], 1.5, words[1])
