"""A seeded simulator of card payments, chargebacks and rates of exchange.

One seed gives one history. A simulation holds what a bank would receive (payments in order of
arrival, chargebacks, rates) and, apart from it, what only the simulator knows: which payments are
fraud, and of which kind. About one payment in 140 is fraud by default; some of it copies its
victim's habits, some is never reported, and a few honest payments are charged back, so that a
model can be good and cannot be perfect.

>>> made = simulate(SimulationSettings(events=1000, cards=200, merchants=50, days=10))
>>> made.payments.num_rows >= 1000, made.rates.column_names
(True, ['base', 'quote', 'rate', 'valid_from'])
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace import DefinitionError
from headrace_solutions.card_fraud import patterns
from headrace_solutions.card_fraud.patterns import FRAUD_MIX, PATTERNS, STOLEN, Uses, World
from headrace_solutions.card_fraud.population import (
    CURRENCIES,
    CURRENCY_CODES,
    DAY_MS,
    HOUR_MS,
    PLACES,
    TRADE_CODES,
    Floats,
    Integers,
    Merchants,
    Truths,
    make_cards,
    make_merchants,
)

#: An issuer number of the kind kept for tests: no real card begins with it.
TEST_ISSUER = "999999"
CHANNELS = ("pos", "online", "atm")
_TIME = pa.timestamp("ms", tz="UTC")


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """What to simulate.

    Attributes:
        events: Payments, before duplicates.
        cards: Cards in use.
        merchants: Merchants that take them.
        days: Days of event time.
        start: The first day, in UTC.
        seed: Of all randomness.
        card_exponent: Zipf exponent of how unevenly cards are used.
        merchant_exponent: The same of merchants.
        fraud: Share of payments that are fraud.
        bursts: Share of payments in genuine bursts of ten on one card within three minutes.
        late: Share of payments that arrive half a minute to nine minutes late, out of order.
        duplicates: Share of payments that are sent twice, with the same content.
        invalid: Share of JSON lines that are broken.
        reported: Share of frauds that are ever charged back.
        disputed: Share of genuine payments that are charged back too.
        report_days: Median days from a fraud to its chargeback.
    """

    events: int = 200_000
    cards: int = 20_000
    merchants: int = 2_000
    days: int = 30
    start: dt.date = dt.date(2026, 1, 5)
    seed: int = 7
    card_exponent: float = 0.6
    merchant_exponent: float = 0.9
    fraud: float = 0.007
    bursts: float = 0.02
    late: float = 0.01
    duplicates: float = 0.005
    invalid: float = 0.001
    reported: float = 0.93
    disputed: float = 0.0003
    report_days: float = 6.0

    def __post_init__(self) -> None:
        for name in ("events", "cards", "merchants", "days"):
            if getattr(self, name) < 1:
                raise DefinitionError(
                    f"a simulation of {getattr(self, name)} {name}", fix=f"ask for {name}=1 or more"
                )
        shares = ("fraud", "bursts", "late", "duplicates", "invalid", "reported", "disputed")
        for name in shares:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise DefinitionError(
                    f"{name} is {getattr(self, name)}, and is a share", fix="give it from 0 to 1"
                )
        if self.fraud + self.bursts > 1.0:
            raise DefinitionError(
                "fraud and bursts are more than all payments", fix="let them add up to 1 at most"
            )


def benchmark_settings(*, times: int = 1, seed: int = 7) -> SimulationSettings:
    """The workload of the speed benchmark: a million payments in thirty days.

    Args:
        times: How many times the events, cards and merchants.
        seed: Of all randomness.
    """
    return SimulationSettings(
        events=1_000_000 * times,
        cards=200_000 * times,
        merchants=10_000 * times,
        days=30,
        seed=seed,
        card_exponent=0.6,
        merchant_exponent=0.9,
        bursts=0.02,
        late=0.01,
        duplicates=0.005,
        invalid=0.001,
    )


@dataclass(frozen=True, slots=True)
class Simulation:
    """What was simulated.

    Attributes:
        payments: In order of arrival, a duplicate right after its original: payment_id, at,
            received, card, merchant, amount, currency, country, mcc, channel, lat, lon, device.
        chargebacks: In order of time: chargeback_id, at, received (with the night's file),
            payment_id, merchant.
        rates: Daily worth in euro: base, quote, rate, valid_from.
        truth: One row per payment (not per duplicate): payment_id, fraud, pattern.
        broken: Rows of `payments` whose JSON line is broken.
        settings: What was asked for.
    """

    payments: pa.Table
    chargebacks: pa.Table
    rates: pa.Table
    truth: pa.Table
    broken: Integers
    settings: SimulationSettings


def simulate(settings: SimulationSettings | None = None) -> Simulation:
    """Simulate payments, chargebacks and rates; the same settings give the same tables.

    Args:
        settings: What to simulate; the defaults make a small bank's month.
    """
    chosen = settings or SimulationSettings()
    # separate sources, so that a change in one part leaves the others as they were
    seeds = np.random.SeedSequence(chosen.seed).spawn(5)
    world_rng, use_rng, arrival_rng, label_rng, rate_rng = map(np.random.default_rng, seeds)
    merchants = make_merchants(world_rng, chosen)
    cards = make_cards(world_rng, chosen)
    world = World(use_rng, chosen, cards, merchants, chosen.start.weekday())
    uses = _uses(world)
    rates = _daily_rates(rate_rng, chosen)
    delay = _arrival_delays(arrival_rng, len(uses), chosen.late)
    order = np.lexsort((uses.at_ms, uses.at_ms + delay))
    uses = Uses(*(getattr(uses, field.name)[order] for field in fields(Uses)))
    unique = _payments(uses, delay[order], merchants, rates, chosen)
    copies = arrival_rng.random(len(uses)) < chosen.duplicates
    payments = unique.take(np.repeat(np.arange(len(uses)), 1 + copies))
    broken = np.flatnonzero(arrival_rng.random(payments.num_rows) < chosen.invalid)
    fraud = uses.pattern >= STOLEN
    truth = pa.table(
        {
            "payment_id": unique["payment_id"],
            "fraud": fraud,
            "pattern": _coded(uses.pattern, PATTERNS),
        }
    )
    return Simulation(
        payments,
        _chargebacks(label_rng, unique, uses.at_ms, fraud, chosen),
        _rates_table(rates, chosen),
        truth,
        broken,
        chosen,
    )


def _uses(world: World) -> Uses:
    settings = world.settings
    frauds = round(settings.events * settings.fraud)
    counts = {kind: int(frauds * share) for kind, share in FRAUD_MIX.items()}
    bursting = round(settings.events * settings.bursts)
    if frauds + bursting == settings.events:
        # these two follow genuine payments, and there are none
        counts[patterns.COMPROMISED] = counts[patterns.TRAVEL] = 0
    counts[STOLEN] += frauds - sum(counts.values())
    genuine = patterns.usual(world, settings.events - frauds - bursting)
    parts = [
        genuine,
        patterns.bursts(world, bursting),
        patterns.stolen_card(world, counts[patterns.STOLEN]),
        patterns.card_testing(world, counts[patterns.TESTING]),
        patterns.account_takeover(world, counts[patterns.TAKEOVER]),
    ]
    if len(genuine):
        parts += [
            patterns.compromised_merchant(world, counts[patterns.COMPROMISED], genuine),
            patterns.impossible_travel(world, counts[patterns.TRAVEL], genuine),
        ]
    return patterns.joined(parts)


def _arrival_delays(rng: np.random.Generator, count: int, late: float) -> Integers:
    """Milliseconds from payment to arrival: a steady gateway, and some that come late."""
    steady = rng.integers(118, 123, count)
    delayed = rng.integers(30_000, 540_000, count)
    return np.where(rng.random(count) < late, delayed, steady).astype(np.int64)


def _daily_rates(rng: np.random.Generator, settings: SimulationSettings) -> Integers:
    """Euro per unit in 1e-8, by day (from the day before the first) and currency."""
    steps = rng.normal(0.0, 0.004, (settings.days + 2, len(CURRENCIES)))
    worth = np.array([money.euro for money in CURRENCIES.values()])
    rates = np.round(worth * np.exp(np.cumsum(steps, axis=0)) * 1e8).astype(np.int64)
    rates[:, CURRENCY_CODES.index("EUR")] = 10**8
    return rates


def _start_ms(settings: SimulationSettings) -> int:
    since = settings.start - dt.date(1970, 1, 1)
    return since.days * DAY_MS


def _coded(codes: Integers, words: tuple[str, ...]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(words)).cast(
        pa.string()
    )


def _payments(
    uses: Uses, delay: Integers, merchants: Merchants, rates: Integers, settings: SimulationSettings
) -> pa.Table:
    start = _start_ms(settings)
    place = merchants.place[uses.merchant]
    trade = merchants.trade[uses.merchant]
    place_currency = np.array([CURRENCY_CODES.index(city.currency) for city in PLACES])
    currency = place_currency[place]
    digits = np.array([money.digits for money in CURRENCIES.values()])[currency]
    day = uses.at_ms // DAY_MS + 1
    worth = rates[day, currency] / 1e8
    units = np.maximum(np.round(uses.euro / worth * 10.0**digits), 1.0).astype(np.int64)
    units = _priced(units, digits)
    hundredths = units * np.where(digits == 2, 1, 100)
    cash = trade == TRADE_CODES.index("6011")
    channel = np.where(uses.online, 1, np.where(cash, 2, 0))
    arrays: dict[str, pa.Array] = {
        "payment_id": numbered("pay_", np.arange(len(uses)), 12),
        "at": pa.array(start + uses.at_ms, _TIME),
        "received": pa.array(start + uses.at_ms + delay, _TIME),
        "card": card_numbers(uses.card, settings.seed),
        "merchant": numbered("M", uses.merchant, 8),
        "amount": decimals(hundredths, pa.decimal128(18, 2)),
        "currency": _coded(currency, CURRENCY_CODES),
        "country": _coded(place, tuple(city.country for city in PLACES)),
        "mcc": _coded(trade, TRADE_CODES),
        "channel": _coded(channel, CHANNELS),
        "lat": _position(merchants.latitude[uses.merchant], uses.online),
        "lon": _position(merchants.longitude[uses.merchant], uses.online),
        "device": numbered("D", _scattered(uses.device, settings.seed), 11, uses.device < 0),
    }
    return pa.table(arrays)


def _priced(units: Integers, digits: Integers) -> Integers:
    """Some amounts end as prices do: .99, .50 or .00."""
    kind = (units * 2_654_435_761 >> 7) % 10
    whole = units // 100 * 100
    shaped = np.where(kind < 3, whole + 99, np.where(kind < 5, whole + 50, whole))
    return np.where((digits == 2) & (kind < 6) & (units >= 100), shaped, units)


def _position(degrees: Floats, online: Truths) -> pa.Array:
    return pa.array(np.round(degrees, 4), mask=online)


def _scattered(number: Integers, seed: int) -> Integers:
    """A permutation of numbers below 10 ** 11, so that ids say nothing of their order."""
    return (np.maximum(number, 0) * 28_629_151 + seed * 7_919 + 1_234_567) % 10**11


def numbered(
    prefix: str, numbers: Integers, digits: int, missing: Truths | None = None
) -> pa.Array:
    """Texts of a prefix and a number with leading zeros.

    >>> numbered("M", np.array([7, 12]), 3).to_pylist()
    ['M007', 'M012']
    """
    width = len(prefix) + digits
    table = np.empty((len(numbers), width), dtype=np.uint8)
    table[:, : len(prefix)] = np.frombuffer(prefix.encode(), dtype=np.uint8)
    put_digits(table[:, len(prefix) :], numbers)
    return _texts(table, missing)


def put_digits(table: Any, numbers: Integers) -> None:
    """Write numbers into a table of bytes, one digit a column, with leading zeros."""
    rest = numbers.astype(np.int64)
    for column in range(table.shape[1] - 1, -1, -1):
        rest, digit = np.divmod(rest, 10)
        table[:, column] = digit + 48


def _texts(table: Any, missing: Truths | None = None) -> pa.Array:
    """Rows of bytes as a column of strings."""
    rows, width = table.shape
    offsets = pa.py_buffer(np.arange(0, (rows + 1) * width, width, dtype=np.int32))
    if rows * width >= 2**31:
        raise DefinitionError(
            f"a column of {rows} texts of {width} bytes is too large", fix="simulate fewer events"
        )
    made = pa.StringArray.from_buffers(rows, offsets, pa.py_buffer(table.tobytes()))
    return made if missing is None else pc.if_else(pa.array(missing), None, made)


def card_numbers(card: Integers, seed: int) -> pa.Array:
    """Card numbers of 16 digits: the test issuer, nine digits of the card's own, Luhn's check.

    >>> card_numbers(np.array([0]), seed=7).to_pylist()
    ['9999990000554333']
    """
    table = np.empty((len(card), 16), dtype=np.uint8)
    table[:, :6] = np.frombuffer(TEST_ISSUER.encode(), dtype=np.uint8)
    put_digits(table[:, 6:15], (card * 387_420_489 + seed * 7_919) % 10**9)
    digits = table[:, :15].astype(np.int64) - 48
    doubled = digits[:, ::2] * 2
    total = (doubled - 9 * (doubled > 9)).sum(axis=1) + digits[:, 1::2].sum(axis=1)
    table[:, 15] = (10 - total % 10) % 10 + 48
    return _texts(table)


def decimals(units: Integers, kind: pa.Decimal128Type) -> pa.Array:
    """Integer units as exact decimals of the type's scale.

    >>> decimals(np.array([1250]), pa.decimal128(18, 2)).to_pylist()
    [Decimal('12.50')]
    """
    words = np.empty((len(units), 2), dtype=np.int64)
    words[:, 0] = units
    words[:, 1] = units >> 63
    return pa.Array.from_buffers(kind, len(units), [None, pa.py_buffer(words.tobytes())])


def _chargebacks(
    rng: np.random.Generator,
    payments: pa.Table,
    at_ms: Integers,
    fraud: Truths,
    settings: SimulationSettings,
) -> pa.Table:
    chance = np.where(fraud, settings.reported, settings.disputed)
    claimed = np.flatnonzero(rng.random(len(fraud)) < chance)
    wait_days = settings.report_days * np.exp(0.8 * rng.standard_normal(len(claimed)))
    wait_ms = (np.clip(wait_days, 0.25, 110.0) * DAY_MS).astype(np.int64)
    at = _start_ms(settings) + at_ms[claimed] + wait_ms
    order = np.lexsort((claimed, at))
    rows = pa.array(claimed[order])
    return pa.table(
        {
            "chargeback_id": numbered("cb_", np.arange(len(claimed)), 9),
            "at": pa.array(at[order], _TIME),
            "received": pa.array(_next_morning(at[order]), _TIME),
            "payment_id": payments["payment_id"].take(rows),
            "merchant": payments["merchant"].take(rows),
        }
    )


def _next_morning(at_ms: Integers) -> Integers:
    """Four o'clock UTC after each time: chargebacks come as one file a night."""
    four = 4 * HOUR_MS
    return (at_ms - four) // DAY_MS * DAY_MS + DAY_MS + four


def _rates_table(rates: Integers, settings: SimulationSettings) -> pa.Table:
    """One row a day and currency; the first day's rates are valid from the day before it."""
    days, count = rates.shape
    foreign = np.array([code != "EUR" for code in CURRENCY_CODES])
    keep = np.tile(foreign, days)
    day = np.repeat(np.arange(days), count)[keep]
    code = np.tile(np.arange(count), days)[keep]
    return pa.table(
        {
            "base": _coded(code, CURRENCY_CODES),
            "quote": _coded(np.zeros(len(code), dtype=np.int64), ("EUR",)),
            "rate": decimals(rates.ravel()[keep], pa.decimal128(18, 8)),
            "valid_from": pa.array(_start_ms(settings) + (day - 1) * DAY_MS, _TIME),
        }
    )
