"""Where machine code is kept on disk, so that code of another version is never run.

The compiler keeps the code of a kernel until the file that the kernel stands in changes; it does
not see that a kernel called from another file changed. So the code of each version lies in a folder
of its own, named by a fingerprint of every source that goes into machine code, of the compiler, and
of the processor. A folder that nothing has used for a month is removed. A cache that holds all code
of a version may be read-only: that of a container's image is.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Seconds after which the code of a version that nothing has used is removed: 30 days.
KEPT_SECONDS = 30 * 86_400

#: A file in the folder of a version: all its kernels are there.
COMPLETE = "compiled"

_DAY = 86_400
_USED = "used"
_GONE = ".gone-"
_IMPORTED = re.compile(rb"^from (\w+(?:\.\w+)*) import (\w+)?", re.MULTILINE)


def kernel_sources(package: Path) -> dict[str, bytes]:
    """The sources that go into machine code: files of kernels, and all that they import.

    Args:
        package: The folder of a package. Its kernels stand in files named `*_kernels.py`.

    Returns:
        Content by path below the package, with `/`, in the order of the paths.
    """
    waiting = [
        Path(folder, name).relative_to(package).as_posix()
        for folder, _, names in os.walk(package)
        for name in names
        if name.endswith("_kernels.py")
    ]
    found: dict[str, bytes] = {}
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = (package / name).read_bytes()
        for module, item in _IMPORTED.findall(found[name]):
            first, *parts = module.decode().split(".")
            if first != package.name:
                continue
            for tried in (parts, [*parts, item.decode()]):
                path = "/".join(tried) + ".py"
                if (package / path).is_file():
                    waiting.append(path)
    return dict(sorted(found.items()))


def fingerprint(package: Path, surroundings: Iterable[str]) -> str:
    """What machine code depends on, as 32 hexadecimal digits.

    Args:
        package: The folder of the package.
        surroundings: Versions of compiler and interpreter, and the processor.
    """
    digest = hashlib.blake2b(b"headrace/kernels/v1\0", digest_size=16)
    for text in surroundings:
        digest.update(f"{len(text)}:{text}".encode())
    for name, content in kernel_sources(package).items():
        digest.update(f"{name}:{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()


def base_folder() -> Path | None:
    """What the user named in `HEADRACE_CACHE`, else `~/.cache/headrace`; None without a home."""
    named = os.environ.get("HEADRACE_CACHE")
    try:
        return Path(named) if named else Path.home() / ".cache" / "headrace"
    except RuntimeError:
        return None


def version_folder(base: Path | None, version: str, now: float | None = None) -> Path | None:
    """The folder for the code of a version, made if need be; None where nothing can be written.

    It is noted that the version is in use, once a day; then folders of other versions that have
    not been in use for `KEPT_SECONDS` are removed. Any number of processes may do so at once.

    Args:
        base: The cache; None if there is none.
        version: A fingerprint.
        now: Seconds since 1970; the clock's if absent.
    """
    if base is None:
        return None
    now = time.time() if now is None else now
    folder = base / "kernels" / version
    used = folder / _USED
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
        if not used.exists() or used.stat().st_mtime < now - _DAY:
            used.touch()
            os.utime(used, (now, now))
            _remove_unused(folder, now)
    except OSError:
        return None
    return folder


def complete_folder(base: Path | None, version: str) -> Path | None:
    """The folder that holds all code of a version, be it writable or not; None if there is none.

    Args:
        base: The cache; None if there is none.
        version: A fingerprint.
    """
    if base is None:
        return None
    folder = base / "kernels" / version
    try:
        return folder if (folder / COMPLETE).exists() else None
    except OSError:  # it may not be looked into
        return None


def _remove_unused(kept: Path, now: float) -> None:
    """Remove what lies beside the folder `kept` and has not been used for long."""
    for other in kept.parent.iterdir():
        if other == kept or not other.is_dir():
            continue
        gone = other
        if not other.name.startswith(_GONE):
            if _last_use(other) >= now - KEPT_SECONDS:
                continue
            # whoever still looks for it finds all of it or nothing
            gone = other.with_name(f"{_GONE}{os.getpid()}-{other.name}")
            try:
                other.rename(gone)
            except OSError:  # another process was faster
                continue
        shutil.rmtree(gone, ignore_errors=True)


def _last_use(folder: Path) -> float:
    """When a folder was last noted to be in use; when it was last changed, if that never was."""
    try:
        return max(folder.stat().st_mtime, (folder / _USED).stat().st_mtime)
    except OSError:
        try:
            return folder.stat().st_mtime
        except OSError:  # it is gone
            return float("inf")
