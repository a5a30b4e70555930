"""Compiled kernels: one way to compile them, where they are kept, and how they reach memory.

Every kernel is compiled by `kernel`: no fast-math and no fused multiply-add (LLVM fuses only where
it is allowed to, and it is not), so the same bits come out of every processor; the GIL is released;
the machine code is cached on disk and is loaded, not compiled, from the second start on.

The cache lies in `HEADRACE_CACHE`, else in the user's cache folder (`~/.cache/headrace`), with a
folder for each version of the kernels (`kernel_cache`). Where it cannot be written, it is read if
it holds all code of this version; else kernels live in memory for this process alone, and
`cache_folder()` is None.
"""

from __future__ import annotations

import platform
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import llvmlite
import numba
from llvmlite import binding, ir
from numba.core import config as _config
from numba.core import types
from numba.extending import intrinsic as _intrinsic

from headrace.core import kernel_cache
from headrace.core.read_only_cache import only_read

if TYPE_CHECKING:
    from collections.abc import Callable


#: The compiler's settings, which it makes as it is imported.
config: Any = _config


def _surroundings() -> tuple[str, ...]:
    """What machine code depends on beside the sources."""
    return (
        numba.__version__,
        llvmlite.__version__,
        platform.python_version(),
        platform.machine(),
        config.CPU_NAME or binding.get_host_cpu_name(),
        binding.get_host_cpu_features().flatten()
        if config.CPU_FEATURES is None
        else config.CPU_FEATURES,
    )


_PACKAGE = Path(__file__).parent.parent
_BASE = kernel_cache.base_folder()
_VERSION = kernel_cache.fingerprint(_PACKAGE, _surroundings())
_WRITABLE = kernel_cache.version_folder(_BASE, _VERSION)
_CACHE = _WRITABLE or kernel_cache.complete_folder(_BASE, _VERSION)
_DECORATING = Lock()

#: As numba has it, less its types, which know nothing of how a kernel calls an intrinsic.
intrinsic: Callable[[Callable[..., Any]], Callable[..., Any]] = _intrinsic

Function = TypeVar("Function", bound="Callable[..., Any]")


def cache_folder() -> Path | None:
    """Where compiled kernels are kept; None when they live in this process alone."""
    return _CACHE


def kernel(function: Function) -> Function:
    """Compile `function` with the settings that every kernel shares.

    It works on arrays that it is given and makes none: whoever calls it holds them meanwhile, so
    nobody counts who refers to them. Counting took two thirds of the time of kernels that call
    others for each row. One that makes arrays is an `allocating_kernel`.

    A function typed at a prompt has no file to be cached by; it is compiled in memory.

    >>> @kernel
    ... def double(x):
    ...     return x + x
    >>> double(21)
    42
    """
    return _compiled(function)


def inner_kernel(function: Function) -> Function:
    """Compile a function that only other kernels call: half the work, no way in from Python."""
    return _compiled(function, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def allocating_kernel(function: Function) -> Function:
    """Compile a kernel that makes arrays for its own use; it counts who refers to each.

    >>> import numpy as np
    >>> @allocating_kernel
    ... def total(count):
    ...     return np.ones(count).sum()
    >>> total(3)
    3.0
    """
    return _compiled(function, allocates=True)


def allocating_inner_kernel(function: Function) -> Function:
    """`inner_kernel` of one that makes arrays for its own use."""
    return _compiled(function, allocates=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


def _compiled(function: Function, *, allocates: bool = False, **options: bool) -> Function:
    cached = _CACHE is not None and Path(function.__code__.co_filename).is_file()
    jit: Any = numba.njit
    compile_it = jit(
        nogil=True,
        cache=cached and _WRITABLE is not None,
        error_model="numpy",
        fastmath=False,
        boundscheck=False,
        _nrt=allocates,
        **options,
    )
    compiled: Function
    if not cached:
        compiled = _once_for_numbers(compile_it(function))
        return compiled
    with _DECORATING:
        # the compiler asks where the cache is when it is given a function; others' stay where
        # they are
        others, config.CACHE_DIR = config.CACHE_DIR, str(_CACHE)
        try:
            compiled = _once_for_numbers(compile_it(function))
            if _WRITABLE is None:
                only_read(compiled, function)
        finally:
            config.CACHE_DIR = others
    return compiled


def _once_for_numbers(compiled: Any) -> Any:
    """Compile the kernel once for all integers, and not anew for each constant it is called with.

    The optimiser puts constants in where it copies a kernel into its caller; a copy for each of
    them, made before that, costs seconds and gains nothing.
    """
    given = compiled.get_call_template

    def get_call_template(arguments: Any, named: Any) -> Any:
        return given(
            tuple(types.unliteral(kind) for kind in arguments),
            {name: types.unliteral(kind) for name, kind in named.items()},
        )

    compiled.get_call_template = get_call_template
    return compiled


def _loader(bits: int, result: Any, *, floating: bool = False) -> Any:
    """An intrinsic that reads one number at an address."""

    @intrinsic
    def load(typing_context: Any, address: Any) -> Any:  # noqa: ARG001 - numba's calling form
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
            kind = ir.DoubleType() if floating else ir.IntType(bits)
            pointer = builder.inttoptr(arguments[0], kind.as_pointer())
            return builder.load(pointer, align=1)

        return result(types.intp), generate

    return load


#: Read one number at an address (`array.ctypes.data` plus an offset in bytes), of any alignment.
#: They let one compiled kernel walk any number of columns: a table of addresses is an array.
load_u8 = _loader(8, types.uint8)
load_i32 = _loader(32, types.int32)
load_i64: Callable[[Any], int] = _loader(64, types.int64)
load_u64 = _loader(64, types.uint64)
load_f64 = _loader(64, types.float64, floating=True)


@intrinsic
def move_words(typing_context: Any, target: Any, source: Any, count: Any) -> Any:  # noqa: ARG001 - numba's calling form
    """In a kernel: copy so many words from one address to another; the two may overlap."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
        pointer, word = ir.IntType(8).as_pointer(), ir.IntType(64)
        move = builder.module.declare_intrinsic("llvm.memmove", [pointer, pointer, word])
        places = [builder.inttoptr(address, pointer) for address in arguments[:2]]
        size = builder.mul(arguments[2], word(8))
        builder.call(move, [*places, size, ir.IntType(1)(0)])
        return context.get_dummy_value()

    return types.none(types.intp, types.intp, types.intp), generate


def float_bits(value: float) -> int:
    """The 64 bits of a float as a signed integer, as `Fixed` carries it.

    >>> float_bits(1.0) == 0x3FF0000000000000
    True
    """
    import struct  # noqa: PLC0415 - not needed by kernels

    return int(struct.unpack("<q", struct.pack("<d", value))[0])


@intrinsic
def as_bits(typing_context: Any, value: Any) -> Any:  # noqa: ARG001 - numba's calling form
    """In a kernel: the 64 bits of a float as an integer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic
def as_float(typing_context: Any, bits: Any) -> Any:  # noqa: ARG001 - numba's calling form
    """In a kernel: the float whose 64 bits are this integer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate
