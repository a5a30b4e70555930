"""What must come out of a use case, in plain Python, from the written contract alone.

No Headrace in here. A use case is plain data (`definition.py` says how it is written), events are
what a JSON line holds. Every window looks at every event; numbers are fractions. It is slow, and
there is nothing in it to be wrong in the same way as the engine.

The contract is docs/concepts: time-and-order.md, windows.md and exact-numbers.md.
"""

from __future__ import annotations

import datetime as dt
import math
import operator
import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: An exact number, a float, a truth value, a text or code, a time, an amount, or missing.
Value: TypeAlias = "Fraction | float | bool | str | Time | Amount | None"
Data: TypeAlias = "Mapping[str, Any]"

UNITS = {"d": 86_400 * 10**9, "h": 3_600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6}
UNITS |= {"us": 10**3, "ns": 1}
#: Digits after the point, by ISO 4217, of the currencies that cases use.
DIGITS = {"EUR": 2, "USD": 2, "GBP": 2, "JPY": 0, "KWD": 3, "CLF": 4}
COUNTRIES = {"DE", "FR", "US", "JP"}
LIMIT = 2**53 - 1
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
STAMP = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", flags=re.ASCII
)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?", flags=re.ASCII)


@dataclass(frozen=True, order=True)
class Time:
    """Nanoseconds since 1970."""

    ns: int


@dataclass(frozen=True)
class Amount:
    """Minor units of a currency that differs from event to event."""

    minor: int
    currency: str


class Near(float):
    """A float that the contract gives to within a few units in the last place."""


@dataclass(eq=False)
class Input:
    """One line of a source in known order, with what became of it."""

    stream: str
    position: int
    known: int
    fields: dict[str, Value]
    refused: str | None
    backfill: bool = False
    seq: int = -1
    verdict: str = ""
    reason: str | None = None
    original: int | None = None
    features: dict[str, Value] = field(default_factory=dict)
    outcome: str | None = None
    rules: list[str] = field(default_factory=list)
    label_known: int | None = None
    memory: dict[int, Value] = field(default_factory=dict)

    @property
    def rule(self) -> str | None:
        """The rule that decided."""
        return self.rules[0] if self.rules else None


def duration(text: str) -> int:
    """A length of time in nanoseconds."""
    return sum(int(n) * UNITS[unit] for n, unit in re.findall(r"(\d+)(ms|us|ns|[dhms])", text))


def nearest(value: Fraction) -> float | None:
    """The nearest float, ties to even; missing where it is not finite."""
    try:
        return value.numerator / value.denominator
    except OverflowError:
        return None


def real(value: Value) -> float | None:
    """A number as a float: money in major units, an amount of its own currency in minor ones."""
    if isinstance(value, Amount):
        value = Fraction(value.minor)
    if isinstance(value, Fraction):
        return nearest(value)
    return value if isinstance(value, float) else None


class Refused(Exception):
    """Why a value is not what its field says."""


# --- reading -----------------------------------------------------------------------------------


def exact(text: str, digits: int) -> Fraction:
    """A number by its digits, of which at most so many may stand after the point."""
    if not NUMBER.fullmatch(text):
        raise Refused("wrong type")
    value = Fraction(text)
    if (value * 10**digits).denominator != 1:
        raise Refused("too many digits")
    if abs(value * 10**digits) > LIMIT:
        raise Refused("out of range")
    return value


def stamp(text: str) -> int:
    """A time with its offset, as nanoseconds since 1970."""
    found = STAMP.fullmatch(text)
    if not found:
        raise Refused("bad time")
    moment = dt.datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00"))
    seconds = (moment - EPOCH) // dt.timedelta(seconds=1)
    return seconds * 10**9 + int((found[2] or "").ljust(9, "0"))


def read(spec: Data, given: object, currency: str | None) -> Value:  # noqa: PLR0911 - one way for each type
    """One value of one type."""
    kind, text = spec["type"], str(given)
    if kind in ("event_time", "known_at", "time"):
        return Time(stamp(text))
    if kind == "money":
        if "currency" in spec:
            return exact(text, DIGITS[spec["currency"]])
        assert currency is not None
        amount = exact(text, DIGITS[currency])
        return Amount(int(amount * 10 ** DIGITS[currency]), currency)
    if kind in ("decimal", "int"):
        return exact(text, spec.get("scale", 0))
    if kind == "float":
        return float(text)
    if kind == "bool":
        return bool(given)
    if kind == "currency" and text not in DIGITS:
        raise Refused("unknown currency")
    if kind == "country" and text not in COUNTRIES:
        raise Refused("unknown country")
    if kind in ("id", "key", "ref") and not text:
        raise Refused("empty")
    return text


