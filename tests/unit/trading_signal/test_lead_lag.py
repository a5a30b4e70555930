"""One asset at several venues: what is known at a look, and that nothing of it comes later."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import headrace as hr
from headrace_solutions.trading_signal import lead_lag
from headrace_solutions.trading_signal.binance import read_capture
from headrace_solutions.trading_signal.feed import TIME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

DATA = os.environ.get("HEADRACE_DATA")
CAPTURES = {
    "spot:BTCUSDT": "spot/btcusdt_20240808.gz",
    "usdm:BTCUSDT": "usdm/btcusdt_20240808.gz",
    "cm:BTCUSD_PERP": "cm/btcusd_perp_20240808.gz",
}
MS = 1_000_000
SYMBOLS = ("S", "P", "C")


def feed(symbol: str, seed: int, seconds: int = 20) -> dict[str, pa.Table]:
    """Quotes and trades of one venue whose exchange runs a second ahead of the receiver."""
    random = np.random.default_rng(seed)
    received = np.cumsum(random.integers(1, 40, seconds * 50)) * MS + 10**18
    middle = 100_00 + np.cumsum(random.integers(-2, 3, len(received)))
    traded = np.sort(random.choice(received, seconds * 10, replace=False)) + 5
    symbols = pa.array([symbol]).take(pa.array(np.zeros(len(received), dtype=np.int32)))

    def priced(units: NDArray[np.int64]) -> pa.Array:
        return pa.array([f"{unit / 100:.2f}" for unit in units.tolist()])

    def times(at: NDArray[np.int64]) -> dict[str, pa.Array]:
        return {"at": pa.array(at + 10**9).cast(TIME), "received": pa.array(at).cast(TIME)}

    sizes = [pa.array([f"{n}.5" for n in random.integers(0, 9, len(received))]) for _ in range(2)]
    quotes = {
        "quote_id": pa.array([f"{symbol}/{n}" for n in range(len(received))]),
        **times(received),
        "symbol": symbols,
        "update": pa.array(np.arange(len(received))),
        "bid_price": priced(middle - 1),
        "bid_size": sizes[0],
        "ask_price": priced(middle + 1),
        "ask_size": sizes[1],
    }
    trades = {
        "trade_id": pa.array([f"{symbol}/{n}" for n in range(len(traded))]),
        **times(traded),
        "symbol": symbols[: len(traded)],
        "price": priced(middle[: len(traded)]),
        "size": pa.array([f"{n}.25" for n in random.integers(0, 9, len(traded))]),
        "buyer_took": pa.array(random.random(len(traded)) < 0.5),
        "hidden": pa.array(np.zeros(len(traded), dtype=bool)),
    }
    levels = {
        "change_id": quotes["quote_id"],
        **times(received),
        "symbol": symbols,
        "bid": pa.array(np.arange(len(received)) % 2 == 0),
        "price": quotes["bid_price"],
        "size": quotes["bid_size"],
        "first_update": quotes["update"],
        "last_update": quotes["update"],
        "place": pa.array(np.zeros(len(received), dtype=np.int64)),
        "is_snapshot": pa.array(np.zeros(len(received), dtype=bool)),
        "is_last": pa.array(np.ones(len(received), dtype=bool)),
    }
    return {"changes": pa.table(levels), "quotes": pa.table(quotes), "trades": pa.table(trades)}


@pytest.fixture(scope="module")
def feeds() -> list[dict[str, pa.Table]]:
    return [feed(symbol, seed) for seed, symbol in enumerate(SYMBOLS)]


@pytest.fixture(scope="module")
def frames(feeds: list[dict[str, pa.Table]]) -> dict[str, pa.Table]:
    return lead_lag.frames_of(feeds, SYMBOLS, moments=feeds[1]["trades"]["received"])


def at_of(table: pa.Table, name: str = "received") -> NDArray[np.int64]:
    found: NDArray[np.int64] = table[name].cast(pa.int64()).to_numpy()
    return found


def column(table: pa.Table, name: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = table[name].to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def test_what_is_told_is_what_was_received_by_then(
    feeds: list[dict[str, pa.Table]], frames: Mapping[str, pa.Table]
) -> None:
    told = hr.compute(lead_lag.use_case(None), frames)
    assert set(told["status"].to_pylist()) == {"accepted"}
    looks = at_of(frames["looks"])
    for venue, given in zip(lead_lag.VENUES, feeds, strict=True):
        received, traded = at_of(given["quotes"]), at_of(given["trades"])
        bid, ask = (column(given["quotes"], f"{side}_price") for side in ("bid", "ask"))
        middle = (bid + ask) / 2.0
        size = column(given["trades"], "size")
        signed = np.where(given["trades"]["buyer_took"].to_numpy(zero_copy_only=False), size, -size)
        for row in range(40, len(looks), 7):
            now = looks[row]
            last, before = (np.flatnonzero(received <= when)[-1] for when in (now, now - 200 * MS))
            moved = column(told, f"{venue}_move_200ms")[row]
            assert moved == pytest.approx(middle[last] - middle[before], abs=1e-9)
            within = (traded <= now) & (traded > now - 1_000 * MS)
            assert column(told, f"{venue}_trades_1s")[row] == pytest.approx(signed[within].sum())
            assert column(told, f"{venue}_volume_1s")[row] == pytest.approx(size[within].sum())


def test_nothing_of_a_look_comes_later(frames: Mapping[str, pa.Table]) -> None:
    whole = hr.compute(lead_lag.use_case(None), frames)
    looks = at_of(frames["looks"])
    cut = int(looks[len(looks) // 2])
    assert_same_until(whole, cut, frames)


def assert_same_until(whole: pa.Table, cut: int, frames: Mapping[str, pa.Table]) -> None:
    end = pa.scalar(cut).cast(TIME)
    part: dict[str, Any] = {
        name: table.filter(pc.less_equal(table["received"], end)) for name, table in frames.items()
    }
    early = hr.compute(lead_lag.use_case(None), part)
    assert 0 < early.num_rows < whole.num_rows
    assert early.equals(whole.slice(0, early.num_rows))


def test_moments_of_one_time_are_one_look(feeds: list[dict[str, pa.Table]]) -> None:
    moments = feeds[0]["quotes"]["received"]
    twice = pa.chunked_array([*moments.chunks, *moments.chunks])
    made = lead_lag.frames_of(feeds, SYMBOLS, moments=twice)
    assert at_of(made["looks"]).tolist() == (np.unique(at_of(feeds[0]["quotes"])) + 1).tolist()


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="HEADRACE_DATA names no folder")
def test_nothing_of_a_real_look_comes_later() -> None:
    assert DATA is not None
    captures = [
        read_capture(Path(DATA) / "lob_binance_ws" / path, venue=symbol.partition(":")[0]).frames
        for symbol, path in CAPTURES.items()
    ]
    moments = captures[1]["trades"]["received"]
    frames = lead_lag.frames_of(captures, list(CAPTURES), moments=moments)
    # trades of one nanosecond are one look
    assert frames["looks"].num_rows == 21_313
    whole = hr.compute(lead_lag.use_case(None), frames)
    assert pc.sum(pc.is_null(whole["mid"])).as_py() == 0
    assert_same_until(whole, int(at_of(frames["looks"])[3_000]), frames)
