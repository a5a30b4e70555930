"""A policy made ready for one set of features and one schema, and run over columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from headrace.core.address import address_of
from headrace.core.columns import Batch, Column, Text
from headrace.core.compiled import float_bits
from headrace.core.errors import DefinitionError, InvariantBroken, invariant
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
    operands,
)
from headrace.policy.explain import because
from headrace.policy.operand_values import (
    LETTERS,
    CannotCompare,
    Value,
    Values,
    check_alike,
    check_equality,
    integer_bound,
    number_of,
)
from headrace.policy.policy import Policy, Rule, check_sense
from headrace.policy.reasoning import Known
from headrace.policy.wanted_high import wanted_high

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from headrace.definitions.plan import Feature
    from headrace.events.schema import Schema
    from headrace.policy.explain import Seen
    from headrace.policy.reasoning import Allowed

_RELATIONS = {
    Relation.LT: 0,
    Relation.LE: 1,
    Relation.GT: 2,
    Relation.GE: 3,
    Relation.EQ: 4,
    Relation.NE: 5,
}


class Decided(Struct, frozen=True):
    """What a policy says of n events.

    Attributes:
        outcome: uint8[n]: number in `CompiledPolicy.outcomes`.
        rule: int16[n]: the first rule that matches; -1 where none does.
        rules: uint64[n]: bit r says whether rule r matches.
    """

    outcome: NDArray[np.uint8]
    rule: NDArray[np.int16]
    rules: NDArray[np.uint64]


class CompiledPolicy:
    """A policy bound to features and an event schema.

    Features are floats, as a model takes them (whole units of money; a truth value is 0 or 1; a
    country or currency is its packed letters); fields of an event are compared as the exact
    integers that they are.

    Args:
        policy: Any policy.
        features: The features in the order of the matrix's rows; a bare name is a number.
        schema: Of the event that is decided.
        limits: What an operand can be, where that is not everything.

    Attributes:
        policy: The same.
        outcomes: Their names, by number.
        wanted_high: For each rule, what it wants high.

    Raises:
        DefinitionError: With the rule's line and the fix, for names that are not there and
            comparisons that cannot be meant.
    """

    def __init__(
        self,
        policy: Policy,
        features: Sequence[Feature | str],
        schema: Schema,
        limits: Mapping[Operand, Allowed] | None = None,
    ) -> None:
        self.policy = policy
        self.outcomes: tuple[str, ...] = tuple(outcome.name for outcome in policy.outcomes)
        self._values = Values(features, schema)
        for rule in policy.rules:
            for operand in operands(rule.condition):
                self._values.find(operand, rule)
        check_sense(policy, Known(self._values.whole(), limits or {}))
        assembly = _Assembly(self._values)
        for number, rule in enumerate(policy.rules):
            assembly.add(rule, number)
        self._program = np.array(assembly.program, dtype=np.int64).reshape(-1)
        # texts must outlive the addresses that point at them
        self._texts, self._constants = assembly.finished()
        self._depth = assembly.deepest + 1
        numbers = {outcome: i for i, outcome in enumerate(policy.outcomes)}
        self._outcomes = np.array(
            [numbers[rule.outcome] for rule in policy.rules] + [numbers[policy.otherwise]],
            dtype=np.uint8,
        )
        self._fields = self._values.fields
        self.wanted_high = tuple(wanted_high(rule.condition) for rule in policy.rules)

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
        if features.shape != (self._values.features, rows):
            raise InvariantBroken(
                f"features have shape {features.shape}, not ({self._values.features}, {rows})"
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

    def seen(
        self, features: NDArray[np.float64], score: float, event: Batch | None = None
    ) -> dict[Operand, Seen]:
        """What the policy's operands were for one event, in the units that rules are written in.

        Args:
            features: float64[F]; NaN is missing.
            score: NaN is missing.
            event: A batch of that one event; needed when a rule asks about a field.
        """
        found: dict[Operand, Seen] = {}
        for rule in self.policy.rules:
            for operand in operands(rule.condition):
                value = self._values.known(operand)
                if value.place == kernels.SCORE:
                    found[operand] = None if np.isnan(score) else float(score)
                elif value.place == kernels.FEATURE:
                    found[operand] = value.of_feature(float(features[value.index]))
                else:
                    invariant(event is not None and event.rows == 1, "one event is explained")
                    found[operand] = value.of_field(event.columns[operand.name])  # type: ignore[union-attr]  # the invariant above has looked
        return found

    def why(self, rules: int, seen: Mapping[Operand, Seen]) -> tuple[str, ...]:
        """What each rule whose bit is set in `rules` says of the event, in order.

        Such as "burst: card_count_5m is 12, over 8".
        """
        return tuple(
            f"{rule.name}: {because(rule.condition, seen)}"
            for i, rule in enumerate(self.policy.rules)
            if rules >> i & 1
        )


def _addresses(column: Column, out: NDArray[np.int64]) -> Column:
    """Write the column's addresses to `out`; the column they are of, made contiguous."""
    if isinstance(column, Text):
        whole: Column = Text(
            np.ascontiguousarray(column.offsets),
            np.ascontiguousarray(column.data),
            np.ascontiguousarray(column.valid),
        )
        out[0] = address_of(whole.data)  # type: ignore[union-attr]  # made as text just above
        out[2] = address_of(whole.offsets)  # type: ignore[union-attr]  # made as text just above
    else:
        whole = type(column)(
            np.ascontiguousarray(column.values), np.ascontiguousarray(column.valid)
        )
        out[0] = address_of(whole.values)
    out[1] = address_of(whole.valid)
    return whole


