"""Bars, and prices without sizes: what vendors keep of markets whose books are not public.

A bar is known when it ends. Prices of currencies come as a bid and an ask, of which no size is
told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import headrace as hr
from headrace_solutions.trading_signal.feed import TIME, Feed, exact, in_order
from headrace_solutions.trading_signal.quarantine import Quarantine, Reason
from headrace_solutions.trading_signal.table_rows import (
    DECIMAL,
    SCALE,
    Form,
    csv_rows,
    parquet_rows,
    units,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Digits of volumes, which are greater than prices.
_VOLUME_SCALE = 4
_PRICES = ("open", "high", "low", "close")
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
_TICK = {
    "timestamp": Form(rf"{_DAY}[ T]{_CLOCK}(?:\+00:00|Z)", "a time of UTC", Reason.BAD_TIME),
    "bid": DECIMAL,
    "ask": DECIMAL,
}


class Bar(hr.Event):
    """The first, highest, lowest and last price of a stretch of time, known when it ends."""

    bar_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    symbol: hr.Key
    open: hr.Decimal = hr.field(scale=8)
    high: hr.Decimal = hr.field(scale=8)
    low: hr.Decimal = hr.field(scale=8)
    close: hr.Decimal = hr.field(scale=8)
    volume: hr.Decimal | None = hr.field(scale=4, minimum=0)


class Price(hr.Event):
    """What a dealer bids and asks, without saying for how much."""

    price_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    symbol: hr.Key
    bid: hr.Decimal = hr.field(scale=8)
    ask: hr.Decimal = hr.field(scale=8)


bars = hr.stream(Bar, name="bars", dedupe="1m")
prices = hr.stream(Price, name="prices", dedupe="1m")


def read_bars(path: Path, *, symbol: str, seconds: int = 60) -> Feed:
    """A table of bars as a frame of bars.

    Args:
        path: Parquet with timestamp (when a bar begins; of UTC, if it does not say), open, high,
            low, close, and volume if it is told.
        symbol: What they are of; bid and ask of one currency are two symbols.
        seconds: How long a bar lasts.

    Raises:
        DataError: If a column is missing.
    """
    quarantine = Quarantine(path.name)
    rows = parquet_rows(path, ("timestamp", *_PRICES), form="a table of bars", may_have=("volume",))
    volumes = [name for name in ("volume",) if name in rows.told.column_names]
    at, bad = _times(rows.told["timestamp"])
    rows = rows.without(bad, Reason.BAD_TIME, "timestamp is no time", quarantine)
    kept = rows.floats_fit(_PRICES, quarantine, least=0.0)
    kept = kept.floats_fit(volumes, quarantine, least=0.0, scale=_VOLUME_SCALE)
    price = {name: units(kept.told[name]) for name in _PRICES}
    least, most = (
        function.reduce([price[name] for name in ("open", "low", "close", "high")])
        for function in (np.minimum, np.maximum)
    )
    odd = (price["low"] != least) | (price["high"] != most)
    kept = kept.without(odd, Reason.OUT_OF_RANGE, "a price beyond high or low", quarantine)
    at, _ = _times(kept.told["timestamp"])
    ends = at + seconds * 10**9
    volume = (
        exact(units(kept.told["volume"], _VOLUME_SCALE), _VOLUME_SCALE)
        if volumes
        else pa.nulls(len(kept), pa.decimal128(19, _VOLUME_SCALE))
    )
    frame = pa.table(
        {
            "bar_id": pc.cast(pa.array(kept.lines), pa.string()),
            **_known(ends, symbol),
            **{name: exact(units(kept.told[name]), SCALE) for name in _PRICES},
            "volume": volume,
        }
    )
    return Feed({"bars": frame}, quarantine.table(), rows.count)


def read_truefx(path: Path, *, symbol: str) -> Feed:
    """A CSV of times, bids and asks, as TrueFX gives them, as a frame of prices.

    Args:
        path: Of the CSV, compressed or not; its first line names timestamp, bid, ask.
        symbol: What they are of.

    Raises:
        DataError: If a column is missing.
    """
    quarantine = Quarantine(path.name)
    rows = csv_rows(path, list(_TICK), quarantine, form="a file of TrueFX")
    kept = rows.checked(_TICK, quarantine)
    at, bad = _times(kept.told["timestamp"])
    kept = kept.without(bad, Reason.BAD_TIME, "timestamp is no time", quarantine)
    frame = pa.table(
        {
            "price_id": pc.cast(pa.array(kept.lines), pa.string()),
            **_known(at[~bad], symbol),
            "bid": kept.told["bid"],
            "ask": kept.told["ask"],
        }
    )
    return Feed({"prices": frame}, quarantine.table(), rows.count)


def _known(at: NDArray[np.int64], symbol: str) -> dict[str, pa.Array]:
    """What is alike in all frames."""
    return {
        "at": pa.array(at).cast(TIME),
        "received": pa.array(in_order(at)).cast(TIME),
        "symbol": pa.repeat(pa.scalar(symbol), len(at)),
    }


def _times(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Times in nanoseconds, and which are none; a text without an offset is of UTC."""
    if pa.types.is_timestamp(column.type):
        bad = column.is_null().to_numpy()
        return pc.fill_null(column.cast(TIME).cast(pa.int64()), 0).to_numpy(), bad
    text = pc.replace_substring_regex(pc.fill_null(column, ""), r"(?:\+00:00|Z)\z", "")
    looks = pc.match_substring_regex(text, rf"\A(?:{_DAY})[ T](?:{_CLOCK})\z")
    day = pc.replace_substring(pc.if_else(looks, text, "1970-01-01 00:00:00"), "T", " ")
    day = pc.replace_substring_regex(day, r"\.[0-9]*", "")
    told = pc.strptime(day, "%Y-%m-%d %H:%M:%S", "s", error_is_null=True)
    # the parser takes the 30th of February for the 2nd of March
    same = pc.equal(pc.strftime(told, "%Y-%m-%d %H:%M:%S"), day)
    within = pc.and_(pc.greater(pc.year(told), 1677), pc.less(pc.year(told), 2262))
    good = pc.and_(looks, pc.and_(same, within))
    bad = ~pc.fill_null(good, fill_value=False).to_numpy()
    whole = pc.fill_null(told.cast(pa.int64()), 0).to_numpy() * 10**9
    part = pc.extract_regex(pc.if_else(looks, text, "00:00:00.0"), r"\.(?P<of>[0-9]{1,9})\z")
    digits = pc.fill_null(pc.struct_field(part, 0), "0")
    nanoseconds = pc.utf8_rpad(digits, width=9, padding="0").cast(pa.int64()).to_numpy()
    return np.where(bad, 0, whole + nanoseconds), bad
