"""Order books of real feeds: whether they agree with what venues say, and how fast they are kept.

    HEADRACE_DATA=FOLDER python -m benchmarks.books

Three tables: each feed against its venue's own word, price-level changes a second through `step` on
one core beside a plain Python book over the same changes, and lines read a second. Times are
processor time of the one thread that works.
"""

from __future__ import annotations

import os
import sys
import time
from bisect import bisect_left, insort
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import headrace as hr
from headrace.adapters.opening import open_frame
from headrace.engine.books import OrderBooks
from headrace.engine.rows import StreamRows
from headrace.pipeline.lane import Lane, LaneLimits
from headrace.pipeline.step import step
from headrace.runtime.intake import Assembly, HistoryIntake
from headrace_solutions.trading_signal import bitstamp, lobster, market
from headrace_solutions.trading_signal.binance import read_capture
from headrace_solutions.trading_signal.clocks import clock_skew

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from headrace.definitions.books import Book
    from headrace.definitions.streams import Stream
    from headrace.pipeline.inputs import Inputs
    from headrace_solutions.trading_signal.feed import Feed

CAPTURES = {
    "Binance BTC/USDT, spot": "spot/btcusdt_20240808.gz",
    "Binance BTC/USDT, perpetual": "usdm/btcusdt_20240808.gz",
    "Binance BTC/USD, coin-margined": "cm/btcusd_perp_20240808.gz",
}
SIDES = {"bid_price": "bid", "bid_size": "bid", "ask_price": "ask", "ask_size": "ask"}
BATCH, RUNS = 16_384, 3
#: NASDAQ's book is given, and quiet for long: it is never stale.
given_book = market.changes.book(snapshot="is_snapshot", ends="is_last", place="place", levels=10)


def top_case(book: Book, on: Stream) -> hr.UseCase:
    """The best of a book and what became of it."""
    view = book.at(on)
    features = {
        name: view.price(side) if "price" in name else view.size(side)
        for name, side in SIDES.items()
    }
    counts = {name: getattr(view, name) for name in ("gaps", "crossings", "ignored", "snapshots")}
    more = {"corrections": view.corrections, "book_status": view.status}
    return hr.UseCase(name="tops", on=on, features=hr.features(**features, **counts, **more))


def signal_case() -> hr.UseCase:
    """What a model of the next move is given, computed at the end of every message."""
    view, symbol = market.book.at(market.depth), market.depth.by("symbol")
    return hr.UseCase(
        name="signal",
        on=market.depth,
        features=hr.features(
            spread=view.spread,
            micro_to_mid=view.micro_price / view.mid,
            imbalance_1=view.imbalance(),
            imbalance_5=view.imbalance(5),
            imbalance_20=view.imbalance(20),
            order_flow=view.order_flow,
            order_flow_1s=symbol.sum(view.order_flow, "1s"),
            order_flow_10s=symbol.sum(view.order_flow, "10s"),
            volatility_10s=symbol.std(view.log_return, "10s"),
            liquidity_10s=symbol.mean(view.depth("bid", 5) + view.depth("ask", 5), "10s"),
            since_move=view.seconds_since_move,
        ),
    )


def quotes_agree(frames: Mapping[str, pa.Table]) -> tuple[int, int, dict[str, float]]:
    """Updates of a book in sync, those that agree with the last quote not after, and counts."""
    given = {name: frames[name] for name in ("changes", "depth")}
    decided = hr.decide(top_case(market.book, market.depth), given)
    updates = frames["depth"]["last_update"].to_numpy()
    place = np.searchsorted(frames["quotes"]["update"].to_numpy(), updates, side="right") - 1
    same = place >= 0
    for name in SIDES:
        price = frames["quotes"][name].cast(pa.float64()).to_numpy()
        same &= column(decided, name) == price[np.maximum(place, 0)]
    told = frames["changes"].filter(frames["changes"]["is_snapshot"])
    snapshot = pc.is_in(frames["depth"]["received"], pc.unique(told["received"])).to_numpy()
    # an update that is older than the snapshot is behind the book that it is compared with
    behind = updates <= told["last_update"][0].as_py()
    known = (column(decided, "book_status") == 0) & ~snapshot & ~behind
    return int(known.sum()), int((same & known).sum()), last_of(decided)


