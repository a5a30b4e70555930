"""From features to a plan.

Equal computations are done once: instructions are numbered by what they compute (operation,
registers, immediate), so two features that mention the same sum share it. What windows are kept
over goes into the row program of its stream; what features are computed of is read from there
where it is, and computed in the feature program where it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError
from headrace.definitions.describe import feature_text
from headrace.definitions.plan import (
    Aggregate,
    Feature,
    Function,
    Group,
    Held,
    Hold,
    Op,
    Plan,
    Program,
    StreamPlan,
    TablePlan,
)
from headrace.definitions.registers import ProgramBuilder, SharedTables, each_part
from headrace.definitions.suggestions import known_field
from headrace.definitions.terms import (
    BookRead,
    StreamDefinition,
    TableDefinition,
    Term,
    Windowed,
)
from headrace.events.currencies import digits_by_code

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headrace.definitions.feature_set import Features
    from headrace.definitions.streams import Stream, Table

_EXACT_SUMS = frozenset({Function.SUM, Function.MEAN, Function.VARIANCE, Function.STD})
_COUNTED = frozenset({Function.COUNT, Function.MEAN, Function.VARIANCE, Function.STD})


def compile_plan(
    *,
    on: Stream,
    features: Features,
    streams: Sequence[Stream] = (),
    tables: Sequence[Table] = (),
) -> Plan:
    """The plan of a use case's features.

    Args:
        on: The stream that is decided: the first in the plan.
        features: What is computed for each of its events.
        streams: Others that belong to the use case, though no feature reads them (labels).
        tables: Tables likewise.

    Raises:
        DefinitionError: If a feature can't be computed for an event of `on`.

    >>> from headrace.events.schema import Field, Role, Schema
    >>> from headrace.definitions.feature_set import features
    >>> from headrace.definitions.streams import stream
    >>> payments = stream(Schema("Payment", (
    ...     Field("id", Kind.TEXT, Role.ID), Field("at", Kind.TIME, Role.EVENT_TIME),
    ...     Field("card", Kind.TEXT, Role.KEY))))
    >>> burst = features(card_count_5m=payments.by("card").count("5m"))
    >>> plan = compile_plan(on=payments, features=burst)
    >>> plan.features[0].text
    "the card's payments in the last 5 minutes: {value}"
    """
    compiler = Compiler(on.definition, features.definitions)
    return compiler.plan(
        [stream.definition for stream in streams], [table.definition for table in tables]
    )


class Compiler:
    """One compilation: what is shared, one builder for each stream's row program.

    Args:
        on: The stream that is decided.
        definitions: What its features are computed as.
        given: Windows that another stage computes, by identity of node: the load that each is
            read from (`field:NAME`).
    """

    def __init__(
        self,
        on: StreamDefinition,
        definitions: Mapping[str, Term],
        given: Mapping[int, str] | None = None,
    ) -> None:
        self.on = on
        self.definitions = definitions
        self.given = given or {}
        self.shared = SharedTables()
        self.streams: list[StreamDefinition] = []
        self.rows: dict[str, ProgramBuilder] = {}
        self.groups: list[tuple[Windowed, list[Held]]] = []
        self.aggregates: list[Aggregate] = []
        self.numbers: dict[int, int] = {}

    def plan(self, streams: Iterable[StreamDefinition], tables: Iterable[TableDefinition]) -> Plan:
        """Windows first, then features over them."""
        self.stream(self.on)
        windows = self.windows()
        for stream in streams:
            self.stream(stream)
        self.keep([window for _, window in windows if id(window) not in self.given])
        loads = {node: f"aggregate:{number}" for node, number in self.numbers.items()}
        return self.made(*self.features({**self.given, **loads}), tables)

    def keep(self, windows: Sequence[Windowed]) -> None:
        """Give windows their groups and aggregates, and their values to row programs."""
        for window in windows:
            for part in (window.value, window.where):
                if part is not None:
                    self.rows[window.stream.name].register(part)
        for builder in self.rows.values():
            builder.finish()
        for window in windows:
            self.numbers[id(window)] = self.aggregate(window)

    def made(
        self, program: Program, features: tuple[Feature, ...], tables: Iterable[TableDefinition]
    ) -> Plan:
        """The plan of what was kept, with a feature program over it."""
        for table in tables:
            self.shared.table(table)
        return Plan(
            on=self.on.name,
            streams=tuple(self.stream_plan(stream) for stream in self.in_rank()),
            tables=tuple(
                TablePlan(table.name, table.schema, table.key, table.valid_from)
                for table in self.shared.tables
            ),
            groups=tuple(
                Group(w.stream.name, w.key, w.asked_by, w.every_ns, tuple(held))
                for w, held in self.groups
            ),
            aggregates=tuple(self.aggregates),
            program=program,
            features=features,
            sets=tuple(self.shared.sets),
            texts=tuple(self.shared.texts),
            calendars=tuple(self.shared.calendars),
            conversions=tuple(self.shared.conversions),
            lookups=tuple(self.shared.lookups),
            books=tuple(book.book for book in self.shared.books),
            book_values=tuple(self.shared.book_values),
        )

    def in_rank(self) -> list[StreamDefinition]:
        """The streams: changes of books first, so that of the same moment they are known first."""
        changes = [book.stream for book in self.shared.books]
        return sorted(self.streams, key=lambda stream: stream not in changes)

    def stream(self, stream: StreamDefinition) -> None:
        """Take a stream in, once; its name tells it from others."""
        for known in self.streams:
            if known == stream:
                return
            if known.name == stream.name:
                raise DefinitionError(
                    f"two streams are called {stream.name!r}",
                    at=stream.at,
                    fix='give one another name, as in hr.stream(Payment, name="card_payments"), '
                    "or declare it once and use it twice",
                )
        self.streams.append(stream)
        self.rows[stream.name] = ProgramBuilder(self.shared)

    def stream_plan(self, stream: StreamDefinition) -> StreamPlan:
        """A stream with its row program."""
        return StreamPlan(
            name=stream.name,
            schema=stream.schema,
            lateness_ns=stream.lateness_ns,
            max_ahead_ns=stream.max_ahead_ns,
            dedupe_ns=stream.dedupe_ns,
            arrives_after_ns=stream.arrives_after_ns,
            program=self.rows[stream.name].program(),
        )

    def windows(self) -> list[tuple[Term, Windowed]]:
        """Every window that features read, in the order in which they are met."""
        found: list[tuple[Term, Windowed]] = []
        seen: set[int] = set()
        for name, definition in self.definitions.items():
            if definition.stream is not None and definition.stream != self.on:
                raise DefinitionError(
                    f"feature {name!r} reads an event of {definition.stream.name!r}, "
                    f"and {self.on.name!r} is decided",
                    at=definition.at,
                    fix="read it through a key and a window, as in "
                    f'`{definition.stream.name}.by("card").last(..., "30d")`',
                )
            for part in each_part(definition, seen):
                if isinstance(part.node, Windowed):
                    self.stream(part.node.stream)
                    self.check_asked(part, part.node)
                    found.append((part, part.node))
                if isinstance(part.node, BookRead):
                    self.stream(part.node.book.stream)
        for _, window in found:
            for value in (window.value, window.where):
                for part in each_part(value, seen) if value is not None else ():
                    if isinstance(part.node, BookRead):
                        self.stream(part.node.book.stream)
        return found

    def check_asked(self, term: Term, window: Windowed) -> None:
        """The decided stream has the fields that the key is asked by, of the same types."""
        for name, asked in zip(window.key, window.asked_by, strict=True):
            if asked not in self.on.schema.names:
                quoted = ", ".join(f'"{name}"' for name in window.key)
                raise DefinitionError(
                    f"{window.stream.name!r} is kept by {name!r}, and {self.on.schema.name} "
                    f"has no field {asked!r} to ask it by",
                    at=window.keyed_at,
                    fix=f'say which field: by({quoted}, asked_by="..."), one of '
                    f"{', '.join(self.on.schema.names)}",
                )
            kept = known_field(window.stream.schema, name, term.at)
            given = known_field(self.on.schema, asked, term.at)
            if (kept.kind, kept.scale) != (given.kind, given.scale):
                raise DefinitionError(
                    f"{window.stream.name!r} is kept by {name!r} ({kept.kind.name}), and asked by "
                    f"{asked!r} ({given.kind.name})",
                    at=window.keyed_at,
                    fix="give both fields the same type",
                )

    def aggregate(self, window: Windowed) -> int:
        """The number of an aggregate, and its group and what is held for it."""
        row = self.rows[window.stream.name]
        value = row.final(window.value) if window.value is not None else -1
        where = row.final(window.where) if window.where is not None else -1
        floating = window.value is not None and window.value.type.kind is Kind.FLOAT
        group = self.group(window)
        held = self.groups[group][1]
        for item in _held(window.function, value, where, floating=floating):
            if item not in held:
                held.append(item)
        made = Aggregate(
            function=window.function,
            group=group,
            value=value,
            where=where,
            floating=floating,
            scale=window.scale,
            window_ns=window.window_ns,
            delay_ns=window.delay_ns,
            include_current=window.include_current,
        )
        if made not in self.aggregates:
            self.aggregates.append(made)
        return self.aggregates.index(made)

    def group(self, window: Windowed) -> int:
        """The number of the group that a window is read from."""
        wanted = (window.stream.name, window.key, window.asked_by, window.every_ns)
        for number, (known, _) in enumerate(self.groups):
            if (known.stream.name, known.key, known.asked_by, known.every_ns) == wanted:
                return number
        self.groups.append((window, []))
        return len(self.groups) - 1

    def features(self, windows: Mapping[int, str]) -> tuple[Program, tuple[Feature, ...]]:
        """The feature program, and where each feature stands in it.

        Args:
            windows: What each window is loaded from, by identity of node.
        """
        builder = ProgramBuilder(self.shared, self.rows[self.on.name], windows)
        registers = [
            self.in_major_units(builder, term) if term.type.varying else builder.register(term)
            for term in self.definitions.values()
        ]
        builder.finish()
        made = tuple(
            Feature(
                name=name,
                register=builder.placed(register),
                kind=term.type.kind,
                scale=term.type.scale,
                text=feature_text(term),
            )
            for (name, term), register in zip(self.definitions.items(), registers, strict=True)
        )
        return builder.program(), made

    def in_major_units(self, builder: ProgramBuilder, term: Term) -> int:
        """A float in minor units of each event's currency, divided by what a major unit has."""
        if term.currency is None or term.currency.stream != self.on:
            raise DefinitionError(
                f"a feature is {term.type}, and an event of {self.on.name!r} does not say which",
                at=term.at,
                fix='convert the amount before it is aggregated: `.in_currency("EUR", rates)`',
            )
        currency = builder.register(term.currency)
        by_digits: dict[int, list[str]] = {}
        for code, digits in sorted(digits_by_code().items()):
            by_digits.setdefault(digits, []).append(code)
        divisor = builder.float_constant(100.0)
        for digits, codes in sorted(by_digits.items()):
            if digits != 2:
                is_one = builder.emit(Op.IS_IN, (currency,), self.shared.letters(codes))
                power = builder.float_constant(float(10**digits))
                divisor = builder.emit(Op.SELECT, (is_one, power, divisor))
        return builder.emit(Op.DIV_F, (builder.register(term), divisor))


def _held(function: Function, value: int, where: int, *, floating: bool) -> list[Held]:
    """What is held for each event so that the function can be read.

    Running sums of floats would be rounded at every step, so floats are held themselves.
    """
    if function is Function.SECONDS_SINCE_LAST:
        return [] if where < 0 else [Held(Hold.COUNT, where=where)]
    if function in _EXACT_SUMS and not floating:
        held = [Held(Hold.SUM, value, where)]
        if function in (Function.VARIANCE, Function.STD):
            held.append(Held(Hold.SQUARES, value, where))
    elif function is Function.COUNT:
        held = []
    else:
        held = [Held(Hold.VALUE, value, where, floating)]
    if function in _COUNTED:
        held.insert(0, Held(Hold.COUNT, value, where, floating))
    return held
