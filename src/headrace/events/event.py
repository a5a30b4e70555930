"""Event classes and rows of reference tables, and the schema that is made of each.

    class Payment(Event):
        payment_id: Id
        at: EventTime
        card: Key = field(pii=True, subject=True)
        amount: Money
        currency: Currency

A class is a declaration: it is read once, when Python meets it, and never instantiated. What
cannot be meant is a `DefinitionError` there and then, with the line of the field and the fix.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ForwardRef, Union, get_args, get_origin

from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError, SourceLine
from headrace.events import currencies, fields
from headrace.events.fields import FieldOptions, FieldType, OptionalType
from headrace.events.reasons import LONGEST_EVENT, Rejected
from headrace.events.schema import Field, Role, Schema
from headrace.events.values import read_value

if TYPE_CHECKING:
    from types import FrameType

_SCALE_MAX = 15
_LONGEST_TEXT = 1024
_TIMES_OF_ITS_OWN = (Role.EVENT_TIME, Role.KNOWN_AT)
_HAVE_LIMITS = frozenset({Kind.INT, Kind.DECIMAL, Kind.MONEY, Kind.FLOAT, Kind.TIME})
_NO_OPTIONS = FieldOptions(
    pii=False,
    subject=False,
    protected=False,
    minimum=None,
    maximum=None,
    longest=None,
    currency=None,
    currency_field=None,
    scale=None,
)


class _Declared:
    """What events and rows share: their schema is made when the class is."""

    __headrace_schema__: Schema

    def __init_subclass__(cls, *, declares: bool = True) -> None:
        if declares:
            cls.__headrace_schema__ = _Declaration.read(cls, sys._getframe(1)).schema()  # noqa: SLF001 - the line of the class statement is there and nowhere else

    def __new__(cls, *_: object, **__: object) -> Any:
        raise DefinitionError(
            f"{cls.__name__} declares what events are made of; it has no instances",
            fix="give events as frames, files or JSON",
        )


class Event(_Declared, declares=False):
    """The base of every event class: one `Id`, one `EventTime`, and what else there is."""


class Row(_Declared, declares=False):
    """The base of every reference table: an `EventTime` from which a row is valid, and the rest."""


def schema_of(declared: type[Event | Row]) -> Schema:
    """The schema of an event class or a table's row class.

    >>> class Payment(Event):
    ...     payment_id: fields.Id
    ...     at: fields.EventTime
    ...     amount: fields.Money("EUR")
    >>> schema_of(Payment).names
    ('payment_id', 'at', 'amount')

    Raises:
        DefinitionError: When it is neither.
    """
    schema = getattr(declared, "__headrace_schema__", None)
    if not isinstance(schema, Schema):
        raise DefinitionError(
            f"{declared!r} is not an event class", fix="derive it from hr.Event or hr.Row"
        )
    return schema


@dataclass(frozen=True, slots=True)
class _Typed:
    """A field's annotation, understood."""

    type: type[FieldType]
    optional: bool
    currency: str | None = None
    scale: int | None = None
    refers_to: str = ""


