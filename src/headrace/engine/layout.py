"""From a plan to the arrays that kernels read: groups, their columns and queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import DefinitionError
from headrace.engine import ring_kernels as ring
from headrace.engine import window_kernels as window
from headrace.engine.pool_kernels import E_FIRST
from headrace.definitions.plan import Function, Op

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Bytes, Int64s
    from headrace.definitions.plan import Aggregate, Group, Plan, StreamPlan

_FUNCTIONS = {
    Function.COUNT: window.COUNT,
    Function.SUM: window.SUM,
    Function.MEAN: window.MEAN,
    Function.VARIANCE: window.VARIANCE,
    Function.STD: window.STD,
    Function.MIN: window.MINIMUM,
    Function.MAX: window.MAXIMUM,
    Function.FIRST: window.FIRST,
    Function.LAST: window.LAST,
    Function.PREVIOUS: window.LAST,
    Function.DISTINCT: window.DISTINCT,
    Function.SECONDS_SINCE_LAST: window.SECONDS_SINCE,
}
_MOMENTS = {Function.SUM, Function.MEAN, Function.VARIANCE, Function.STD}
_PLACED = {Function.FIRST, Function.LAST, Function.PREVIOUS, Function.SECONDS_SINCE_LAST}
_BUCKETED = {Function.COUNT, Function.MIN, Function.MAX} | _MOMENTS
_BEFORE = {Function.PREVIOUS, Function.SECONDS_SINCE_LAST}

# with a value in every argument these always have a result
_TOTAL = {
    Op.CONST,
    Op.ADD_I,
    Op.SUB_I,
    Op.NEG_I,
    Op.ABS_I,
    Op.SCALE_UP_I,
    Op.TO_FLOAT,
    Op.NEG_F,
    Op.ABS_F,
    Op.FLOOR_F,
    Op.MIN_F,
    Op.MAX_F,
    Op.MIN_I,
    Op.MAX_I,
    Op.EQ_I,
    Op.NE_I,
    Op.LT_I,
    Op.LE_I,
    Op.EQ_F,
    Op.NE_F,
    Op.LT_F,
    Op.LE_F,
    Op.AND,
    Op.OR,
    Op.NOT,
    Op.IS_IN,
    Op.CALENDAR,
    Op.SECONDS_BETWEEN,
}
# running totals of values below 2 ** 32 fit one word for 2 ** 31 rows
_NARROW = 2**32


@dataclass(frozen=True, slots=True)
class GroupLayout:
    """What the kernels know of one group.

    Attributes:
        group: The plan's.
        own: Whether a decided event is asked for by the key that it is kept by.
        shape: Words of a row, totals, edges, summaries, size of buckets, where keys stand, reach.
        columns: One row for each column (`ring_kernels.C_KIND` and its fellows).
        edges: Distances back from an event at which windows begin or end, ascending.
        queries: One row for each aggregate (`window_kernels.Q_FUNCTION` and its fellows).
        phases: Which of `BEFORE` and `AFTER` have queries.
    """

    group: Group
    own: bool
    shape: Int64s
    columns: NDArray[np.int64]
    edges: Int64s
    queries: NDArray[np.int64]
    phases: int


def always_present(stream: StreamPlan) -> frozenset[int]:
    """The registers of a stream's row program that no accepted event leaves missing."""
    program = stream.program
    present = {
        register
        for register, name in enumerate(program.loads)
        if not stream.schema.field(name).optional
    }
    for step in program.instructions:
        has = [argument in present for argument in step.arguments]
        if (
            (step.op in _TOTAL and all(has))
            or step.op is Op.IS_MISSING
            or (step.op is Op.COALESCE and any(has))
            or (step.op is Op.SELECT and all(has[1:]))
        ):
            present.add(step.out)
    return frozenset(present)


def _narrow(stream: StreamPlan, register: int) -> bool:
    """Whether the values of a register are known to be below `_NARROW`, either sign."""
    loads = stream.program.loads
    if not 0 <= register < len(loads):
        return False
    field = stream.schema.field(loads[register])
    if field.minimum is None or field.maximum is None:
        return False
    return -_NARROW < field.minimum and field.maximum < _NARROW