def read_event(specs: Data, line: Data) -> tuple[dict[str, Value], str | None]:
    """The fields of one line, and why it is refused: the first bad field of the schema says so."""
    values: dict[str, Value] = {}
    wrong: dict[str, str] = {}
    # an amount is read after its currency, wherever that stands
    for name, spec in sorted(specs.items(), key=lambda item: "currency_field" in item[1]):
        given = line.get(name)
        values[name] = None
        if given is None:
            if not (spec.get("optional") or spec["type"] == "known_at"):
                wrong[name] = "missing"
            continue
        currency = spec.get("currency_field")
        if currency in wrong:
            continue
        if currency is not None and values[currency] is None:
            wrong[name] = "currency missing"
            continue
        try:
            code = values[currency] if currency is not None else None
            values[name] = read(spec, given, str(code))
        except Refused as refused:
            wrong[name] = str(refused)
    return values, next((wrong[name] for name in specs if name in wrong), None)


# --- known order and acceptance ----------------------------------------------------------------


def role(specs: Data, kind: str) -> str | None:
    """The field of a type that a schema has once."""
    return next((name for name, spec in specs.items() if spec["type"] == kind), None)


@dataclass
class Stream:
    """A stream or a table: what is said of it, and what it has accepted."""

    name: str
    rank: int
    specs: Data
    arrives_after: int
    lateness: int
    max_ahead: int
    dedupe: int
    is_table: bool
    watermark: int | None = None
    seen: dict[str, tuple[Input, int]] = field(default_factory=dict)
    accepted: list[Input] = field(default_factory=list)

    def time(self, event: Input) -> int:
        """When an event happened."""
        name = role(self.specs, "event_time")
        assert name is not None
        at = event.fields[name]
        assert isinstance(at, Time)
        return at.ns

    def judge(self, event: Input) -> None:
        """Accepted, duplicate or quarantined: the rules of time-and-order.md, in their order."""
        if event.refused is not None:
            event.verdict, event.reason = "quarantined", event.refused
            return
        event.verdict = "accepted"
        if self.is_table:
            self.accepted.append(event)
            return
        at, name = self.time(event), str(event.fields[role(self.specs, "id") or ""])
        known_before = self.seen.get(name)
        if known_before is not None:
            first, mark = known_before
            assert self.watermark is not None
            if self.watermark - mark <= self.dedupe:
                same = self.content(first) == self.content(event)
                event.verdict = "duplicate" if same else "quarantined"
                event.reason = None if same else "id conflict"
                event.original = first.seq if same else None
                return
        late = self.watermark is not None and self.watermark - at > self.lateness
        if at - event.known > self.max_ahead or (late and not event.backfill):
            event.verdict = "quarantined"
            event.reason = "early" if at - event.known > self.max_ahead else "late"
            return
        self.watermark = at if self.watermark is None else max(self.watermark, at)
        self.seen[name] = (event, self.watermark)
        self.accepted.append(event)

    def content(self, event: Input) -> list[tuple[Value, float]]:
        """Every field but `KnownAt`; floats by their bits."""
        fields = [v for n, v in event.fields.items() if self.specs[n]["type"] != "known_at"]
        return [(v, math.copysign(1, v) if isinstance(v, float) else 0) for v in fields]


def in_known_order(streams: Sequence[Stream], lines: Mapping[str, Sequence[Data]]) -> list[Input]:
    """The lines of all sources in the order in which they were known.

    A line whose times can't be read takes those of the line before it.
    """
    found: list[tuple[tuple[int, int, int, int], Input]] = []
    for stream in streams:
        known_at, event_time = role(stream.specs, "known_at"), role(stream.specs, "event_time")
        times = {n: spec for n, spec in stream.specs.items() if n in (known_at, event_time)}
        last = (0, 0)
        for position, line in enumerate(lines.get(stream.name, ())):
            values, refused = read_event(stream.specs, line)
            said, unreadable = read_event(times, line)
            assert position or not unreadable, "a source begins with a line whose times can be read"
            if not unreadable:
                at, known = said[event_time or ""], said.get(known_at or "")
                assert isinstance(at, Time)
                last = (known.ns if isinstance(known, Time) else at.ns + stream.arrives_after, at.ns)
            event = Input(stream.name, position, last[0], values, refused)
            found.append(((*last, stream.rank, position), event))
    return [event for _, event in sorted(found, key=operator.itemgetter(0))]


