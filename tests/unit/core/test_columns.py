"""Where the columns of a batch lie in memory, as kernels are told."""

from __future__ import annotations

import pickle
import random
from typing import Any

import numpy as np
import pytest

from headrace.core.columns import Batch, Column, Fixed, Text
from headrace.core.errors import InvariantBroken


def _drawn(dice: random.Random, rows: int) -> Column:
    """A column, whole or out of a longer one, at times with types of its own as pickle makes."""
    first, more = dice.randrange(3), dice.randrange(3)
    made: Column
    if dice.random() < 0.5:
        values = np.arange(first + rows + more, dtype=np.int64)
        made = Fixed(values[first : first + rows], np.ones(rows, dtype=np.uint8))
    else:
        whole = Text.of(["x" * dice.randrange(4) for _ in range(first + rows + more)])
        ends = slice(first, first + rows)
        made = Text(whole.offsets[first : first + rows + 1], whole.data, whole.valid[ends])
    return pickle.loads(pickle.dumps(made)) if dice.random() < 0.2 else made  # noqa: S301 - our own


@pytest.mark.parametrize("seed", range(40))
def test_addresses_are_those_of_the_columns(seed: int) -> None:
    dice = random.Random(seed)
    rows = dice.choice([0, 1, 5])
    columns = {f"c{n}": _drawn(dice, rows) for n in range(dice.randrange(8))}
    told = []
    for column in columns.values():
        valid = column.valid.ctypes.data
        if isinstance(column, Fixed):
            told.append([0, column.values.ctypes.data, 0, valid])
        else:
            told.append([1, column.offsets.ctypes.data, column.data.ctypes.data, valid])
    assert Batch(columns, rows).addresses.tolist() == told


@pytest.mark.parametrize(
    ("values", "valid", "word"),
    [
        (np.zeros(2, dtype=np.float64), np.ones(2, dtype=np.uint8), "is float64"),
        (np.zeros(2, dtype=np.int32), np.ones(2, dtype=np.uint8), "is int32"),
        (np.zeros(2, dtype=np.int64), np.ones(2, dtype=bool), "valid bool"),
        (np.zeros(4, dtype=np.int64)[::2], np.ones(2, dtype=np.uint8), "not in one piece"),
        (np.zeros(2, dtype=np.int64), np.ones(4, dtype=np.uint8)[::2], "not in one piece"),
    ],
)
def test_a_column_that_kernels_cannot_read(values: Any, valid: Any, word: str) -> None:
    batch = Batch({"fine": Fixed.of([1, 2]), "odd": Fixed(values, valid)}, 2)
    with pytest.raises(InvariantBroken, match=f"column odd .*{word}"):
        _ = batch.addresses
