"""Registers: numbering terms as instructions, each computation once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from headrace.core.columns import pack_letters
from headrace.core.errors import DefinitionError, invariant
from headrace.definitions.literals import float_bits
from headrace.definitions.plan import (
    BookValue,
    Calendar,
    Conversion,
    Instruction,
    LookUp,
    Op,
    Program,
)
from headrace.definitions.terms import (
    Among,
    Applied,
    BookDefinition,
    BookRead,
    Constant,
    Converted,
    FeatureValue,
    FieldOf,
    InCalendar,
    LookedUp,
    Outside,
    TableDefinition,
    Term,
    Windowed,
)
from headrace.events.currencies import digits_by_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_Item = TypeVar("_Item")
_Number = TypeVar("_Number")


def parts_of(term: Term) -> tuple[Term, ...]:
    """The terms that a term is directly computed of, within one event."""
    node = term.node
    if isinstance(node, Applied):
        return node.arguments
    if isinstance(node, (Among, InCalendar)):
        return (node.argument,)
    if isinstance(node, Converted):
        return (node.amount, node.currency, node.time)
    if isinstance(node, LookedUp):
        return (node.time, *node.keys)
    if isinstance(node, FeatureValue):
        return (node.definition,)
    return ()


def each_part(term: Term, seen: set[int]) -> Iterator[Term]:
    """A term and all below it, each once, in the order in which they are written."""
    waiting = [term]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        waiting.extend(reversed(parts_of(part)))


class SharedTables:
    """What the programs of a plan refer to by number, each kept once."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.sets: list[tuple[int, ...]] = []
        self.calendars: list[Calendar] = []
        self.tables: list[TableDefinition] = []
        self.conversions: list[Conversion] = []
        self.lookups: list[LookUp] = []
        self.books: list[BookDefinition] = []
        self.book_values: list[BookValue] = []

    def text(self, category: str) -> int:
        """The code of a text."""
        return _number(self.texts, category)

    def members(self, node: Among) -> int:
        """The number of a set."""
        codes = (self.text(text) for text in node.texts)
        return _number(self.sets, tuple(sorted({*node.numbers, *codes})))

    def letters(self, codes: Iterable[str]) -> int:
        """The number of a set of currencies."""
        return _number(self.sets, tuple(sorted(pack_letters(code) for code in codes)))

    def calendar(self, calendar: Calendar) -> int:
        """The number of a calendar."""
        return _number(self.calendars, calendar)

    def table(self, table: TableDefinition) -> int:
        """The number of a table; its name tells it from others."""
        for known in self.tables:
            if known.name == table.name and known != table:
                raise DefinitionError(
                    f"two tables are called {table.name!r}",
                    at=table.at,
                    fix='give one another name, as in hr.table(Rate, key=..., name="ecb_rates")',
                )
        return _number(self.tables, table)

    def conversion(self, node: Converted) -> int:
        """The number of a conversion."""
        digits = sorted((pack_letters(code), n) for code, n in digits_by_code().items())
        made = Conversion(
            table=self.table(node.table),
            rate=node.rate,
            rate_scale=node.rate_scale,
            target=pack_letters(node.target),
            target_digits=node.target_digits,
            digits=tuple(digits),
        )
        return _number(self.conversions, made)

    def look_up(self, node: LookedUp) -> int:
        """The number of a look-up."""
        return _number(self.lookups, LookUp(self.table(node.table), node.field))

    def book_value(self, node: BookRead) -> int:
        """The number of what is read of a book."""
        made = BookValue(
            book=_number(self.books, node.book),
            stream=node.stream.name,
            asked_by=node.asked_by,
            part=node.part,
            side=node.side,
            level=node.level,
        )
        return _number(self.book_values, made)


def _number(items: list[_Item], item: _Item) -> int:
    if item not in items:
        items.append(item)
    return items.index(item)


