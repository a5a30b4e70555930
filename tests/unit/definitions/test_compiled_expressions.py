"""Compiled programs compute what their expressions say.

Random expressions are built twice: as definitions, compiled and run by a small machine over
registers written here; and as Python functions of exact fractions and floats. Both must agree to
the last bit.
"""

from __future__ import annotations

import math
import operator
import struct
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.core.columns import Kind, pack_letters
from headrace.definitions import expressions as hr
from headrace.definitions.compiler import compile_plan
from headrace.definitions.feature_set import features
from headrace.definitions.plan import Op, Plan, Program
from headrace.definitions.streams import stream
from headrace.events.schema import Field, Role, Schema

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.definitions.expressions import Expression

EVENT = Schema(
    "Event",
    (
        Field("id", Kind.TEXT, Role.ID),
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("card", Kind.TEXT, Role.KEY),
        Field("count", Kind.INT, optional=True),
        Field("size", Kind.DECIMAL, scale=2, optional=True),
        Field("fine", Kind.DECIMAL, scale=4, optional=True),
        Field("fee", Kind.MONEY, scale=2, currency="EUR", optional=True),
        Field("weight", Kind.FLOAT, optional=True),
        Field("online", Kind.BOOL, optional=True),
        Field("country", Kind.COUNTRY, optional=True),
        Field("channel", Kind.TEXT, optional=True),
    ),
)
events = stream(EVENT)
SCALES = {"count": 0, "size": 2, "fine": 4, "fee": 2}

Row = dict[str, Any]


def bits(value: float) -> int:
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def unbits(word: int) -> float:
    return float(struct.unpack("<d", struct.pack("<q", word))[0])


def _guarded(function: Callable[..., float]) -> Callable[..., int | None]:
    """A function of floats on registers: not finite, or not defined, is missing."""

    def on_registers(*words: int) -> int | None:
        try:
            value = function(*map(unbits, words))
        except (ValueError, ZeroDivisionError, OverflowError):
            return None
        return bits(value) if math.isfinite(value) else None

    return on_registers


STRICT: dict[Op, Callable[..., int | None]] = {
    Op.ADD_I: operator.add,
    Op.SUB_I: operator.sub,
    Op.NEG_I: operator.neg,
    Op.ABS_I: abs,
    Op.MIN_I: min,
    Op.MAX_I: max,
    Op.EQ_I: lambda a, b: int(a == b),
    Op.NE_I: lambda a, b: int(a != b),
    Op.LT_I: lambda a, b: int(a < b),
    Op.LE_I: lambda a, b: int(a <= b),
    Op.EQ_F: lambda a, b: int(unbits(a) == unbits(b)),
    Op.NE_F: lambda a, b: int(unbits(a) != unbits(b)),
    Op.LT_F: lambda a, b: int(unbits(a) < unbits(b)),
    Op.LE_F: lambda a, b: int(unbits(a) <= unbits(b)),
    Op.ADD_F: _guarded(operator.add),
    Op.SUB_F: _guarded(operator.sub),
    Op.MUL_F: _guarded(operator.mul),
    Op.DIV_F: _guarded(operator.truediv),
    Op.NEG_F: _guarded(operator.neg),
    Op.ABS_F: _guarded(abs),
    Op.MIN_F: _guarded(min),
    Op.MAX_F: _guarded(max),
    Op.SQRT_F: _guarded(math.sqrt),
    Op.LOG_F: _guarded(math.log),
    Op.FLOOR_F: _guarded(lambda a: float(math.floor(a))),
    Op.NOT: lambda a: 1 - a,
}


def run(program: Program, plan: Plan, load: Callable[[str], int | None]) -> list[int | None]:
    """The registers of a program for one row; None is missing."""
    registers: list[int | None] = [load(name) for name in program.loads]
    for step in program.instructions:
        given = [registers[argument] for argument in step.arguments]
        assert step.out == len(registers), "each register is written once, in order"
        value = _step(step.op, given, step.immediate, plan)
        assert value is None or -(2**63) <= value < 2**63, "registers are 64 bits"
        registers.append(value)
    assert len(registers) == program.registers
    return registers