# --- expressions -------------------------------------------------------------------------------


def finite(value: float) -> float | None:
    """A result that is not finite is missing."""
    return value if math.isfinite(value) else None


def guarded(function: Callable[..., float], *given: float | None) -> float | None:
    """A function of floats; missing where an argument is, or where it has no finite result."""
    words = [item for item in given if item is not None]
    if len(words) < len(given):
        return None
    try:
        return finite(function(*words))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None


def haversine(a: float, b: float, c: float, d: float) -> float:
    """Kilometres between two places in degrees, on a sphere of 6371.0088 km."""
    lat, lon, other_lat, other_lon = (math.radians(value) for value in (a, b, c, d))
    half = math.sin((other_lat - lat) / 2) ** 2
    half += math.cos(lat) * math.cos(other_lat) * math.sin((other_lon - lon) / 2) ** 2
    return 2 * 6371.0088 * math.asin(math.sqrt(min(1.0, half)))


NEAR: dict[str, Callable[..., float]] = {
    "log": math.log,
    "log1p": math.log1p,
    "exp": math.exp,
    "**": math.pow,
    "great_circle": haversine,
}
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
PARTS: dict[str, Callable[[dt.datetime], int | bool]] = {
    "hour": lambda t: t.hour,
    "minute": lambda t: t.minute,
    "minute_of_day": lambda t: 60 * t.hour + t.minute,
    "weekday": lambda t: t.weekday(),
    "day": lambda t: t.day,
    "month": lambda t: t.month,
    "year": lambda t: t.year,
    "day_of_year": lambda t: t.timetuple().tm_yday,
    "is_weekend": lambda t: t.weekday() >= 5,
}


def literal(value: object) -> Value:
    """A value that stands in an expression."""
    if isinstance(value, bool | float | str) or value is None:
        return value
    assert isinstance(value, int)
    return Fraction(value)


def like(value: Value, other: Value, *, written: bool) -> Value:
    """A literal beside an exact number is exact: what its spelling says."""
    if written and isinstance(other, Fraction) and isinstance(value, float):
        return Fraction(repr(value))
    return value


