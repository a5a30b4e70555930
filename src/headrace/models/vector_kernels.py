"""Loops over vectors of bytes and floats that the kernels of tree models are made of.

They are written as LLVM vectors of a fixed length instead of being left to the vectoriser, so
every processor runs the same plan: AVX2 takes 32 bytes an instruction, plain x86-64 and ARM 16.
Comparisons, selections and lane-wise additions round alike everywhere, so the bits are the same.

Memory is named by address; reads and writes may be unaligned.
"""

# ruff: noqa: ARG001 - numba types an intrinsic by its arguments, and passes their values elsewhere

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from llvmlite import ir
from numba.core import cgutils, types

from headrace.core.compiled import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Rows that one step of a byte loop takes; columns of bytes are padded to a multiple of it.
STRIDE: Final = 64

#: Words (int32) of one selection, see `run_selections`.
SELECTION_WORDS: Final = 16

#: Splits that one unit of a tree may have: its answers fill a byte.
UNIT_SPLITS: Final = 8

#: Words (int32) of one unit's splits, see `answer_units`.
ANSWER_WORDS: Final = 3 * UNIT_SPLITS

#: Words (int64) of one addition of tables, see `add_tables`.
ADDITION_WORDS: Final = 10

#: Numbers whose binary searches run side by side, so that one waits while another is compared.
_SEARCHES: Final = 8

_BYTES = ir.VectorType(ir.IntType(8), STRIDE)
_WORD = ir.IntType(32)
_LONG = ir.IntType(64)


def _splat(builder: Any, byte: Any, vector: Any) -> Any:
    """A vector with the same value in every lane."""
    lone = builder.insert_element(ir.Constant(vector, ir.Undefined), byte, _WORD(0))
    lanes = ir.Constant(ir.VectorType(_WORD, vector.count), [0] * vector.count)
    return builder.shuffle_vector(lone, ir.Constant(vector, ir.Undefined), lanes)


def _load(builder: Any, address: Any, kind: Any) -> Any:
    return builder.load(builder.inttoptr(address, kind.as_pointer()), align=1)


def _store(builder: Any, address: Any, value: Any) -> None:
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=1)


def _word(builder: Any, address: Any, number: int) -> Any:
    """Word `number` of the table at an address, as a 64-bit integer."""
    at = builder.add(address, _LONG(4 * number))
    return builder.sext(_load(builder, at, _WORD), _LONG)


def _variable(builder: Any, value: Any) -> Any:
    """A place on the stack that begins with a value."""
    place: Any = cgutils.alloca_once_value(builder, value)
    return place


def _byte(builder: Any, word: Any) -> Any:
    return builder.trunc(word, ir.IntType(8))


def _walk(builder: Any, count: Any, step: int, body: Callable[[Any], None]) -> None:
    """Call `body` with 0, step, 2 x step, ... below `count`."""
    with cgutils.for_range_slice(builder, _LONG(0), count, _LONG(step), intp=_LONG) as (index, _):
        body(index)


def _at_least(builder: Any, values: Any, threshold: Any) -> Any:
    return builder.icmp_unsigned(">=", values, threshold)


@intrinsic
def stay_apart(typing_context: Any) -> Any:
    """In a kernel: keep the optimiser from copying this kernel into its callers.

    A large kernel gains nothing from that, and every copy takes its time to be optimised.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def load_f32(typing_context: Any, address: Any) -> Any:
    """In a kernel: the float32 at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _load(builder, arguments[0], ir.FloatType())

    return types.float32(types.int64), generate


