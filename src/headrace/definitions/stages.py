"""Stages: how a use case with several keys is worked on where topics have many partitions.

A lane sees the events of its partition alone. So what is kept by another key than the one that a
topic is partitioned by is computed elsewhere, where all events of that key come together:

1. **Admission**, a lane for each partition of the sources: judges every input, in the order of
   its topic.
2. A **side stage** for each other key: takes the admitted events that its windows read, partitioned
   anew by its key, and computes these windows.
3. The **main stage**, a lane for each partition again: takes what was admitted, in its order, with
   the values that side stages give for each event, and decides.

Which window belongs where follows from the definitions and the key of the sources alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError
from headrace.definitions.compiler import Compiler
from headrace.definitions.describe import feature_text, words
from headrace.definitions.plan import Feature, Op, Plan, Program
from headrace.definitions.registers import ProgramBuilder
from headrace.definitions.suggestions import known_field
from headrace.definitions.terms import INTEGER_KINDS
from headrace.events.schema import EXACT_LIMIT, Field, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headrace.definitions.feature_set import Features
    from headrace.definitions.plan import StreamPlan
    from headrace.definitions.sequences import SequenceDefinition
    from headrace.definitions.streams import Stream
    from headrace.definitions.terms import Term, Windowed

#: Digits of the lower part of an integer that is given in two parts.
LOW_DIGITS = 9

#: Fields that every event keeps on its way to a side stage.
_KEPT_ROLES = (Role.ID, Role.EVENT_TIME)


@dataclass(frozen=True, slots=True)
class Given:
    """A value that a side stage gives to the main stage for each event.

    Attributes:
        field: Of the main stage's decided stream, where the value stands.
        features: Numbers of the side plan's features that it is made of: itself; or, of an integer
            that may be too wide for a float, its billions and the rest (`LOW_DIGITS`).
        text: What it means.
    """

    field: Field
    features: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class SideStage:
    """What is kept by one key that the sources are not partitioned by.

    Attributes:
        name: The key; with a number, where two stages have the same.
        key: Field of the decided stream that its events are partitioned by.
        routes: For each stream that it takes, the stream's field with that key.
        plan: Its windows; features are their values.
        given: What it gives back, in the order of the main stage's fields.
    """

    name: str
    key: str
    routes: Mapping[str, str]
    plan: Plan
    given: tuple[Given, ...]


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of a use case.

    Attributes:
        key: Field of the decided stream that its sources are partitioned by; "" where no feature
            reads a window, and any will do.
        keyed: For each stream that the main stage keeps by this key, its own field with it: the
            sources of these streams are partitioned alike.
        whole: The plan of all features, as one lane runs it.
        admission: The plan of the first stage: streams, no features. It is not needed where there
            are no sides.
        sides: One for each other key.
        main: The plan of the last stage: all features, with the fields that sides give. Where
            there are no sides, `whole`.
    """

    key: str
    keyed: Mapping[str, str]
    whole: Plan
    admission: Plan
    sides: tuple[SideStage, ...]
    main: Plan


@dataclass(slots=True)
class _Place:
    """A stage in the making: its key, the streams it takes, the windows placed there."""

    key: str
    routes: dict[str, str] = field(default_factory=dict)
    windows: list[tuple[Term, Windowed]] = field(default_factory=list)

    def fits(self, asked: str, stream: str, own: str) -> bool:
        """Whether a window by this key can be kept here."""
        return self.key == asked and self.routes.get(stream, own) == own

    def take(self, window: tuple[Term, Windowed], own: str) -> None:
        """Keep a window here."""
        self.routes[window[1].stream.name] = own
        self.windows.append(window)


