"""What the preamble of a payload says of each of its sections."""

from __future__ import annotations

import msgspec


class Sparse(msgspec.Struct, frozen=True, array_like=True):
    """A column that holds one value, but for some rows."""

    value: int
    rows: list[int]
    values: list[int]


class Section(msgspec.Struct, frozen=True, omit_defaults=True):
    """One table of a payload, and what was left out of it.

    Attributes:
        name: Which columns these are.
        rows: How many rows.
        size: How many bytes it has.
        ramps: Column to (first value, step).
        sparse: Column to its value and exceptions.
        bases: Column to (least value, bytes of a stored distance).
        narrow: Columns of 32-bit floats.
        nulls: Columns of which a row has no value.
    """

    name: str
    rows: int
    size: int = 0
    ramps: dict[str, tuple[int, int]] = {}
    sparse: dict[str, Sparse] = {}
    bases: dict[str, tuple[int, int]] = {}
    narrow: list[str] = []
    nulls: list[str] = []
