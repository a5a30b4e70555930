"""`headrace compile`: make machine code now, so that no event waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.cli.terminal import aside, console, progress
from headrace.runtime.kernel_parts import PARTS
from headrace.runtime.kernels import Compilation, compile_all, is_compiled

if TYPE_CHECKING:
    from collections.abc import Callable

#: What is said where nothing can be kept.
NO_CACHE = (
    "headrace: no cache can be written, so kernels are compiled anew at every start;"
    " name a folder for it in HEADRACE_CACHE"
)


def _say(word: str) -> None:
    aside.print(word, highlight=False, soft_wrap=True)


def compiled_once(say: Callable[[str], None] = _say) -> None:
    """Compile all kernels, with a progress bar, unless that was done before.

    Every command that decides calls this before its first event.

    Args:
        say: Called with what there is to say of it.
    """
    if not is_compiled():
        found = _compiled(say)
        say(f"compiled the kernels in {found.seconds:.0f} s, once for this version")


def _compiled(say: Callable[[str], None] = _say) -> Compilation:
    with progress("compiling kernels, once", len(PARTS)) as done:
        found = compile_all(done)
    if found.folder is None:
        say(NO_CACHE)
    return found


def compile_kernels() -> None:
    """Compile the kernels now, once.

    Headrace is compiled for the processor that it runs on. That is done once for each version, at
    the first command that needs it, or by this one: when a machine image is built, say.
    """
    found = _compiled()
    if found.folder is not None:
        console.print(f"kernels are ready after {found.seconds:.1f} s, in {found.folder}")
