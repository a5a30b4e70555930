"""Programs of a plan as arrays, and what they read beside registers: sets, calendars, rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headrace.core.errors import DefinitionError
from headrace.engine import expression_kernels as machine
from headrace.definitions.plan import Op

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from headrace.core.columns import Bytes, Int64s
    from headrace.engine.reference import ReferenceTable
    from headrace.definitions.plan import Plan, Program

_PARTS = {
    "hour": machine.PART_HOUR,
    "minute": machine.PART_MINUTE,
    "minute_of_day": machine.PART_MINUTE_OF_DAY,
    "second": machine.PART_SECOND,
    "weekday": machine.PART_WEEKDAY,
    "is_weekend": machine.PART_WEEKEND,
    "day": machine.PART_DAY,
    "month": machine.PART_MONTH,
    "year": machine.PART_YEAR,
    "day_of_year": machine.PART_DAY_OF_YEAR,
}


class CompiledProgram:
    """A program as the kernel reads it.

    Attributes:
        loads: What the first registers hold.
        registers: How many there are.
        code: One row for each instruction.
        arguments: Key registers of look-ups.
    """

    def __init__(self, program: Program) -> None:
        self.loads = program.loads
        self.registers = max(program.registers, 1)
        more: list[int] = []
        code = np.zeros((len(program.instructions), machine.INSTRUCTION_WIDTH), dtype=np.int64)
        for row, step in zip(code, program.instructions, strict=True):
            first = list(step.arguments[:4])
            # a missing second argument repeats the first, so that its validity is asked twice
            first += [first[0] if first else 0] * (4 - len(first))
            immediate = step.immediate
            if step.op is Op.SCALE_UP_I:
                immediate = 10**immediate
            row[:] = [step.op, step.out, *first, immediate, len(more), 0]
            if step.op is Op.LOOK_UP:
                more += step.arguments[1:]
                row[machine.I_COUNT] = len(step.arguments) - 1
        self.code = code
        self.arguments: Int64s = np.array([*more, 0], dtype=np.int64)


class Surroundings:
    """What programs read beside their registers, as flat arrays."""

    def __init__(self, plan: Plan) -> None:
        sets = [sorted(values) for values in plan.sets]
        self.set_starts: Int64s = np.cumsum([0, *map(len, sets)], dtype=np.int64)
        self.set_values: Int64s = np.array([v for values in sets for v in values], dtype=np.int64)
        self._lay_calendars(plan)
        self._lay_conversions(plan)
        self.tables: NDArray[np.int64] = np.zeros(
            (max(len(plan.tables), 1), machine.TABLE_WIDTH), dtype=np.int64
        )

    def _lay_calendars(self, plan: Plan) -> None:
        rows, starts, values = [], [], []
        for calendar in plan.calendars:
            part = machine.PART_ITSELF
            if calendar.zone:
                if calendar.part not in _PARTS:
                    raise DefinitionError(
                        f"a time has no part {calendar.part!r} in zone {calendar.zone}",
                        fix=f"take one of {', '.join(sorted(_PARTS))}",
                    )
                part = _PARTS[calendar.part]
            rows.append(
                [part, bool(calendar.zone), len(starts), len(starts) + len(calendar.starts)]
            )
            starts += calendar.starts
            values += calendar.values
        self.calendars: NDArray[np.int64] = np.array(rows, dtype=np.int64).reshape(-1, 4)
        self.steps: NDArray[np.int64] = np.array([starts, values], dtype=np.int64).reshape(2, -1)

    def _lay_conversions(self, plan: Plan) -> None:
        rows = []
        digits: Bytes = np.full(len(plan.conversions) * machine.CURRENCIES, 255, dtype=np.uint8)
        for n, conversion in enumerate(plan.conversions):
            table = plan.tables[conversion.table]
            rows.append(
                [
                    conversion.table,
                    len(table.key) + 2 + 2 * table.schema.names.index(conversion.rate),
                ]
                + [conversion.rate_scale, conversion.target, conversion.target_digits]
            )
            for code, places in conversion.digits:
                digits[n * machine.CURRENCIES + code] = places
        self.digits = digits
        self.conversions: NDArray[np.int64] = np.array(rows, dtype=np.int64).reshape(
            -1, machine.CONVERSION_WIDTH
        )
        words = []
        for look_up in plan.lookups:
            table = plan.tables[look_up.table]
            place = table.schema.names.index(look_up.field)
            words.append([look_up.table, len(table.key) + 2 + 2 * place])
        self.lookups: NDArray[np.int64] = np.array(words, dtype=np.int64).reshape(-1, 2)

    def point_at(self, tables: list[ReferenceTable]) -> None:
        """Take the tables' present rows; they stay where they are until one changes."""
        for row, table in zip(self.tables, tables, strict=False):
            row[:] = [table.rows.ctypes.data, len(table.rows), table.rows.shape[1], table.keys]
