"""What all functions of the machine share: the slots of its table, and how they reach registers."""

from __future__ import annotations

from headrace.core.compiled import inner_kernel, load_i64
from headrace.core.memory import store_i64, store_u8

# the slots of a table, in bytes. Of a run, together: registers, their validity, how many rows they
# have, sequence numbers, and features. Then code and its end; key registers of look-ups; where sets
# start, and their values; calendars, their steps' starts and values; conversions, minor units by
# packed currency (255 is unknown), look-ups, reference tables; limbs, words of a key; exact ratios,
# by address; outputs and their end
(
    REGISTERS,
    VALID,
    ROWS,
    SEQUENCE,
    FEATURES,
    CODE,
    CODE_END,
    ARGUMENTS,
    SET_STARTS,
    SET_VALUES,
    CALENDARS,
    STEP_STARTS,
    STEP_VALUES,
    CONVERSIONS,
    DIGITS,
    LOOKUPS,
    TABLES,
    WORK,
    WORDS,
    DO_RATIO,
    OUTPUTS,
    OUTPUTS_END,
) = range(0, 176, 8)
RUN_WORDS = 5
TABLE_WORDS = 22
KEY_WORDS = 16

# an instruction, in bytes: who runs it, what, where to, four arguments, the immediate, the place of
# further arguments, and 10 ** immediate where that is a float (else 0)
I_DO, I_OP, I_OUT, I_A, I_B, I_C, I_D, I_IMMEDIATE, I_MORE, I_TENS = range(0, 80, 8)
INSTRUCTION_BYTES = 80

EXACT_LIMIT = 2**53 - 1


@inner_kernel
def register(table: int, number: int) -> int:
    """Where the words of a register begin."""
    return load_i64(table + REGISTERS) + 8 * number * load_i64(table + ROWS)


@inner_kernel
def validity(table: int, number: int) -> int:
    """Where the validity of a register begins."""
    return load_i64(table + VALID) + number * load_i64(table + ROWS)


@inner_kernel
def put(words: int, present: int, row: int, value: int, there: int) -> None:
    """Write a row of a register; a missing one holds 0."""
    store_i64(words + 8 * row, value if there else 0)
    store_u8(present + row, 1 if there else 0)