@dataclass(frozen=True, slots=True)
class _Declaration:
    """A class statement: its annotations, what was said of each, and where it stands."""

    name: str
    is_event: bool
    annotations: dict[str, Any]
    options: dict[str, FieldOptions]
    at: SourceLine

    @staticmethod
    def read(declared: type[_Declared], frame: FrameType) -> _Declaration:
        """What a class statement says, with annotations that are texts evaluated."""
        at = SourceLine(frame.f_code.co_filename, frame.f_lineno)
        if len(declared.__bases__) != 1 or declared.__bases__[0] not in (Event, Row):
            bases = ", ".join(base.__name__ for base in declared.__bases__)
            raise DefinitionError(
                f"{declared.__name__} derives from {bases}",
                at=at,
                fix="derive it from hr.Event or hr.Row alone, and write its fields in it",
            )
        names = {**frame.f_globals, **frame.f_locals, declared.__name__: declared}
        annotations = {}
        for name, written in inspect.get_annotations(declared).items():
            annotations[name] = (
                _evaluated(declared.__name__, name, written, names, at)
                if isinstance(written, str)
                else written
            )
        options = {}
        for name, value in vars(declared).items():
            if isinstance(value, FieldOptions):
                options[name] = value
            elif name in annotations:
                raise DefinitionError(
                    f"{declared.__name__}.{name} has the default {value!r}, which no event takes",
                    at=_field_line(declared.__name__, name, at),
                    fix="leave it away; for a field that can be missing write its type with"
                    " `| None`, and hr.coalesce(...) in a feature",
                )
        return _Declaration(
            declared.__name__, issubclass(declared, Event), annotations, options, at
        )

    def schema(self) -> Schema:
        """The schema, or a `DefinitionError`."""
        for name in self.options:
            if name not in self.annotations:
                raise self.fault(
                    name, "has no type", "write its type, as `card: hr.Key = hr.field(...)`"
                )
        for name in self.annotations:
            if name.startswith("_"):
                raise self.fault(name, "begins with an underscore", "give it a name without")
        typed = {name: self.typed(name, written) for name, written in self.annotations.items()}
        made = tuple(self.field(name, typed) for name in typed)
        self.check_roles(made)
        return Schema(self.name, made, self.at)

    def typed(self, name: str, written: Any) -> _Typed:
        """Understand one annotation."""
        optional = False
        if get_origin(written) in (Union, types.UnionType):
            rest = [part for part in get_args(written) if part is not type(None)]
            optional = len(rest) < len(get_args(written))
            written = rest[0] if len(rest) == 1 else written
        if isinstance(written, OptionalType):
            optional, written = True, written.of
        if isinstance(written, fields.Money):
            return _Typed(fields.Money, optional, currency=written.currency)
        if isinstance(written, fields.Decimal):
            return _Typed(fields.Decimal, optional, scale=written.scale)
        if get_origin(written) is fields.Ref:
            return _Typed(fields.Ref, optional, refers_to=self.referred(name, get_args(written)[0]))
        if written is fields.Ref:
            raise self.fault(
                name, "refers to nothing", "say which event it refers to: hr.Ref[Payment]"
            )
        if (
            isinstance(written, type)
            and issubclass(written, FieldType)
            and hasattr(written, "kind")
        ):
            return _Typed(written, optional)
        known = ", ".join(sorted(_type_names()))
        raise self.fault(name, f"has the unknown type {written!r}", f"use one of hr.{{{known}}}")

    def referred(self, name: str, target: Any) -> str:
        """The name of the event class that a Ref refers to."""
        if isinstance(target, ForwardRef):
            return target.__forward_arg__
        if isinstance(target, type) and issubclass(target, Event):
            return target.__name__
        raise self.fault(name, f"refers to {target!r}", "refer to an event class: hr.Ref[Payment]")

    def field(self, name: str, typed: dict[str, _Typed]) -> Field:
        """One field of the schema."""
        this = typed[name]
        options = self.options.get(name, _NO_OPTIONS)
        kind, role = this.type.kind, this.type.role
        self.check_options(name, this, options)
        scale, currency, currency_field = 0, "", ""
        if kind is Kind.DECIMAL:
            scale = self.scale(name, this, options)
        if kind is Kind.MONEY:
            currency, currency_field = self.currency(name, typed, options)
            scale = currencies.digits_by_code()[currency] if currency else 0
        made = Field(
            name,
            kind,
            role,
            scale=scale,
            currency=currency,
            currency_field=currency_field,
            refers_to=this.refers_to,
            optional=this.optional or role is Role.KNOWN_AT,
            pii=options.pii,
            subject=options.subject,
            protected=options.protected,
            longest=options.longest or _LONGEST_TEXT,
        )
        return self.limited(made, options)

    def check_options(self, name: str, this: _Typed, options: FieldOptions) -> None:
        """Refuse what cannot be said of a field of that type."""
        kind = this.type.kind
        if options.pii and kind is not Kind.TEXT:
            raise self.fault(
                name,
                f"is personal data, but {this.type.__name__} has no surrogate",
                "make it hr.Key, hr.Category or hr.Text, or leave pii away",
            )
        if options.subject and not options.pii:
            raise self.fault(
                name, "names the subject but is not pii", "write hr.field(pii=True, subject=True)"
            )
        if options.longest is not None and kind is not Kind.TEXT:
            raise self.fault(name, "is no text, so it has no longest", "leave longest away")
        if options.longest is not None and not 1 <= options.longest <= LONGEST_EVENT:
            raise self.fault(
                name, f"has longest={options.longest}", f"use 1 to {LONGEST_EVENT} bytes"
            )
        if kind is not Kind.MONEY and (options.currency or options.currency_field):
            raise self.fault(name, "has a currency but is no hr.Money", "make it hr.Money")
        if kind is not Kind.DECIMAL and options.scale is not None:
            raise self.fault(name, "has a scale but is no hr.Decimal", "make it hr.Decimal")
        if this.optional and this.type.role in (Role.ID, Role.EVENT_TIME):
            raise self.fault(
                name, f"is {this.type.__name__} and cannot be missing", "leave `| None` away"
            )

    def scale(self, name: str, this: _Typed, options: FieldOptions) -> int:
        """Digits after the point of a Decimal."""
        scale = this.scale if this.scale is not None else options.scale
        if type(scale) is not int or not 0 <= scale <= _SCALE_MAX:
            raise self.fault(
                name,
                "does not say its digits" if scale is None else f"has the scale {scale!r}",
                f"write hr.Decimal(8), with 0 to {_SCALE_MAX} digits after the point",
            )
        return scale

    def currency(
        self, name: str, typed: dict[str, _Typed], options: FieldOptions
    ) -> tuple[str, str]:
        """The fixed currency of an amount, or else the field that holds it."""
        fixed = typed[name].currency or options.currency
        if fixed and options.currency_field:
            raise self.fault(
                name, "has a fixed currency and a currency field", "leave one of them away"
            )
        if fixed:
            if fixed not in currencies.digits_by_code():
                raise self.fault(
                    name, f"is in {fixed!r}, which ISO 4217 does not list", 'use a code as "EUR"'
                )
            return fixed, ""
        holders = [other for other in typed if typed[other].type is fields.Currency]
        if options.currency_field:
            if options.currency_field not in holders:
                raise self.fault(
                    name,
                    f"has its currency in {options.currency_field!r}, which is no hr.Currency",
                    f"name one of: {', '.join(holders) or 'none is declared yet'}",
                )
            return "", options.currency_field
        if len(holders) != 1:
            raise self.fault(
                name,
                f"does not say its currency, and {self.name} has {len(holders)} Currency fields",
                'write hr.Money("EUR"), or hr.field(currency_field="..."), '
                "or declare the one field of type hr.Currency",
            )
        return "", holders[0]

    def limited(self, made: Field, options: FieldOptions) -> Field:
        """The field with its minimum and maximum, in its own units."""
        if options.minimum is None and options.maximum is None:
            return made
        if made.kind not in _HAVE_LIMITS:
            raise self.fault(made.name, "has a minimum or maximum but no order", "leave them away")
        minimum = self.limit(made, options.minimum)
        maximum = self.limit(made, options.maximum)
        if minimum is not None and maximum is not None and minimum > maximum:
            raise self.fault(
                made.name,
                f"has the minimum {options.minimum} above the maximum {options.maximum}",
                "swap them",
            )
        plain = {name: getattr(made, name) for name in Field.__slots__}
        return Field(**{**plain, "minimum": minimum, "maximum": maximum})

    def limit(self, made: Field, written: Any) -> int | float | None:
        """One limit, in the units of the field."""
        if written is None:
            return None
        if made.currency_field:
            # Zero is the one amount that is the same in every currency.
            if str(written) != "0":
                raise self.fault(
                    made.name,
                    f"has the limit {written} in no fixed currency",
                    'use 0, or fix the currency: hr.Money("EUR")',
                )
            return 0
        # A float in a definition means the digits that it is written with.
        read = read_value(made, str(written) if isinstance(written, float) else written)
        if isinstance(read, Rejected) or read is None or isinstance(read, str):
            why = read.reason.text if isinstance(read, Rejected) else "not a value"
            raise self.fault(
                made.name, f"has the limit {written!r}: {why}", "write it as a value of the field"
            )
        return read

    def check_roles(self, made: tuple[Field, ...]) -> None:
        """Refuse a class without, or with too many, of the fields that give an event its place."""
        wanted = {Role.EVENT_TIME: (1, 1), Role.KNOWN_AT: (0, 1), Role.ID: (0, 1)}
        if self.is_event:
            wanted[Role.ID] = (1, 1)
        names = {Role.EVENT_TIME: "EventTime", Role.KNOWN_AT: "KnownAt", Role.ID: "Id"}
        for role, (least, most) in wanted.items():
            having = [field.name for field in made if field.role is role]
            if len(having) < least:
                raise self.fault(
                    "", f"has no hr.{names[role]}", f"declare one field of type hr.{names[role]}"
                )
            if len(having) > most:
                fix = (
                    "keep one; other times are hr.Time" if role in _TIMES_OF_ITS_OWN else "keep one"
                )
                raise self.fault(having[1], f"is a second hr.{names[role]} beside {having[0]}", fix)
        subjects = [field.name for field in made if field.subject]
        if len(subjects) > 1:
            raise self.fault(subjects[1], f"is a second subject beside {subjects[0]}", "keep one")

    def fault(self, name: str, what: str, fix: str) -> DefinitionError:
        """Why the class is refused; `name` is the field at fault, "" for the class as a whole."""
        at = _field_line(self.name, name, self.at)
        who = f"{self.name}.{name}" if name else self.name
        return DefinitionError(f"{who} {what}", at=at, fix=fix)


