"""`headrace compile`: make machine code now, so that no event waits for it."""

from __future__ import annotations

from headrace.cli.terminal import aside, console, progress
from headrace.runtime.kernel_parts import PARTS
from headrace.runtime.kernels import Compilation, compile_all, is_compiled

#: What is said where nothing can be kept.
NO_CACHE = (
    "headrace: no cache can be written, so kernels are compiled anew at every start;"
    " name a folder for it in HEADRACE_CACHE"
)


def compiled_once(*, again: bool = False) -> Compilation | None:
    """Compile all kernels unless that was done before, with a progress bar; None if it was.

    Every command that decides calls this before its first event.

    Args:
        again: Look at every kernel even if all are said to be there.
    """
    if is_compiled() and not again:
        return None
    with progress("compiling kernels, once", len(PARTS)) as done:
        found = compile_all(done)
    aside.print(f"compiled the kernels in {found.seconds:.0f} s, once for this version")
    if found.folder is None:
        aside.print(NO_CACHE, highlight=False, soft_wrap=True)
    return found


def compile_kernels() -> None:
    """Compile the kernels now, once.

    Headrace is compiled for the processor that it runs on. That is done once for each version, at
    the first command that needs it, or by this one: when a machine image is built, say.
    """
    found = compiled_once(again=True)
    if found is not None and found.folder is not None:
        console.print(f"kernels are ready after {found.seconds:.1f} s, in {found.folder}")
