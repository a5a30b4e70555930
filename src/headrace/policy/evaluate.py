"""A policy made ready for one set of features and one schema, and run over columns."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING

import numpy as np

from headrace.core.columns import Batch, Column, Kind, Text, pack_letters
from headrace.core.compiled import float_bits
from headrace.core.errors import DefinitionError, invariant
from headrace.policy import decide_kernels as kernels
from headrace.policy.conditions import (
    All,
    AnyOf,
    Comparison,
    Condition,
    Constant,
    Membership,
    Missing,
    Not,
    Operand,
    Relation,
    Source,
    operands,
)
from headrace.policy.policy import Policy, Rule, check_sense, unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headrace.events.schema import Schema
    from headrace.features.plan import Feature

_RELATIONS = {
    Relation.LT: 0,
    Relation.LE: 1,
    Relation.GT: 2,
    Relation.GE: 3,
    Relation.EQ: 4,
    Relation.NE: 5,
}
_LETTERS = {Kind.CURRENCY: 3, Kind.COUNTRY: 2}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
#: No integer of an event is as large; a threshold beyond it compares the same as it.
_FAR = 2**62


@dataclass(frozen=True, slots=True)
class Decided:
    """What a policy says of n events.

    Attributes:
        outcome: uint8[n]: number in `CompiledPolicy.outcomes`.
        rule: int16[n]: the first rule that matches; -1 where none does.
        rules: uint64[n]: bit r says whether rule r matches.
    """

    outcome: NDArray[np.uint8]
    rule: NDArray[np.int16]
    rules: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Value:
    """Where an operand lies and what it is.

    Of money, `currency` is its currency, or the field that holds it where `varies`.
    """

    place: int
    index: int
    kind: Kind
    scale: int = 0
    currency: str = ""
    varies: bool = False
    pii: bool = False

    @property
    def is_text(self) -> bool:
        return self.place == kernels.FIELD and self.kind is Kind.TEXT

    @property
    def is_whole(self) -> bool:
        """Whether it is held as an integer, so that comparisons are exact."""
        return self.place == kernels.FIELD and self.kind not in (Kind.TEXT, Kind.FLOAT)


class CompiledPolicy:
    """A policy bound to features and an event schema.

    Features are floats, as a model takes them (whole units of money; a truth value is 0 or 1; a
    country or currency is its packed letters); fields of an event are compared as the exact
    integers that they are.

    Args:
        policy: Any policy.
        features: The features in the order of the matrix's rows; a bare name is a number.
        schema: Of the event that is decided.

    Raises:
        DefinitionError: With the rule's line and the fix, for names that are not there and
            comparisons that cannot be meant.
    """

    def __init__(self, policy: Policy, features: Sequence[Feature | str], schema: Schema) -> None:
        self.policy = policy
        self.outcomes: tuple[str, ...] = tuple(outcome.name for outcome in policy.outcomes)
        self._values = _Values(features, schema)
        for rule in policy.rules:
            for operand in operands(rule.condition):
                self._values.find(operand, rule)
        check_sense(policy, self._values.whole())
        assembly = _Assembly(self._values)
        for number, rule in enumerate(policy.rules):
            assembly.add(rule, number)
        self._program = np.array(assembly.program, dtype=np.int64).reshape(-1)
        # texts must outlive the addresses that point at them
        self._texts, self._constants = assembly.finished()
        self._depth = assembly.deepest + 1
        number_of = {outcome: i for i, outcome in enumerate(policy.outcomes)}
        self._outcomes = np.array(
            [number_of[rule.outcome] for rule in policy.rules] + [number_of[policy.otherwise]],
            dtype=np.uint8,
        )
        self._fields = self._values.fields

    def evaluate(
        self, features: NDArray[np.float64], score: NDArray[np.float64], events: Batch | None = None
    ) -> Decided:
        """Decide every event.

        Args:
            features: float64[F, n], C-contiguous; NaN is missing.
            score: float64[n]; NaN is missing.
            events: The n events, in the same order; needed when a rule asks about a field.

        Returns:
            The outcome, the rule that decided, and all rules that match, per event.
        """
        rows = len(score)
        invariant(
            features.ndim == 2 and features.shape == (self._values.features, rows),
            f"features have shape {features.shape}, not ({self._values.features}, {rows})",
        )
        columns = np.zeros((max(len(self._fields), 1), 3), dtype=np.int64)
        kept: list[Column] = []
        if self._fields:
            invariant(
                events is not None and events.rows == rows, f"there are {rows} events to decide"
            )
            for i, name in enumerate(self._fields):
                column = events.columns[name]  # type: ignore[union-attr]  # the invariant above has looked
                kept.append(_addresses(column, columns[i]))
        outcome = np.empty(rows, dtype=np.uint8)
        rule = np.empty(rows, dtype=np.int16)
        rules = np.empty(rows, dtype=np.uint64)
        kernels.decide(
            self._program,
            self._constants,
            np.ascontiguousarray(score, dtype=np.float64),
            np.ascontiguousarray(features, dtype=np.float64),
            columns,
            self._outcomes,
            self._depth,
            outcome,
            rule,
            rules,
        )
        del kept  # the columns lived until here, and their addresses with them
        return Decided(outcome, rule, rules)

    def names_of(self, rules: int) -> tuple[str, ...]:
        """The names of the rules whose bits are set in `rules`."""
        return tuple(rule.name for i, rule in enumerate(self.policy.rules) if rules >> i & 1)


def _addresses(column: Column, out: NDArray[np.int64]) -> Column:
    """Write the column's addresses to `out`; the column they are of, made contiguous."""
    if isinstance(column, Text):
        whole: Column = Text(
            np.ascontiguousarray(column.offsets),
            np.ascontiguousarray(column.data),
            np.ascontiguousarray(column.valid),
        )
        out[0] = whole.data.ctypes.data  # type: ignore[union-attr]  # made as text just above
        out[2] = whole.offsets.ctypes.data  # type: ignore[union-attr]  # made as text just above
    else:
        whole = type(column)(
            np.ascontiguousarray(column.values), np.ascontiguousarray(column.valid)
        )
        out[0] = whole.values.ctypes.data
    out[1] = whole.valid.ctypes.data
    return whole


