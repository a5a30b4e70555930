"""In a kernel: writing to, copying to and calling at an address.

`headrace.core.compiled` reads numbers at an address; these are the other half. A kernel that takes
addresses as integers stays cacheable, which one that names a foreign function does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

from headrace.core.compiled import Function, _compiled, _loader, inner_kernel, load_i64, load_u8

if TYPE_CHECKING:
    from collections.abc import Callable


def _float_type(bits: int) -> Any:
    """The compiler's type of a float of so many bits."""
    return ir.DoubleType() if bits == 64 else ir.FloatType()


def _storer(bits: int, kind: Any, *, floating: bool = False) -> Any:
    """An intrinsic that writes one number at an address, in the machine's byte order."""

    @intrinsic
    def store(typing_context: Any, address: Any, value: Any) -> Any:  # noqa: ARG001 - numba's calling form
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
            word = _float_type(bits) if floating else ir.IntType(bits)
            pointer = builder.inttoptr(arguments[0], word.as_pointer())
            builder.store(arguments[1], pointer, align=1)
            return context.get_dummy_value()

        return types.void(types.intp, kind), generate

    return store


#: Read a 16-bit number at an address, of any alignment.
load_u16 = _loader(16, types.uint16)

#: Write one number at an address, of any alignment; the value is converted to that type first.
store_u8 = _storer(8, types.uint8)
store_i16 = _storer(16, types.int16)
store_u16 = _storer(16, types.uint16)
store_i32 = _storer(32, types.int32)
store_u32 = _storer(32, types.uint32)
store_i64 = _storer(64, types.int64)
store_f32 = _storer(32, types.float32, floating=True)
store_f64 = _storer(64, types.float64, floating=True)


def _swapper() -> Any:
    """An intrinsic that reverses the bytes of a 32-bit word."""

    @intrinsic
    def swap(typing_context: Any, value: Any) -> Any:  # noqa: ARG001 - numba's calling form
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
            return builder.bswap(arguments[0])

        return types.uint32(types.uint32), generate

    return swap


def _call(context: Any, builder: Any, arguments: Any) -> Any:
    """Call the C function at the first argument with the others, 64-bit words; drop its result."""
    word = ir.IntType(64)
    shape = ir.FunctionType(ir.VoidType(), [word] * (len(arguments) - 1))
    builder.call(builder.inttoptr(arguments[0], shape.as_pointer()), arguments[1:])
    return context.get_dummy_value()


def _caller_2() -> Any:
    """An intrinsic that calls a C function with two words."""

    @intrinsic
    def call(typing_context: Any, function: Any, first: Any, second: Any) -> Any:  # noqa: ARG001 - numba's calling form
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
            return _call(context, builder, arguments)

        return types.void(*[types.int64] * 3), generate

    return call


def _caller_3() -> Any:
    """An intrinsic that calls a C function with three words."""

    @intrinsic
    def call(typing_context: Any, function: Any, first: Any, second: Any, third: Any) -> Any:  # noqa: ARG001 - numba's calling form
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
            return _call(context, builder, arguments)

        return types.void(*[types.int64] * 4), generate

    return call


#: In a kernel: a 32-bit word with its bytes in the opposite order.
swap_u32 = _swapper()

#: In a kernel: call the C function at an address with two or three words; its result is dropped.
call_2 = _caller_2()
call_3 = _caller_3()


@inner_kernel
def copy_bytes(target: int, source: int, length: int) -> None:
    """In a kernel: copy `length` bytes; texts are short, so words first and then what is left."""
    at = 0
    while at + 8 <= length:
        store_i64(target + at, load_i64(source + at))
        at += 8
    while at < length:
        store_u8(target + at, load_u8(source + at))
        at += 1


def _word_caller() -> Any:
    """An intrinsic that calls a function of words that gives a word."""

    @intrinsic
    def call(typing_context: Any, function: Any, *words: Any) -> Any:  # noqa: ARG001 - numba's calling form
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
            word = ir.IntType(64)
            given = [builder.extract_value(arguments[1], n) for n in range(len(words))]
            shape = ir.FunctionType(word, [word] * len(given))
            address = builder.inttoptr(arguments[0], shape.as_pointer())
            return builder.call(address, given)

        return types.int64(types.int64, types.StarArgUniTuple(types.int64, len(words))), generate

    return call


def _matrix() -> Any:
    """An intrinsic that makes an array of the words at an address."""
    kind = types.Array(types.int64, 2, "C")

    @intrinsic
    def matrix(typing_context: Any, address: Any, rows: Any, columns: Any) -> Any:  # noqa: ARG001 - numba's calling form
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's calling form
            address, rows, columns = arguments
            word = address.type(8)
            array = make_array(kind)(context, builder)
            populate_array(
                array,
                data=builder.inttoptr(address, array.data.type),
                shape=[rows, columns],
                strides=[builder.mul(columns, word), word],
                itemsize=word,
                meminfo=None,
            )
            return array._getvalue()  # noqa: SLF001 - numba's name for it

        return kind(types.intp, types.intp, types.intp), generate

    return matrix


#: In a kernel: call the function at an address with any number of words; the word that it gives.
call_word: Callable[..., int] = _word_caller()

#: In a kernel: the words at an address as an array of so many rows and columns; `numba.carray`
#: makes one in kernels alone that count who refers to an array.
matrix_at = _matrix()


def entry_kernel(function: Function) -> Function:
    """Compile a function of words that gives a word, to be called at its address (`entry`).

    The compiler copies a kernel into each kernel that calls it, and works on every copy anew. What
    is rare, and large, is compiled once and called at its address instead.
    """
    return _compiled(function, no_cpython_wrapper=True)


def entry(function: Callable[..., int]) -> int:
    """The address of an `entry_kernel`, compiled now if it is not yet."""
    dispatcher: Any = function
    words = (types.int64,) * dispatcher.py_func.__code__.co_argcount
    dispatcher.compile(words)
    made = dispatcher.overloads[words]
    return int(made.library.get_pointer_to_function(made.fndesc.llvm_cfunc_wrapper_name))
