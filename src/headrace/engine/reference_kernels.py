"""Reference tables as of event time and knowledge, and money converted by their rates."""

from __future__ import annotations

from headrace.core import exact
from headrace.core.compiled import inner_kernel, load_i64, load_u8
from headrace.core.memory import entry_kernel, store_i64
from headrace.engine.register_kernels import (
    ARGUMENTS,
    CONVERSIONS,
    DIGITS,
    EXACT_LIMIT,
    I_A,
    I_B,
    I_C,
    I_IMMEDIATE,
    I_MORE,
    I_OUT,
    LOOKUPS,
    SEQUENCE,
    TABLES,
    WORDS,
    put,
    register,
    validity,
)

# a reference table, in bytes: address, rows, bytes of a row, words of its key
T_ADDRESS, T_ROWS, T_STRIDE, T_KEYS = range(0, 32, 8)
TABLE_BYTES = 32

# a conversion, in bytes
V_TABLE, V_RATE, V_RATE_SCALE, V_TARGET, V_DIGITS = range(0, 40, 8)
CONVERSION_BYTES = 40

CURRENCIES = 26**3


@inner_kernel
def _as_of(reference: int, words: int, at: int, sequence: int) -> int:
    """The address of a table's row for a key, valid at a time and known before; 0 if there is none.

    Rows lie in the order of key, valid_from, sequence.
    """
    low, high = 0, load_i64(reference + T_ROWS)
    key_bytes, stride = 8 * load_i64(reference + T_KEYS), load_i64(reference + T_STRIDE)
    start = load_i64(reference + T_ADDRESS)
    while low < high:
        middle = (low + high) >> 1
        row = start + middle * stride
        side = 0
        for k in range(0, key_bytes, 8):
            word = load_i64(row + k)
            if word != load_i64(words + k):
                side = -1 if word < load_i64(words + k) else 1
                break
        if side < 0 or (side == 0 and load_i64(row + key_bytes) <= at):
            low = middle + 1
        else:
            high = middle
    while low > 0:
        low -= 1
        row = start + low * stride
        for k in range(0, key_bytes, 8):
            if load_i64(row + k) != load_i64(words + k):
                return 0
        if load_i64(row + key_bytes + 8) < sequence:
            return row
    return 0


@inner_kernel
def _rate(table: int, how: int, currency: int, at: int, sequence: int) -> tuple[int, int]:
    """The address of the rate of a currency, 0 if there is none, and the digits to drop."""
    number = (how - load_i64(table + CONVERSIONS)) // CONVERSION_BYTES
    digits = load_i64(table + DIGITS) + number * CURRENCIES + currency
    if currency < 0 or currency >= CURRENCIES or load_u8(digits) == 255:
        return 0, 0
    words = load_i64(table + WORDS)
    store_i64(words, currency)
    store_i64(words + 8, load_i64(how + V_TARGET))
    reference = load_i64(table + TABLES) + TABLE_BYTES * load_i64(how + V_TABLE)
    row = _as_of(reference, words, at, sequence)
    if row == 0:
        return 0, 0
    rate = row + 8 * load_i64(how + V_RATE)
    if load_i64(rate + 8) == 0:
        return 0, 0
    drop = load_u8(digits) + load_i64(how + V_RATE_SCALE) - load_i64(how + V_DIGITS)
    return rate, drop


@entry_kernel
def do_convert(table: int, about: int, low: int, high: int) -> int:
    """Money in the target currency; missing where there is no rate, or it does not fit."""
    out, a = load_i64(about + I_OUT), load_i64(about + I_A)
    b, c = load_i64(about + I_B), load_i64(about + I_C)
    how = load_i64(table + CONVERSIONS) + CONVERSION_BYTES * load_i64(about + I_IMMEDIATE)
    sequence = load_i64(table + SEQUENCE)
    words, present = register(table, out), validity(table, out)
    for i in range(low, high):
        there = load_u8(validity(table, a) + i) & load_u8(validity(table, b) + i)
        there &= load_u8(validity(table, c) + i)
        value, fits = load_i64(register(table, a) + 8 * i), 1 if there else 0
        currency = load_i64(register(table, b) + 8 * i)
        if fits and currency != load_i64(how + V_TARGET):
            at = load_i64(register(table, c) + 8 * i)
            rate, drop = _rate(table, how, currency, at, load_i64(sequence + 8 * i))
            fits = 0
            if rate:
                value, whole = exact.rounded_product(value, load_i64(rate), drop)
                fits = 1 if whole and -EXACT_LIMIT <= value <= EXACT_LIMIT else 0
        put(words, present, i, value, fits)
    return 0


@entry_kernel
def do_look_up(table: int, about: int, low: int, high: int) -> int:
    """A field of a reference table as of a time, among the rows known."""
    out, a = load_i64(about + I_OUT), load_i64(about + I_A)
    look_up = load_i64(table + LOOKUPS) + 16 * load_i64(about + I_IMMEDIATE)
    reference = load_i64(table + TABLES) + TABLE_BYTES * load_i64(look_up)
    field, key = 8 * load_i64(look_up + 8), load_i64(table + WORDS)
    arguments = load_i64(table + ARGUMENTS) + 8 * load_i64(about + I_MORE)
    words, present = register(table, out), validity(table, out)
    sequence = load_i64(table + SEQUENCE)
    for i in range(low, high):
        there = 1 if load_u8(validity(table, a) + i) else 0
        for k in range(0, 8 * load_i64(reference + T_KEYS), 8):
            argument = load_i64(arguments + k)
            store_i64(key + k, load_i64(register(table, argument) + 8 * i))
            if load_u8(validity(table, argument) + i) == 0:
                there = 0
        row = 0
        if there:
            at = load_i64(register(table, a) + 8 * i)
            row = _as_of(reference, key, at, load_i64(sequence + 8 * i))
        if row == 0 or load_i64(row + field + 8) == 0:
            put(words, present, i, 0, 0)
        else:
            put(words, present, i, load_i64(row + field), 1)
    return 0
