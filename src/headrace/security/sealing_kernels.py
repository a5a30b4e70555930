"""A kernel that calls libcrypto's AES-256-GCM through addresses, so that it can be cached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from headrace.core.compiled import allocating_kernel

if TYPE_CHECKING:
    from headrace.core.columns import Int64s
    from headrace.core.siphash import Index

#: Columns of a job: addresses of key, nonce and value; the value's length.
JOB = 4
KEY, NONCE, VALUE, LENGTH = range(JOB)

_INIT, _UPDATE, _FINAL, _CONTROL, _CONTEXT = range(5)
_GET_TAG = 0x10
_TAG = 16


def _caller() -> Any:
    """The intrinsic behind `_call`."""

    @intrinsic
    def call(typing_context: Any, address: Any, a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:  # noqa: ARG001 - numba's calling form
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
            # every argument goes as 64 bits: integers of 32 are read from a register's low half
            shape = ir.FunctionType(ir.IntType(32), [ir.IntType(64)] * 5)
            function = builder.inttoptr(arguments[0], shape.as_pointer())
            return builder.call(function, list(arguments[1:]))

        return types.int32(*([types.int64] * 6)), generate

    return call


#: Call a C function at an address with up to five integers or pointers; it gives an int.
_call = _caller()


@allocating_kernel
def seal_values(functions: Int64s, jobs: Int64s) -> Index:
    """Seal each job's value in place, its tag behind it; how many were sealed."""
    written = np.zeros(2, dtype=np.int32)
    length_at = np.int64(written.ctypes.data)
    nothing = np.zeros(32, dtype=np.uint8)
    context = functions[_CONTEXT]
    for row in range(len(jobs)):
        value, length = jobs[row, VALUE], jobs[row, LENGTH]
        if _call(functions[_INIT], context, 0, 0, jobs[row, KEY], jobs[row, NONCE]) != 1:
            return row
        if length and _call(functions[_UPDATE], context, value, length_at, value, length) != 1:
            return row
        if _call(functions[_FINAL], context, value + length, length_at, 0, 0) != 1:
            return row
        if _call(functions[_CONTROL], context, _GET_TAG, _TAG, value + length, 0) != 1:
            return row
    # the last key's schedule does not stay behind in the context
    _call(functions[_INIT], context, 0, 0, np.int64(nothing.ctypes.data), 0)
    return len(jobs)
