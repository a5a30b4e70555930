"""A simulated market: books of several symbols over sessions, and what goes wrong with a feed.

The flow of orders is that of `order_flow`; here it becomes the events of `market`, received a
little later, and with faults: messages that are lost, that arrive too late, that cross the book by
mistake, or that say a size below 0. After each that leaves the book unknown comes a snapshot.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace import DefinitionError
from headrace_solutions.trading_signal.feed import TIME, exact
from headrace_solutions.trading_signal.order_flow import order_flow
from headrace_solutions.trading_signal.order_flow_kernels import (
    CROSSED,
    LATE,
    LOST,
    MALFORMED,
    SNAPSHOT,
    SOUND,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from headrace_solutions.trading_signal.order_flow import Flow

    Integers = NDArray[np.int64]

#: Made-up symbols, and where their prices begin, in ticks.
SYMBOLS = {"ALFA": 4_210, "BRAVO": 8_655, "CARGO": 12_940}
#: Digits of a tick after the point, and what a lot holds.
TICK_DIGITS, LOT = 2, 100
#: When a session opens: half past nine in New York, in winter.
OPENS = dt.time(14, 30)
DAY_NS = 86_400 * 10**9
_LATE_NS = 12 * 10**9
_LATENCY_NS, _JITTER_NS = 350_000, 150_000
_DECIMAL = pa.decimal128(19, TICK_DIGITS)


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """What to simulate.

    Attributes:
        events: Messages of all books together.
        days: Sessions, one on each day.
        start: The first day, in UTC.
        seed: Of all randomness.
        faults: Share of messages with which something goes wrong.
        pace: How fast all is; 1 gives about 25 messages of a symbol a second.
    """

    events: int = 90_000
    days: int = 5
    start: dt.date = dt.date(2026, 1, 5)
    seed: int = 7
    faults: float = 1 / 3_000
    pace: float = 1.0

    def __post_init__(self) -> None:
        if self.days < 1 or self.events < 100 * self.days * len(SYMBOLS):
            raise DefinitionError(
                f"a market of {self.events} messages over {self.days} sessions",
                fix=f"ask for 1 session or more, and {100 * len(SYMBOLS)} messages or more of each",
            )
        if not 0.0 <= self.faults <= 0.1:
            raise DefinitionError(
                f"faults={self.faults} of a market", fix="give a share from 0 to 0.1"
            )


@dataclass(frozen=True, slots=True)
class Market:
    """What was simulated: a table for each stream of `market`, in order of receipt.

    Attributes:
        tables: By the stream's name. `orders` is empty: nobody has traded yet.
        faults: How many messages of each fault there were, by its name.
    """

    tables: dict[str, pa.Table]
    faults: dict[str, int]


@dataclass(slots=True)
class _Tape:
    """Tables of sessions, until they are put together."""

    parts: dict[str, list[pa.Table]] = field(default_factory=dict)
    faults: Integers = field(default_factory=lambda: np.zeros(5, np.int64))

    def add(self, name: str, columns: dict[str, Any]) -> None:
        self.parts.setdefault(name, []).append(pa.table(columns))

    def sorted(self, name: str) -> pa.Table:
        """All parts, as they were received; of what came together, in the order it was made."""
        whole = pa.concat_tables(self.parts[name])
        received = whole["received"].cast(pa.int64()).to_numpy()
        return whole.take(pa.array(np.argsort(received, kind="stable"))).combine_chunks()


def simulate(settings: SimulationSettings | None = None) -> Market:
    """Simulate a market; the same settings give the same tables.

    >>> made = simulate(SimulationSettings(events=600, days=1))
    >>> made.tables["depth"].num_rows + made.faults["lost"]
    600
    """
    chosen = settings or SimulationSettings()
    tape = _Tape()
    seeds = np.random.SeedSequence(chosen.seed).spawn(len(SYMBOLS))
    share = chosen.events // (chosen.days * len(SYMBOLS))
    spare = chosen.events - share * chosen.days * len(SYMBOLS)
    for (symbol, tick), seed in zip(SYMBOLS.items(), seeds, strict=True):
        rng, reference, said = np.random.default_rng(seed), tick, 0
        for day in range(chosen.days):
            count, spare = share + spare, 0
            faults = _faults(rng, count, chosen.faults)
            flow = order_flow(rng, faults, reference, pace=chosen.pace)
            opens = dt.datetime.combine(chosen.start, OPENS, dt.UTC) + dt.timedelta(days=day)
            session = _Session(symbol, int(opens.timestamp()) * 10**9, said, flow, faults)
            session.write(rng, tape)
            said += len(flow.said)
            # overnight the price jumps
            reference = max(500, flow.last_tick + round(rng.normal(0.0, 0.008) * flow.last_tick))
    tables = {name: tape.sorted(name) for name in ("changes", "depth", "quotes", "trades")}
    tables["orders"] = _no_orders()
    tables["switches"] = _switches(chosen, tables["depth"])
    names = ("sound", "lost", "late", "crossed", "malformed")
    return Market(tables, dict(zip(names, tape.faults.tolist(), strict=True)))


def _faults(rng: np.random.Generator, count: int, share: float) -> NDArray[np.int8]:
    """What goes wrong with each message; the first twenty are sound, so that a book begins."""
    kinds = np.array([LOST, LATE, CROSSED, MALFORMED], dtype=np.int8)
    struck = rng.random(count) < share
    struck[:20] = False
    return np.where(struck, kinds[rng.integers(0, len(kinds), count)], SOUND).astype(np.int8)


@dataclass(frozen=True, slots=True)
class _Session:
    """One book's session, to be written as events."""

    symbol: str
    opens_ns: int
    said: int
    flow: Flow
    faults: NDArray[np.int8]

    def write(self, rng: np.random.Generator, tape: _Tape) -> None:
        flow, count = self.flow, len(self.flow.at_s)
        # what the kernel put a snapshot in place of did not go wrong
        faults = np.where(flow.kind == SNAPSHOT, SOUND, self.faults)
        tape.faults += np.bincount(faults, minlength=5)
        at = self.opens_ns + np.rint(flow.at_s * 1e9).astype(np.int64)
        at = np.maximum.accumulate(at - 10 * np.arange(count)) + 10 * np.arange(count)
        latency = _LATENCY_NS + rng.exponential(_JITTER_NS, count)
        step = 4 * np.arange(count)
        received = np.maximum.accumulate(at + latency.astype(np.int64) - step) + step
        late = np.where(faults == LATE, _LATE_NS, 0)
        last = self.said + np.cumsum(flow.changes)
        kept = faults != LOST
        self._changes(tape, faults, at, received + late, last)
        rows = np.flatnonzero(kept & (faults != LATE))
        tape.add("depth", self._told("depth_id", rows, at, received) | {"last_update": last[rows]})
        self._quotes(tape, at, received, last)
        message = flow.trade[:, 0]
        # a trade is known before what it leaves behind
        told = self._told("trade_id", message, at, received - 2, np.arange(len(message)))
        tape.add(
            "trades",
            told
            | {
                "price": exact(flow.trade[:, 1], TICK_DIGITS),
                "size": exact(LOT * flow.trade[:, 2], 0),
                "buyer_took": pa.array(flow.trade[:, 3] == 1),
                "hidden": pa.array(np.zeros(len(message), dtype=bool)),
            },
        )

    def _changes(
        self,
        tape: _Tape,
        faults: NDArray[np.int8],
        at: Integers,
        received: Integers,
        last: Integers,
    ) -> None:
        flow = self.flow
        message = np.repeat(np.arange(len(flow.changes)), flow.changes)
        place = np.arange(len(message)) - np.repeat(
            np.cumsum(flow.changes) - flow.changes, flow.changes
        )
        rows = np.flatnonzero(faults[message] != LOST)
        m, p = message[rows], place[rows]
        size = LOT * flow.said[rows, 2]
        size = np.where((faults[m] == MALFORMED) & (p == 0), -size - LOT, size)
        first = np.where(flow.kind == SNAPSHOT, last, last - flow.changes + 1)
        columns = self._told("change_id", m, at, received, p) | {
            "bid": pa.array(flow.said[rows, 0] == 1),
            "price": exact(flow.said[rows, 1], TICK_DIGITS),
            "size": exact(size, 0),
            "first_update": first[m],
            "last_update": last[m],
            "place": p,
            "is_snapshot": pa.array(flow.kind[m] == SNAPSHOT),
            "is_last": pa.array(p == flow.changes[m] - 1),
        }
        tape.add("changes", columns)

    def _quotes(self, tape: _Tape, at: Integers, received: Integers, last: Integers) -> None:
        top = self.flow.top
        rows = np.flatnonzero(np.any(np.diff(top, axis=0, prepend=-1) != 0, axis=1))
        sides = {}
        for side, name in enumerate(("bid", "ask")):
            sides[f"{name}_price"] = exact(top[rows, 2 * side], TICK_DIGITS)
            sides[f"{name}_size"] = exact(LOT * top[rows, 2 * side + 1], 0)
        tape.add(
            "quotes", self._told("quote_id", rows, at, received) | {"update": last[rows]} | sides
        )

    def _told(
        self, name: str, rows: Integers, at: Integers, received: Integers, *parts: Integers
    ) -> dict[str, Any]:
        """Id, times and symbol of events that messages gave."""
        numbers = (self.said + np.cumsum(self.flow.changes))[rows], *parts
        words = [pc.cast(pa.array(part), pa.string()) for part in numbers]
        return {
            name: pc.binary_join_element_wise(pa.scalar(self.symbol), *words, "-"),
            "at": pa.array(at[rows]).cast(TIME),
            "received": pa.array(received[rows]).cast(TIME),
            "symbol": pa.array(np.full(len(rows), self.symbol, dtype=object), pa.string()),
        }


