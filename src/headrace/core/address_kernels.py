"""The kernel that reads where the columns of a batch lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.compiled import kernel, load_i64

if TYPE_CHECKING:
    from headrace.core.columns import Int64s

#: Where an array has the address of its first element, that of its type, and its flags, in bytes
#: from where the object begins; and the flag of one that lies in one piece.
DATA, TYPE, FLAGS, IN_ONE_PIECE = 16, 56, 64, 1


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
