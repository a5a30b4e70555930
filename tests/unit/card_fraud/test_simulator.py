from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from headrace.core.errors import DataError, DefinitionError
from headrace_solutions.card_fraud.lines import json_lines, paced, write, write_table
from headrace_solutions.card_fraud.patterns import PATTERNS
from headrace_solutions.card_fraud.population import Wheel, zipf_weights
from headrace_solutions.card_fraud.simulator import (
    Simulation,
    SimulationSettings,
    benchmark_settings,
    simulate,
)

if TYPE_CHECKING:
    from pathlib import Path

SMALL = SimulationSettings(events=20_000, cards=3_000, merchants=400, days=30, seed=3)


@pytest.fixture(scope="module")
def made() -> Simulation:
    return simulate(SMALL)


def numbers(column: Any) -> Any:
    return column.cast(pa.int64()).to_numpy()


def test_one_seed_is_one_history(made: Simulation) -> None:
    again = simulate(SMALL)
    for name in ("payments", "chargebacks", "rates", "truth"):
        assert getattr(again, name).equals(getattr(made, name)), name
    assert b"".join(json_lines(again)) == b"".join(json_lines(made, rows=777))
    other = simulate(replace(SMALL, seed=4))
    assert not other.payments.equals(made.payments)


def test_every_card_number_passes_luhn_and_is_of_the_test_issuer(made: Simulation) -> None:
    for number in set(made.payments["card"].to_pylist()):
        digits = [int(digit) for digit in number]
        doubled = [2 * digit - 9 * (digit > 4) for digit in digits[-2::-2]]
        assert (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
        assert len(digits) == 16
        assert number.startswith("999999")


def test_lines_hold_exactly_what_the_table_holds(made: Simulation) -> None:
    lines = b"".join(json_lines(made)).splitlines()
    rows = made.payments.to_pylist()
    assert len(lines) == len(rows)
    broken = set(made.broken.tolist())
    assert len(broken) > 5
    for i, (line, row) in enumerate(zip(lines, rows, strict=True)):
        if i in broken:
            continue
        event = json.loads(line, parse_float=Decimal)
        whole = row["currency"] == "JPY"
        assert whole is not isinstance(event["amount"], Decimal)
        expected = {name: value for name, value in row.items() if value is not None}
        for name in ("at", "received"):
            event[name] = dt.datetime.fromisoformat(event[name])
        for name in ("lat", "lon"):
            if name in event:
                event[name] = float(event[name])
        assert event == expected


def test_broken_lines_are_no_payments(made: Simulation) -> None:
    lines = b"".join(json_lines(made)).splitlines()
    required = {"payment_id", "at", "received", "card", "merchant", "amount", "currency"}
    for row in made.broken.tolist():
        try:
            event = json.loads(lines[row])
        except json.JSONDecodeError:
            continue
        assert (
            not required <= set(event)
            or isinstance(event["amount"], str)
            or len(event["currency"]) != 3
            or event["at"].startswith("in")
        )


def test_shares_are_as_asked(made: Simulation) -> None:
    truth = made.truth
    assert truth.num_rows == SMALL.events
    assert sum(truth["fraud"].to_pylist()) == round(SMALL.events * SMALL.fraud)
    kinds = Counter(truth["pattern"].to_pylist())
    assert set(kinds) == set(PATTERNS)
    assert kinds["burst"] == round(SMALL.events * SMALL.bursts)
    duplicates = made.payments.num_rows - SMALL.events
    assert abs(duplicates - SMALL.events * SMALL.duplicates) < 40
    at, received = numbers(made.payments["at"]), numbers(made.payments["received"])
    assert (np.diff(received) >= 0).all()
    late = (received - at) >= 30_000
    assert abs(late.mean() - SMALL.late) < 0.003
    assert (received - at).max() < 600_000
    behind = at < np.maximum.accumulate(at)
    assert behind.mean() < 1.5 * SMALL.late


def test_a_duplicate_is_the_same_event_again(made: Simulation) -> None:
    ids = np.array(made.payments["payment_id"].to_pylist())
    again = np.flatnonzero(ids[1:] == ids[:-1])
    assert len(np.unique(ids)) == SMALL.events
    for row in again[:20]:
        pair = made.payments.slice(int(row), 2).to_pylist()
        assert pair[0] == pair[1]


def test_bursts_are_ten_on_a_card_within_three_minutes(made: Simulation) -> None:
    pattern = dict(
        zip(made.truth["payment_id"].to_pylist(), made.truth["pattern"].to_pylist(), strict=True)
    )
    times: dict[str, list[dt.datetime]] = {}
    for row in {row["payment_id"]: row for row in made.payments.to_pylist()}.values():
        if pattern[row["payment_id"]] == "burst":
            times.setdefault(row["card"], []).append(row["at"])
    whole = [sorted(found) for found in times.values() if len(found) == 10]
    assert len(whole) > 10
    tight = [found for found in whole if found[-1] - found[0] <= dt.timedelta(minutes=3)]
    assert len(tight) >= len(whole) - 1  # one may lie across the end of the simulated time


def test_frauds_are_charged_back_after_days_and_most_others_never(made: Simulation) -> None:
    fraud = dict(
        zip(made.truth["payment_id"].to_pylist(), made.truth["fraud"].to_pylist(), strict=True)
    )
    at = dict(
        zip(made.payments["payment_id"].to_pylist(), numbers(made.payments["at"]), strict=True)
    )
    claimed = made.chargebacks.to_pylist()
    told = [row for row in claimed if fraud[row["payment_id"]]]
    frauds = sum(fraud.values())
    assert 0.85 * frauds < len(told) < frauds
    assert 0 < len(claimed) - len(told) < 0.002 * SMALL.events
    waits = np.array([row["at"].timestamp() * 1000 - at[row["payment_id"]] for row in told])
    assert waits.min() > 0
    assert 3 < np.median(waits) / 86_400_000 < 12
    order = [row["at"] for row in claimed]
    assert order == sorted(order)


def test_rates_are_daily_and_reach_back_before_the_first_payment(made: Simulation) -> None:
    rows = made.rates.to_pylist()
    assert {row["quote"] for row in rows} == {"EUR"}
    assert "EUR" not in {row["base"] for row in rows}
    dollars = [row for row in rows if row["base"] == "USD"]
    assert len(dollars) == SMALL.days + 2
    assert dollars[0]["valid_from"].date() == SMALL.start - dt.timedelta(days=1)
    used = set(made.payments["currency"].to_pylist()) - {"EUR"}
    assert used <= {row["base"] for row in rows}


def test_a_simple_rule_finds_some_fraud_and_not_all(made: Simulation) -> None:
    rows = {row["payment_id"]: row for row in made.payments.to_pylist()}
    assert list(rows) == made.truth["payment_id"].to_pylist()
    fraud = np.array(made.truth["fraud"].to_pylist())
    caught = np.array(
        [
            row["channel"] == "online" and row["currency"] == "EUR" and row["amount"] > 150
            for row in rows.values()
        ]
    )
    assert 2 * fraud.mean() < fraud[caught].mean() < 0.5


def test_zipf_weights_and_wheel_follow_their_weights() -> None:
    rng = np.random.default_rng(0)
    weights = np.sort(zipf_weights(rng, 1000, 0.9))[::-1]
    assert weights[0] / weights[9] == pytest.approx(10**0.9)
    wheel = Wheel(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 2]), 3)
    drawn = wheel.draw(rng, np.array([0] * 4000 + [2] * 50 + [1] * 900))
    assert 0.7 < (drawn[:4000] == 1).mean() < 0.8
    assert (drawn[4000:4050] == 2).all()
    assert set(drawn[4050:].tolist()) == {0, 1, 2}  # an empty group draws from all


