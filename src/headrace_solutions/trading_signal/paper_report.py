"""What a report shows of paper orders that came back: positions, and every limit that acted.

All of it is read from the journal's own words: decisions, and the events of `orders`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import headrace as hr
from headrace_solutions.trading_signal import case
from headrace_solutions.trading_signal.backtest import equity_curve, round_trips
from headrace_solutions.trading_signal.tape import UNIT, units
from headrace_solutions.trading_signal.venue import BUY, SELL, Report, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from headrace_solutions.trading_signal.tape import Tape

    Part: TypeAlias = hr.Plot | tuple[str, Sequence[str], Sequence[Sequence[str]]]
    Section: TypeAlias = tuple[str, str, Sequence[Part]]

_SECOND = 1_000_000_000
_CASH = float(UNIT) * UNIT
#: How a gateway begins the reason of an order that its kill switch refuses.
_KILLED = "kill switch"
_SAID = (
    "From the end of history on, each decision to buy or sell was sent to a paper venue, and what"
    " became of it came back a round trip later as events of the stream `orders`: inputs of the"
    " same journal, which verification and replay cover. Position, profit and rate of orders are"
    " features over them, and the policy's limits are rules over these. This is no claim of"
    " profit."
)


def paper_section(orders: pa.Table, decisions: pa.Table, tape: Tape) -> Section:
    """What was traded on paper, and what stopped it.

    Args:
        orders: Events of the stream `orders`, in known order.
        decisions: Those after the end of history, as commands write them.
        tape: The market since then.
    """
    reports = reports_of(orders)
    fills = [report for report in reports if report.quantity]
    parts: list[Part] = [_positions(reports, tape), _acted(decisions), _refused(reports)]
    if fills:
        parts += hr.if_drawable(lambda: _equity(tape, fills))
    return "What was traded on paper", f"{_SAID} {_switch(reports, decisions)}", parts


def reports_of(orders: pa.Table) -> list[Report]:
    """Events of the stream `orders` as the reports that they came of; a fee holds the spread too.

    What was left of an order, and the mid at its fills, are not in the stream: they are 0.
    """
    times = {
        name: orders[name].cast(pa.timestamp("ns", "UTC")).cast(pa.int64()).to_pylist()
        for name in ("received", "at")
    }
    rest = orders.drop_columns(["received", "at"]).to_pylist()
    return [
        _report(received, at, row)
        for received, at, row in zip(times["received"], times["at"], rest, strict=True)
    ]


def _report(received: int, at: int, row: Mapping[str, Any]) -> Report:
    status = Status(row["status"])
    filled = status in (Status.FILLED, Status.PARTIALLY_FILLED)
    return Report(
        received,
        at,
        int(row["order_id"].removeprefix("o")),
        row["symbol"],
        BUY if row["buy"] else SELL,
        status,
        None if row["price"] is None else units(row["price"]),
        units(row["quantity"]) if filled else 0,
        0,
        units(row["fee"]),
        reason=row["reason"] or "",
    )


@dataclass(slots=True)
class _Held:
    """What was held of a symbol."""

    orders: int = 0
    fills: int = 0
    position: int = 0
    most: int = 0
    cash: int = 0
    fees: int = 0


def _positions(reports: Sequence[Report], tape: Tape) -> Part:
    mids = {
        book.symbol: (book.bids[0][0] + book.asks[0][0]) / 2
        for book in tape.books
        if book.bids and book.asks
    }
    held = {symbol: _Held() for symbol in sorted(mids)}
    for report in reports:
        mine = held.setdefault(report.symbol, _Held())
        mine.orders += report.status in (Status.NEW, Status.REJECTED)
        if report.quantity:
            mine.fills += 1
            mine.position += report.side * report.quantity
            mine.most = max(mine.most, abs(mine.position))
            mine.cash -= report.side * report.quantity * (report.price or 0) + report.fee * UNIT
            mine.fees += report.fee
    trips = Counter(trip.symbol for trip in round_trips(r for r in reports if r.quantity))
    rows = [
        (symbol, f"{mine.orders:,}", f"{mine.fills:,}", f"{trips[symbol]:,}",
         f"{mine.most / UNIT:,.0f}", f"{mine.position / UNIT:,.0f}", f"{mine.fees / UNIT:,.2f}",
         f"{(mine.cash + mine.position * mids.get(symbol, 0.0)) / _CASH:,.2f}")
        for symbol, mine in held.items()
    ]  # fmt: skip
    return (
        "By symbol; what is open in the end is worth its mid",
        ("symbol", "orders", "fills", "round trips", "most held", "held in the end", "fees",
         "net of fees"),
        rows,
    )  # fmt: skip


def _acted(decisions: pa.Table) -> Part:
    """The rules before the signals, with how often each decided, and against how many signals."""
    rules = [rule.name for rule in case.policy.rules if rule.outcome.name not in ("buy", "sell")]
    outcomes = {rule.name: rule.outcome.name for rule in case.policy.rules}
    by = np.array(decisions["rule"].fill_null("").to_pylist(), dtype=str)
    scores = [_floats(decisions, f"score_{name}") for name in ("up", "down")]
    signal = np.maximum(*scores) >= case.SIGNAL
    symbols = np.array(decisions["symbol"].to_pylist(), dtype=str)
    rows = []
    for name in rules:
        mine = by == name
        of = ", ".join(np.unique(symbols[mine]).tolist()) or "-"
        rows.append((name, outcomes[name], f"{mine.sum():,}", f"{(mine & signal).sum():,}", of))
    return (
        "Limits of the policy, in the order in which they are asked",
        ("rule", "outcome", "decisions", "of them with a signal", "symbols"),
        rows,
    )


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    column = pc.fill_null(pc.cast(table[name], pa.float64()), 0.0)
    found: NDArray[np.float64] = column.to_numpy(zero_copy_only=False)
    return found


def _refused(reports: Sequence[Report]) -> Part:
    gone = (Status.REJECTED, Status.CANCELLED)
    counts = Counter(
        (report.status.value, report.reason) for report in reports if report.status in gone
    )
    rows = [(what, reason, f"{count:,}") for (what, reason), count in counts.most_common()]
    return (
        "Orders that were refused, by the gateway or the venue, or cancelled",
        ("became", "reason", "orders"),
        rows or [("-", "none", "0")],
    )


def _switch(reports: Sequence[Report], decisions: pa.Table) -> str:
    """Whether something stopped all, and when: a person, the policy, or the gateway."""
    said = []
    by = np.array(decisions["rule"].fill_null("").to_pylist(), dtype=str)
    for rule, what in (
        ("kill_switch", "a person's kill switch halted"),
        ("loss_limit", "the loss limit halted"),
    ):
        for symbol in sorted(set(decisions["symbol"].filter(pa.array(by == rule)).to_pylist())):
            mine = pc.and_(pa.array(by == rule), pc.equal(decisions["symbol"], symbol))
            times = decisions["received"].filter(mine).cast(pa.timestamp("ns", "UTC"))
            said.append(f"{what} {symbol} from {_clock(times[0])}")
    struck = next((r for r in reports if r.reason.startswith(_KILLED)), None)
    if struck is not None:
        about = struck.reason.removeprefix(f"{_KILLED}: ")
        said.append(f"the gateway's kill switch struck, and refused all from then on ({about})")
    else:
        said.append("the gateway's kill switch did not strike")
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}."


def _clock(moment: pa.Scalar) -> str:
    return str(np.datetime64(moment.value, "ns").astype("datetime64[s]")).replace("T", " ")


def _equity(tape: Tape, fills: Sequence[Report]) -> hr.Plot:
    equity = equity_curve(tape, fills, _SECOND)
    heights = np.maximum.accumulate(np.concatenate([[0.0], equity]))[1:]
    return hr.line_plot(
        "Equity of the paper orders",
        f"Net of fees: {equity[-1]:,.2f} in the end, and at worst {(heights - equity).max():,.2f}"
        " below a height before it. The dashed line is doing nothing.",
        np.arange(1, len(equity) + 1) / 60,
        {"net": equity},
        labels=("minutes", "quote currency"),
        level=0.0,
    )