def column(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A feature's values."""
    values: NDArray[np.float64] = table[name].to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def last_of(table: pa.Table) -> dict[str, float]:
    """The counters after all events."""
    names = ("gaps", "crossings", "ignored", "snapshots", "corrections")
    return {name: column(table, name)[-1] for name in names}


def snapshot_first(frames: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The same feed with its snapshot known before all else."""
    told = pc.unique(frames["changes"].filter(frames["changes"]["is_snapshot"])["received"])
    first = pa.scalar(pc.min(frames["depth"]["received"]).value - 1).cast(told.type)
    moved = dict(frames)
    for name in ("changes", "depth"):
        times = moved[name]["received"]
        place = moved[name].column_names.index("received")
        changed = pc.if_else(pc.is_in(times, told), first, times)
        moved[name] = moved[name].set_column(place, "received", changed)
    return moved


def agreement(folder: Path) -> None:
    """Each feed against its venue's own word."""
    say("### Books against what venues say\n")
    say("| feed | compared with | agree | of | gaps | crossed |")
    say("|---|---|---|---|---|---|")
    skews, all_known, all_same = {}, 0, 0
    for name, path in CAPTURES.items():
        frames = read_capture(folder / "lob_binance_ws" / path).frames
        skews[name] = clock_skew(frames["depth"])
        for how, given in (
            ("as received", frames),
            ("its snapshot known first", snapshot_first(frames)),
        ):
            known, same, counts = quotes_agree(given)
            say(
                f"| {name}, {how} | the last quote, after every update | {same:,} | {known:,} |"
                f" {counts['gaps']:.0f} | {counts['crossings']:.0f} |"
            )
        all_known, all_same = all_known + known, all_same + same
    say(f"| all three, snapshots first | | {all_same:,} | {all_known:,} | | |")
    feed = bitstamp.read_log(folder / "lob_bitstamp_obanalytics" / "2015-05-01.log.xz")
    given = {name: feed.frames[name] for name in ("order_changes", "moments")}
    decided = hr.decide(top_case(bitstamp.order_book, bitstamp.moments), given)
    counts = last_of(decided)
    compared = counts["snapshots"] - 1
    say(
        f"| Bitstamp BTC/USD, orders | 20 levels of both sides, at every snapshot |"
        f" {compared - counts['corrections']:,.0f} | {compared:,.0f} | - |"
        f" {counts['crossings']:.0f} |"
    )
    say(nasdaq(folder / "lob_lobster"))
    say("\n### Clocks\n")
    for name, skew in skews.items():
        say(f"- {name}: {skew}")


def nasdaq(folder: Path) -> str:
    """Executions against the best price before them."""
    names = (folder / f"AMZN_2012-06-21_{what}_1.parquet" for what in ("message", "orderbook"))
    feed = lobster.read_lobster(*names, symbol="AMZN", day=date(2012, 6, 21))
    given = {name: feed.frames[name] for name in ("changes", "trades")}
    decided = hr.decide(top_case(given_book, market.trades), given)
    trades = feed.frames["trades"]
    bought, visible = trades["buyer_took"].to_numpy(), ~trades["hidden"].to_numpy()
    best = np.where(bought, column(decided, "ask_price"), column(decided, "bid_price"))
    paid = trades["price"].cast(pa.float64()).to_numpy()
    # in units of the price: a decimal that is cast is not always the nearest float
    same = (np.rint(best * 10_000) == np.rint(paid * 10_000)) & visible
    crossed = last_of(decided)["crossings"]
    return (
        f"| NASDAQ AMZN, visible executions | the best price before each | {same.sum():,} |"
        f" {visible.sum():,} | - | {crossed:.0f} |"
    )


def inputs_of(case: hr.UseCase, frames: Mapping[str, pa.Table]) -> list[Inputs]:
    """The frames as validated columns, in known order."""
    assembly = Assembly(case.plan, None)
    names = [stream.name for stream in case.plan.streams]
    sources = [
        (n, open_frame(frames[name], name, assembly.schemas[name])) for n, name in enumerate(names)
    ]
    intake = HistoryIntake(assembly, sources, dict.fromkeys(names, 0), lambda: 0)
    return list(intake.batches(0, BATCH))


def through_step(case: hr.UseCase, inputs: list[Inputs]) -> Callable[[], None]:
    """Everything through `step`, in one thread."""

    def run() -> None:
        lane = Lane(case.definition(None), (1, 2), LaneLimits(threads=1))
        for batch in inputs:
            step(lane, batch)

    return run


def kernel_alone(case: hr.UseCase, inputs: list[Inputs]) -> Callable[[], None]:
    """Changes and reads of books, without acceptance, windows and features."""
    plan = case.plan
    given = []
    first = 0
    for batch in inputs:
        streams = {}
        for rank, stream in enumerate(plan.streams):
            if batch.batches.get(stream.name):
                order = np.flatnonzero(batch.stream == rank) + first
                streams[stream.name] = StreamRows(batch.batches[stream.name], order, order)
        first += len(batch)
        codes = {
            (name, "symbol"): np.zeros(len(rows.sequence), dtype=np.int64)
            for name, rows in streams.items()
        }
        given.append((streams, codes))

    def run() -> None:
        books = OrderBooks(plan, 1 << 30, (1, 2))
        for streams, codes in given:
            books.advance(streams, codes, one_by_one, 1)

    return run


def one_by_one(tasks: Sequence[Callable[[], None]]) -> None:
    """Run tasks in this thread."""
    for task in tasks:
        task()


def in_plain_python(  # noqa: C901 - calls of parts would slow it down
    inputs: list[Inputs], *, checked: bool
) -> Callable[[], None]:
    """The same changes in dictionaries and sorted lists; mid and imbalance at ends of messages.

    Args:
        inputs: The changes; they are decoded before.
        checked: Whether ids are looked up among those seen, and update ids followed.
    """
    rows: list[tuple[int, int, int, int, int, int, str | None]] = []
    for batch in inputs:
        changes = batch.batches.get("changes")
        if changes is not None:
            names = ("bid", "price", "size", "is_last", "first_update", "last_update")
            fields = [changes.fixed(name).values.tolist() for name in names]
            rows += zip(*fields, changes.text("change_id").strings(), strict=True)

    def run() -> None:
        sizes: tuple[dict[int, int], dict[int, int]] = ({}, {})
        prices: tuple[list[int], list[int]] = ([], [])
        seen: set[str | None] = set()
        last_update = 0
        for bid, price, size, ends, first, last, name in rows:
            if checked:
                if name in seen:
                    continue
                seen.add(name)
                if first > last_update + 1:
                    sizes, prices = ({}, {}), ([], [])
                last_update = last
            side = 0 if bid else 1
            key = price if bid else -price
            held, order = sizes[side], prices[side]
            if size:
                if key not in held:
                    insort(order, key)
                held[key] = size
            elif held.pop(key, None) is not None:
                del order[bisect_left(order, key)]
            if ends and prices[0] and prices[1]:
                mid = (prices[0][-1] - prices[1][-1]) / 2
                bids = sum(map(sizes[0].__getitem__, prices[0][-5:]))
                asks = sum(map(sizes[1].__getitem__, prices[1][-5:]))
                _ = mid, (bids - asks) / (bids + asks)

    return run


def seconds(run: Callable[[], object]) -> float:
    """The least processor time of several runs, after one that is not counted."""
    run()
    taken = []
    for _ in range(RUNS):
        begin = time.process_time()
        run()
        taken.append(time.process_time() - begin)
    return min(taken)


def speed(folder: Path) -> None:
    """Price-level changes a second."""
    say("\n### Price-level changes a second, one core\n")
    say(
        "| feed | changes | messages | through `step`, 11 features | its books alone |"
        " plain Python that checks ids | that checks nothing |"
    )
    say("|---|---|---|---|---|---|---|")
    case = signal_case()
    for name, path in CAPTURES.items():
        frames = read_capture(folder / "lob_binance_ws" / path).frames
        inputs = inputs_of(case, {key: frames[key] for key in ("changes", "depth")})
        changes, messages = frames["changes"].num_rows, frames["depth"].num_rows
        runs = (
            through_step(case, inputs),
            kernel_alone(case, inputs),
            in_plain_python(inputs, checked=True),
            in_plain_python(inputs, checked=False),
        )
        speeds = " | ".join(f"{changes / seconds(run):,.0f}" for run in runs)
        say(f"| {name} | {changes:,} | {messages:,} | {speeds} |")


def reading(folder: Path) -> None:
    """Lines of feeds read a second, decompressed and checked."""
    say("\n### Lines of feeds that are read a second, one core\n")
    say("| feed | lines | rows of streams | lines a second | rows a second |")
    say("|---|---|---|---|---|")
    feeds: dict[str, Callable[[], Feed]] = {
        name: partial(read_capture, folder / "lob_binance_ws" / path)
        for name, path in CAPTURES.items()
    }
    log = folder / "lob_bitstamp_obanalytics" / "2015-05-01.log.xz"
    feeds["Bitstamp BTC/USD, orders"] = partial(bitstamp.read_log, log)
    for name, read in feeds.items():
        feed = read()
        rows = sum(frame.num_rows for frame in feed.frames.values())
        taken = seconds(read)
        say(
            f"| {name} | {feed.lines:,} | {rows:,} | {feed.lines / taken:,.0f} |"
            f" {rows / taken:,.0f} |"
        )


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Measure what is asked for."""
    folder = os.environ.get("HEADRACE_DATA")
    if folder is None:
        sys.exit("HEADRACE_DATA names no folder: it holds the feeds that books are kept from")
    agreement(Path(folder))
    speed(Path(folder))
    reading(Path(folder))


if __name__ == "__main__":
    main()