class ProgramBuilder:
    """A program in the making.

    Until `finish`, a load has a negative number and an instruction one from 0; then loads take the
    first registers and instructions follow.
    """

    def __init__(
        self,
        shared: SharedTables,
        rows: ProgramBuilder | None = None,
        windows: Mapping[int, str] | None = None,
    ) -> None:
        """Begin a program.

        Args:
            shared: What the plan's programs refer to.
            rows: For a feature program: the finished row program of the decided stream.
            windows: For a feature program: what each window is loaded from, by identity of node.
        """
        self._shared = shared
        self._rows = rows
        self._windows = windows
        self._loads: dict[str, int] = {}
        self._steps: dict[tuple[Op, tuple[int, ...], int], int] = {}
        self._known: dict[int, tuple[Term, int]] = {}
        self._in_rows: dict[int, tuple[Term, int | None]] = {}
        self._finished = False

    def register(self, term: Term) -> int:
        """The register of a term, computed if it is not yet."""
        if self._rows is not None:
            self._find_rows(term, self._rows)
        return self._numbered(
            term, self._known, self._made, stop=self._in_rows if self._rows is not None else None
        )

    def _find_rows(self, term: Term, rows: ProgramBuilder) -> None:
        """Note which parts of a term the row program has computed."""

        def found(part: Term) -> int | None:
            if part.windowed:
                return None
            if isinstance(part.node, FieldOf):
                return rows._loads.get(part.node.name)
            if isinstance(part.node, BookRead):
                return rows._loads.get(self._book_load(part.node))
            if isinstance(part.node, FeatureValue):
                return self._in_rows[id(part.node.definition)][1]
            arguments = [self._in_rows[id(argument)][1] for argument in parts_of(part)]
            if isinstance(part.node, Outside) or None in arguments:
                return None
            given = tuple(argument for argument in arguments if argument is not None)
            op, immediate = self._operation(part)
            return rows._steps.get((op, given, immediate))

        self._numbered(term, self._in_rows, found)

    @staticmethod
    def _numbered(
        term: Term,
        known: dict[int, tuple[Term, _Number]],
        make: Callable[[Term], _Number],
        stop: Mapping[int, tuple[Term, int | None]] | None = None,
    ) -> _Number:
        """Number a term after all that it is computed of, without recursion.

        The term is kept beside its number, so that its identity isn't given to another meanwhile.
        """
        waiting = [term]
        while waiting:
            part = waiting[-1]
            is_given = (
                stop is not None
                and not isinstance(part.node, FeatureValue)
                and stop[id(part)][1] is not None
            )
            missing = [] if is_given else [p for p in parts_of(part) if id(p) not in known]
            if missing and id(part) not in known:
                waiting.extend(reversed(missing))
                continue
            if id(part) not in known:
                known[id(part)] = (part, make(part))
            waiting.pop()
        return known[id(term)][1]

    def _made(self, term: Term) -> int:
        node = term.node
        if isinstance(node, FieldOf):
            return self._load(node.name if self._rows is None else f"field:{node.name}")
        if isinstance(node, BookRead):
            return self._load(self._book_load(node))
        if isinstance(node, FeatureValue):
            return self._known[id(node.definition)][1]
        if isinstance(node, Windowed):
            invariant(self._windows is not None, "windows are read by features alone")
            return self._load((self._windows or {})[id(node)])
        if isinstance(node, Outside):
            raise DefinitionError(
                f"the {node.name} is made of features", at=term.at, fix="use it in the policy"
            )
        in_row = self._in_rows[id(term)][1] if self._rows is not None else None
        if self._rows is not None and in_row is not None and not isinstance(node, Constant):
            return self._load(f"row:{self._rows.placed(in_row)}")
        op, immediate = self._operation(term)
        return self.emit(op, tuple(self._known[id(part)][1] for part in parts_of(term)), immediate)

    def _book_load(self, node: BookRead) -> str:
        return f"book:{self._shared.book_value(node)}"

    def _operation(self, term: Term) -> tuple[Op, int]:
        """What computes a term, and its immediate."""
        node = term.node
        if isinstance(node, Constant):
            is_text = node.category is not None
            return Op.CONST, self._shared.text(node.category or "") if is_text else node.bits
        if isinstance(node, Among):
            return Op.IS_IN, self._shared.members(node)
        if isinstance(node, InCalendar):
            return Op.CALENDAR, self._shared.calendar(node.calendar)
        if isinstance(node, Converted):
            return Op.CONVERT, self._shared.conversion(node)
        if isinstance(node, LookedUp):
            return Op.LOOK_UP, self._shared.look_up(node)
        invariant(isinstance(node, Applied), f"{type(node).__name__} is an operation")
        return node.op, node.immediate  # type: ignore[union-attr]  # the invariant above has looked

    def emit(self, op: Op, arguments: tuple[int, ...] = (), immediate: int = 0) -> int:
        """The register of an instruction's result."""
        invariant(not self._finished, "a finished program is not added to")
        return self._steps.setdefault((op, arguments, immediate), len(self._steps))

    def float_constant(self, value: float) -> int:
        """The register of a number."""
        return self.emit(Op.CONST, (), float_bits(value))

    def _load(self, name: str) -> int:
        invariant(not self._finished, "a finished program is not added to")
        return self._loads.setdefault(name, -1 - len(self._loads))

    def finish(self) -> None:
        """Fix the places of registers."""
        self._finished = True

    def placed(self, register: int) -> int:
        """The final number of a register."""
        invariant(self._finished, "registers have places when the program is finished")
        return -1 - register if register < 0 else len(self._loads) + register

    def final(self, term: Term) -> int:
        """The final number of a term's register."""
        return self.placed(self._known[id(term)][1])

    def program(self) -> Program:
        """The program as data."""
        instructions = tuple(
            Instruction(op, self.placed(out), tuple(map(self.placed, arguments)), immediate)
            for (op, arguments, immediate), out in self._steps.items()
        )
        return Program(tuple(self._loads), instructions, len(self._loads) + len(instructions))