@pytest.mark.parametrize(
    "settings",
    [
        SimulationSettings(events=1, cards=1, merchants=1, days=1),
        SimulationSettings(events=50, cards=2, merchants=3, days=1, fraud=1.0, bursts=0.0),
        SimulationSettings(events=50, cards=2, merchants=3, days=2, fraud=0.0, bursts=1.0),
        SimulationSettings(events=300, cards=9, merchants=1, days=2, invalid=1.0, duplicates=1.0),
    ],
)
def test_extreme_settings_still_make_whole_tables(settings: SimulationSettings) -> None:
    made = simulate(settings)
    lines = b"".join(json_lines(made)).splitlines()
    assert len(lines) == made.payments.num_rows
    assert made.truth.num_rows == settings.events


@pytest.mark.parametrize(
    "wrong", [{"events": 0}, {"fraud": 1.5}, {"fraud": 0.6, "bursts": 0.6}, {"late": -0.1}]
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match="fix:"):
        SimulationSettings(**wrong)


def test_the_benchmark_is_a_million_payments_over_thirty_days() -> None:
    settings = benchmark_settings(times=10)
    assert (settings.events, settings.cards, settings.merchants) == (10**7, 2 * 10**6, 10**5)
    assert settings.days == 30


def test_files_come_back_as_written(made: Simulation, tmp_path: Path) -> None:
    write(made, tmp_path / "payments.jsonl")
    assert (tmp_path / "payments.jsonl").read_bytes() == b"".join(json_lines(made))
    write(made, tmp_path / "payments.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "payments.parquet").equals(made.payments)
    write_table(made.rates, tmp_path / "rates.csv")
    assert pyarrow.csv.read_csv(tmp_path / "rates.csv").num_rows == made.rates.num_rows
    with pytest.raises(DataError, match=r"neither \.jsonl"):
        write(made, tmp_path / "payments.xlsx")


def test_pacing_offers_lines_at_the_rate() -> None:
    now = 0.0
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(seconds)
        now += seconds

    chunks = iter([b"a\n" * 600, b"b\n" * 400])
    out = list(paced(chunks, 1000.0, clock=lambda: now, sleep=sleep))
    assert b"".join(out) == b"a\n" * 600 + b"b\n" * 400
    assert now == pytest.approx(0.998)
    assert all(part.count(b"\n") == 2 for part in out)
