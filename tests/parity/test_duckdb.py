"""DuckDB gives the same counts, exact sums, minima and maxima, by a join over all pairs."""

from __future__ import annotations

import duckdb
import numpy as np
import pytest

import headrace as hr
from headrace_solutions.card_fraud.simulator import SimulationSettings, simulate

DAY = 86_400_000


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    card: hr.Key
    merchant: hr.Key
    amount: hr.Decimal = hr.field(scale=2)


payments = hr.stream(Payment, name="payments", lateness="1d", dedupe="2d")
card, merchant = payments.by("card"), payments.by("merchant")
#: Name of a feature to its key, length in milliseconds, delay, and whether the event itself counts.
WINDOWS = {
    "card_1h": ("card", DAY // 24, 0, True),
    "card_7d": ("card", 7 * DAY, 0, True),
    "card_before": ("card", DAY, 0, False),
    "card_delayed": ("card", 7 * DAY, DAY, False),
    "merchant_1d": ("merchant", DAY, 0, True),
}
features = hr.features(
    **{
        f"{name}_{function}": getattr(payments.by(key), function)(
            *([] if function == "count" else [payments.amount]),
            f"{length // 1_000}s",
            delay=f"{delay // 1_000}s",
            include_current=included,
        )
        for name, (key, length, delay, included) in WINDOWS.items()
        for function in ("count", "sum", "min", "max")
    }
)
case = hr.UseCase(name="joined", on=payments, features=features)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_join_over_all_pairs_says_the_same(seed: int) -> None:
    table = simulate(
        SimulationSettings(
            events=4_000, cards=150, merchants=30, days=20, seed=seed, duplicates=0, late=0.05
        )
    ).payments.select(["payment_id", "at", "received", "card", "merchant", "amount"])
    mine = hr.compute(case, table)
    assert set(mine["status"].to_pylist()) == {"accepted"}
    with duckdb.connect() as connection:
        connection.register("given", table)
        connection.execute(
            "CREATE TABLE p AS SELECT row_number() OVER () AS place, payment_id, card, merchant, "
            'epoch_ms("at") AS t, epoch_ms(received) AS k, '
            "CAST(round(amount * 100) AS BIGINT) AS units FROM given"
        )
        connection.execute(
            "CREATE TABLE o AS SELECT *, row_number() OVER (ORDER BY k, t, place) AS seq FROM p"
        )
        for name, (key, length, delay, included) in WINDOWS.items():
            rows = connection.execute(
                "SELECT e.place, count(h.units), coalesce(sum(h.units), 0), "
                "min(h.units), max(h.units) FROM o e LEFT JOIN o h "
                f"ON h.{key} = e.{key} AND h.seq {'<=' if included else '<'} e.seq "
                f"AND h.t > e.t - {length + delay} AND h.t <= e.t - {delay} "
                "GROUP BY e.place ORDER BY e.place"
            ).fetchall()
            expected = list(zip(*rows, strict=True))[1:]
            for function, values in zip(("count", "sum", "min", "max"), expected, strict=True):
                theirs = np.array([np.nan if v is None else float(v) for v in values])
                if function != "count":
                    theirs = theirs / 100
                ours = mine[f"{name}_{function}"].to_numpy(zero_copy_only=False)
                np.testing.assert_array_equal(
                    ours.astype(np.float64), theirs, err_msg=f"{name}_{function}"
                )
