"""Windows: what earlier events of the same key amount to.

The window of an event at time t is `t - delay - window < h.at <= t - delay`, over what was known
before it, and itself unless `include_current=False`. Every aggregate has a window, so that no state
is kept for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from headrace.core.columns import Kind
from headrace.core.durations import LONGEST_NS, duration_ns, duration_text
from headrace.core.errors import DefinitionError, SourceLine
from headrace.definitions import comparisons
from headrace.definitions.calls import checked_methods
from headrace.definitions.expressions import Expression
from headrace.definitions.plan import Function
from headrace.definitions.source_lines import user_line
from headrace.definitions.suggestions import no_attribute
from headrace.definitions.terms import (
    FLOAT,
    INT,
    WORD_LIMIT,
    StreamDefinition,
    Term,
    ValueType,
    Windowed,
    made_of,
)
from headrace.events.schema import EXACT_LIMIT

if TYPE_CHECKING:
    from datetime import timedelta

    from headrace.definitions.expressions import Value

_EXACT_SUMS = frozenset({Function.SUM, Function.MEAN, Function.VARIANCE, Function.STD})
_SQUARES = frozenset({Function.VARIANCE, Function.STD})
_PLACED = frozenset(
    {
        Function.FIRST,
        Function.LAST,
        Function.PREVIOUS,
        Function.SECONDS_SINCE_LAST,
        Function.DISTINCT,
    }
)
_HELD_AS_IS = frozenset(
    {Function.MIN, Function.MAX, Function.FIRST, Function.LAST, Function.PREVIOUS}
)
_SHORTEST_TEXT = 'give its length, as in "5m", "24h" or "30d"'


@dataclass(frozen=True, slots=True)
class Options:
    """How a window is taken, as the user wrote it."""

    window: str | timedelta | None
    where: Value = None
    include_current: bool | None = None
    delay: str | timedelta = "0s"
    every: str | timedelta | None = None


@checked_methods
class Keyed:
    """A stream kept by a key; its methods are the aggregates.

    Every method takes `where=`, a condition on the events that count. Those that take
    `include_current=` count the event itself unless it is False; `delay=` shifts the window back;
    `every=` gathers events into buckets of that size, which bounds state and moves the window's
    edges in steps.
    """

    def __init__(
        self,
        stream: StreamDefinition,
        key: tuple[str, ...],
        asked_by: tuple[str, ...],
        at: SourceLine | None,
    ) -> None:
        self._stream = stream
        self._key = key
        self._asked_by = asked_by
        self._at = at

    def __repr__(self) -> str:
        return f"<{self._stream.name} by {', '.join(self._key)}>"

    def __getattr__(self, name: str) -> NoReturn:
        raise no_attribute(self, name)

    def count(
        self,
        window: str | timedelta | None = None,
        *,
        where: Value = None,
        include_current: bool | None = None,
        delay: str | timedelta = "0s",
        every: str | timedelta | None = None,
    ) -> Expression:
        """How many events; 0 for none."""
        return self._read(
            Function.COUNT, None, Options(window, where, include_current, delay, every)
        )

    def sum(
        self,
        value: Value,
        window: str | timedelta | None = None,
        *,
        where: Value = None,
        include_current: bool | None = None,
        delay: str | timedelta = "0s",
        every: str | timedelta | None = None,
    ) -> Expression:
        """The exact sum, rounded once to a float, in units (money: in major units); 0 for none."""
        return self._read(
            Function.SUM, value, Options(window, where, include_current, delay, every)
        )

    def mean(
        self,
        value: Value,
        window: str | timedelta | None = None,
        *,
        where: Value = None,
        include_current: bool | None = None,
        delay: str | timedelta = "0s",
        every: str | timedelta | None = None,
    ) -> Expression:
        """The exact mean, rounded once; missing for none."""
        return self._read(
            Function.MEAN, value, Options(window, where, include_current, delay, every)
        )

    def variance(
        self,
        value: Value,
        window: str | timedelta | None = None,
        *,
        where: Value = None,
        include_current: bool | None = None,
        delay: str | timedelta = "0s",
        every: str | timedelta | None = None,
    ) -> Expression:
        """The exact sample variance (by n - 1), rounded once; missing for fewer than two."""
        return self._read(
            Function.VARIANCE, value, Options(window, where, include_current, delay, every)
        )

    def std(
        self,
        value: Value,
        window: str | timedelta | None = None,
        *,
        where: Value = None,
        include_current: bool | None = None,
        delay: str | timedelta = "0s",
        every: str | timedelta | None = None,
    ) -> Expression:
        """The root of the sample variance; missing for fewer than two."""
        return self._read(
            Function.STD, value, Options(window, where, include_current, delay, every)
        )

    def min(
        self,
        value: Value,
        window: str | timedelta | None = None,
        *,
        where: Value = None,
        include_current: bool | None = None,
        delay: str | timedelta = "0s",
        every: str | timedelta | None = None,
    ) -> Expression:
        """The least value, exact; missing for none."""
        return self._read(
            Function.MIN, value, Options(window, where, include_current, delay, every)
        )

    def max(
        self,
        value: Value,
        window: str | timedelta | None = None,
        *,
        where: Value = None,
        include_current: bool | None = None,
        delay: str | timedelta = "0s",
        every: str | timedelta | None = None,
    ) -> Expression:
        """The greatest value, exact; missing for none."""
        return self._read(
            Function.MAX, value, Options(window, where, include_current, delay, every)
        )

    def first(
        self,
        value: Value,
        window: str | timedelta | None = None,
        *,
        where: Value = None,
        include_current: bool | None = None,
        delay: str | timedelta = "0s",
        every: str | timedelta | None = None,
    ) -> Expression:
        """The value of the first event by (event time, known order)."""
        return self._read(
            Function.FIRST, value, Options(window, where, include_current, delay, every)
        )

    def last(
        self,
        value: Value,
        window: str | timedelta | None = None,
        *,
        where: Value = None,
        include_current: bool | None = None,
        delay: str | timedelta = "0s",
        every: str | timedelta | None = None,
    ) -> Expression:
        """The value of the last event by (event time, known order)."""
        return self._read(
            Function.LAST, value, Options(window, where, include_current, delay, every)
        )

    def distinct(
        self,
        value: Value,
        window: str | timedelta | None = None,
        *,
        where: Value = None,
        include_current: bool | None = None,
        delay: str | timedelta = "0s",
        every: str | timedelta | None = None,
    ) -> Expression:
        """How many different values, exactly; 0 for none."""
        return self._read(
            Function.DISTINCT, value, Options(window, where, include_current, delay, every)
        )

    def previous(
        self,
        value: Value,
        within: str | timedelta | None = None,
        *,
        where: Value = None,
        delay: str | timedelta = "0s",
        every: str | timedelta | None = None,
    ) -> Expression:
        """The value of the nearest event before this one; missing if none is within."""
        return self._read(Function.PREVIOUS, value, Options(within, where, None, delay, every))

    def seconds_since_last(
        self,
        within: str | timedelta | None = None,
        *,
        where: Value = None,
        delay: str | timedelta = "0s",
        every: str | timedelta | None = None,
    ) -> Expression:
        """Seconds since the nearest event before this one; missing if it is not within."""
        return self._read(
            Function.SECONDS_SINCE_LAST, None, Options(within, where, None, delay, every)
        )

    def _read(self, function: Function, value: Value, options: Options) -> Expression:
        at = user_line()
        if value is None and function not in (Function.COUNT, Function.SECONDS_SINCE_LAST):
            raise DefinitionError(
                f"{function.value} of None", at=at, fix="give a field or an expression of fields"
            )
        term = self._event_value(value, function.value, at) if value is not None else None
        where = None
        if options.where is not None:
            where = self._event_value(options.where, "where=", at)
            comparisons.condition(where, at, "where=")
        window, delay, every = self._lengths(function, options, at)
        included = _included(function, options, delay, at)
        kind, scale, bound = INT, 0, EXACT_LIMIT
        if term is not None:
            _check_value(function, term, self._key, every, at)
            scale = term.type.scale
            if function in _EXACT_SUMS:
                kind = ValueType(Kind.FLOAT, 0, term.type.unit, term.type.varying)
            elif function in _HELD_AS_IS:
                kind, bound = term.type, term.bound
        if function is Function.SECONDS_SINCE_LAST:
            kind, bound = FLOAT, WORD_LIMIT
        node = Windowed(
            function=function,
            stream=self._stream,
            key=self._key,
            asked_by=self._asked_by,
            every_ns=every,
            value=term,
            where=where,
            scale=scale,
            window_ns=window,
            delay_ns=delay,
            include_current=included,
            keyed_at=self._at,
        )
        made = made_of(node, kind, at, ())
        currency = term.currency if term is not None and kind.varying else None
        return Expression(replace(made, bound=bound, windowed=True, currency=currency))

    def _event_value(self, value: Value, what: str, at: SourceLine | None) -> Term:
        """An expression over fields of one event of this stream."""
        if not isinstance(value, Expression):
            raise DefinitionError(
                f"{what} of {value!r}, which is not an expression",
                at=at,
                fix=f"give a field or an expression of fields, as in `{self._stream.name}.amount`",
            )
        term = value.term
        if term.windowed:
            raise DefinitionError(
                f"{what} of an aggregate: an aggregate can't be aggregated again",
                at=at,
                fix="aggregate an expression over fields of one event",
            )
        if term.stream is not None and term.stream != self._stream:
            raise DefinitionError(
                f"{what} over {self._stream.name!r} reads a field of {term.stream.name!r}",
                at=at,
                fix=f"give an expression over fields of {self._stream.name!r}",
            )
        return term

    def _lengths(
        self, function: Function, options: Options, at: SourceLine | None
    ) -> tuple[int, int, int]:
        """Window, delay and size of buckets, in nanoseconds."""
        if options.window is None:
            raise DefinitionError(
                f"{function.value} without a window: state would be kept for ever",
                at=at,
                fix=_SHORTEST_TEXT,
            )
        window = duration_ns(options.window, what="window", at=at)
        if window == 0:
            raise DefinitionError("a window of 0 holds no event", at=at, fix=_SHORTEST_TEXT)
        delay = duration_ns(options.delay, what="delay", at=at)
        if window + delay + self._stream.lateness_ns > LONGEST_NS:
            raise DefinitionError(
                "window, delay and lateness together are beyond 36500d", at=at, fix="shorten them"
            )
        if options.every is None:
            return window, delay, 0
        every = duration_ns(options.every, what="every", at=at)
        if function in _PLACED:
            raise DefinitionError(
                f"{function.value} can't be kept in buckets: it needs each event",
                at=at,
                fix="leave out every=",
            )
        if every == 0 or window % every:
            raise DefinitionError(
                f"every={options.every!r} does not divide the window of {options.window!r}",
                at=at,
                fix=f'give a part of it, as in every="{duration_text(window // 2)}"'
                if every > window // 2 and window % 2 == 0
                else "give a whole part of the window",
            )
        return window, delay, every


def _included(function: Function, options: Options, delay: int, at: SourceLine | None) -> bool:
    """Whether the event itself counts."""
    if options.include_current not in (None, True, False):
        raise DefinitionError(
            f"include_current={options.include_current!r}", at=at, fix="give True or False"
        )
    if delay and options.include_current:
        raise DefinitionError(
            "include_current=True with a delay: the window ends before the event",
            at=at,
            fix="leave out include_current=, or the delay",
        )
    if function in (Function.PREVIOUS, Function.SECONDS_SINCE_LAST) or delay:
        return False
    return options.include_current is not False


def _check_value(
    function: Function, term: Term, key: tuple[str, ...], every: int, at: SourceLine | None
) -> None:
    """Refuse what the function isn't defined on."""
    kind = term.type
    name = function.value
    if function in _EXACT_SUMS and not kind.is_number:
        fix = "sum numbers or money"
        if kind.kind is Kind.BOOL:
            fix = "count the events where it holds: `.count(window, where=condition)`"
        raise DefinitionError(f"can't take the {name} of {kind}", at=at, fix=fix)
    if function in (Function.MIN, Function.MAX) and not (kind.is_number or kind.kind is Kind.TIME):
        raise DefinitionError(
            f"can't take the {name} of {kind}", at=at, fix="give numbers, money or times"
        )
    if kind.varying and function is not Function.DISTINCT and not _split(term, key):
        raise DefinitionError(
            f"{name} of {kind}: amounts of unlike currencies can't be taken together",
            at=at,
            fix='convert (`.in_currency("EUR", rates)`) or split by currency '
            f"(`.by({', '.join(map(repr, (*key, kind.unit.split('.')[-1])))})`)",
        )
    if every and function in _EXACT_SUMS and kind.kind is Kind.FLOAT:
        raise DefinitionError(
            f"an exact {name} of floats can't be kept in buckets: it needs each event",
            at=at,
            fix="leave out every=, or give whole numbers, decimals or money",
        )
    if function in _EXACT_SUMS and kind.is_integer:
        widest = 2**60 if function in _SQUARES else WORD_LIMIT
        if term.bound > widest:
            raise DefinitionError(
                f"the squares of values up to {term.bound} may not fit 128 bits",
                at=at,
                fix="divide the value by a number first, which makes it a float",
            )


def _split(term: Term, key: tuple[str, ...]) -> bool:
    """Whether events of one key have one currency."""
    return term.type.unit.split(".")[-1] in key
