"""Reference tables as of event time and knowledge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Bytes, Int64s
    from headrace.definitions.plan import TablePlan


class ReferenceTable:
    """The rows of one table in the order of key, valid_from and knowledge.

    A row is the words of its key, `valid_from`, its sequence number, and value and validity of each
    field. A later row with the same key and `valid_from` replaces the earlier, but only for those
    who know it: both stay until no input of the running batch can lie between them.

    Attributes:
        plan: The table's.
        keys: Fields in its key.
        rows: As described, C-contiguous.
    """

    def __init__(self, plan: TablePlan) -> None:
        self.plan = plan
        self.keys = len(plan.key)
        width = self.keys + 2 + 2 * len(plan.schema.fields)
        self.rows: NDArray[np.int64] = np.zeros((0, width), dtype=np.int64)

    def add(self, words: dict[str, tuple[Int64s, Bytes]], sequence: Int64s) -> None:
        """Take rows that have become known, given as words and validity by field.

        A row without its whole key or without `valid_from` can never be found, and is left out.
        """
        names = self.plan.schema.names
        needed = [*self.plan.key, self.plan.valid_from]
        fresh = np.zeros((len(sequence), self.rows.shape[1]), dtype=np.int64)
        whole = np.ones(len(sequence), dtype=bool)
        for place, name in enumerate(needed):
            fresh[:, place] = words[name][0]
            whole &= words[name][1] != 0
        fresh[:, self.keys + 1] = sequence
        for place, name in enumerate(names):
            fresh[:, self.keys + 2 + 2 * place] = words[name][0]
            fresh[:, self.keys + 3 + 2 * place] = words[name][1]
        self.rows = np.concatenate([self.rows, fresh[whole]])
        order = np.lexsort(self.rows[:, self.keys + 1 :: -1].T)
        self.rows = np.ascontiguousarray(self.rows[order])

    def settle(self) -> None:
        """Forget the rows that a later one has replaced for everybody from now on."""
        if len(self.rows) < 2:
            return
        facts = self.rows[:, : self.keys + 1]
        last = np.append((facts[1:] != facts[:-1]).any(axis=1), values=True)
        if not last.all():
            self.rows = np.ascontiguousarray(self.rows[last])
