"""From a plan to the arrays that kernels read: groups, their columns and queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import DefinitionError
from headrace.definitions.plan import Function, Op
from headrace.engine import query_kernels as query
from headrace.engine import ring_kernels as ring
from headrace.engine.key_kernels import AFTER, BEFORE
from headrace.engine.pool_kernels import E_FIRST
from headrace.engine.summary_kernels import C_MAXIMA, C_MINIMA, C_WORD, COLUMN_BYTES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Int64s
    from headrace.definitions.plan import Aggregate, Group, Plan, StreamPlan

_FUNCTIONS = {
    Function.COUNT: query.COUNT,
    Function.SUM: query.SUM,
    Function.MEAN: query.MEAN,
    Function.VARIANCE: query.VARIANCE,
    Function.STD: query.STD,
    Function.MIN: query.MINIMUM,
    Function.MAX: query.MAXIMUM,
    Function.FIRST: query.FIRST,
    Function.LAST: query.LAST,
    Function.PREVIOUS: query.LAST,
    Function.DISTINCT: query.DISTINCT,
    Function.SECONDS_SINCE_LAST: query.SECONDS_SINCE,
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
    Op.SCALE_DOWN_I,
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

# 10 ** 15 is a float
_MOST_SCALE = 15

_KIND, _WORD = ring.C_KIND // 8, C_WORD // 8
_MAXIMA, _MINIMA = C_MAXIMA // 8, C_MINIMA // 8


@dataclass(frozen=True, slots=True)
class GroupLayout:
    """What the kernels know of one group.

    Attributes:
        group: The plan's.
        own: Whether a decided event is asked for by the key that it is kept by.
        row: Words of a row of a ring.
        totals: Words of it that are running totals.
        summaries: How many summaries a ring has.
        key_at: Bytes of an entity before its key.
        every: Size of buckets in nanoseconds; 0 if there are none.
        reach: Nanoseconds behind the watermark that an event is still seen for.
        columns: One row for each column (`ring_kernels.C_KIND` and its fellows).
        edges: Distances back from an event at which windows begin or end, ascending.
        queries: One row for each aggregate (`query_kernels.Q_FUNCTION` and its fellows), those
            that are read before an event enters first, and those of one span together. `Q_OUT` is
            the number of the aggregate.
        before: How many are read before.
        phases: Which of `BEFORE` and `AFTER` have queries.
    """

    group: Group
    own: bool
    row: int
    totals: int
    summaries: int
    key_at: int
    every: int
    reach: int
    columns: NDArray[np.int64]
    edges: Int64s
    queries: NDArray[np.int64]
    before: int
    phases: int


def always_present(stream: StreamPlan) -> frozenset[int]:
    """The registers of a stream's row program that no accepted event leaves missing."""
    program = stream.program
    present = {
        register
        for register, name in program.loaded_fields()
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
    loads = dict(stream.program.loaded_fields())
    if register not in loads:
        return False
    field = stream.schema.field(loads[register])
    if field.minimum is None or field.maximum is None:
        return False
    return field.minimum > -_NARROW and field.maximum < _NARROW


class _Columns:
    """The columns of a group, each made when a query first needs it."""

    def __init__(self, group: Group, stream: StreamPlan) -> None:
        self.group = group
        self.stream = stream
        self.present = always_present(stream)
        self.rows: list[list[int]] = []
        self.made: dict[tuple[int, ...], int] = {}
        self.summaries = 0

    def column(
        self, kind: int, value: int, where: int, *, one: bool = False, floating: bool = False
    ) -> int:
        """The number of this column."""
        key = (kind, -1 if one and value in self.present else value, where, one, floating)
        if key not in self.made:
            self.made[key] = len(self.rows)
            self.rows.append([kind, 0, key[1], where, one, floating, -1, -1])
        return self.made[key]

    def place(self) -> tuple[int, int]:
        """Give the columns their places in a row, totals first; words of a row, and of totals."""
        words = 1
        for row in self.rows:
            if row[_KIND] < ring.VALUE:
                row[_WORD] = 8 * words
                words += 2 if row[_KIND] in {ring.WIDE, ring.SQUARES} else 1
        totals = words - 1
        for row in self.rows:
            if row[_KIND] >= ring.VALUE:
                row[_WORD] = 8 * words
                words += 1
        return words, totals

    def word(self, column: int) -> int:
        """The place of a column in a row, in bytes; 0 for no column."""
        return self.rows[column][_WORD] if column >= 0 else 0

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
        place = _MINIMA if minimum else _MAXIMA
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


def _how(item: Aggregate, function: int, counted: int) -> int:
    """How a query is read."""
    if item.function is Function.COUNT:
        return query.HOW_COUNT
    if item.function in {Function.SUM, Function.MEAN} and not item.floating:
        return query.HOW_RATIO
    if item.function in {Function.MIN, Function.MAX}:
        return query.HOW_EXTREME
    if counted < 0 and function in {query.FIRST, query.LAST}:
        return query.HOW_ROW
    if counted < 0 and function == query.SECONDS_SINCE:
        return query.HOW_SECONDS
    return query.HOW_RARE


def _queries(
    items: list[tuple[int, Aggregate]], columns: _Columns, edges: list[int]
) -> tuple[NDArray[np.int64], int, int, int]:
    """The queries, how many are read before an event enters, words of a row and of totals."""
    found = [(n, item, columns.query(item)) for n, item in items]
    row, totals = columns.place()
    spans: dict[tuple[int, int], int] = {}
    rows = []
    for n, item, (counted, column, squares, summary) in found:
        function = _FUNCTIONS[item.function]
        before = item.function in _BEFORE or not item.include_current
        span = (edges.index(item.delay_ns + item.window_ns), edges.index(item.delay_ns))
        number = spans.setdefault(span, len(spans))
        tens = 10**item.scale if item.scale <= _MOST_SCALE else 0
        rows.append(
            [
                *(0 if before else 1, number),
                *(function, _how(item, function, counted), n, number, 8 * span[0], 8 * span[1]),
                *(columns.word(counted), columns.word(column), columns.word(squares)),
                int(column >= 0 and columns.rows[column][_KIND] == ring.WIDE),
                *(tens, query.EXACT // tens if tens else 0),
                *(item.scale, int(item.floating), summary, 0),
            ]
        )
    # a stable order by phase and span
    rows.sort(key=lambda made: made[:2])
    made = np.array([r[2:] for r in rows], dtype=np.int64).reshape(-1, query.QUERY_BYTES // 8)
    return made, sum(r[0] == 0 for r in rows), row, totals


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
    queries, before, row, totals = _queries(items, columns, edges)
    return GroupLayout(
        group=group,
        own=group.stream == plan.on and group.key == group.asked_by,
        row=row,
        totals=totals,
        summaries=columns.summaries,
        key_at=E_FIRST + 8 * (totals + len(edges)),
        every=group.every_ns,
        reach=max(edges, default=0) + plan.stream(plan.on).lateness_ns,
        columns=np.array(columns.rows, dtype=np.int64).reshape(-1, COLUMN_BYTES // 8),
        edges=np.array(edges, dtype=np.int64),
        queries=queries,
        before=before,
        phases=(BEFORE if before else 0) | (AFTER if before < len(items) else 0),
    )


def answer_rows(plan: Plan, registers: int) -> tuple[Int64s, NDArray[np.uint8]]:
    """Where aggregates are written: the registers that the feature program loads them in.

    Args:
        plan: With its aggregates and its feature program.
        registers: Of that program; what it does not load goes into rows after them.

    Returns:
        The row of each aggregate; and, a column with an entry for each row, whether its aggregate
        has a value where nothing is known: counts and sums have, 0.
    """
    loaded: dict[int, int] = {}
    for register, load in enumerate(plan.program.loads):
        what, _, name = load.partition(":")
        if what == "aggregate":
            loaded.setdefault(int(name), register)
    more = 0
    rows = []
    for number in range(len(plan.aggregates)):
        rows.append(loaded.get(number, registers + more))
        more += number not in loaded
    known = {Function.COUNT, Function.SUM, Function.DISTINCT}
    zero = np.zeros((registers + more, 1), dtype=np.uint8)
    for row, item in zip(rows, plan.aggregates, strict=True):
        zero[row] = item.function in known
    return np.array(rows, dtype=np.int64), zero