def _step(op: Op, given: list[int | None], immediate: int, plan: Plan) -> int | None:  # noqa: C901, PLR0911 - one way for each operation
    if op is Op.CONST:
        return immediate
    if op is Op.IS_MISSING:
        return int(given[0] is None)
    if op is Op.COALESCE:
        return given[0] if given[0] is not None else given[1]
    if op is Op.SELECT:
        return given[1] if given[0] else given[2]
    if op in (Op.AND, Op.OR):
        absorbing = int(op is Op.OR)
        if absorbing in given:
            return absorbing
        return None if None in given else 1 - absorbing
    words = [word for word in given if word is not None]
    if len(words) < len(given):
        return None
    if op is Op.SCALE_UP_I:
        return words[0] * int(10**immediate)
    if op is Op.TO_FLOAT:
        return bits(float(Fraction(words[0], 10**immediate)))
    if op is Op.IS_IN:
        return int(words[0] in plan.sets[immediate])
    return STRICT[op](*words)


@dataclass(frozen=True)
class Pair:
    """An expression, and the same computed by Python.

    The value is a Fraction where it is exact, a float where it is one, a bool, or None.
    """

    expression: Expression
    value: Callable[[Row], Any]


def as_float(value: Any) -> float:
    return float(value)


def lifted(function: Callable[..., Any]) -> Callable[..., Callable[[Row], Any]]:
    """Missing if an argument is, or if the result is no finite number."""

    def over(*parts: Pair) -> Callable[[Row], Any]:
        def value(row: Row) -> Any:
            given = [part.value(row) for part in parts]
            if any(item is None for item in given):
                return None
            try:
                result = function(*given)
            except (ValueError, ZeroDivisionError, OverflowError):
                return None
            return None if isinstance(result, float) and not math.isfinite(result) else result

        return value

    return over