def plan_stages(
    *,
    on: Stream,
    features: Features,
    streams: Sequence[Stream] = (),
    key: str | None = None,
    sequence: SequenceDefinition | None = None,
) -> Stages:
    """The stages of a use case's features.

    Args:
        on: The stream that is decided.
        features: What is computed for each of its events.
        streams: Others that belong to the use case (labels).
        key: The field of `on` that its sources are partitioned by; by default the one that most
            windows are kept by, the first of several; or, where there is a sequence, its own.
        sequence: The last vectors of features, which the main stage keeps.

    Raises:
        DefinitionError: If `key` is no field that can be one, or a window cannot be computed where
            events are in several partitions.

    >>> from headrace.definitions.feature_set import features
    >>> from headrace.definitions.streams import stream
    >>> from headrace.events.schema import Schema
    >>> payments = stream(Schema("Payment", (
    ...     Field("id", Kind.TEXT, Role.ID), Field("at", Kind.TIME, Role.EVENT_TIME),
    ...     Field("card", Kind.TEXT, Role.KEY), Field("merchant", Kind.TEXT, Role.KEY))))
    >>> stages = plan_stages(on=payments, features=features(
    ...     card_5m=payments.by("card").count("5m"),
    ...     merchant_1h=payments.by("merchant").count("1h")))
    >>> stages.key, [side.key for side in stages.sides]
    ('card', ['merchant'])
    >>> stages.main.program.loads
    ('aggregate:0', 'field:by_merchant_0')
    """
    definitions, decided = features.definitions, on.definition
    beside = [stream.definition for stream in streams]
    compiler = Compiler(decided, definitions)
    whole = compiler.plan(beside, [])
    windows = compiler.windows()
    if key is None:
        usual = _usual_key(windows, decided.name) or _key_of_books(whole)
        key = sequence.key[0] if sequence else usual
    else:
        _check_key(key, on)
    if sequence is not None:
        _check_sequence(sequence, key)
        whole = replace(whole, sequence=sequence.planned(whole, on))
    main, *others = _placed(windows, key, decided.name)
    _place_books(whole, main)
    taken = {*decided.schema.names, *definitions}
    names = _stage_names(others)
    sides, loads = [], {}
    for name, place in zip(names, others, strict=True):
        side, numbers = _side(name, place, Compiler(decided, {}), taken)
        if side.plan.books:
            raise DefinitionError(
                f"what is kept by {side.key!r} reads order books, which are kept by {key!r}",
                fix="keep it by the same key, or let one lane take all partitions: declare the"
                " source `single`",
            )
        sides.append(side)
        loads.update(numbers)
    last = Compiler(decided, definitions, loads)
    for table in compiler.shared.tables:
        # ranked as the first stage ranks them, whether a feature here reads them or not
        last.shared.table(table)
    plan = replace(last.plan(beside, []), sequence=whole.sequence)
    return Stages(
        key=key,
        keyed=main.routes,
        whole=whole,
        admission=_admission(whole),
        sides=tuple(sides),
        main=_with_given(plan, sides) if sides else whole,
    )


def _check_key(key: str, on: Stream) -> None:
    spec = known_field(on.definition.schema, key, None)
    if spec.kind is Kind.FLOAT:
        raise DefinitionError(
            f"{key!r} is a float, which is no key",
            fix="name the field that the topics are partitioned by",
        )


def _check_sequence(sequence: SequenceDefinition, key: str) -> None:
    if key not in sequence.key:
        raise DefinitionError(
            f"the sequence is kept by {', '.join(sequence.key)}, and the topics are partitioned by"
            f" {key}: the vectors of one key would be in several partitions",
            at=sequence.at,
            fix=f"keep it by {key} too, partition by {sequence.key[0]}, or let one lane take all"
            " partitions: declare the source `single`",
        )


def _usual_key(windows: Sequence[tuple[Term, Windowed]], decided: str) -> str:
    """The field that most windows can be kept by; of several the one that comes first."""
    votes = Counter(asked for _, window in windows for asked, _ in _candidates(window, decided))
    return votes.most_common(1)[0][0] if votes else ""


def _key_of_books(whole: Plan) -> str:
    """The field of the decided stream that books are asked by; "" where none is."""
    asked = [value.asked_by for value in whole.book_values if value.stream == whole.on]
    return asked[0] if asked else ""


