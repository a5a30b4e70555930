"""Expressions: what users write.

An expression stands for a value that every event has: a field, what is computed of fields, what a
window over earlier events gives, and what is computed of those. Nothing is computed when it is
written; what cannot be meant is a `DefinitionError` on the user's line.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from headrace.core.columns import Kind
from headrace.core.errors import DefinitionError
from headrace.definitions import arithmetic, calendars, comparisons, conversions, describe, literals
from headrace.definitions.calls import checked, checked_methods
from headrace.definitions.plan import Op
from headrace.definitions.source_lines import user_line
from headrace.definitions.suggestions import did_you_mean
from headrace.definitions.terms import (
    BOOL,
    FLOAT,
    INT,
    TIME,
    WORD_LIMIT,
    InCalendar,
    TableDefinition,
    Term,
    ValueType,
    made_of,
)
from headrace.events.currencies import digits_by_code

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headrace.core.errors import SourceLine
    from headrace.definitions.plan import Calendar
    from headrace.definitions.streams import Table

Value: TypeAlias = "Expression | literals.Literal"


def operand(value: Value) -> literals.Operand:
    """What a term is made over: the expression's own term, or a literal."""
    return value.term if isinstance(value, Expression) else value


@checked_methods
class Expression:
    """A value that every event has.

    Operators: `+ - * / **`, `< <= > >= == !=`, `& | ~` for conditions (with brackets around each
    comparison), `abs()`. A missing operand gives a missing result, save that `false & missing` is
    false and `true | missing` is true.

    >>> from headrace.events.schema import Field, Role, Schema
    >>> from headrace.definitions.streams import stream
    >>> payments = stream(Schema("Payment", (
    ...     Field("id", Kind.TEXT, Role.ID), Field("at", Kind.TIME, Role.EVENT_TIME),
    ...     Field("amount", Kind.MONEY, scale=2, currency="EUR"))))
    >>> (payments.amount * 2 > 10) & (payments.at.hour("Europe/Berlin") < 6)
    <Expression: a condition>
    """

    __slots__ = ("term",)

    def __init__(self, term: Term) -> None:
        self.term = term

    def __repr__(self) -> str:
        return f"<Expression: {self.term.type}>"

    __hash__ = object.__hash__

    def __add__(self, other: Value) -> Expression:
        return Expression(arithmetic.plus(self.term, operand(other), user_line()))

    def __radd__(self, other: Value) -> Expression:
        return Expression(arithmetic.plus(operand(other), self.term, user_line()))

    def __sub__(self, other: Value) -> Expression:
        return Expression(arithmetic.plus(self.term, operand(other), user_line(), minus=True))

    def __rsub__(self, other: Value) -> Expression:
        return Expression(arithmetic.plus(operand(other), self.term, user_line(), minus=True))

    def __mul__(self, other: Value) -> Expression:
        return Expression(arithmetic.times(self.term, operand(other), user_line()))

    def __rmul__(self, other: Value) -> Expression:
        return Expression(arithmetic.times(operand(other), self.term, user_line()))

    def __truediv__(self, other: Value) -> Expression:
        return Expression(arithmetic.over(self.term, operand(other), user_line()))

    def __rtruediv__(self, other: Value) -> Expression:
        return Expression(arithmetic.over(operand(other), self.term, user_line()))

    def __pow__(self, other: Value) -> Expression:
        return Expression(arithmetic.power(self.term, operand(other), user_line()))

    def __rpow__(self, other: Value) -> Expression:
        return Expression(arithmetic.power(operand(other), self.term, user_line()))

    def __neg__(self) -> Expression:
        return Expression(arithmetic.negative(self.term, user_line()))

    def __abs__(self) -> Expression:
        return Expression(arithmetic.magnitude(self.term, user_line()))

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]  # a comparison is an expression, not an answer
        return self._compared("==", other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]  # a comparison is an expression, not an answer
        return self._compared("!=", other)

    def __lt__(self, other: Value) -> Expression:
        return self._compared("<", other)

    def __le__(self, other: Value) -> Expression:
        return self._compared("<=", other)

    def __gt__(self, other: Value) -> Expression:
        return self._compared(">", other)

    def __ge__(self, other: Value) -> Expression:
        return self._compared(">=", other)

    def _compared(self, sign: str, other: Any) -> Expression:
        return Expression(comparisons.compare(sign, self.term, operand(other), user_line()))

    def __and__(self, other: Value) -> Expression:
        return Expression(comparisons.both(self.term, operand(other), user_line()))

    def __rand__(self, other: Value) -> Expression:
        return Expression(comparisons.both(operand(other), self.term, user_line()))

    def __or__(self, other: Value) -> Expression:
        return Expression(comparisons.either(self.term, operand(other), user_line()))

    def __ror__(self, other: Value) -> Expression:
        return Expression(comparisons.either(operand(other), self.term, user_line()))

    def __invert__(self) -> Expression:
        return Expression(comparisons.opposite(self.term, user_line()))

    def __bool__(self) -> NoReturn:
        raise DefinitionError(
            "an expression is neither true nor false before there is an event",
            at=user_line(),
            fix="use & | ~ for and, or, not, with brackets around each comparison; "
            "hr.when(...).then(...).otherwise(...) for if; two comparisons for a < x < b",
        )

    def __contains__(self, item: object) -> NoReturn:
        raise DefinitionError(
            "`in` asks for an answer now", at=user_line(), fix="use .is_in([...])"
        )

    def __float__(self) -> NoReturn:
        raise DefinitionError(
            "an expression has no value before there is an event",
            at=user_line(),
            fix="use its own functions, such as .log(), .exp(), .sqrt() and abs()",
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        public = [known for known in dir(type(self)) if not known.startswith("_")]
        raise DefinitionError(
            f"{self.term.type} has no {name!r}{did_you_mean(name, public)}",
            at=user_line(),
            fix=f"use one of {', '.join(public)}",
        )

    def log(self) -> Expression:
        """The natural logarithm; missing for 0 and less. Of money: of its major units."""
        return self._function(Op.LOG_F, "take the logarithm of")

    def log1p(self) -> Expression:
        """`log(1 + x)`, exact near 0; missing for -1 and less."""
        return self._function(Op.LOG1P_F, "take the logarithm of")

    def exp(self) -> Expression:
        """The exponential; missing where it is beyond a float."""
        return self._function(Op.EXP_F, "take the exponential of")

    def sqrt(self) -> Expression:
        """The square root; missing for negative numbers."""
        return self._function(Op.SQRT_F, "take the square root of")

    def _function(self, op: Op, doing: str) -> Expression:
        return Expression(arithmetic.function(op, self.term, user_line(), doing))

    def abs(self) -> Expression:
        """The value without its sign, like `abs(x)`."""
        return abs(self)

    def floor(self) -> Expression:
        """The greatest whole number not above."""
        return Expression(arithmetic.floor(self.term, user_line()))

    def clip(self, least: Value = None, greatest: Value = None) -> Expression:
        """The value, or the nearer bound where it lies outside; None is no bound."""
        at = user_line()
        if least is None and greatest is None:
            raise DefinitionError(
                "clip() without bounds", at=at, fix="give least=, greatest= or both"
            )
        low, high = (literals.exact(bound, at) for bound in (least, greatest))
        if low is not None and high is not None and low > high:
            raise DefinitionError(
                f"clip() from {least} to {greatest} leaves nothing", at=at, fix="swap the bounds"
            )
        term = self.term
        if least is not None:
            term = arithmetic.extreme((term, operand(least)), at, least=False)
        if greatest is not None:
            term = arithmetic.extreme((term, operand(greatest)), at, least=True)
        return Expression(term)

    def is_missing(self) -> Expression:
        """Whether there is no value; itself never missing."""
        return Expression(comparisons.is_missing(self.term, user_line()))

    def is_in(self, values: Iterable[literals.Literal]) -> Expression:
        """Whether the value is one of these; missing where the value is."""
        return Expression(comparisons.among(self.term, values, user_line()))

    def in_currency(
        self, currency: str, rates: Table, *, rate: str = "rate", at: Expression | None = None
    ) -> Expression:
        """Money converted at the rate valid and known at the time, ties to the even minor unit.

        Args:
            currency: ISO 4217 code of the result.
            rates: A table keyed by (base, quote) currencies: how much quote one base is worth.
            rate: Its decimal field with the rate.
            at: The time of the rate; the event's own by default.

        Raises:
            DefinitionError: If it is no money, the currency is unknown, or the table has no rates.
        """
        line = user_line()
        if not hasattr(rates, "definition") or not isinstance(rates.definition, TableDefinition):
            raise DefinitionError(
                f"in_currency() takes rates from {rates!r}, which is no table",
                at=line,
                fix="give one made by `rates = hr.table(Rate, key=(...))`",
            )
        time = at.term if at is not None else None
        return Expression(
            conversions.in_currency(self.term, currency, rates.definition, rate, time, line)
        )

    def hour(self, zone: str = "UTC") -> Expression:
        """The hour of local time, 0 to 23."""
        return self._part("hour", zone)

    def minute(self, zone: str = "UTC") -> Expression:
        """The minute of the hour of local time, 0 to 59."""
        return self._part("minute", zone)

    def minute_of_day(self, zone: str = "UTC") -> Expression:
        """The minute of the day of local time, 0 to 1439."""
        return self._part("minute_of_day", zone)

    def weekday(self, zone: str = "UTC") -> Expression:
        """The day of the week of local time; Monday is 0, Sunday 6."""
        return self._part("weekday", zone)

    def day(self, zone: str = "UTC") -> Expression:
        """The day of the month of local time, 1 to 31."""
        return self._part("day", zone)

    def month(self, zone: str = "UTC") -> Expression:
        """The month of local time, 1 to 12."""
        return self._part("month", zone)

    def year(self, zone: str = "UTC") -> Expression:
        """The year of local time."""
        return self._part("year", zone)

    def day_of_year(self, zone: str = "UTC") -> Expression:
        """The day of the year of local time, 1 to 366."""
        return self._part("day_of_year", zone)

    def is_weekend(self, zone: str = "UTC") -> Expression:
        """Whether local time is on a Saturday or Sunday."""
        return self._part("is_weekend", zone)

    def _part(self, part: str, zone: str) -> Expression:
        at = user_line()
        self._check_time(part, at)
        found = calendars.in_zone(part, zone, at)
        bound = calendars.PARTS.get(part)
        term = self._in_calendar(found, f"{part.replace('_', ' ')} in {zone}", bound, at)
        return Expression(term)

    def is_holiday(
        self, country: str, subdivision: str | None = None, *, zone: str = "UTC"
    ) -> Expression:
        """Whether the local date is a public holiday (extra `calendars`).

        Args:
            country: ISO 3166-1 code, as in `"DE"`.
            subdivision: A part of the country with holidays of its own, as in `"BY"`.
            zone: The IANA zone whose local date is asked about.
        """
        at = user_line()
        self._check_time("is_holiday", at)
        found = calendars.holidays(country, subdivision, zone, at)
        where = f"{country}-{subdivision}" if subdivision else country
        return Expression(self._in_calendar(found, f"a holiday in {where}", None, at))

    def is_session(self, exchange: str) -> Expression:
        """Whether the local date at an exchange (ISO 10383: `"XNYS"`) is one of its sessions."""
        at = user_line()
        self._check_time("is_session", at)
        found = calendars.sessions(exchange, at)
        return Expression(self._in_calendar(found, f"a session of {exchange}", None, at))

    def is_open(self, exchange: str) -> Expression:
        """Whether the exchange trades: in a session, not in its break (extra `calendars`)."""
        at = user_line()
        self._check_time("is_open", at)
        found = calendars.trading_hours(exchange, at)
        return Expression(self._in_calendar(found, f"{exchange} is open", None, at))

    def seconds_since_open(self, exchange: str) -> Expression:
        """Seconds since the session opened; missing while the exchange is closed."""
        at = user_line()
        found, words = calendars.openings(exchange, at), f"the opening of {exchange}"
        opened = replace(self._in_calendar(found, words, WORD_LIMIT, at), type=TIME)
        since = seconds_between(Expression(opened), self)
        return when(self.is_open(exchange)).then(since).otherwise(None)

    def _check_time(self, part: str, at: SourceLine | None) -> None:
        if self.term.type != TIME:
            raise DefinitionError(
                f"{self.term.type} has no {part}",
                at=at,
                fix=f"ask a time, as in `payments.at.{part}`",
            )

    def _in_calendar(
        self, found: Calendar, words: str, bound: int | None, at: SourceLine | None
    ) -> Term:
        kind = BOOL if bound is None else INT
        term = made_of(InCalendar(self.term, found, words), kind, at, (self.term,))
        return replace(term, bound=1 if bound is None else bound)

    def described(self, text: str) -> Expression:
        """The same value with a text of its own for reasons, in which `{value}` is the value.

        Raises:
            DefinitionError: If the text has another placeholder, or a format that does not fit.
        """
        describe.check_text(text, self.term, user_line())
        return Expression(replace(self.term, text=text))


@checked
def money(amount: literals.Literal, currency: str) -> Expression:
    """A fixed amount of money, exact; a float means its shortest spelling, so 0.1 is ten cents.

    >>> money("9.99", "EUR")
    <Expression: money in EUR>

    Raises:
        DefinitionError: If the currency is unknown or the amount finer than its minor unit.
    """
    at = user_line()
    if currency not in digits_by_code():
        raise DefinitionError(
            f"unknown currency {currency!r}", at=at, fix='use ISO 4217, as in "EUR"'
        )
    kind = ValueType(Kind.MONEY, digits_by_code()[currency], currency)
    return Expression(literals.money(amount, kind, at))


@checked
def minimum(first: Value, second: Value, *more: Value) -> Expression:
    """The least of values of one type; missing if one is missing."""
    return _extreme((first, second, *more), least=True)


@checked
def maximum(first: Value, second: Value, *more: Value) -> Expression:
    """The greatest of values of one type; missing if one is missing."""
    return _extreme((first, second, *more), least=False)


def _extreme(values: tuple[Value, ...], *, least: bool) -> Expression:
    return Expression(arithmetic.extreme([operand(v) for v in values], user_line(), least=least))


@checked
def coalesce(first: Value, second: Value, *more: Value) -> Expression:
    """The first of these that is not missing."""
    values = [operand(value) for value in (first, second, *more)]
    return Expression(arithmetic.coalesced(values, user_line()))


@checked_methods
class When:
    """A condition that waits for what to give where it holds; made by `when`."""

    def __init__(self, condition: Value) -> None:
        self._condition = comparisons.condition(operand(condition), user_line(), "when()")

    def then(self, value: Value) -> Then:
        """What to give where the condition holds."""
        return Then(((self._condition, value),))


@checked_methods
class Then:
    """Conditions with their values, waiting for another condition or for the rest."""

    def __init__(self, cases: tuple[tuple[Term, Value], ...]) -> None:
        self._cases = cases

    def when(self, condition: Value) -> NextWhen:
        """Another condition, asked where those before do not hold."""
        return NextWhen(self._cases, condition)

    def otherwise(self, value: Value) -> Expression:
        """What to give where no condition holds, or is missing; None gives missing."""
        at = user_line()
        given = [operand(case) for _, case in self._cases]
        terms = arithmetic.alike([*given, operand(value)], at, "choose between")
        result = terms[-1]
        for (condition, _), term in reversed(list(zip(self._cases, terms, strict=False))):
            result = arithmetic.select(condition, term, result, at)
        return Expression(result)


@checked_methods
class NextWhen:
    """A further condition that waits for what to give where it holds."""

    def __init__(self, cases: tuple[tuple[Term, Value], ...], condition: Value) -> None:
        self._cases = cases
        self._condition = comparisons.condition(operand(condition), user_line(), "when()")

    def then(self, value: Value) -> Then:
        """What to give where the condition holds."""
        return Then((*self._cases, (self._condition, value)))


@checked
def when(condition: Value) -> When:
    """A choice: `when(condition).then(value).otherwise(other)`, with more `.when().then()` between.

    The first condition that holds decides; one that is missing does not hold.
    """
    return When(condition)


@checked
def great_circle(
    latitude: Value, longitude: Value, other_latitude: Value, other_longitude: Value
) -> Expression:
    """The distance in kilometres between two places in degrees, on a sphere."""
    at = user_line()
    parts = []
    for value in (latitude, longitude, other_latitude, other_longitude):
        term = arithmetic.number(operand(value), at, "locate by")
        if term.type.unit:
            raise DefinitionError(
                f"can't locate by {term.type}",
                at=at,
                fix="give latitudes and longitudes in degrees",
            )
        parts.append(arithmetic.plain_float(term, at, "locate by"))
    return Expression(conversions.applied(Op.GREAT_CIRCLE, parts, FLOAT, at))


@checked
def seconds_between(first: Value, second: Value) -> Expression:
    """Seconds from the first time to the second; negative if the second is earlier."""
    at = user_line()
    terms = [
        value if isinstance(value, Term) else literals.literal(value, TIME, at)
        for value in (operand(first), operand(second))
    ]
    for term in terms:
        if term.type != TIME:
            raise DefinitionError(
                f"seconds_between() takes times, and this is {term.type}",
                at=at,
                fix="give fields of time, as in `payments.at`",
            )
    return Expression(conversions.applied(Op.SECONDS_BETWEEN, terms, FLOAT, at))
