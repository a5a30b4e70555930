"""The kernel that reads where the columns of a batch lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.compiled import kernel, load_i32, load_i64

if TYPE_CHECKING:
    from headrace.core.columns import Int64s

#: Where an array has the address of its first element, its number of dimensions, the address of
#: their sizes, that of its type, and its flags, in bytes from where the object begins; and the flag
#: of one that lies in one piece.
DATA, DIMENSIONS, SIZES, TYPE, FLAGS, IN_ONE_PIECE = 16, 24, 32, 56, 64, 1


@kernel
def column_addresses(arrays: int, types: Int64s, table: Int64s) -> int:
    """Fill in where columns are, as far as they are laid out as kernels read them; how many.

    Args:
        arrays: Address of the addresses of three arrays a column: its values or offsets; its bytes,
            if it is text; its validity.
        types: Addresses of the types of values, offsets and validity.
        table: A row for each column, which says in the first place whether it is text (1 or 0);
            gets the addresses of its arrays, in the place of bytes only if it is text.
    """
    for column in range(len(table)):
        text = table[column, 0]
        main = load_i64(arrays + 24 * column)
        valid = load_i64(arrays + 24 * column + 16)
        whole = load_i64(main + FLAGS) & load_i64(valid + FLAGS) & IN_ONE_PIECE
        if not whole or load_i64(main + TYPE) != types[text] or load_i64(valid + TYPE) != types[2]:
            return column
        table[column, 1] = load_i64(main + DATA)
        if text:
            table[column, 2] = load_i64(load_i64(arrays + 24 * column + 8) + DATA)
        table[column, 3] = load_i64(valid + DATA)
    return len(table)


@kernel
def array_addresses(
    arrays: int, types: Int64s, shapes: Int64s, counts: Int64s, table: Int64s
) -> int:
    """Fill in where arrays are, as long as they have their type and shape, in one piece; how many.

    Args:
        arrays: Address of the addresses of the arrays.
        types: Address of the type of each.
        shapes: For each, where in `counts` its rows are, and its columns; -1 where it has none.
        counts: Sizes of dimensions.
        table: Gets the address of the first element of each.
    """
    for place in range(len(types)):
        array = load_i64(arrays + 8 * place)
        if load_i64(array + TYPE) != types[place] or not load_i64(array + FLAGS) & IN_ONE_PIECE:
            return place
        flat = shapes[place, 1] < 0
        sizes = load_i64(array + SIZES)
        if load_i32(array + DIMENSIONS) != (1 if flat else 2):
            return place
        if load_i64(sizes) != counts[shapes[place, 0]]:
            return place
        if not flat and load_i64(sizes + 8) != counts[shapes[place, 1]]:
            return place
        table[place] = load_i64(array + DATA)
    return len(types)
