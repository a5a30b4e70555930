"""The state of a plan's sequence: for each key a ring of the vectors that were computed last.

It is kept as windows are, by the same kernels: a group whose events are the decided ones and whose
columns are features in place of fields. So it is counted, forgotten, written and read back, by key
too, as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import invariant
from headrace.core.sequences import Sequences
from headrace.definitions.plan import Group
from headrace.engine import query_kernels as query
from headrace.engine.group_inputs import Answers, GroupInputs, Rows
from headrace.engine.group_state import GroupState
from headrace.engine.key_kernels import AFTER
from headrace.engine.layout import GroupLayout
from headrace.engine.pool_kernels import E_FIRST
from headrace.engine.ring_kernels import VALUE
from headrace.engine.sequence_kernels import Q_LATENESS, Q_LENGTH

if TYPE_CHECKING:
    from headrace.core.columns import Floats, Int64s
    from headrace.definitions.plan import Plan

#: An answer for each decided event: how many vectors it has.
_COUNT_ROW = np.zeros(1, dtype=np.int64)


def lay_out_sequence(plan: Plan) -> GroupLayout:
    """The layout of the group that holds a plan's sequence."""
    sequence = plan.sequence
    invariant(sequence is not None, "the plan has a sequence")
    assert sequence is not None
    width, lateness = len(sequence.features), plan.stream(plan.on).lateness_ns
    columns = [[VALUE, 8 * (n + 1), n, -1, 0, 1, -1, -1] for n in range(width)]
    asked = [0] * (query.QUERY_BYTES // 8)
    for place, value in (
        (query.Q_FUNCTION, query.SEQUENCE),
        (query.Q_HOW, query.HOW_RARE),
        (query.Q_LOW, 8),
        (Q_LENGTH, sequence.length),
        (Q_LATENESS, lateness),
    ):
        asked[place // 8] = value
    return GroupLayout(
        group=Group(plan.on, sequence.key, sequence.key, 0, ()),
        own=True,
        row=1 + width,
        totals=0,
        summaries=0,
        key_at=E_FIRST + 8 * 2,
        every=0,
        reach=sequence.within_ns + lateness,
        columns=np.array(columns, dtype=np.int64),
        edges=np.array([0, sequence.within_ns], dtype=np.int64),
        queries=np.array([asked], dtype=np.int64),
        before=0,
        phases=AFTER,
    )


class SequenceState:
    """What is held for a plan's sequence.

    Args:
        plan: With a sequence.
        pool: The engine's.
        secret: Two halves of the key of hashes.

    Attributes:
        group: The state of the group that holds it.
    """

    def __init__(self, plan: Plan, pool: Int64s, secret: tuple[int, int]) -> None:
        assert plan.sequence is not None
        self._features = np.array(plan.sequence.features, dtype=np.int64)
        self._length = plan.sequence.length
        self.group = GroupState(
            lay_out_sequence(plan), pool, secret, _COUNT_ROW, GroupInputs(plan.on)
        )

    def entering(self, rows: Rows, features: Floats) -> Rows:
        """The decided rows with their vectors as what the group holds."""
        chosen = np.ascontiguousarray(features[self._features])
        valid = (~np.isnan(chosen)).astype(np.uint8)
        return Rows(
            rows.batch, rows.sequence, rows.at, rows.watermark, chosen.view(np.int64), valid
        )

    def asked(self, count: int) -> tuple[Answers, Sequences]:
        """Room for the sequences of so many events; an event without a key has none."""
        width = len(self._features)
        size = count * self._length * width
        words = np.zeros(count + (size + 1) // 2, dtype=np.int64)
        vectors = words[count:].view(np.float32)[:size]
        vectors.fill(np.nan)
        answers = Answers(words[:count].reshape(1, count), np.zeros((1, count), dtype=np.uint8))
        shaped = vectors.reshape(count, self._length, width)
        return answers, Sequences(words[:count], shaped)
