"""What a report shows of signals: what they would have come to, and where they hold.

All of it comes from decisions that were made after the model had learned, and from the market as it
was recorded or simulated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import headrace as hr
from headrace_solutions.trading_signal import case, diagnostics
from headrace_solutions.trading_signal.backtest import (
    Backtest,
    Signals,
    Trials,
    Variant,
    by_latency,
    signals_of,
    tried,
)
from headrace_solutions.trading_signal.closed_loop import ASSUMPTIONS, LIMITS, TERMS
from headrace_solutions.trading_signal.diagnostic_plots import (
    confusion_part,
    series_parts,
    signal_parts,
)
from headrace_solutions.trading_signal.paper_report import paper_section
from headrace_solutions.trading_signal.tape import Tape, tape_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from headrace_solutions.trading_signal.gateway import Limits, OrderTerms
    from headrace_solutions.trading_signal.venue import Assumptions

    Floats: TypeAlias = NDArray[np.float64]
    Part: TypeAlias = hr.Plot | tuple[str, Sequence[str], Sequence[Sequence[str]]]
    Section: TypeAlias = tuple[str, str, Sequence[Part]]

#: Microseconds from a decision to the venue.
LATENCIES = (0, 1_000, 10_000, 100_000, 500_000, 2_000_000)
#: Seconds over which a signal is judged.
HORIZONS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
#: Seconds since a signal was told.
STALENESS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
#: The scores from which on a direction is acted on; of the policy it is the last.
STRENGTHS = (0.4, 0.45, case.SIGNAL)
#: Seconds over which the use case tells a direction.
HORIZON = float(case.HORIZON.removesuffix("s"))
#: Equity curves have about so many intervals, none shorter than a second.
_INTERVALS = 2_000
_SECOND = 1_000_000_000
_TIME = pa.timestamp("ns", "UTC")

_NO_CLAIM = (
    "This is no claim of profit. It is what paper orders would have come to in this one market, had"
    " it not known of them, under what is assumed below; the choice among what was tried was made"
    " on the same events."
)
_NOT_OVER = (
    "Deflated is the chance that the best of what was tried is better than luck among as many; a"
    " Sharpe ratio is of the gains of an interval, not annualised, with its standard error for"
    " independent gains, and by blocks of neighbours."
)
_HOLDS = (
    "The class told is the one of the highest score; the threshold between flat and a move is set"
    " on the time before. Where few horizons do not overlap, a figure says little, whatever its"
    " error."
)


@dataclass(frozen=True, slots=True)
class Decided:
    """Decisions in known order, with what their reports need.

    Attributes:
        at: Event times in nanoseconds.
        received: When each was known.
        symbol: Of each.
        mid: NaN where the book could not be read.
        volatility: Over ten seconds, likewise.
        scores: Of up, flat and down.
    """

    at: NDArray[np.int64]
    received: NDArray[np.int64]
    symbol: NDArray[np.str_]
    mid: Floats
    volatility: Floats
    scores: Floats

    def chosen(self, rows: NDArray[np.bool_]) -> Decided:
        """Some of them."""
        return Decided(
            self.at[rows],
            self.received[rows],
            self.symbol[rows],
            self.mid[rows],
            self.volatility[rows],
            self.scores[:, rows],
        )

    def signals(self, strength: float) -> Signals:
        """To buy where the score of up is above that of down and reaches so far, and so to sell."""
        up, _, down = self.scores
        known = ~np.isnan(self.mid)
        buys = known & (up >= strength) & (up > down)
        sells = known & (down >= strength) & (down > up)
        return signals_of(
            self.received,
            self.symbol.tolist(),
            np.where(buys, "buy", np.where(sells, "sell", "hold")),
        )


def decided_of(table: pa.Table) -> Decided:
    """Decisions in known order.

    Args:
        table: As commands write them; or as `hr.decide` gives them, beside `at`, `received` and
            `symbol` of their events.
    """
    times = {name: _nanoseconds(table[name]) for name in ("at", "received")}
    order = np.lexsort((np.arange(table.num_rows), times["received"]))
    table = table.take(pa.array(order))
    scores = np.stack([_floats(table, f"score_{name}") for name in diagnostics.DIRECTIONS])
    return Decided(
        times["at"][order],
        times["received"][order],
        np.array(table["symbol"].to_pylist(), dtype=str),
        _floats(table, "mid"),
        _floats(table, "volatility_10s"),
        scores,
    )


def _floats(table: pa.Table, name: str) -> Floats:
    column = pc.cast(table[name], pa.float64())
    found: Floats = column.to_numpy(zero_copy_only=False)
    return found.astype(np.float64)


def _nanoseconds(column: pa.ChunkedArray) -> NDArray[np.int64]:
    found: NDArray[np.int64] = column.cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_numpy()
    return found


def report_sections(
    data: Path, decisions: Path, since: dt.datetime, answers: Path | None = None
) -> Sequence[Section]:
    """Sections of a demo's report.

    Args:
        data: The folder of the simulation.
        decisions: Every decision, as Parquet.
        since: When history ended; before it the model has seen the outcomes.
        answers: Events of `orders` that the paper venue answered with, as Parquet.
    """
    frames = {
        name: pa.concat_tables(
            [pq.read_table(data / part / f"{name}.parquet") for part in ("history", "later")]
        )
        for name in ("changes", "depth", "trades")
    }
    table = pq.read_table(decisions)
    tape = tape_of(frames)
    sections = sections_of(tape, decided_of(table), since)
    if answers is None:
        return sections
    later = table.filter(pc.greater_equal(table["received"], pa.scalar(since, _TIME)))
    paper = paper_section(pq.read_table(answers), later, _since(tape, _nanosecond(since)))
    return (paper, *sections)


def sections_of(
    whole: Tape,
    decided: Decided,
    since: dt.datetime,
    *,
    assumptions: Assumptions | None = None,
    limits: Limits | None = None,
    terms: OrderTerms | None = None,
    horizon: float = HORIZON,
) -> Sequence[Section]:
    """Sections on decisions over a market.

    Args:
        whole: The market, from its beginning.
        decided: On all of `depth`.
        since: From when on the model is judged; it has learned from what was before.
        assumptions: Of the venue.
        limits: Of the gateway.
        terms: Of the orders, of which both kinds are tried.
        horizon: Over which the model tells a direction, in seconds.
    """
    begin = _nanosecond(since)
    tape = _since(whole, begin)
    later = decided.received >= begin
    judged, before = decided.chosen(later), decided.chosen(~later)
    assumed, limited, agreed = assumptions or ASSUMPTIONS, limits or LIMITS, terms or TERMS
    told = _told(judged, before, begin)
    return (
        _backtest_section(tape, judged, assumed, limited, agreed),
        _signal_section(told, judged, horizon),
        _series_section(judged),
    )


def _nanosecond(moment: dt.datetime) -> int:
    return int(moment.timestamp()) * _SECOND + moment.microsecond * 1_000


def _since(tape: Tape, begin: int) -> Tape:
    """The market from a moment on."""
    return Tape(
        tuple(each for each in tape.books if each.received >= begin),
        tuple(each for each in tape.trades if each.received >= begin),
    )


def _told(judged: Decided, before: Decided, begin: int) -> diagnostics.Told:
    names = np.unique(np.concatenate([judged.symbol, before.symbol]))
    keys = [np.searchsorted(names, each.symbol) for each in (judged, before)]
    known = ~np.isnan(judged.scores).any(axis=0)
    told = np.where(known, np.nan_to_num(judged.scores).argmax(axis=0), -1)
    return diagnostics.Told(
        judged.at, keys[0], judged.mid, told, begin, (before.at, keys[1], before.mid)
    )


def _backtest_section(
    tape: Tape, judged: Decided, assumed: Assumptions, limits: Limits, terms: OrderTerms
) -> Section:
    seconds = (tape.books[-1].received - tape.books[0].received) / _SECOND if tape.books else 0.0
    interval = max(1.0, float(round(seconds / _INTERVALS)))
    variants = {
        f"{word}, score {strength:g}": Variant(
            judged.signals(strength), assumed, replace(terms, joins=joins)
        )
        for word, joins in (("take", False), ("join", True))
        for strength in STRENGTHS
    }
    trials = tried(tape, variants, limits=limits, interval=interval)
    chosen = list(variants.values())[trials.best]
    decay = by_latency(
        tape,
        chosen.signals,
        LATENCIES,
        assumptions=assumed,
        limits=limits,
        terms=chosen.terms,
        interval=interval,
    )
    parts: list[Part] = [
        _assumptions(assumed, limits, terms),
        _figures(trials),
        _money(trials),
    ]
    refused = _refused(trials)
    if refused[2]:
        parts.append(refused)
    parts += hr.if_drawable(lambda: _equity(trials), lambda: _latency(decay))
    return "What the signals would have come to", f"{_NO_CLAIM} {_NOT_OVER}", parts


def _assumptions(assumed: Assumptions, limits: Limits, terms: OrderTerms) -> Part:
    life = "none" if assumed.lifetime_us is None else f"{assumed.lifetime_us / 1e6:g} s"
    rows = (
        ("fee of an order that waited", f"{assumed.maker_fee_bp:g} bp"),
        ("fee of an order that took", f"{assumed.taker_fee_bp:g} bp"),
        ("half-spread beside the book's own", f"{assumed.half_spread_bp:g} bp"),
        ("latency, decision to venue", f"{assumed.order_latency_us:,} us"),
        ("latency, venue to us", f"{assumed.report_latency_us:,} us"),
        ("place in the queue", "behind all that is shown at the price"),
        ("cancelled before us", f"{assumed.cancels_ahead_pct} % of what is cancelled at the price"),
        ("lifetime of an order that waits", life),
        ("impact on the market", "none; what was taken is not taken twice"),
        ("quantity of an order", terms.quantity),
        ("most held of a symbol", limits.position),
        ("most held of all, in money", limits.notional),
        ("loss at which all stops", limits.loss),
        ("most orders", f"{limits.open_orders} open, {limits.orders_per_second} a second"),
    )
    return ("What is assumed", ("of", "is"), rows)


def _figures(trials: Trials) -> Part:
    rows = []
    for place, (name, found) in enumerate(zip(trials.names, trials.backtests, strict=True)):
        ratio = found.sharpe
        length = max(1, round(len(found.equity) ** (1 / 3)))
        said = "-" if ratio is None else f"{ratio.ratio:+.4f}"
        error = "-" if ratio is None else f"{ratio.error:.4f}"
        blocks = "-" if ratio is None else f"{found.sharpe_block_error(length):.4f}"
        hits = "-" if found.round_trips == 0 else f"{found.hit_rate:.1%}"
        deflated = f"{trials.deflated:.3f}" if place == trials.best and ratio else ""
        rows.append(
            (name, f"{found.orders:,}", f"{found.fills:,}", f"{found.round_trips:,}", hits,
             said, error, blocks, deflated)
        )  # fmt: skip
    seconds = trials.backtests[0].interval_ns / _SECOND
    return (
        f"{len(rows)} things were tried; gains of {seconds:g} s",
        ("tried", "orders", "fills", "round trips", "with profit", "Sharpe", "error",
         "error by blocks", "deflated"),
        rows,
    )  # fmt: skip


def _money(trials: Trials) -> Part:
    rows = []
    for name, found in zip(trials.names, trials.backtests, strict=True):
        amounts = (
            found.gross,
            found.half_spread,
            found.fees,
            found.net,
            found.drawdown,
            found.turnover,
        )
        rows.append((name, *(f"{amount:,.2f}" for amount in amounts), found.killed or "no"))
    return (
        "In the quote currency: gross at mids, less half-spread and fees, is net",
        ("tried", "gross", "half-spread", "fees", "net", "drawdown", "turnover", "stopped"),
        rows,
    )


def _refused(trials: Trials) -> tuple[str, Sequence[str], Sequence[Sequence[str]]]:
    rows = [
        (name, reason, f"{count:,}")
        for name, found in zip(trials.names, trials.backtests, strict=True)
        for reason, count in found.rejected.items()
    ]
    return ("Orders that were refused", ("tried", "reason", "orders"), rows)


def _equity(trials: Trials) -> hr.Plot:
    found = trials.backtests[trials.best]
    minutes = np.arange(1, len(found.equity) + 1) * found.interval_ns / _SECOND / 60
    return hr.line_plot(
        "Equity",
        f"Net of fees and half-spread, of what had the highest Sharpe ratio"
        f" ({trials.names[trials.best]}): {found.net:,.2f} in the end, and at worst"
        f" {found.drawdown:,.2f} below a height before it. The dashed line is doing nothing.",
        minutes,
        {"net": found.equity},
        labels=("minutes", "quote currency"),
        level=0.0,
    )


def _latency(decay: Sequence[Backtest]) -> hr.Plot:
    net, gross = [each.net for each in decay], [each.gross for each in decay]
    return hr.line_plot(
        "Latency and money",
        f"The same signals with other latencies to the venue, from none ({net[0]:,.2f} net) to"
        f" {LATENCIES[-1] / 1e6:g} s ({net[-1]:,.2f} net). Gross is at mids, before fees and"
        " half-spread.",
        # a logarithmic scale has no 0
        np.maximum(np.array(LATENCIES) / 1_000, 0.1),
        {"net": net, "gross": gross},
        labels=("milliseconds to the venue (0 is shown as 0.1)", "quote currency"),
        log_x=True,
        level=0.0,
    )


def _signal_section(told: diagnostics.Told, judged: Decided, horizon: float) -> Section:
    try:
        truth = told.truth(round(horizon * _SECOND))
    except hr.DataError as error:
        return "Where the signal holds", f"It cannot be judged: {error}", ()
    horizons = diagnostics.by_horizon(told, HORIZONS)
    regimes = diagnostics.by_regime(told, horizon, judged.volatility)
    stale = diagnostics.by_staleness(told, horizon, STALENESS)
    rows = [
        (of, score.name, f"{score.events:,}", f"{score.apart:,}", f"{score.f1:.3f}",
         f"{score.error:.3f}")
        for of, scores in (
            ("horizon, s", horizons),
            ("volatility", regimes),
            ("told before, s", stale),
        )
        for score in scores
    ]  # fmt: skip
    parts: list[Part] = [
        (
            "Macro-F1 with its standard error, by blocks",
            ("by", "of", "events", "horizons that do not overlap", "macro-F1", "error"),
            rows,
        )
    ]
    parts += hr.if_drawable(
        lambda: confusion_part(truth, told.told, horizon),
        *signal_parts(horizons, regimes, stale),
    )
    return (
        "Where the signal holds",
        f"{_HOLDS} Here the horizon is {horizon:g} s, if no other is said.",
        parts,
    )


def _series_section(judged: Decided) -> Section:
    mine = judged.symbol == judged.symbol[0] if len(judged.symbol) else np.zeros(0, dtype=bool)
    said, tables, makers = series_parts(judged.received[mine], judged.mid[mine])
    name = str(judged.symbol[0]) if len(judged.symbol) else "no symbol"
    return "What the series is like", f"Of {name}. {said}", [*tables, *hr.if_drawable(*makers)]