class _Columns:
    """The columns of a group, each made when a query first needs it."""

    def __init__(self, group: Group, stream: StreamPlan) -> None:
        self.group = group
        self.stream = stream
        self.present = always_present(stream)
        self.rows: list[list[int]] = []
        self.made: dict[tuple[int, ...], int] = {}
        self.words = 1
        self.totals = 0
        self.summaries = 0

    def column(
        self, kind: int, value: int, where: int, *, one: bool = False, floating: bool = False
    ) -> int:
        """The number of this column."""
        key = (kind, -1 if one and value in self.present else value, where, one, floating)
        if key not in self.made:
            self.made[key] = len(self.rows)
            width = 2 if kind in {ring.WIDE, ring.SQUARES} else 1
            total = self.totals if kind < ring.VALUE else -1
            self.rows.append([kind, self.words, total, key[1], where, one, floating, -1, -1])
            self.words += width
            self.totals += width if kind < ring.VALUE else 0
        return self.made[key]

    def count(self, item: Aggregate) -> int:
        """The column that counts the events that take part; -1 when all do."""
        everyone = item.where < 0 and (item.value < 0 or item.value in self.present)
        if everyone and not self.group.every_ns:
            return -1
        return self.column(ring.PREFIX, item.value, item.where, one=True)

    def value(self, item: Aggregate) -> int:
        """The column that holds the value."""
        kind = ring.VALUE
        if self.group.every_ns and item.function is Function.MIN:
            kind = ring.LEAST_VALUE
        return self.column(kind, item.value, item.where, floating=item.floating)

    def total(self, item: Aggregate) -> int:
        """The column that sums the value."""
        kind = ring.PREFIX if _narrow(self.stream, item.value) else ring.WIDE
        return self.column(kind, item.value, item.where)

    def summary(self, column: int, *, minimum: bool) -> int:
        """The summaries of a column for minima or maxima."""
        place = ring.C_MINIMA if minimum else ring.C_MAXIMA
        if self.rows[column][place] < 0:
            self.rows[column][place] = self.summaries
            self.summaries += 1
        return self.rows[column][place]

    def query(self, item: Aggregate) -> tuple[int, int, int, int]:
        """The columns for count, value or sum, and squares, and the summaries, of a query."""
        function = item.function
        counted = -1
        if function in _PLACED | {Function.COUNT, Function.MEAN, Function.VARIANCE, Function.STD}:
            counted = self.count(item)
        if function in {Function.COUNT, Function.SECONDS_SINCE_LAST}:
            return counted, -1, -1, -1
        if function in _MOMENTS and not item.floating:
            squares = -1
            if function in {Function.VARIANCE, Function.STD}:
                squares = self.column(ring.SQUARES, item.value, item.where)
            return counted, self.total(item), squares, -1
        held = self.value(item)
        if function in {Function.MIN, Function.MAX}:
            return counted, held, -1, self.summary(held, minimum=function is Function.MIN)
        return counted, held, -1, -1


def _refuse(plan: Plan, number: int, item: Aggregate) -> None:
    """Raise where an aggregate cannot be read from its group."""
    group = plan.groups[item.group]
    what = f"aggregate {number} ({item.function.value} over {group.stream} by {group.key})"
    if item.window_ns <= 0 or item.delay_ns < 0:
        raise DefinitionError(
            f"{what} has a window of {item.window_ns} ns and a delay of {item.delay_ns} ns",
            fix="give a window above 0 and a delay of 0 or more",
        )
    if group.every_ns and (
        item.function not in _BUCKETED or (item.floating and item.function in _MOMENTS)
    ):
        raise DefinitionError(
            f"{what} cannot be kept in buckets of {group.every_ns} ns",
            fix="leave out every=, or take a count, sum, mean, deviation, minimum or maximum "
            "of an exact number",
        )
    if item.value < 0 and item.function not in {Function.COUNT, Function.SECONDS_SINCE_LAST}:
        raise DefinitionError(f"{what} has no value", fix="say which value it is taken of")


def lay_out(plan: Plan, number: int) -> GroupLayout:
    """The layout of group `number`.

    Raises:
        DefinitionError: If a function cannot be kept the way the group asks for.
    """
    group = plan.groups[number]
    stream = plan.stream(group.stream)
    items = [(n, item) for n, item in enumerate(plan.aggregates) if item.group == number]
    distances = set()
    for n, item in items:
        _refuse(plan, n, item)
        distances |= {item.delay_ns, item.delay_ns + item.window_ns}
    edges = sorted(distances)
    columns = _Columns(group, stream)
    queries = []
    phases = 0
    for n, item in items:
        before = item.function in _BEFORE or not item.include_current
        phase = window.BEFORE if before else window.AFTER
        phases |= phase
        counted, column, squares, summary = columns.query(item)
        low, high = edges.index(item.delay_ns + item.window_ns), edges.index(item.delay_ns)
        queries.append(
            [_FUNCTIONS[item.function], n, low, high, counted, column, squares]
            + [item.scale, phase, int(item.floating), summary]
        )
    reach = max(edges, default=0) + plan.stream(plan.on).lateness_ns
    key_at = E_FIRST + columns.totals + len(edges)
    shape = [columns.words, columns.totals, len(edges), columns.summaries]
    shape += [group.every_ns, key_at, reach]
    return GroupLayout(
        group=group,
        own=group.stream == plan.on and group.key == group.asked_by,
        shape=np.array(shape, dtype=np.int64),
        columns=np.array(columns.rows, dtype=np.int64).reshape(-1, ring.COLUMN_WIDTH),
        edges=np.array(edges, dtype=np.int64),
        queries=np.array(queries, dtype=np.int64).reshape(-1, window.QUERY_WIDTH),
        phases=phases,
    )


def defaults(plan: Plan) -> Bytes:
    """For each aggregate whether it has a value where nothing is known: counts and sums have, 0."""
    known = {Function.COUNT, Function.SUM, Function.DISTINCT}
    return np.array([item.function in known for item in plan.aggregates], dtype=np.uint8)