def _no_orders() -> pa.Table:
    kinds = {
        "update_id": pa.string(),
        "at": TIME,
        "received": TIME,
        "symbol": pa.string(),
        "order_id": pa.string(),
        "buy": pa.bool_(),
        "quantity": _DECIMAL,
        "price": _DECIMAL,
        "status": pa.string(),
        "fee": _DECIMAL,
        "reason": pa.string(),
    }
    return pa.table({name: pa.array([], kind) for name, kind in kinds.items()})


def _switches(settings: SimulationSettings, depth: pa.Table) -> pa.Table:
    """On the last day the first symbol is halted for a tenth of its session, and let go on."""
    symbol = next(iter(SYMBOLS))
    first = dt.datetime.combine(settings.start, dt.time(), dt.UTC)
    last_day = pa.scalar(first + dt.timedelta(days=settings.days - 1), TIME)
    on = pc.and_(pc.equal(depth["symbol"], symbol), pc.greater_equal(depth["at"], last_day))
    at = depth["at"].filter(on).cast(pa.int64()).to_numpy()
    chosen = at[[len(at) // 2, len(at) // 2 + len(at) // 10]]
    return pa.table(
        {
            "switch_id": pa.array(["halt-1", "resume-1"]),
            "at": pa.array(chosen).cast(TIME),
            "received": pa.array(chosen + 1).cast(TIME),
            "symbol": pa.array([symbol] * 2),
            "halted": pa.array([True, False]),
            "reason": pa.array(["news is pending", "news is out"]),
        }
    )


def names_of(market: Market) -> Sequence[str]:
    """The streams of a market, the decided one first.

    >>> names_of(Market({"changes": None, "depth": None}, {}))
    ['depth', 'changes']
    """
    return sorted(market.tables, key=lambda name: name != "depth")
