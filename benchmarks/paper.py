"""Paper trading on real captures: one page for each, of what a model's signals would have come to.

    HEADRACE_DATA=FOLDER python -m benchmarks.paper OUT

The model learns from the first six tenths of a capture and is judged on the rest.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

import headrace as hr
from headrace_solutions.trading_signal.binance import read_capture
from headrace_solutions.trading_signal.case import trading_signal
from headrace_solutions.trading_signal.gateway import Limits, OrderTerms
from headrace_solutions.trading_signal.report import decided_of, sections_of
from headrace_solutions.trading_signal.tape import tape_of
from headrace_solutions.trading_signal.venue import Assumptions

if TYPE_CHECKING:
    from collections.abc import Mapping

CAPTURES = {
    "Binance BTC/USDT, spot": "spot/btcusdt_20240808.gz",
    "Binance BTC/USDT, perpetual": "usdm/btcusdt_20240808.gz",
}
LEARNED = 0.6
ASSUMED = Assumptions(maker_fee_bp=2.0, taker_fee_bp=5.0, order_latency_us=5_000)
LIMITS = Limits(position="0.1", notional="10000", loss="100")
TERMS = OrderTerms(quantity="0.01")


def page_of(name: str, frames: Mapping[str, pa.Table | None]) -> hr.Report:
    """Learn from a capture's beginning, decide on all of it, and report on the rest."""
    depth = frames["depth"]
    assert depth is not None
    known = pc.sort_indices(depth["received"])
    split = depth["received"].take(known)[int(LEARNED * depth.num_rows)].as_py()
    since = dt.datetime.fromtimestamp(split.timestamp(), tz=dt.UTC)
    early = {
        stream: None if table is None else table.filter(pc.less(table["received"], since))
        for stream, table in frames.items()
    }
    trained = hr.train(trading_signal, early)
    decided = hr.decide(trading_signal, frames, model=trained.artefact)
    beside = decided
    for column in ("at", "received", "symbol"):
        beside = beside.append_column(column, depth[column])
    page = hr.Report(
        f"{name}: signals on paper",
        f"The model learned from what was before {since:%H:%M:%S} UTC; all that is shown comes"
        " after.",
        [
            hr.KeyFigure("Messages", f"{depth.num_rows:,}", "of the book"),
            hr.KeyFigure("Learned from", f"{LEARNED:.0%}", "of them"),
        ],
    )
    sections = sections_of(
        tape_of(frames),
        decided_of(beside),
        since,
        assumptions=ASSUMED,
        limits=LIMITS,
        terms=TERMS,
    )
    for title, text, parts in sections:
        page.add(title, text, *parts)
    return page


def main(out: Path) -> None:
    """Write a page for each capture."""
    folder = Path(os.environ["HEADRACE_DATA"]) / "lob_binance_ws"
    out.mkdir(parents=True, exist_ok=True)
    for name, file in CAPTURES.items():
        frames = dict(read_capture(folder / file).frames)
        whole: dict[str, pa.Table | None] = {**frames, "orders": None, "switches": None}
        path = out / f"{file.partition('/')[0]}.html"
        page_of(name, whole).write(path)
        sys.stdout.write(f"wrote {path}\n")


if __name__ == "__main__":
    if len(sys.argv) != 2 or "HEADRACE_DATA" not in os.environ:
        sys.exit("usage: HEADRACE_DATA=FOLDER python -m benchmarks.paper OUT")
    main(Path(sys.argv[1]))