@intrinsic
def store_f32(typing_context: Any, address: Any, value: Any) -> Any:
    """In a kernel: write a float32 at an address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _store(builder, arguments[0], arguments[1])
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), generate


def _select_tree(builder: Any, arena: Any, entry: Any, rows: Any, *, constant: bool | None) -> None:
    """One selection over all rows; `constant` says what the four results are, None for mixed."""
    columns = [builder.add(arena, _word(builder, entry, number)) for number in (1, 2, 3)]
    thresholds = [
        _splat(builder, _byte(builder, _word(builder, entry, number)), _BYTES)
        for number in (4, 5, 6)
    ]
    sources = [_word(builder, entry, number) for number in (7, 8, 9, 10)]
    masks = [_word(builder, entry, number) for number in (11, 12, 13, 14)]
    out = builder.add(arena, _word(builder, entry, 15))
    if constant:
        held = [_splat(builder, _byte(builder, source), _BYTES) for source in sources]
    else:
        bases = [builder.add(arena, source) for source in sources]

    def body(index: Any) -> None:
        if constant:
            results = held
        else:
            offsets = [index if constant is False else builder.and_(index, mask) for mask in masks]
            results = [
                _load(builder, builder.add(base, offset), _BYTES)
                for base, offset in zip(bases, offsets, strict=True)
            ]
        first, left, right = (
            _at_least(builder, _load(builder, builder.add(column, index), _BYTES), threshold)
            for column, threshold in zip(columns, thresholds, strict=True)
        )
        below = builder.select(left, results[1], results[0])
        above = builder.select(right, results[3], results[2])
        _store(builder, builder.add(out, index), builder.select(first, above, below))

    _walk(builder, rows, STRIDE, body)


@intrinsic
def run_selections(
    typing_context: Any, arena: Any, table: Any, first: Any, last: Any, rows: Any
) -> Any:
    """In a kernel: run selections `first` to `last` of a table over blocks of byte columns.

    A selection is a split with the two splits below it. Row by row it takes one of four results:
    `x0 >= t0 ? (x2 >= t2 ? d : c) : (x1 >= t1 ? b : a)`, all bytes. Its 16 words are: the kind
    (0: results are constant bytes, 1: columns, 2: mixed); the offsets of the columns x0, x1, x2 in
    the arena; t0, t1, t2; a, b, c, d (a byte, or the offset of a column); a mask for each result
    (-1 for a column, 0 for a constant's place in the arena, which is read without moving on); the
    offset of the column to write. `rows` is a multiple of `STRIDE`.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, words, start, end, count = arguments
        with cgutils.for_range_slice(builder, start, end, _LONG(1), intp=_LONG) as (number, _):
            entry = builder.add(words, builder.mul(number, _LONG(4 * SELECTION_WORDS)))
            kind = _word(builder, entry, 0)
            with builder.if_else(builder.icmp_signed("==", kind, _LONG(0))) as (then, otherwise):
                with then:
                    _select_tree(builder, base, entry, count, constant=True)
                with otherwise:
                    columns = builder.icmp_signed("==", kind, _LONG(1))
                    with builder.if_else(columns) as (all_columns, mixed):
                        with all_columns:
                            _select_tree(builder, base, entry, count, constant=False)
                        with mixed:
                            _select_tree(builder, base, entry, count, constant=None)
        return context.get_dummy_value()

    signature = types.void(types.int64, types.int64, types.int64, types.int64, types.int64)
    return signature, generate


@intrinsic
def count_thresholds(
    typing_context: Any, numbers: Any, thresholds: Any, steps: Any, codes: Any, rows: Any
) -> Any:
    """In a kernel: for each float64 at `numbers`, count the thresholds that it is not below.

    There are `2 ** steps - 1` sorted float64 thresholds; NaN pads them at the end and is above
    every number, and a NaN number counts none. Counts are written as int32. Both `numbers` and
    `codes` have room for `rows` rounded up to a multiple of 8.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers_at, thresholds_at, levels, codes_at, count = arguments
        double = ir.DoubleType()

        def body(index: Any) -> None:
            at = builder.add(numbers_at, builder.mul(index, _LONG(8)))
            values = [
                _load(builder, builder.add(at, _LONG(8 * lane)), double)
                for lane in range(_SEARCHES)
            ]
            # a place is kept as the address of the threshold before it
            before = builder.sub(thresholds_at, _LONG(8))
            places = [_variable(builder, before) for _ in values]
            # shifting the comparison's bit into place keeps the search free of branches; a select
            # would be made into one, and be guessed wrong every other time
            shift = _variable(builder, builder.add(levels, _LONG(2)))
            with cgutils.for_range(builder, levels, intp=_LONG):
                level = builder.load(shift)
                for place, value in zip(places, values, strict=True):
                    held = builder.load(place)
                    further = builder.add(held, builder.shl(_LONG(1), level))
                    passed = builder.fcmp_ordered("<=", _load(builder, further, double), value)
                    step = builder.shl(builder.zext(passed, _LONG), level)
                    builder.store(builder.add(held, step), place)
                builder.store(builder.sub(level, _LONG(1)), shift)
            to = builder.add(codes_at, builder.mul(index, _LONG(4)))
            for lane, place in enumerate(places):
                code = builder.lshr(builder.sub(builder.load(place), before), _LONG(3))
                _store(builder, builder.add(to, _LONG(4 * lane)), builder.trunc(code, _WORD))

        _walk(builder, count, _SEARCHES, body)
        return context.get_dummy_value()

    signature = types.void(types.int64, types.int64, types.int64, types.int64, types.int64)
    return signature, generate


def _leaf_adder(kind: Any) -> Any:
    """An intrinsic that adds the leaf values of four trees to sums of one type of float."""
    size = 4 if isinstance(kind, ir.FloatType) else 8

    @intrinsic
    def add_leaves(
        typing_context: Any, sums: Any, leaves: Any, block: Any,
        first: Any, second: Any, third: Any, fourth: Any, rows: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            sums_at, leaves_at, apart, *values_at, count = arguments
            columns = [
                builder.add(leaves_at, builder.mul(apart, _LONG(tree)))
                for tree in range(len(values_at))
            ]

            def body(index: Any) -> None:
                at = builder.add(sums_at, builder.mul(index, _LONG(size)))
                total = _load(builder, at, kind)
                for column, values in zip(columns, values_at, strict=True):
                    leaf = _load(builder, builder.add(column, index), ir.IntType(8))
                    place = builder.mul(builder.zext(leaf, _LONG), _LONG(size))
                    total = builder.fadd(total, _load(builder, builder.add(values, place), kind))
                _store(builder, at, total)

            _walk(builder, count, 1, body)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 8), generate

    return add_leaves


#: In a kernel: `add_leaves(sums, leaves, block, values0, values1, values2, values3, rows)` adds, to
#: the sum of each row, the leaf values of four trees one after the other. The bytes of leaf numbers
#: lie `block` apart, tree after tree.
add_leaves_single = _leaf_adder(ir.FloatType())
add_leaves_double = _leaf_adder(ir.DoubleType())


@intrinsic
def answer_units(
    typing_context: Any, arena: Any, table: Any, first: Any, last: Any,
    answers: Any, block: Any, rows: Any,
) -> Any:  # fmt: skip
    """In a kernel: answer the splits of units `first` to `last`, a byte for each unit and row.

    Bit by bit the byte says whether the row goes right. A unit has 24 words: the offsets of eight
    byte columns in the arena, eight thresholds, and eight bits to set where the column is at least
    the threshold (0 for a split that is not there). The units' bytes lie `block` apart; `rows` is a
    multiple of `STRIDE`.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, words, start, end, answers_at, apart, count = arguments
        none = ir.Constant(_BYTES, [0] * STRIDE)
        with cgutils.for_range_slice(builder, start, end, _LONG(1), intp=_LONG) as (number, _):
            entry = builder.add(words, builder.mul(number, _LONG(4 * ANSWER_WORDS)))
            out = builder.add(answers_at, builder.mul(builder.sub(number, start), apart))
            columns = [builder.add(base, _word(builder, entry, split)) for split in range(8)]
            thresholds, bits = (
                [
                    _splat(
                        builder, _byte(builder, _word(builder, entry, from_word + split)), _BYTES
                    )
                    for split in range(UNIT_SPLITS)
                ]
                for from_word in (UNIT_SPLITS, 2 * UNIT_SPLITS)
            )

            def body(index: Any) -> None:
                answer = none
                for column, threshold, bit in zip(columns, thresholds, bits, strict=True):
                    values = _load(builder, builder.add(column, index), _BYTES)
                    right = _at_least(builder, values, threshold)
                    answer = builder.or_(answer, builder.select(right, bit, none))
                _store(builder, builder.add(out, index), answer)

            _walk(builder, count, STRIDE, body)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), generate