class Evaluation:
    """Evaluates expressions for one event, at its own place in known order."""

    def __init__(self, contract: Contract, event: Input) -> None:
        self.contract = contract
        self.event = event

    def of(self, expression: Any) -> Value:
        """The value of an expression."""
        if not isinstance(expression, list):
            return literal(expression)
        known = self.event.memory
        if id(expression) not in known:
            known[id(expression)] = self._of(expression[0], expression[1:])
        return known[id(expression)]

    def _of(self, op: str, args: list[Any]) -> Value:  # noqa: C901, PLR0911 - one way for each
        if op == "field":
            assert args[0] == self.event.stream
            return self.event.fields[args[1]]
        if op == "money":
            return Fraction(args[0])
        if op in FUNCTIONS:
            return self.contract.aggregate(op, args, self)
        if op in COMPARE:
            return self.compared(op, *args)
        if op in ("&", "|"):
            return kleene(self.of(args[0]), self.of(args[1]), absorbing=op == "|")
        if op == "~":
            value = self.of(args[0])
            return None if value is None else not value
        if op == "missing":
            return self.of(args[0]) is None
        if op == "in":
            value = self.of(args[0])
            members = [like(literal(m), value, written=True) for m in args[1]]
            return None if value is None else value in members
        if op == "when":
            return self.chosen(args)
        if op == "coalesce":
            given = self.alike(args)
            return next((value for value in given if value is not None), None)
        if op in ("minimum", "maximum"):
            return extreme(self.alike(args), least=op == "minimum")
        if op == "clip":
            value, low, high = self.alike(args)
            return extreme([extreme([value, low], least=False), high], least=True)
        if op in ("in_currency", "as_of"):
            return self.looked_up(op, args)
        if op in PARTS:
            return self.part(op, *args)
        if op in ("is_holiday", "is_session"):
            return None  # libraries' tables, of which the contract says nothing
        if op == "seconds_between":
            first, second = self.of(args[0]), self.of(args[1])
            if not (isinstance(first, Time) and isinstance(second, Time)):
                return None
            return nearest(Fraction(second.ns - first.ns, 10**9))
        return self.number(op, [self.of(arg) for arg in args])

    def number(self, op: str, given: list[Value]) -> Value:  # noqa: PLR0911 - one way for each
        """Arithmetic: exact for sums of exact numbers, else floats."""
        if op in NEAR:
            found = guarded(NEAR[op], *map(real, given))
            return None if found is None else Near(found)
        if None in given:
            return None
        if op in ("neg", "abs"):
            change = operator.neg if op == "neg" else abs
            value: Value = change(given[0])
            return value
        if op == "floor" and isinstance(given[0], Fraction):
            return nearest(Fraction(math.floor(nearest(given[0]) or 0.0)))
        if op in ("+", "-") and all(isinstance(value, Fraction) for value in given):
            return given[0] + given[1] if op == "+" else given[0] - given[1]  # type: ignore[operator]  # fractions
        floats: dict[str, Callable[..., float]] = {
            "+": operator.add,
            "-": operator.sub,
            "*": operator.mul,
            "/": operator.truediv,
            "sqrt": math.sqrt,
            "floor": lambda x: math.copysign(float(math.floor(x)), x) if x else x,
        }
        return guarded(floats[op], *map(real, given))

    def compared(self, op: str, left: Any, right: Any) -> Value:
        """A comparison; missing where a side is."""
        a, b = self.of(left), self.of(right)
        if a is None or b is None:
            return None
        a = like(a, b, written=not isinstance(left, list))
        b = like(b, a, written=not isinstance(right, list))
        if isinstance(a, float) or isinstance(b, float):
            return COMPARE[op](real(a), real(b))
        return COMPARE[op](a, b)

    def alike(self, args: Sequence[Any]) -> list[Value]:
        """Values of one type: all exact, or all floats."""
        given = [self.of(arg) for arg in args]
        written = [not isinstance(arg, list) for arg in args]
        if self.contract.any_float(args):
            return [real(v) if isinstance(v, Fraction | float) else v for v in given]
        return [
            Fraction(repr(v)) if w and isinstance(v, float) else v
            for v, w in zip(given, written, strict=True)
        ]

    def chosen(self, args: Sequence[Any]) -> Value:
        """`when(...).then(...).otherwise(...)`."""
        then, otherwise = self.alike(args[1:])
        return then if self.of(args[0]) is True else otherwise

    def looked_up(self, op: str, args: list[Any]) -> Value:
        """A row of a table as of a time and of what was known."""
        if op == "as_of":
            table, name, at, keys = args
            asked = {key: self.of(value) for key, value in keys.items()}
            row = self.contract.row(table, asked, self.of(at), self.event.seq)
            return row.fields[name] if row else None
        amount, target, table = self.of(args[0]), args[1], args[2]
        at = self.of(args[3]) if len(args) > 3 else Time(self.contract.time(self.event))
        if amount is None or at is None:
            return None
        assert isinstance(amount, Amount)
        if amount.currency == target:
            return Fraction(amount.minor, 10 ** DIGITS[target])
        row = self.contract.row(
            table, {"base": amount.currency, "quote": target}, at, self.event.seq
        )
        rate = row.fields["rate"] if row else None
        if rate is None:
            return None
        assert isinstance(rate, Fraction)
        worth = Fraction(amount.minor, 10 ** DIGITS[amount.currency]) * rate
        minor = round(worth * 10 ** DIGITS[target])  # ties to even
        return Fraction(minor, 10 ** DIGITS[target]) if abs(minor) <= LIMIT else None

    def part(self, op: str, time: Any, zone: str) -> Value:
        """A part of local time."""
        at = self.of(time)
        if not isinstance(at, Time):
            return None
        moment = EPOCH + dt.timedelta(microseconds=at.ns // 1_000)
        found = PARTS[op](moment.astimezone(ZoneInfo(zone)))
        return found if isinstance(found, bool) else Fraction(found)


def extreme(given: Sequence[Value], *, least: bool) -> Value:
    """The least or greatest of values; missing if one is."""
    if None in given:
        return None
    take: Callable[..., Value] = min if least else max
    return take(given)


def kleene(a: Value, b: Value, *, absorbing: bool) -> Value:
    """And, or: what absorbs wins even over missing."""
    if a is absorbing or b is absorbing:
        return absorbing
    return None if a is None or b is None else not absorbing


# --- windows -----------------------------------------------------------------------------------

FUNCTIONS = {
    "count",
    "sum",
    "mean",
    "variance",
    "std",
    "min",
    "max",
    "first",
    "last",
    "previous",
    "distinct",
    "seconds_since_last",
}
WITHOUT_VALUE = {"count", "seconds_since_last"}


def down(time: int, every: int) -> int:
    """The beginning of a bucket."""
    return time - time % every if every else time


def moment(function: str, values: list[Fraction]) -> float | None:
    """Sum, mean, variance or standard deviation, exact until rounded."""
    count, total = len(values), sum(values, Fraction(0))
    if function == "sum":
        return nearest(total)
    if count < (1 if function == "mean" else 2):
        return None
    if function == "mean":
        return nearest(total / count)
    squares = sum((value * value for value in values), Fraction(0))
    variance = nearest((count * squares - total * total) / (count * (count - 1)))
    return variance if variance is None or function == "variance" else math.sqrt(variance)


class Contract:
    """Runs a use case by the contract.

    Args:
        case: The use case as data.
        ranks: Names of streams, then tables, as the definition orders them.
        score: The score of an input, where a model gives one.
    """

    def __init__(
        self,
        case: Data,
        ranks: Sequence[str],
        score: Callable[[Input], float | None] = lambda _event: None,
    ) -> None:
        self.case = case
        self.score = score
        self.streams: dict[str, Stream] = {}
        for rank, name in enumerate(ranks):
            said = case["streams"].get(name) or case["tables"][name]
            self.streams[name] = Stream(
                name,
                rank,
                said["fields"],
                duration(said.get("arrives_after", "0s")),
                duration(said.get("lateness", "0s")),
                duration(said.get("max_ahead", "1h")),
                duration(said.get("dedupe", "1d")),
                name not in case["streams"],
            )
        self.inputs: list[Input] = []

    def run(self, lines: Mapping[str, Sequence[Data]]) -> list[Input]:
        """Every input in known order, judged and decided."""
        for event in in_known_order(list(self.streams.values()), lines):
            self.take(event)
        self._label()
        return self.inputs

    def retry(self, seqs: Sequence[int], known: int) -> None:
        """Put quarantined inputs through again at a time, as backfills."""
        for seq in seqs:
            old = self.inputs[seq]
            self.take(Input(old.stream, seq, known, old.fields, old.refused, backfill=True))

    def take(self, event: Input) -> None:
        """Judge one input and decide it."""
        event.seq = len(self.inputs)
        self.inputs.append(event)
        self.streams[event.stream].judge(event)
        if event.verdict == "accepted" and event.stream == self.case["on"]:
            evaluation = Evaluation(self, event)
            for name, expression in self.case["features"].items():
                event.features[name] = evaluation.of(expression)
            self._apply_policy(event)

    def time(self, event: Input) -> int:
        """When an event happened."""
        return self.streams[event.stream].time(event)

    def row(self, table: str, key: Data, at: Value, seq: int) -> Input | None:
        """The row with the greatest time of validity among those known; the last known of those."""
        if not isinstance(at, Time):
            return None
        held = self.streams[table]
        found = [
            row
            for row in held.accepted
            if row.seq < seq
            and all(row.fields[name] == value is not None for name, value in key.items())
            and held.time(row) <= at.ns
        ]
        return max(found, key=lambda row: (held.time(row), row.seq), default=None)

    def any_float(self, args: Sequence[Any]) -> bool:
        """Whether one of several expressions is a float by its definition."""
        return any(isinstance(arg, list) and self.is_float(arg) for arg in args)

    def is_float(self, expression: list[Any]) -> bool:
        """Whether an expression is a float by its definition, whatever its value."""
        op, args = expression[0], expression[1:]
        if op == "field":
            return bool(self.streams[args[0]].specs[args[1]]["type"] == "float")
        if op == "as_of":
            return bool(self.streams[args[0]].specs[args[1]]["type"] == "float")
        if op in ("sum", "mean", "variance", "std", "seconds_since_last", "seconds_between"):
            return True
        if op in ("*", "/", "sqrt", "floor") or op in NEAR:
            return True
        if op in ("min", "max", "first", "last", "previous", "neg", "abs"):
            return self.any_float(args[:1])
        if op in ("+", "-", "minimum", "maximum", "coalesce", "clip"):
            return self.any_float(args)
        return op == "when" and self.any_float(args[1:])

    def aggregate(self, function: str, args: list[Any], now: Evaluation) -> Value:
        """What a window amounts to for an event."""
        said = args[-1]
        current = now.event
        value = None if function in WITHOUT_VALUE else args[0]
        taken: list[tuple[Value, int]] = []
        for event in self.window(function, said, current):
            own = Evaluation(self, event)
            if "where" in said and own.of(said["where"]) is not True:
                continue
            found: Value = own.of(value) if value is not None else True
            if isinstance(found, float):
                found += 0.0  # a window holds one zero
            if found is not None:
                taken.append((found, self.time(event)))
        values = [found for found, _ in taken]
        if function == "count":
            return Fraction(len(values))
        if function == "distinct":
            return Fraction(len({held(v) for v in values}))
        if function in ("sum", "mean", "variance", "std"):
            return moment(function, [Fraction(minor(v)) for v in values])
        if not values:
            return None
        if function in ("min", "max"):
            take: Callable[..., Value] = min if function == "min" else max
            return take(values, key=lambda v: v.minor if isinstance(v, Amount) else v)
        if function == "seconds_since_last":
            return nearest(Fraction(self.time(current) - taken[-1][1], 10**9))
        return values[0] if function == "first" else values[-1]

    def window(self, function: str, said: Data, current: Input) -> list[Input]:
        """The events that an aggregate looks at, by (event time, known order)."""
        stream = self.streams[said["of"]]
        key = [current.fields[name] for name in said.get("asked_by", said["by"])]
        if None in key:
            return []
        every, at = duration(said.get("every", "0s")), self.time(current)
        delay = duration(said.get("delay", "0s"))
        last = down(at - delay, every)
        first = down(at - delay - duration(said["window"]), every)
        itself = (
            said.get("include_current", True)
            and not delay
            and function not in ("previous", "seconds_since_last")
        )
        found = [
            event
            for event in stream.accepted
            if (event.seq < current.seq or (event is current and itself))
            and [event.fields[name] for name in said["by"]] == key
            and first < down(stream.time(event), every) <= last
        ]
        return sorted(found, key=stream.time)

    # --- policy and labels ---------------------------------------------------------------------

    def _apply_policy(self, event: Input) -> None:
        policy = self.case.get("policy")
        if policy is None:
            event.outcome = "undecided"
            return
        matched = [
            (outcome, name)
            for outcome, name, condition in policy["rules"]
            if self.holds(condition, event) is True
        ]
        event.rules = [name for _, name in matched]
        event.outcome = matched[0][0] if matched else policy["otherwise"]

    def holds(self, condition: list[Any], event: Input) -> Value:
        """Whether a condition over features, fields and the score holds; missing if it can't say."""
        op, args = condition[0], condition[1:]
        if op in ("&", "|"):
            parts = [self.holds(part, event) for part in args]
            return kleene(parts[0], parts[1], absorbing=op == "|")
        if op == "~":
            value = self.holds(args[0], event)
            return None if value is None else not value
        if op == "missing":
            return self.operand(args[0], event) is None
        if op in ("field", "feature"):
            return self.operand(condition, event)
        left, right = (self.operand(arg, event) for arg in args)
        if left is None or right is None:
            return None
        if isinstance(left, float) or isinstance(right, float):
            return COMPARE[op](real(left), real(right))
        return COMPARE[op](left, right)

    def operand(self, said: Any, event: Input) -> Value:
        """A feature as the number that it is, a field exactly, the score, or a constant."""
        if not isinstance(said, list):
            value = literal(said)
            return Fraction(repr(value)) if isinstance(value, float) else value
        if said[0] == "score":
            return self.score(event)
        if said[0] == "feature":
            value = event.features[said[1]]
            return real(value) if isinstance(value, Fraction | Amount) else value
        return event.fields[said[2]]

    def _label(self) -> None:
        """When each decided event's label was known: the earliest of those in time."""
        said = self.case.get("label")
        if said is None:
            return
        labels, decided = self.streams[said["by"]], self.streams[self.case["on"]]
        identity = role(decided.specs, "id") or ""
        for event in decided.accepted:
            known = [
                label.known
                for label in labels.accepted
                if label.fields[said["reference"]] == event.fields[identity]
                and 0 <= labels.time(label) - decided.time(event) <= duration(said["within"])
            ]
            event.label_known = min(known, default=None)


def held(value: Value) -> Value:
    """A value as `distinct` compares it: an amount by its minor units."""
    return Fraction(value.minor) if isinstance(value, Amount) else value


def minor(value: Value) -> Fraction | float:
    """A number that can be summed."""
    assert isinstance(value, Fraction | float | Amount)
    return Fraction(value.minor) if isinstance(value, Amount) else value

