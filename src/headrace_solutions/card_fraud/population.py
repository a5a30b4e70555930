"""The simulated world: places, currencies, merchants and cards, as columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from headrace_solutions.card_fraud.simulator import SimulationSettings

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Truths: TypeAlias = NDArray[np.bool_]

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Place(NamedTuple):
    """A city where cards live and merchants sell."""

    country: str
    currency: str
    latitude: float
    longitude: float
    weight: float
    hours_east: int


#: Cities by rough size among card payments of a European issuer.
PLACES = (
    Place("DE", "EUR", 52.520, 13.405, 7.0, 1),
    Place("DE", "EUR", 48.137, 11.575, 5.0, 1),
    Place("DE", "EUR", 53.551, 9.994, 4.0, 1),
    Place("DE", "EUR", 50.110, 8.682, 3.5, 1),
    Place("FR", "EUR", 48.857, 2.352, 8.0, 1),
    Place("FR", "EUR", 45.764, 4.836, 3.5, 1),
    Place("FR", "EUR", 43.297, 5.370, 3.0, 1),
    Place("ES", "EUR", 40.417, -3.704, 5.0, 1),
    Place("ES", "EUR", 41.385, 2.173, 4.5, 1),
    Place("IT", "EUR", 41.903, 12.496, 4.5, 1),
    Place("IT", "EUR", 45.464, 9.190, 4.5, 1),
    Place("NL", "EUR", 52.368, 4.904, 4.0, 1),
    Place("BE", "EUR", 50.850, 4.352, 3.0, 1),
    Place("AT", "EUR", 48.208, 16.374, 3.0, 1),
    Place("IE", "EUR", 53.350, -6.260, 2.0, 0),
    Place("PT", "EUR", 38.722, -9.139, 2.5, 0),
    Place("FI", "EUR", 60.170, 24.938, 1.5, 2),
    Place("GR", "EUR", 37.984, 23.728, 1.8, 2),
    Place("GB", "GBP", 51.507, -0.128, 6.0, 0),
    Place("GB", "GBP", 53.481, -2.242, 2.5, 0),
    Place("SE", "SEK", 59.329, 18.069, 2.5, 1),
    Place("DK", "DKK", 55.676, 12.568, 1.6, 1),
    Place("NO", "NOK", 59.914, 10.752, 1.4, 1),
    Place("CH", "CHF", 47.377, 8.541, 2.0, 1),
    Place("PL", "PLN", 52.230, 21.012, 2.6, 1),
    Place("CZ", "CZK", 50.075, 14.438, 1.6, 1),
    Place("HU", "HUF", 47.498, 19.040, 1.2, 1),
    Place("TR", "TRY", 41.008, 28.978, 0.9, 3),
    Place("US", "USD", 40.713, -74.006, 2.0, -5),
    Place("US", "USD", 34.052, -118.244, 1.2, -8),
    Place("US", "USD", 25.762, -80.192, 0.7, -5),
    Place("JP", "JPY", 35.677, 139.650, 0.9, 9),
    Place("TH", "THB", 13.756, 100.502, 0.5, 7),
    Place("AE", "AED", 25.205, 55.271, 0.5, 4),
    Place("BR", "BRL", -23.551, -46.633, 0.4, -3),
    Place("ZA", "ZAR", -26.204, 28.047, 0.3, 2),
)


class Money(NamedTuple):
    """A currency: how many euro one unit is worth at the start, and its minor digits."""

    euro: float
    digits: int


CURRENCIES = {
    "EUR": Money(1.0, 2),
    "GBP": Money(1.17, 2),
    "SEK": Money(0.088, 2),
    "DKK": Money(0.134, 2),
    "NOK": Money(0.086, 2),
    "CHF": Money(1.05, 2),
    "PLN": Money(0.232, 2),
    "CZK": Money(0.04, 2),
    "HUF": Money(0.0025, 2),
    "TRY": Money(0.027, 2),
    "USD": Money(0.92, 2),
    "JPY": Money(0.0061, 0),
    "THB": Money(0.026, 2),
    "AED": Money(0.25, 2),
    "BRL": Money(0.165, 2),
    "ZAR": Money(0.05, 2),
}
CURRENCY_CODES = tuple(CURRENCIES)


class Trade(NamedTuple):
    """A merchant category: ISO 18245 code, typical amount in euro, its spread, how common."""

    code: str
    median: float
    spread: float
    weight: float
    online: float


TRADES = (
    Trade("5411", 28.0, 0.70, 0.22, 0.06),  # groceries
    Trade("5812", 26.0, 0.60, 0.14, 0.02),  # restaurants
    Trade("5541", 46.0, 0.40, 0.08, 0.00),  # fuel
    Trade("5912", 16.0, 0.60, 0.05, 0.08),  # pharmacies
    Trade("5311", 48.0, 0.80, 0.07, 0.25),  # department stores
    Trade("5651", 42.0, 0.70, 0.08, 0.40),  # clothing
    Trade("5732", 120.0, 0.90, 0.04, 0.50),  # electronics
    Trade("5944", 180.0, 0.90, 0.01, 0.30),  # jewellery
    Trade("4111", 3.2, 0.50, 0.08, 0.15),  # transit
    Trade("4121", 14.0, 0.50, 0.03, 0.40),  # taxis
    Trade("5814", 9.0, 0.50, 0.08, 0.10),  # fast food
    Trade("5999", 30.0, 0.90, 0.03, 0.50),  # other retail
    Trade("4511", 240.0, 0.70, 0.01, 1.00),  # airlines
    Trade("7011", 150.0, 0.70, 0.01, 0.60),  # hotels
    Trade("5815", 9.0, 0.70, 0.04, 1.00),  # digital goods
    Trade("6011", 80.0, 0.60, 0.02, 0.00),  # cash machines
    Trade("7995", 25.0, 1.00, 0.01, 1.00),  # betting
)
TRADE_CODES = tuple(trade.code for trade in TRADES)
CASH = TRADE_CODES.index("6011")
#: What thieves buy: it can be sold again.
RESOLD = tuple(TRADE_CODES.index(code) for code in ("5732", "5944", "5311", "5651"))


def zipf_weights(rng: np.random.Generator, count: int, exponent: float) -> Floats:
    """Weights proportional to rank to the power of -`exponent`, the ranks shuffled."""
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    rng.shuffle(weights)
    return weights


class Wheel:
    """Draws members of groups by weight.

    Args:
        weights: One per member.
        groups: The group of each member.
        count: Number of groups; a group without members draws from all.
    """

    def __init__(self, weights: Floats, groups: Integers, count: int) -> None:
        self._order = np.argsort(groups, kind="stable")
        ends = np.cumsum(weights[self._order])
        edges = np.searchsorted(groups[self._order], np.arange(count + 1))
        bounds = np.concatenate([[0.0], ends])[edges]
        empty = edges[1:] == edges[:-1]
        self._ends = ends
        self._low = np.where(empty, 0.0, bounds[:-1])
        self._high = np.where(empty, ends[-1], bounds[1:])

    def draw(self, rng: np.random.Generator, groups: Integers) -> Integers:
        """One member of each of `groups`."""
        low = self._low[groups]
        # a random number below 1 may still round up to the group's end
        point = np.minimum(
            low + rng.random(len(groups)) * (self._high[groups] - low),
            np.nextafter(self._high[groups], 0.0),
        )
        found: Integers = self._order[np.searchsorted(self._ends, point, side="right")]
        return found


@dataclass(frozen=True, slots=True)
class Merchants:
    """Columns of merchants; `online` ones have no place to stand at."""

    place: Integers
    trade: Integers
    online: Truths
    latitude: Floats
    longitude: Floats
    everywhere: Wheel  # one group: all
    in_town: Wheel  # by place: those not online
    on_web: Wheel  # one group: those online
    by_trade: Wheel  # by trade: all

    def __len__(self) -> int:
        return len(self.place)


def make_merchants(rng: np.random.Generator, settings: SimulationSettings) -> Merchants:
    """Merchants with Zipf weights, in places and trades by how common those are."""
    count = settings.merchants
    weights = zipf_weights(rng, count, settings.merchant_exponent)
    place = _draw(rng, [place.weight for place in PLACES], count)
    trade = _draw(rng, [trade.weight for trade in TRADES], count)
    online = rng.random(count) < np.array([trade.online for trade in TRADES])[trade]
    nowhere = len(PLACES)
    return Merchants(
        place,
        trade,
        online,
        *_around(rng, place, 0.05),
        everywhere=Wheel(weights, np.zeros(count, dtype=np.int64), 1),
        in_town=Wheel(weights, np.where(online, nowhere, place), nowhere),
        on_web=Wheel(weights, np.where(online, 0, 1), 1),
        by_trade=Wheel(weights, trade, len(TRADES)),
    )


@dataclass(frozen=True, slots=True)
class Cards:
    """Columns of cards: where each lives, what it spends, when, and where it travels."""

    home: Integers
    level: Floats  # its amounts against what is usual
    online: Floats  # share of payments on the web
    shift_ms: Integers  # how much later its day is than other people's
    trip: Integers  # place it travels to; its home when it does not
    trip_start_ms: Integers
    trip_end_ms: Integers
    wheel: Wheel

    def __len__(self) -> int:
        return len(self.home)

    def draw(self, rng: np.random.Generator, count: int) -> Integers:
        """`count` cards, by how much they are used."""
        return self.wheel.draw(rng, np.zeros(count, dtype=np.int64))

    def place_at(self, card: Integers, at_ms: Integers) -> Integers:
        """Where each card is at a time."""
        away = (at_ms >= self.trip_start_ms[card]) & (at_ms < self.trip_end_ms[card])
        return np.where(away, self.trip[card], self.home[card])


def make_cards(rng: np.random.Generator, settings: SimulationSettings) -> Cards:
    """Cards with Zipf weights, homes, habits, and a trip for a quarter of them."""
    count = settings.cards
    weights = zipf_weights(rng, count, settings.card_exponent)
    popularity = [place.weight for place in PLACES]
    home = _draw(rng, popularity, count)
    travels = rng.random(count) < 0.25
    trip = np.where(travels, _draw(rng, popularity, count), home)
    span = settings.days * DAY_MS
    start = (rng.random(count) * span).astype(np.int64)
    days = rng.integers(2, 11, count)
    return Cards(
        home,
        np.exp(rng.normal(0.0, 0.45, count)),
        rng.beta(1.6, 3.2, count),
        (rng.normal(0.0, 1.6, count) * HOUR_MS).astype(np.int64),
        trip,
        start,
        start + days * DAY_MS,
        Wheel(weights, np.zeros(count, dtype=np.int64), 1),
    )


def _draw(rng: np.random.Generator, weights: list[float], count: int) -> Integers:
    ends = np.cumsum(weights)
    found: Integers = np.searchsorted(ends, rng.random(count) * ends[-1], side="right").astype(
        np.int64
    )
    return found


def _around(rng: np.random.Generator, place: Integers, degrees: float) -> tuple[Floats, Floats]:
    """Points around the places."""
    latitude = np.array([place.latitude for place in PLACES])[place]
    longitude = np.array([place.longitude for place in PLACES])[place]
    scatter = rng.normal(0.0, degrees, (2, len(place)))
    return latitude + scatter[0], longitude + scatter[1]


#: How busy each hour of a local day is, and each day of a week from Monday.
DAY_RHYTHM = np.array(
    [6, 3, 2, 1.5, 1.5, 3, 9, 20, 32, 40, 47, 56, 64, 58, 50, 50, 56, 66, 70, 60, 45, 32, 21, 12]
)
WEEK_RHYTHM = np.array([0.95, 0.95, 0.97, 1.0, 1.12, 1.15, 0.86])


def times_of_day(rng: np.random.Generator, count: int, days: int, first_weekday: int) -> Integers:
    """Local times in ms from the start, by the rhythms of day and week."""
    weekday = (np.arange(days) + first_weekday) % 7
    busy = (WEEK_RHYTHM[weekday][:, None] * DAY_RHYTHM).ravel()
    ends = np.cumsum(busy)
    hour = np.searchsorted(ends, rng.random(count) * ends[-1], side="right")
    times: Integers = (hour * HOUR_MS + rng.integers(0, HOUR_MS, count)).astype(np.int64)
    return times