def _place_books(whole: Plan, main: _Place) -> None:
    """Keep all books in the main stage: their changes are partitioned as what asks them is.

    Raises:
        DefinitionError: If changes of a book, or events that ask one, would be elsewhere.
    """
    kept = [(book.stream, book.key) for book in whole.books]
    for stream, key in [*kept, *((v.stream, v.asked_by) for v in whole.book_values)]:
        if main.routes.setdefault(stream, key) != key:
            raise DefinitionError(
                f"order books are kept by {key!r} of {stream!r}, and its topics partitioned by"
                f" {main.routes[stream]!r}",
                fix="let one lane take all partitions: declare the source `single`",
            )


def _candidates(window: Windowed, decided: str) -> list[tuple[str, str]]:
    """The fields of the decided stream that bring all events of a window together.

    With each comes the field of the window's own stream. An event of the decided stream is in one
    place, so what it asks by must be what it is kept by.
    """
    return [
        (asked, own)
        for own, asked in zip(window.key, window.asked_by, strict=True)
        if window.stream.name != decided or own == asked
    ]


def _placed(windows: Sequence[tuple[Term, Windowed]], key: str, decided: str) -> list[_Place]:
    """The main place, then the others, with their windows.

    A window by several keys is kept where one of them is kept anyway: first in the main stage.
    """
    places = [_Place(key, {decided: key} if key else {})]
    waiting = []
    for item in windows:
        fields = _candidates(item[1], decided)
        if not fields:
            raise _apart(item[1])
        if len(fields) == 1 or any(asked == key for asked, _ in fields):
            _place(item, fields, places, decided)
        else:
            waiting.append((item, fields))
    for item, fields in waiting:
        _place(item, fields, places, decided)
    return places


def _place(
    item: tuple[Term, Windowed],
    fields: Iterable[tuple[str, str]],
    places: list[_Place],
    decided: str,
) -> None:
    """Keep a window at the first place that it fits, or at a new one."""
    choices = list(fields)
    stream = item[1].stream.name
    for place in places:
        for asked, own in choices:
            if place.fits(asked, stream, own):
                place.take(item, own)
                return
    asked, own = choices[0]
    made = _Place(asked, {decided: asked})
    made.take(item, own)
    places.append(made)


def _apart(window: Windowed) -> DefinitionError:
    """An event would have to be in two partitions at once."""
    kept, asked = ", ".join(window.key), ", ".join(window.asked_by)
    return DefinitionError(
        f"{window.stream.name!r} is kept by {kept} and asked by {asked}: each of its events would"
        " have to be in two partitions at once",
        at=window.keyed_at,
        fix="let one lane take all partitions: declare the source `single`",
    )


def _stage_names(places: Sequence[_Place]) -> list[str]:
    """The keys; one that comes again with a number."""
    seen: Counter[str] = Counter()
    names = []
    for place in places:
        seen[place.key] += 1
        count = seen[place.key]
        names.append(place.key if count == 1 else f"{place.key}_{count}")
    return names