def both_exact(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Exactly if both are exact, else on floats."""

    def value(a: Any, b: Any) -> Any:
        if isinstance(a, Fraction) and isinstance(b, Fraction):
            return function(a, b)
        return function(as_float(a), as_float(b))

    return value


def field(name: str) -> Pair:
    def value(row: Row) -> Any:
        word = row[name]
        if word is None or name not in SCALES:
            return word
        return Fraction(word, 10 ** SCALES[name])

    return Pair(events[name], value)


def binary(function: Callable[[Any, Any], Any], a: Pair, b: Pair) -> Pair:
    made = function(a.expression, b.expression)
    if made.term.type.kind is Kind.FLOAT:
        return Pair(made, lifted(lambda x, y: function(as_float(x), as_float(y)))(a, b))
    return Pair(made, lifted(both_exact(function))(a, b))


def literal_right(function: Callable[[Any, Any], Any], a: Pair, number: Any) -> Pair:
    """With a literal: exact, however it is written, if what it meets is exact."""

    def value(x: Any) -> Any:
        exactly = Fraction(Decimal(repr(number) if isinstance(number, float) else number))
        if isinstance(x, Fraction):
            return function(x, exactly)
        return function(x, float(exactly))

    return Pair(function(a.expression, number), lifted(value)(a))


LITERALS = st.one_of(
    st.integers(-100, 100),
    st.decimals(-100, 100, places=3),
    st.floats(-100, 100, allow_nan=False),
)
EXACT = [field(name) for name in ("count", "size", "fine")]
LEAVES = st.sampled_from([*EXACT, field("weight")])


def numbers(depth: int) -> st.SearchStrategy[Pair]:
    if depth == 0:
        return LEAVES
    below = numbers(depth - 1)
    floating = [operator.mul, operator.truediv]
    return st.one_of(
        LEAVES,
        st.builds(binary, st.sampled_from([operator.add, operator.sub]), below, below),
        st.builds(
            lambda f, a, b: Pair(
                f(a.expression, b.expression),
                lifted(lambda x, y: f(as_float(x), as_float(y)))(a, b),
            ),
            st.sampled_from(floating),
            below,
            below,
        ),
        st.builds(lambda a: Pair(-a.expression, lifted(operator.neg)(a)), below),
        st.builds(lambda a: Pair(abs(a.expression), lifted(abs)(a)), below),
        st.builds(
            lambda a: Pair(a.expression.sqrt(), lifted(lambda x: math.sqrt(as_float(x)))(a)), below
        ),
        st.builds(
            lambda a: Pair(a.expression.log(), lifted(lambda x: math.log(as_float(x)))(a)), below
        ),
        st.builds(choice, conditions(depth - 1), below, below),
        st.builds(known, below, below),
        st.builds(
            least,
            below,
            below,
        ),
    )


def least(a: Pair, b: Pair) -> Pair:
    made = hr.minimum(a.expression, b.expression)
    if is_exact(made):
        return Pair(made, lifted(min)(a, b))
    return Pair(made, lifted(lambda x, y: min(as_float(x), as_float(y)))(a, b))


def is_exact(expression: Expression) -> bool:
    return expression.term.type.is_integer


def choice(condition: Pair, a: Pair, b: Pair) -> Pair:
    def value(row: Row) -> Any:
        chosen = a.value(row) if condition.value(row) else b.value(row)
        if chosen is None:
            return None
        return chosen if is_exact(made) else as_float(chosen)

    made = hr.when(condition.expression).then(a.expression).otherwise(b.expression)
    return Pair(made, value)


def known(a: Pair, b: Pair) -> Pair:
    def value(row: Row) -> Any:
        first = a.value(row)
        chosen = first if first is not None else b.value(row)
        if chosen is None:
            return None
        return chosen if is_exact(made) else as_float(chosen)

    made = hr.coalesce(a.expression, b.expression)
    return Pair(made, value)


SIGNS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


def logical(is_or: bool, a: Pair, b: Pair) -> Pair:  # noqa: FBT001 - drawn by hypothesis
    def value(row: Row) -> Any:
        given = (a.value(row), b.value(row))
        if is_or in given:
            return is_or
        return None if None in given else not is_or

    sign = operator.or_ if is_or else operator.and_
    return Pair(sign(a.expression, b.expression), value)


def conditions(depth: int) -> st.SearchStrategy[Pair]:
    flag = Pair(events.online, lambda row: None if row["online"] is None else bool(row["online"]))
    countries = Pair(
        events.country.is_in(["DE", "FR"]),
        lambda row: (
            None
            if row["country"] is None
            else row["country"] in (pack_letters("DE"), pack_letters("FR"))
        ),
    )
    leaves = st.one_of(
        st.sampled_from([flag, countries]),
        st.builds(
            literal_right,
            st.sampled_from(SIGNS),
            st.one_of(LEAVES, st.just(field("fee"))),
            LITERALS,
        ),
        st.builds(
            lambda a: Pair(a.expression.is_missing(), lambda row: a.value(row) is None), LEAVES
        ),
    )
    if depth == 0:
        return leaves
    below = conditions(depth - 1)
    return st.one_of(
        leaves,
        st.builds(logical, st.booleans(), below, below),
        st.builds(lambda a: Pair(~a.expression, lifted(operator.not_)(a)), below),
        st.builds(binary, st.sampled_from(SIGNS), numbers(depth - 1), numbers(depth - 1)),
    )


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


SMALL = optional(st.integers(-10_000, 10_000))
ROWS = st.fixed_dictionaries(
    {
        "count": SMALL,
        "size": SMALL,
        "fine": SMALL,
        "fee": SMALL,
        "weight": optional(st.floats(-1e6, 1e6, allow_nan=False)),
        "online": optional(st.integers(0, 1)),
        "country": optional(st.sampled_from([pack_letters(code) for code in ("DE", "FR", "IT")])),
        "channel": st.none(),
    }
)


def _expected(value: Any, scale: int) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, Fraction):
        scaled = value * 10**scale
        assert scaled.denominator == 1
        return int(scaled)
    return bits(value)


def _evaluated(plan: Plan, row: Row) -> list[int | None]:
    words = {
        name: bits(value) if name == "weight" and value is not None else value
        for name, value in row.items()
    }
    program = plan.streams[0].program
    in_row = run(program, plan, lambda name: words[name])

    def load(name: str) -> int | None:
        what, which = name.split(":")
        return in_row[int(which)] if what == "row" else words[which]

    registers = run(plan.program, plan, lambda name: 0 if "aggregate" in name else load(name))
    return [registers[feature.register] for feature in plan.features]


@settings(deadline=None, max_examples=100)
@given(numbers(3), conditions(3), ROWS, st.booleans())
def test_programs_compute_what_expressions_say(
    number: Pair,
    condition: Pair,
    row: Row,
    in_row_program: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    named = {"number": number.expression, "condition": condition.expression}
    if in_row_program:
        # the same values in a window too, so that features read them from the row program
        named["total"] = events.by("card").sum(number.expression, "1d", where=condition.expression)
    plan = compile_plan(on=events, features=features(**named))
    found = _evaluated(plan, row)
    scale = plan.features[0].scale
    assert found[0] == _expected(number.value(row), scale)
    assert found[1] == _expected(condition.value(row), 0)


@settings(deadline=None, max_examples=50)
@given(numbers(3))
def test_equal_definitions_have_equal_digests_and_share_their_work(number: Pair) -> None:
    once = compile_plan(on=events, features=features(a=number.expression))
    again = compile_plan(on=events, features=features(a=number.expression))
    assert once.digest() == again.digest()
    twice = compile_plan(
        on=events, features=features(a=number.expression, b=-number.expression, c=number.expression)
    )
    assert twice.program.registers == once.program.registers + 1
    assert twice.features[0].register == twice.features[2].register
