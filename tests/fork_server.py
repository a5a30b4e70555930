"""Loads Headrace with its kernels once, and forks a process for each command that it is told.

A request is a JSON object on a line of stdin: `arguments`, the `folder` to work in, `environment`,
and the paths of `stdin`, `stdout` and `stderr`. Answers are two lines: the id of the process, and,
when it has ended, its exit status. With `ended`, a path, the first line is all of the answer: the
process goes on beside others, and the file has its exit status once it has ended. A process that
was forked is one that was started, in all but the seconds that loading takes; it ends as any
interpreter does.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import pkgutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

#: Their console takes its width from the environment, which a request brings.
LATE = "headrace.cli"
#: What commands load beside.
BESIDE = ("cyclopts", "rich.console", "rich.progress", "rich.table")


def load() -> None:
    """Import the modules of the product and load its machine code; nothing is run."""
    import headrace  # noqa: PLC0415 - here it is loaded

    for name in BESIDE:
        importlib.import_module(name)
    for found in pkgutil.walk_packages(headrace.__path__, "headrace."):
        if found.name.startswith(LATE) or found.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(found.name)
        except ImportError:  # it is of an extra that is not installed
            continue
        for kernel in vars(module).values():
            index = getattr(getattr(kernel, "_cache", None), "_cache_file", None)
            if index is not None and kernel.py_func.__module__ == found.name:
                for signature, *_ in index._load_index():
                    kernel.compile(signature)


def become(request: dict[str, Any]) -> None:
    """Be the process that is asked for."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        file = os.open(request[name], os.O_WRONLY | os.O_APPEND if number else os.O_RDONLY)
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    # whoever waits in vain asks where it stands; should it crash, it says where
    faulthandler.register(signal.SIGUSR1)
    faulthandler.enable()
    sys.argv = ["headrace", *request["arguments"]]
    sys.path[0] = ""


def attended(request: dict[str, Any]) -> bool:
    """Fork a process, say its id, and wait for its end, as nobody else can who is not its parent.

    Returns:
        Whether this is the new process.
    """
    child = os.fork()
    if child == 0:
        return True
    os.write(1, f"{child}\n".encode())
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    _, status = os.waitpid(child, 0)
    ended = Path(request["ended"])
    draft = ended.with_suffix(".draft")
    draft.write_text(str(os.waitstatus_to_exitcode(status)))
    draft.rename(ended)
    os._exit(0)


def serve() -> None:
    """Answer requests until there are no more."""
    load()
    gc.freeze()
    requests = os.fdopen(os.dup(0))
    for line in requests:
        request = json.loads(line)
        apart = "ended" in request
        child = os.fork()
        if child == 0:
            requests.close()
            if not apart or attended(request):
                become(request)
                from headrace.cli import main  # noqa: PLC0415 - see `LATE`

                main()
            return
        if apart:
            _reap()
            continue
        os.write(1, f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _reap() -> None:
    """Let those go that have attended a process to its end."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


if __name__ == "__main__":
    serve()