def _add_rows(
    builder: Any, kind: Any, sums: Any, tables: Sequence[Any], answers: Sequence[Any], rows: Any
) -> None:
    """Add to the vector of each row the vectors that its answers pick from the tables."""

    def body(index: Any) -> None:
        at = builder.add(sums, builder.shl(index, _LONG(5)))
        total = _load(builder, at, kind)
        for table, answer in zip(tables, answers, strict=True):
            byte = _load(builder, builder.add(answer, index), ir.IntType(8))
            place = builder.shl(builder.zext(byte, _LONG), _LONG(5))
            total = builder.fadd(total, _load(builder, builder.add(table, place), kind))
        _store(builder, at, total)

    _walk(builder, rows, 1, body)


@intrinsic
def add_tables(
    typing_context: Any, sums: Any, tables: Any, answers: Any, table: Any, first: Any, last: Any,
    block: Any, rows: Any, single: Any,
) -> Any:  # fmt: skip
    """In a kernel: run additions `first` to `last` over vectors of 32 bytes.

    A vector is eight float32 (`single` is 1) or four float64 (0). The sums of one group of features
    are `block` vectors, row by row, group after group. An addition has ten words: the group; how
    many tables are added (4 or 1); the offsets of the tables; the numbers of the columns of answers
    that pick from them. Tables are added one after the other, lane by lane.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums_at, tables_at, answers_at, words, start, end, apart, count, is_single = arguments
        with cgutils.for_range_slice(builder, start, end, _LONG(1), intp=_LONG) as (number, _):
            entry = builder.add(words, builder.mul(number, _LONG(8 * ADDITION_WORDS)))
            held = [
                _load(builder, builder.add(entry, _LONG(8 * word)), _LONG)
                for word in range(ADDITION_WORDS)
            ]
            group = builder.add(sums_at, builder.shl(builder.mul(held[0], apart), _LONG(5)))
            picks = [builder.add(tables_at, offset) for offset in held[2:6]]
            columns = [builder.add(answers_at, builder.mul(slot, apart)) for slot in held[6:10]]
            four = builder.icmp_signed("==", held[1], _LONG(4))
            for kind, wanted in (
                (ir.VectorType(ir.FloatType(), 8), 1),
                (ir.VectorType(ir.DoubleType(), 4), 0),
            ):
                chosen = builder.icmp_signed("==", is_single, _LONG(wanted))
                with builder.if_then(chosen), builder.if_else(four) as (then, otherwise):
                    with then:
                        _add_rows(builder, kind, group, picks, columns, count)
                    with otherwise:
                        _add_rows(builder, kind, group, picks[:1], columns[:1], count)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 9), generate
