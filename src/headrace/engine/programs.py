"""Programs of a plan as arrays, and what they read beside registers: sets, calendars, rates."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.address import address_of
from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError, InvariantBroken
from headrace.core.exact import WIDTH
from headrace.core.memory import entry
from headrace.definitions.plan import Op
from headrace.engine import calendar_kernels as calendars
from headrace.engine import expression_kernels as machine
from headrace.engine import reference_kernels as references
from headrace.engine import register_kernels as slots
from headrace.engine.book_answers import BookLoads
from headrace.engine.ratio_kernels import wide_ratio
from headrace.engine.texts import words_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from headrace.core.columns import Batch, Bytes, Floats, Int64s
    from headrace.definitions.plan import Plan, Program, StreamPlan
    from headrace.engine.book_answers import BookAnswers
    from headrace.engine.reference import ReferenceTable

_PARTS = {
    "hour": calendars.PART_HOUR,
    "minute": calendars.PART_MINUTE,
    "minute_of_day": calendars.PART_MINUTE_OF_DAY,
    "second": calendars.PART_SECOND,
    "weekday": calendars.PART_WEEKDAY,
    "is_weekend": calendars.PART_WEEKEND,
    "day": calendars.PART_DAY,
    "month": calendars.PART_MONTH,
    "year": calendars.PART_YEAR,
    "day_of_year": calendars.PART_DAY_OF_YEAR,
}


_FAMILIES = {
    machine.do_integers: (
        *(Op.ADD_I, Op.SUB_I, Op.NEG_I, Op.ABS_I, Op.SCALE_UP_I, Op.SCALE_DOWN_I),
        *(Op.MIN_I, Op.MAX_I, Op.EQ_I, Op.NE_I, Op.LT_I, Op.LE_I, Op.NOT),
    ),
    machine.do_floats: (
        *(Op.ADD_F, Op.SUB_F, Op.MUL_F, Op.DIV_F, Op.NEG_F, Op.ABS_F, Op.SQRT_F, Op.FLOOR_F),
        *(Op.MIN_F, Op.MAX_F, Op.EQ_F, Op.NE_F, Op.LT_F, Op.LE_F),
    ),
    machine.do_elementary: (Op.LOG_F, Op.LOG1P_F, Op.EXP_F, Op.POW_F),
    machine.do_scale: (Op.TO_FLOAT, Op.SECONDS_BETWEEN),
    machine.do_choices: (Op.CONST, Op.AND, Op.OR, Op.IS_MISSING, Op.SELECT, Op.COALESCE),
    calendars.do_is_in: (Op.IS_IN,),
    calendars.do_calendar: (Op.CALENDAR,),
    references.do_convert: (Op.CONVERT,),
    references.do_look_up: (Op.LOOK_UP,),
    machine.do_great_circle: (Op.GREAT_CIRCLE,),
}
_DOES = {op: function for function, ops in _FAMILIES.items() for op in ops}

#: What carries out the operations of programs; each is compiled when a plan first needs it.
OPERATIONS = tuple(_FAMILIES)

_RUN = struct.Struct(f"{slots.RUN_WORDS}q")
_TABLE_ROOM = slots.TABLE_WORDS + slots.KEY_WORDS + 6 * WIDTH

# 10 ** 15 is a float
_MOST_SCALE = 15


def power_of_ten(scale: int) -> int:
    """10 ** scale where that is a float, else 0: then the slow way is taken."""
    return 10**scale if 0 <= scale <= _MOST_SCALE else 0


class Surroundings:
    """What programs read beside their registers, as flat arrays.

    Attributes:
        shared: The slots of a program's table that lead to them.
    """

    def __init__(self, plan: Plan) -> None:
        sets = [sorted(values) for values in plan.sets]
        self.set_starts: Int64s = np.cumsum([0, *map(len, sets)], dtype=np.int64)
        self.set_values: Int64s = np.array([v for values in sets for v in values], dtype=np.int64)
        self._lay_calendars(plan)
        self._lay_conversions(plan)
        self.tables: NDArray[np.int64] = np.zeros(
            (max(len(plan.tables), 1), references.TABLE_BYTES // 8), dtype=np.int64
        )
        self.shared: Int64s = np.zeros(slots.TABLE_WORDS, dtype=np.int64)
        for slot, array in (
            (slots.SET_STARTS, self.set_starts),
            (slots.SET_VALUES, self.set_values),
            (slots.CALENDARS, self.calendars),
            (slots.STEP_STARTS, self.steps[0]),
            (slots.STEP_VALUES, self.steps[1]),
            (slots.CONVERSIONS, self.conversions),
            (slots.DIGITS, self.digits),
            (slots.LOOKUPS, self.lookups),
            (slots.TABLES, self.tables),
        ):
            self.shared[slot >> 3] = address_of(array)
        self.shared[slots.DO_RATIO >> 3] = entry(wide_ratio)

    def _lay_calendars(self, plan: Plan) -> None:
        rows: list[list[int]] = []
        starts: list[int] = []
        values: list[int] = []
        for calendar in plan.calendars:
            part = calendars.PART_ITSELF
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
        digits: Bytes = np.full(len(plan.conversions) * references.CURRENCIES, 255, dtype=np.uint8)
        for n, conversion in enumerate(plan.conversions):
            table = plan.tables[conversion.table]
            rows.append(
                [
                    conversion.table,
                    len(table.key) + 2 + 2 * table.schema.names.index(conversion.rate),
                    *(conversion.rate_scale, conversion.target, conversion.target_digits),
                ]
            )
            for code, places in conversion.digits:
                digits[n * references.CURRENCIES + code] = places
        self.digits = digits
        self.conversions: NDArray[np.int64] = np.array(rows, dtype=np.int64).reshape(
            -1, references.CONVERSION_BYTES // 8
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
            row[:] = [
                address_of(table.rows),
                len(table.rows),
                8 * table.rows.shape[1],
                table.keys,
            ]


class CompiledProgram:
    """A program as the kernel reads it, with a table for each part of a run.

    A run is `begin`, then `run_part` for each part; the parts may run at the same time.

    Args:
        program: The program.
        around: What it reads beside its registers.
        outputs: How its features are made of its registers (`outputs_of`), if it has features.

    Attributes:
        registers: How many it has.
    """

    def __init__(
        self,
        program: Program,
        around: Surroundings,
        outputs: NDArray[np.int64] | None = None,
    ) -> None:
        self.registers = max(program.registers, 1)
        self._around = around
        self._outputs = outputs
        self._code, self._arguments = _code_of(program)
        self._finish = 0 if outputs is None else entry(machine.finish)
        self._parts: list[tuple[int, Int64s]] = []

    @property
    def idle(self) -> bool:
        """Whether it does nothing."""
        return len(self._code) == 0 and self._outputs is None

    def begin(
        self,
        registers: NDArray[np.int64],
        valid: NDArray[np.uint8],
        sequence: Int64s,
        features: Floats | None,
        parts: int,
    ) -> None:
        """Lay out a run over all rows, in so many parts.

        Args:
            registers: Registers by rows, the first of them loaded.
            valid: Their validity.
            sequence: The rows' places in known order.
            features: Where features go. Keep these four until all parts are done.
            parts: In how many the work is done.
        """
        run = (
            *(address_of(registers), address_of(valid), registers.shape[1]),
            *(address_of(sequence), 0 if features is None else address_of(features)),
        )
        while len(self._parts) < parts:
            table = self._table()
            self._parts.append((address_of(table), table))
        for _, table in self._parts[:parts]:
            _RUN.pack_into(table.data, slots.REGISTERS, *run)

    def run_part(self, part: int, first: int, last: int) -> None:
        """Run rows `first` to `last - 1` as one part."""
        machine.run_program(self._parts[part][0], first, last, self._finish)

    def _table(self) -> Int64s:
        """A table, with places of its own to work in behind its slots."""
        words = np.zeros(_TABLE_ROOM, dtype=np.int64)
        words[: slots.TABLE_WORDS] = self._around.shared
        start, code = address_of(words), address_of(self._code)
        filled = {
            slots.CODE: code,
            slots.CODE_END: code + self._code.nbytes,
            slots.ARGUMENTS: address_of(self._arguments),
            slots.WORDS: start + 8 * slots.TABLE_WORDS,
            slots.WORK: start + 8 * (slots.TABLE_WORDS + slots.KEY_WORDS),
        }
        if self._outputs is not None:
            filled[slots.OUTPUTS] = address_of(self._outputs)
            filled[slots.OUTPUTS_END] = address_of(self._outputs) + self._outputs.nbytes
        for slot, value in filled.items():
            words[slot >> 3] = value
        return words


def _code_of(program: Program) -> tuple[NDArray[np.int64], Int64s]:
    """One row for each instruction; and the key registers of look-ups."""
    more: list[int] = []
    code = np.zeros((len(program.instructions), slots.INSTRUCTION_BYTES // 8), dtype=np.int64)
    for row, step in zip(code, program.instructions, strict=True):
        first = list(step.arguments[:4])
        # a missing second argument repeats the first, so that its validity is asked twice
        first += [first[0] if first else 0] * (4 - len(first))
        immediate = step.immediate
        if step.op in (Op.SCALE_UP_I, Op.SCALE_DOWN_I):
            immediate = 10**immediate
        tens = power_of_ten(immediate) if step.op is Op.TO_FLOAT else 0
        does = entry(_DOES[step.op])
        row[:] = [does, step.op, step.out, *first, immediate, len(more), tens]
        if step.op is Op.LOOK_UP:
            more += step.arguments[1:]
    return code, np.array([*more, 0], dtype=np.int64)


class RowProgram:
    """A stream's row program, and which of its fields go into registers.

    Attributes:
        compiled: The program.
        event_time: The field that says when an event was.
    """

    def __init__(self, plan: Plan, stream: StreamPlan, around: Surroundings) -> None:
        self.event_time = stream.event_time
        self.compiled = CompiledProgram(stream.program, around)
        self._name = stream.name
        self._loads = tuple(
            (register, name, stream.schema.field(name).optional)
            for register, name in stream.program.loaded_fields()
        )
        self._books = BookLoads(plan, stream.program.loads)

    def loaded(
        self, batch: Batch, codes: Mapping[tuple[str, str], Int64s], books: BookAnswers
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
        """Registers and their validity, the first of them loaded from the fields of a batch."""
        shape = (self.compiled.registers, batch.rows)
        registers, valid = np.empty(shape, dtype=np.int64), np.empty(shape, dtype=np.uint8)
        self._books.put(books, registers, valid)
        for register, field, optional in self._loads:
            values, there = words_of(batch, self._name, field, codes)
            if not optional and np.count_nonzero(there) < batch.rows:
                raise InvariantBroken(f"{self._name}.{field} is present in every accepted event")
            registers[register], valid[register] = values, there
        return registers, valid


@dataclass(frozen=True, slots=True)
class Loads:
    """What goes into the first registers of the feature program, by register.

    Attributes:
        rows: Registers of the decided stream's row program.
        fields: Fields of the decided event.
        copies: Registers that another aggregate's answer is written to, of those loaded twice.
        books: Values of order books.
    """

    rows: tuple[tuple[int, int], ...]
    fields: tuple[tuple[int, str], ...]
    copies: tuple[tuple[int, int], ...]
    books: BookLoads

    @staticmethod
    def of(plan: Plan, row_of: Int64s) -> Loads:
        """Those of a plan's feature program; `row_of` says where each aggregate is written."""
        program = plan.program
        loads = [load.partition(":")[::2] for load in program.loads]
        written = [
            (r, int(row_of[int(n)])) for r, (what, n) in enumerate(loads) if what == "aggregate"
        ]
        return Loads(
            rows=tuple((r, int(n)) for r, (what, n) in enumerate(loads) if what == "row"),
            fields=tuple((r, n) for r, (what, n) in enumerate(loads) if what == "field"),
            copies=tuple((register, other) for register, other in written if other != register),
            books=BookLoads(plan, program.loads),
        )


def outputs_of(plan: Plan) -> NDArray[np.int64]:
    """How each feature is made of its register, as the kernel reads it."""
    rows = []
    for feature in plan.features:
        scale = feature.scale if feature.kind in {Kind.MONEY, Kind.DECIMAL} else 0
        floating = feature.kind is Kind.FLOAT
        rows.append([feature.register, scale, floating, power_of_ten(scale)])
    return np.array(rows, dtype=np.int64).reshape(-1, machine.OUTPUT_BYTES // 8)