class _Values:
    """Finds operands among the features and the fields of one schema."""

    def __init__(self, features: Sequence[Feature | str], schema: Schema) -> None:
        self._schema = schema
        self.features = len(features)
        self.fields: list[str] = []
        self._by_name: dict[str, _Value] = {}
        self._found: dict[Operand, _Value] = {}
        for i, item in enumerate(features):
            if isinstance(item, str):
                self._by_name[item] = _Value(kernels.FEATURE, i, Kind.FLOAT)
            else:
                self._by_name[item.name] = _Value(kernels.FEATURE, i, item.kind, item.scale)

    def whole(self) -> set[Operand]:
        """The operands that are whole numbers."""
        return {operand for operand, value in self._found.items() if value.kind is Kind.INT}

    def find(self, operand: Operand, rule: Rule) -> _Value:
        """Where `operand` lies.

        Raises:
            DefinitionError: When there is nothing of that name.
        """
        known = self._found.get(operand)
        if known is not None:
            return known
        if operand.source is Source.SCORE:
            value = _Value(kernels.SCORE, 0, Kind.FLOAT)
        elif operand.source is Source.FEATURE:
            if operand.name not in self._by_name:
                raise _in_rule(rule, unknown("feature", operand.name, self._by_name, None))
            value = self._by_name[operand.name]
        else:
            value = self._field(operand.name, rule)
        self._found[operand] = value
        return value

    def _field(self, name: str, rule: Rule) -> _Value:
        if name not in self._schema.names:
            error = unknown(f"field of {self._schema.name} called", name, self._schema.names, None)
            raise _in_rule(rule, error)
        described = self._schema.field(name)
        place = kernels.FLOAT_FIELD if described.kind is Kind.FLOAT else kernels.FIELD
        self.fields.append(name)
        return _Value(
            place,
            len(self.fields) - 1,
            described.kind,
            described.scale,
            described.currency or described.currency_field,
            varies=described.currency_field != "",
            pii=described.pii,
        )


def _in_rule(rule: Rule, error: DefinitionError) -> DefinitionError:
    return DefinitionError(f"rule {rule.name}: {error}", at=rule.at)