def _evaluated(
    declared: str, name: str, written: str, names: dict[str, Any], at: SourceLine
) -> Any:
    """An annotation that is text (`from __future__ import annotations`), as the value it names."""
    try:
        return eval(written, names)  # noqa: S307 - it is the user's own program, run a little later
    except Exception as error:
        known = ", ".join(sorted(_type_names()))
        raise DefinitionError(
            f"{declared}.{name} has the type {written!r}, which cannot be evaluated: {error}",
            at=_field_line(declared, name, at),
            fix=f"use one of hr.{{{known}}}, and import what it names before the class",
        ) from error


def _type_names() -> list[str]:
    """The names of the types that a field can have."""
    return [
        name
        for name, value in vars(fields).items()
        if isinstance(value, type) and issubclass(value, FieldType) and hasattr(value, "kind")
    ]


def _field_line(declared: str, name: str, at: SourceLine) -> SourceLine:
    """The line of a field of the class declared at `at`; that of the class if it is not found."""
    source = "".join(linecache.getlines(at.path))
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return at
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == declared:
            first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
            if at.line not in (first, node.lineno):
                continue
            for statement in node.body:
                target = statement.target if isinstance(statement, ast.AnnAssign) else None
                if isinstance(target, ast.Name) and target.id == name:
                    return SourceLine(at.path, statement.lineno)
    return at