def _side(
    name: str, place: _Place, compiler: Compiler, taken: set[str]
) -> tuple[SideStage, dict[int, str]]:
    """A side stage; and what the main stage loads each of its windows from.

    Args:
        name: Of the stage.
        place: With its windows.
        compiler: Of no features.
        taken: Names of fields and features; those of the fields that are given are added.
    """
    compiler.stream(compiler.on)
    for _, window in place.windows:
        compiler.stream(window.stream)
    compiler.keep([window for _, window in place.windows])
    builder = ProgramBuilder(
        compiler.shared,
        compiler.rows[compiler.on.name],
        {node: f"aggregate:{number}" for node, number in compiler.numbers.items()},
    )
    loads: dict[int, str] = {}
    parts: list[tuple[Feature, int]] = []
    given: dict[tuple[int, Kind], Given] = {}
    for term, window in place.windows:
        number = compiler.numbers[id(window)]
        if (number, term.type.kind) not in given:
            label = _free(f"by_{name}_{len(given)}", taken)
            made = _given_parts(builder, term, label)
            places = tuple(range(len(parts), len(parts) + len(made)))
            parts += made
            given[number, term.type.kind] = Given(_given_field(term, label), places, words(term))
        loads[id(window)] = f"field:{given[number, term.type.kind].field.name}"
    builder.finish()
    features = tuple(replace(part, register=builder.placed(at)) for part, at in parts)
    plan = compiler.made(builder.program(), features, ())
    return SideStage(
        name=name,
        key=place.key,
        routes=place.routes,
        plan=replace(
            plan,
            streams=tuple(_reduced(plan, item, place.routes) for item in plan.streams),
            admitted=True,
        ),
        given=tuple(given.values()),
    ), loads


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _is_wide(term: Term) -> bool:
    """Whether an integer may be too wide for a float."""
    return term.type.kind is Kind.TIME or (
        term.type.kind in INTEGER_KINDS and term.bound > EXACT_LIMIT
    )


def _given_parts(builder: ProgramBuilder, term: Term, label: str) -> list[tuple[Feature, int]]:
    """The features that a window's value is given in, with the registers they are made in."""
    register, text = builder.register(term), feature_text(term)
    if not _is_wide(term):
        # an exact amount is given in minor units: a whole number, which a float holds exactly
        kind = Kind.INT if term.type.kind in INTEGER_KINDS else term.type.kind
        return [(Feature(label, -1, kind, text=text), register)]
    high = builder.emit(Op.SCALE_DOWN_I, (register,), LOW_DIGITS)
    low = builder.emit(Op.SUB_I, (register, builder.emit(Op.SCALE_UP_I, (high,), LOW_DIGITS)))
    return [
        (Feature(f"{label}_high", -1, Kind.INT, text=text), high),
        (Feature(f"{label}_low", -1, Kind.INT, text=text), low),
    ]


def _given_field(term: Term, label: str) -> Field:
    """Where the value stands in an event of the main stage: the word that the register holds."""
    kind, scale = term.type.kind, term.type.scale
    if kind is Kind.MONEY:
        kind = Kind.INT if term.type.varying else Kind.DECIMAL
    return Field(label, kind, Role.GIVEN, scale=scale if kind is Kind.DECIMAL else 0, optional=True)


def _reduced(plan: Plan, stream: StreamPlan, routes: Mapping[str, str]) -> StreamPlan:
    """A stream with the fields that a side stage reads, and no others: surrogates stay such."""
    wanted = {*(name for _, name in stream.program.loaded_fields()), routes[stream.name]}
    for group in plan.groups:
        wanted |= set(group.key) if group.stream == stream.name else set()
        wanted |= set(group.asked_by) if stream.name == plan.on else set()
    for spec in stream.schema.fields:
        if spec.name in wanted and spec.currency_field:
            wanted.add(spec.currency_field)
    fields = tuple(
        replace(spec, pii=False, subject=False)
        for spec in stream.schema.fields
        if spec.name in wanted or spec.role in _KEPT_ROLES
    )
    return replace(stream, schema=replace(stream.schema, fields=fields))


def _admission(whole: Plan) -> Plan:
    """The plan that judges inputs and computes nothing."""
    nothing = Program((), (), 0)
    return Plan(
        on=whole.on,
        streams=tuple(replace(stream, program=nothing) for stream in whole.streams),
        tables=whole.tables,
        groups=(),
        aggregates=(),
        program=nothing,
        features=(),
    )


def _with_given(plan: Plan, sides: Iterable[SideStage]) -> Plan:
    """The main plan, whose decided stream has the fields that sides give."""
    more = tuple(item.field for side in sides for item in side.given)

    def filled(stream: StreamPlan) -> StreamPlan:
        schema = replace(stream.schema, fields=(*stream.schema.fields, *more))
        return replace(stream, schema=schema) if stream.name == plan.on else stream

    return replace(plan, streams=tuple(filled(stream) for stream in plan.streams))
