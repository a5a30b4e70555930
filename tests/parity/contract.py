"""What must come out of a use case, in plain Python, from the written contract alone.

No Headrace in here. A use case is plain data (`definition.py` says how it is written), events are
what a JSON line holds. Every window looks at every event; numbers are fractions. It is slow, and
there is nothing in it to be wrong in the same way as the engine.

The contract is docs/concepts: time-and-order.md, windows.md and exact-numbers.md.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from contract_expressions import COMPARE, NEAR, Evaluation, kleene, literal
from contract_values import Amount, Time, duration, nearest, read_event, real

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from contract_values import Data, Value

ALWAYS_FLOAT = {"sum", "mean", "variance", "std", "seconds_since_last", "seconds_between"}
ALWAYS_FLOAT |= {"*", "/", "sqrt", "floor"}
WITHOUT_VALUE = {"count", "seconds_since_last"}


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
                last = (
                    known.ns if isinstance(known, Time) else at.ns + stream.arrives_after,
                    at.ns,
                )
            event = Input(stream.name, position, last[0], values, refused)
            found.append(((*last, stream.rank, position), event))
    return [event for _, event in sorted(found, key=operator.itemgetter(0))]


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
        if op in ("field", "as_of"):
            return bool(self.streams[args[0]].specs[args[1]]["type"] == "float")
        if op in ALWAYS_FLOAT or op in NEAR:
            return True
        if op in ("min", "max", "first", "last", "previous", "neg", "abs"):
            return self.any_float(args[:1])
        if op in ("+", "-", "minimum", "maximum", "coalesce", "clip"):
            return self.any_float(args)
        return op == "when" and self.any_float(args[1:])

    def aggregate(  # noqa: C901, PLR0911 - one way for each function
        self, function: str, args: list[Any], now: Evaluation
    ) -> Value:
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

    def holds(self, condition: list[Any], event: Input) -> Value:  # noqa: PLR0911 - one way for each
        """Whether a condition over features, fields and the score holds, as far as it can say."""
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