class _Assembly:
    """Writes the program of the stack machine."""

    def __init__(self, values: Values) -> None:
        self._values = values
        self.program: list[list[int]] = []
        self._constants: list[int] = []
        self._texts: list[tuple[int, bytes]] = []
        self._depth = 0
        self.deepest = 0

    def finished(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The bytes of all texts, and the constants that point at them."""
        data = np.frombuffer(b"".join(text for _, text in self._texts) or b"\0", dtype=np.uint8)
        address = address_of(data)
        for place, text in self._texts:
            self._constants[place] = address
            self._constants[place + 1] = len(text)
            address += len(text)
        return data, np.array(self._constants or [0], dtype=np.int64)

    def add(self, rule: Rule, number: int) -> None:
        """Write one rule."""
        try:
            self._condition(rule.condition)
        except CannotCompare as error:
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
                value = self._values.known(operand)
                self._emit(kernels.IS_MISSING, 0, value.place, value.index, pushes=1)
            case Membership(operand, values):
                each = tuple(Comparison(operand, Relation.EQ, value) for value in values)
                self._condition(AnyOf(each))
            case Comparison(left, relation, right):
                self._comparison(left, relation, right)

    def _comparison(self, left: Operand, relation: Relation, right: Operand | Constant) -> None:
        if isinstance(right, Constant):
            self._with_constant(left, self._values.known(left), relation, right)
        else:
            self._with_operand(
                (left, self._values.known(left)), relation, (right, self._values.known(right))
            )

    def _with_constant(
        self, operand: Operand, value: Value, relation: Relation, constant: Constant
    ) -> None:
        if value.pii:
            raise CannotCompare(
                f"{operand} is personal data, and a random surrogate by the time rules are asked",
                "ask about a feature of it instead",
            )
        number = number_of(operand, value, relation, constant)
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
            relation, bound = integer_bound(operand, value, relation, number)
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
        self, left: tuple[Operand, Value], relation: Relation, right: tuple[Operand, Value]
    ) -> None:
        one, other = left[1], right[1]
        pair = f"{left[0]} and {right[0]}"
        if one.is_text and other.is_text:
            check_equality(pair, relation)
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
        check_alike(pair, one, other)
        if one.kind in LETTERS:
            check_equality(pair, relation)
        if one.is_whole and other.is_whole and one.scale == other.scale:
            self._compare(
                kernels.COMPARE_INTEGERS,
                relation,
                (kernels.FIELD, one.index, 0),
                (kernels.FIELD, other.index, 0),
            )
            return
        self._compare(kernels.COMPARE_FLOATS, relation, self._float(one), self._float(other))

    def _float(self, value: Value) -> tuple[int, int, int]:
        divisor = self._constant(float_bits(10.0**value.scale)) if value.is_whole else 0
        return value.place, value.index, divisor

    def _constant(self, word: int) -> int:
        self._constants.append(word)
        return len(self._constants) - 1

    def _compare(
        self, op: int, relation: Relation, left: tuple[int, int, int], right: tuple[int, int, int]
    ) -> None:
        self._emit(op, _RELATIONS[relation], *left, *right, pushes=1)
