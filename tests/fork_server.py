"""Loads Headrace with its kernels once, and forks a process for each command that it is told.

A request is a JSON object on a line of stdin: `arguments`, the `folder` to work in, `environment`,
and the paths of `stdin`, `stdout` and `stderr`. Answers are two lines: the id of the process, and,
when it has ended, its exit status. A process that was forked is one that was started, in all but
the seconds that loading takes; it ends as any interpreter does.
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
        file = os.open(request[name], os.O_WRONLY if number else os.O_RDONLY)
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    # whoever waits in vain asks where it stands
    faulthandler.register(signal.SIGUSR1)
    sys.argv = ["headrace", *request["arguments"]]
    sys.path[0] = ""


def serve() -> None:
    """Answer requests until there are no more."""
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    load()
    gc.freeze()
    for line in requests:
        child = os.fork()
        if child == 0:
            requests.close()
            answers.close()
            become(json.loads(line))
            from headrace.cli import main  # noqa: PLC0415 - see `LATE`

            main()
            return
        print(child, file=answers, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)


if __name__ == "__main__":
    serve()
