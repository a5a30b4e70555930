"""A use case of quotes whose direction is told, and a made-up history of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

import headrace as hr

if TYPE_CHECKING:
    from headrace.models.specifications import ModelSpecification


class Quote(hr.Event):
    quote_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    symbol: hr.Key
    bid: hr.Float
    ask: hr.Float
    imbalance: hr.Float | None


quotes = hr.stream(Quote, name="quotes", lateness="2s")

symbol = quotes.by("symbol")
mid = (quotes.bid + quotes.ask) / 2.0
features = hr.features(
    mid=mid,
    spread=quotes.ask - quotes.bid,
    imbalance=quotes.imbalance,
    moved=mid - symbol.previous(mid, within="1m"),
    quotes_5s=symbol.count("5s"),
    volatility=symbol.std(mid, "30s"),
)


def case(model: ModelSpecification, **more: Any) -> hr.UseCase:
    """The use case with a model of direction."""
    return hr.UseCase(
        name="directions",
        on=quotes,
        features=features,
        sequence=hr.sequence(
            features,
            key="symbol",
            length=5,
            within="1m",
            only=("imbalance", "moved", "spread", "quotes_5s"),
        ),
        label=hr.direction(features.mid, key="symbol", events=1),
        model=model,
        policy=hr.Policy(
            hr.outcome("buy")("up", hr.score_of("up") >= 0.45),
            hr.outcome("sell")("down", hr.score_of("down") >= 0.45),
            otherwise=hr.approve(),
        ),
        **more,
    )


def frame(count: int = 2_400, seed: int = 3) -> pa.Table:
    """Quotes of two symbols whose next move follows the imbalance; some late, some without one."""
    random = np.random.default_rng(seed)
    imbalance = random.normal(size=count)
    names = random.integers(0, 2, count)
    price = np.empty(count)
    for name in (0, 1):
        mine = np.flatnonzero(names == name)
        steps = 0.02 * imbalance[mine] + random.normal(0.0, 0.01, len(mine))
        price[mine] = 100.0 + np.concatenate([[0.0], np.cumsum(steps)[:-1]])
    received = 1_700_000_000_000_000_000 + np.cumsum(random.integers(1, 400, count)) * 1_000_000
    late = np.where(random.random(count) < 0.05, 1_500_000_000, 5_000_000)
    return pa.table(
        {
            "quote_id": [f"q{n}" for n in range(count)],
            "at": pa.array(received - late, pa.timestamp("ns", tz="UTC")),
            "received": pa.array(received, pa.timestamp("ns", tz="UTC")),
            "symbol": [("SPOT", "FUTURE")[n] for n in names],
            "bid": price - 0.01,
            "ask": price + 0.01,
            "imbalance": pa.array(imbalance, mask=random.random(count) < 0.02),
        }
    )