class _Assembly:
    """Writes the program of the stack machine."""

    def __init__(self, values: _Values) -> None:
        self._values = values
        self.program: list[list[int]] = []
        self._constants: list[int] = []
        self._texts: list[tuple[int, bytes]] = []
        self._depth = 0
        self.deepest = 0

    def finished(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The bytes of all texts, and the constants that point at them."""
        data = np.frombuffer(b"".join(text for _, text in self._texts) or b"\0", dtype=np.uint8)
        address = data.ctypes.data
        for place, text in self._texts:
            self._constants[place] = address
            self._constants[place + 1] = len(text)
            address += len(text)
        return data, np.array(self._constants or [0], dtype=np.int64)

    def add(self, rule: Rule, number: int) -> None:
        """Write one rule."""
        try:
            self._condition(rule.condition)
        except _CannotCompare as error:
            raise DefinitionError(
                f"rule {rule.name}: {error.what}", at=rule.at, fix=error.fix
            ) from None
        self._emit(kernels.RULE, number, pushes=-1)

    def _emit(self, op: int, *words: int, pushes: int) -> None:
        self.program.append([op, *words, *[0] * (kernels.WORDS - 1 - len(words))])
        self._depth += pushes
        self.deepest = max(self.deepest, self._depth)

    def _condition(self, condition: Condition) -> None:
        match condition:
            case All(parts) | AnyOf(parts):
                joint = kernels.AND if isinstance(condition, All) else kernels.OR
                self._condition(parts[0])
                for part in parts[1:]:
                    self._condition(part)
                    self._emit(joint, pushes=-1)
            case Not(part):
                self._condition(part)
                self._emit(kernels.NOT, pushes=0)
            case Missing(operand):
                value = self._values._found[operand]  # noqa: SLF001 - two halves of one compiler
                self._emit(kernels.IS_MISSING, 0, value.place, value.index, pushes=1)
            case Membership(operand, values):
                each = tuple(Comparison(operand, Relation.EQ, value) for value in values)
                self._condition(AnyOf(each))
            case Comparison(left, relation, right):
                self._comparison(left, relation, right)

    def _comparison(self, left: Operand, relation: Relation, right: Operand | Constant) -> None:
        found = self._values._found  # noqa: SLF001 - two halves of one compiler
        if isinstance(right, Constant):
            self._with_constant(left, found[left], relation, right)
        else:
            self._with_operand((left, found[left]), relation, (right, found[right]))

    def _with_constant(
        self, operand: Operand, value: _Value, relation: Relation, constant: Constant
    ) -> None:
        if value.pii:
            raise _CannotCompare(
                f"{operand} is personal data, and a random surrogate by the time rules are asked",
                "ask about a feature of it instead",
            )
        number = _number(operand, value, relation, constant)
        if number is None:
            place = len(self._constants)
            self._constants += [0, 0]
            self._texts.append((place, str(constant.value).encode()))
            self._emit(
                kernels.COMPARE_TEXTS,
                0,
                kernels.FIELD,
                value.index,
                0,
                kernels.CONSTANT,
                place,
                pushes=1,
            )
            if relation is Relation.NE:
                self._emit(kernels.NOT, pushes=0)
        elif value.is_whole:
            relation, bound = _integer_bound(operand, value, relation, number)
            self._compare(
                kernels.COMPARE_INTEGERS,
                relation,
                (kernels.FIELD, value.index, 0),
                (kernels.CONSTANT, self._constant(bound), 0),
            )
        else:
            self._compare(
                kernels.COMPARE_FLOATS,
                relation,
                (value.place, value.index, 0),
                (kernels.CONSTANT, self._constant(float_bits(float(number))), 0),
            )

    def _with_operand(
        self, left: tuple[Operand, _Value], relation: Relation, right: tuple[Operand, _Value]
    ) -> None:
        one, other = left[1], right[1]
        pair = f"{left[0]} and {right[0]}"
        if one.is_text and other.is_text:
            _only_equal(pair, relation)
            self._emit(
                kernels.COMPARE_TEXTS,
                0,
                kernels.FIELD,
                one.index,
                0,
                kernels.FIELD,
                other.index,
                pushes=1,
            )
            if relation is Relation.NE:
                self._emit(kernels.NOT, pushes=0)
            return
        _check_alike(pair, one, other)
        if one.kind in _LETTERS:
            _only_equal(pair, relation)
        if one.is_whole and other.is_whole and one.scale == other.scale:
            self._compare(
                kernels.COMPARE_INTEGERS,
                relation,
                (kernels.FIELD, one.index, 0),
                (kernels.FIELD, other.index, 0),
            )
            return
        self._compare(kernels.COMPARE_FLOATS, relation, self._float(one), self._float(other))

    def _float(self, value: _Value) -> tuple[int, int, int]:
        divisor = self._constant(float_bits(10.0**value.scale)) if value.is_whole else 0
        return value.place, value.index, divisor

    def _constant(self, word: int) -> int:
        self._constants.append(word)
        return len(self._constants) - 1

    def _compare(
        self, op: int, relation: Relation, left: tuple[int, int, int], right: tuple[int, int, int]
    ) -> None:
        self._emit(op, _RELATIONS[relation], *left, *right, pushes=1)


class _CannotCompare(Exception):
    """Two things that cannot be compared; becomes a `DefinitionError` of the rule."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


def _only_equal(what: str, relation: Relation) -> None:
    if relation not in (Relation.EQ, Relation.NE):
        raise _CannotCompare(f"{what} have no order", "compare with == or !=, or use is_in")


def _check_alike(pair: str, one: _Value, other: _Value) -> None:
    if (
        (one.currency, one.varies) != (other.currency, other.varies)
        and one.is_whole
        and other.is_whole
    ):
        raise _CannotCompare(
            f"{pair} are in unlike currencies", "convert both to one currency as features"
        )
    apart = {Kind.TIME, Kind.CURRENCY, Kind.COUNTRY, Kind.BOOL, Kind.TEXT}
    if one.kind is not other.kind and (one.kind in apart or other.kind in apart):
        raise _CannotCompare(
            f"{pair} are a {one.kind.name.lower()} and a {other.kind.name.lower()}",
            "compare values of one kind",
        )
    if one.kind is Kind.TEXT:
        raise _CannotCompare(
            f"{pair} cannot be compared as text features", "compare the event's fields"
        )


def _number(
    operand: Operand, value: _Value, relation: Relation, constant: Constant
) -> Decimal | None:
    """The constant as a number of the operand's kind; None for a text."""
    given = constant.value
    if isinstance(given, bool):
        if value.kind is not Kind.BOOL and not (
            value.kind is Kind.FLOAT and value.place == kernels.FEATURE
        ):
            raise _CannotCompare(
                f"{operand} is a {value.kind.name.lower()}, not true or false",
                "compare it with a value of its kind",
            )
        _only_equal(str(operand), relation)
        return Decimal(int(given))
    if isinstance(given, dt.datetime):
        if not (value.is_whole and value.kind is Kind.TIME):
            raise _CannotCompare(
                f"{operand} is a {value.kind.name.lower()}, not a time",
                "compare a time field with a time",
            )
        since = given - _EPOCH
        return Decimal((since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000)
    if isinstance(given, str):
        return _of_text(operand, value, relation, given)
    if value.kind in (Kind.TEXT, Kind.COUNTRY, Kind.CURRENCY, Kind.TIME, Kind.BOOL):
        raise _CannotCompare(
            f"{operand} is a {value.kind.name.lower()}, compared with the number {given}",
            "compare it with a value of its kind",
        )
    if value.varies:
        raise _CannotCompare(
            f"{operand} is money in the currency of {value.currency}: {given} has no fixed worth",
            f"make a feature of it, {operand}.in_currency('EUR', rates), and compare that",
        )
    return given


def _of_text(operand: Operand, value: _Value, relation: Relation, given: str) -> Decimal | None:
    _only_equal(str(operand), relation)
    if value.is_text:
        return None
    letters = _LETTERS.get(value.kind)
    if letters is None:
        raise _CannotCompare(
            f"{operand} is a {value.kind.name.lower()}, compared with the text {given!r}",
            "compare the event's own field"
            if value.kind is Kind.TEXT
            else "compare it with a value of its kind",
        )
    if len(given) != letters or not (given.isascii() and given.isalpha() and given.isupper()):
        raise _CannotCompare(
            f"{given!r} is no {value.kind.name.lower()} code", f"write {letters} capital letters"
        )
    return Decimal(pack_letters(given))


def _integer_bound(
    operand: Operand, value: _Value, relation: Relation, number: Decimal
) -> tuple[Relation, int]:
    """The comparison of integer units that is true where that with `number` is.

    x < 10.5 is x <= 10, and x >= 10.5 is x > 10; equality with 10.5 cannot be.
    """
    places = 0 if value.kind is Kind.TIME else value.scale
    sign, digits, exponent = number.as_tuple()
    scaled = Decimal((sign, digits, int(exponent) + places))
    floor = int(scaled.to_integral_value(ROUND_FLOOR))
    if floor != scaled:
        if relation in (Relation.EQ, Relation.NE):
            raise _CannotCompare(
                f"{operand} has {places} digits after the point and is never {number}",
                "compare with a value that it can have, or use < or >",
            )
        relation = Relation.LE if relation in (Relation.LT, Relation.LE) else Relation.GT
    return relation, max(-_FAR, min(_FAR, floor))
