"""How cards are used, and the five ways in which they are abused.

Every function gives `Uses`: columns of payments without ids, currencies or arrival. Fraud is made
of *episodes*: a card, a start, and a few payments that belong together.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from headrace_solutions.card_fraud.population import (
    CASH,
    DAY_MS,
    HOUR_MS,
    PLACES,
    RESOLD,
    TRADES,
    Cards,
    Merchants,
    times_of_day,
)

if TYPE_CHECKING:
    from headrace_solutions.card_fraud.population import Floats, Integers, Truths
    from headrace_solutions.card_fraud.simulator import SimulationSettings

#: What a payment is part of, by the number in `Uses.pattern`; the first two are genuine.
PATTERNS = (
    "usual",
    "burst",
    "stolen_card",
    "card_testing",
    "compromised_merchant",
    "account_takeover",
    "impossible_travel",
)
USUAL, BURST, STOLEN, TESTING, COMPROMISED, TAKEOVER, TRAVEL = range(7)
#: Of all fraud, the share of each kind.
FRAUD_MIX = {STOLEN: 0.30, TESTING: 0.18, COMPROMISED: 0.24, TAKEOVER: 0.18, TRAVEL: 0.10}
MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Uses:
    """Columns of payments."""

    card: Integers
    merchant: Integers
    at_ms: Integers
    euro: Floats
    online: Truths
    device: Integers  # -1: none
    pattern: Integers

    def __len__(self) -> int:
        return len(self.card)


def joined(parts: list[Uses]) -> Uses:
    """All payments of `parts`, one after another."""
    return Uses(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Uses)))


@dataclass(frozen=True, slots=True)
class World:
    """What every payment is drawn from."""

    rng: np.random.Generator
    settings: SimulationSettings
    cards: Cards
    merchants: Merchants
    first_weekday: int

    @property
    def span_ms(self) -> int:
        """The length of the simulated time."""
        return self.settings.days * DAY_MS

    def times(self, card: Integers) -> Integers:
        """A usual time for each card: by day and week where it lives, and its own habit."""
        local = times_of_day(self.rng, len(card), self.settings.days, self.first_weekday)
        east = np.array([place.hours_east for place in PLACES])[self.cards.home[card]]
        shifted: Integers = np.mod(local - east * HOUR_MS + self.cards.shift_ms[card], self.span_ms)
        return shifted

    def amounts(self, card: Integers, merchant: Integers) -> Floats:
        """A usual amount in euro for each card at each merchant."""
        trade = self.merchants.trade[merchant]
        median = np.array([trade.median for trade in TRADES])[trade]
        spread = np.array([trade.spread for trade in TRADES])[trade]
        wild = np.exp(self.rng.standard_normal(len(card)) * spread)
        amount = median * self.cards.level[card] * wild
        # cash comes in notes
        notes: Floats = np.where(
            trade == CASH, np.maximum(np.round(amount / 10) * 10, 10.0), amount
        )
        return notes

    def device(self, card: Integers, online: Truths) -> Integers:
        """The device that each card is used from on the web; one in ten is the second one."""
        second = self.rng.random(len(card)) < 0.1
        return np.where(online, 2 * card + second, -1)

    def strange_devices(self, episode: Integers, online: Truths) -> Integers:
        """Devices that no card has used before, one for each episode."""
        base = 2 * len(self.cards) + int(self.rng.integers(0, 2**30)) * 64
        return np.where(online, base + episode, -1)


def usual(world: World, count: int) -> Uses:
    """Genuine payments: in town, on trips and on the web."""
    card = world.cards.draw(world.rng, count)
    at_ms = world.times(card)
    online = world.rng.random(count) < world.cards.online[card]
    place = world.cards.place_at(card, at_ms)
    there = world.merchants.in_town.draw(world.rng, place)
    web = world.merchants.on_web.draw(world.rng, np.zeros(count, dtype=np.int64))
    merchant = np.where(online, web, there)
    online &= world.merchants.trade[merchant] != CASH
    amount = world.amounts(card, merchant)
    return Uses(
        card, merchant, at_ms, amount, online, world.device(card, online), np.full(count, USUAL)
    )


def bursts(world: World, count: int) -> Uses:
    """Genuine payments, ten of one card at one merchant within three minutes."""
    episodes = -(-count // 10)
    card = np.repeat(world.cards.draw(world.rng, episodes), 10)[:count]
    start = np.repeat(world.times(world.cards.draw(world.rng, episodes)), 10)[:count]
    at_ms = np.mod(start + world.rng.integers(0, 3 * MINUTE_MS, count), world.span_ms)
    merchant = np.repeat(
        world.merchants.in_town.draw(world.rng, world.cards.place_at(card[::10], start[::10])), 10
    )[:count]
    amount = world.amounts(card, merchant) * 0.4
    online = np.zeros(count, dtype=np.bool_)
    return Uses(card, merchant, at_ms, amount, online, np.full(count, -1), np.full(count, BURST))


def _episodes(world: World, count: int, least: int, most: int) -> tuple[Integers, Integers]:
    """Episodes of `least` to `most` payments, `count` in all: each one's episode and its place."""
    sizes = world.rng.integers(least, most + 1, count // least + 1)
    ends = np.cumsum(sizes)
    number = np.searchsorted(ends, np.arange(count), side="right")
    place = np.arange(count) - np.concatenate([[0], ends])[number]
    return number, place


def stolen_card(world: World, count: int) -> Uses:
    """Three to twelve payments within hours, at shops whose goods can be sold again."""
    rng = world.rng
    episode, place = _episodes(world, count, 3, 12)
    episodes = int(episode[-1]) + 1 if count else 0
    card = world.cards.draw(rng, episodes)[episode]
    start = world.times(world.cards.draw(rng, episodes))[episode]
    pace = rng.integers(2 * MINUTE_MS, 25 * MINUTE_MS, episodes)[episode]
    at_ms = np.mod(start + place * pace + rng.integers(0, MINUTE_MS, count), world.span_ms)
    resold = np.array(RESOLD)[rng.integers(0, len(RESOLD), count)]
    merchant = world.merchants.by_trade.draw(rng, resold)
    # a careful thief stays within what is usual
    careful = (rng.random(episodes) < 0.2)[episode]
    greed = np.where(careful, 1.0, rng.uniform(1.2, 4.0, count))
    amount = world.amounts(card, merchant) * greed
    online = world.merchants.online[merchant]
    return Uses(
        card,
        merchant,
        at_ms,
        amount,
        online,
        world.strange_devices(episode, online),
        np.full(count, STOLEN),
    )


def card_testing(world: World, count: int) -> Uses:
    """Eight to twenty small payments on the web within minutes, then a big one."""
    rng = world.rng
    episode, place = _episodes(world, count, 8, 20)
    episodes = int(episode[-1]) + 1 if count else 0
    card = world.cards.draw(rng, episodes)[episode]
    start = world.times(world.cards.draw(rng, episodes))[episode]
    last = np.append(episode[1:] != episode[:-1], True)[:count]
    wait = place * rng.integers(15_000, 90_000, episodes)[episode] + last * 12 * MINUTE_MS
    at_ms = np.mod(start + wait, world.span_ms)
    web = world.merchants.on_web.draw(rng, np.zeros(episodes, dtype=np.int64))[episode]
    other = world.merchants.by_trade.draw(
        rng, np.array(RESOLD)[rng.integers(0, len(RESOLD), count)]
    )
    small = rng.uniform(0.5, 4.0, count)
    big = rng.uniform(250.0, 900.0, count)
    online = np.ones(count, dtype=np.bool_)
    return Uses(
        card,
        np.where(last, other, web),
        at_ms,
        np.where(last, big, small),
        online,
        world.strange_devices(episode, online),
        np.full(count, TESTING),
    )


def compromised_merchant(world: World, count: int, genuine: Uses) -> Uses:
    """Cards used at a leaking merchant within four days are abused one to three weeks later."""
    rng = world.rng
    leaks = max(1, count // 120)
    leaking = np.unique(world.merchants.everywhere.draw(rng, np.zeros(leaks, dtype=np.int64)))
    opened = np.zeros(len(world.merchants))
    # in a short simulation the weeks are shorter too
    pace = min(1.0, world.settings.days / 45)
    latest = max(0.1 * world.span_ms, world.span_ms - 25 * DAY_MS * pace)
    opened[leaking] = rng.uniform(0.0, latest, len(leaking))
    leaks_here = np.zeros(len(world.merchants), dtype=np.bool_)
    leaks_here[leaking] = True
    since = genuine.at_ms - opened[genuine.merchant]
    exposed = np.flatnonzero(leaks_here[genuine.merchant] & (since >= 0) & (since < 4 * DAY_MS))
    if len(exposed) == 0:
        exposed = np.flatnonzero(leaks_here[genuine.merchant] | (genuine.pattern == USUAL))
    episode, place = _episodes(world, count, 1, 4)
    episodes = int(episode[-1]) + 1 if count else 0
    source = exposed[rng.integers(0, len(exposed), episodes)]
    wait = rng.uniform(7 * DAY_MS, 21 * DAY_MS, episodes) * pace
    start = (genuine.at_ms[source] + wait).astype(np.int64)[episode]
    at_ms = np.mod(start + place * rng.integers(MINUTE_MS, 6 * HOUR_MS, count), world.span_ms)
    merchant = world.merchants.on_web.draw(rng, np.zeros(count, dtype=np.int64))
    card = genuine.card[source][episode]
    amount = np.maximum(world.amounts(card, merchant), 15.0) * rng.uniform(0.8, 3.5, count)
    online = np.ones(count, dtype=np.bool_)
    return Uses(
        card,
        merchant,
        at_ms,
        amount,
        online,
        world.strange_devices(episode, online),
        np.full(count, COMPROMISED),
    )


def account_takeover(world: World, count: int) -> Uses:
    """Three to eight payments over a day or two: another device, country, hour and amount."""
    rng = world.rng
    episode, place = _episodes(world, count, 3, 8)
    episodes = int(episode[-1]) + 1 if count else 0
    card = world.cards.draw(rng, episodes)
    east = np.array([place.hours_east for place in PLACES])[world.cards.home[card]]
    day = rng.integers(0, world.settings.days, episodes)
    night = day * DAY_MS + (rng.uniform(0.0, 5.5, episodes) - east) * HOUR_MS
    pace = rng.integers(10 * MINUTE_MS, 6 * HOUR_MS, episodes)[episode]
    at_ms = np.mod(night.astype(np.int64)[episode] + place * pace, world.span_ms)
    merchant = world.merchants.on_web.draw(rng, np.zeros(count, dtype=np.int64))
    amount = world.amounts(card[episode], merchant) * rng.uniform(1.2, 4.5, count)
    online = np.ones(count, dtype=np.bool_)
    return Uses(
        card[episode],
        merchant,
        at_ms,
        amount,
        online,
        world.strange_devices(episode, online),
        np.full(count, TAKEOVER),
    )


def impossible_travel(world: World, count: int, genuine: Uses) -> Uses:
    """Within the hour after a payment in town, one to three in a place far away."""
    rng = world.rng
    episode, place = _episodes(world, count, 1, 3)
    episodes = int(episode[-1]) + 1 if count else 0
    present = np.flatnonzero(~genuine.online)
    source = present[rng.integers(0, len(present), episodes)]
    here = world.merchants.place[genuine.merchant[source]]
    far = _far_from(rng, here)
    start = genuine.at_ms[source] + rng.integers(10 * MINUTE_MS, HOUR_MS, episodes)
    at_ms = np.mod(start[episode] + place * rng.integers(MINUTE_MS, HOUR_MS, count), world.span_ms)
    merchant = world.merchants.in_town.draw(rng, far[episode])
    card = genuine.card[source][episode]
    amount = world.amounts(card, merchant) * rng.uniform(1.0, 3.0, count)
    online = np.zeros(count, dtype=np.bool_)
    return Uses(card, merchant, at_ms, amount, online, np.full(count, -1), np.full(count, TRAVEL))


def _far_from(rng: np.random.Generator, here: Integers) -> Integers:
    """For each place, one at least 1,500 km away."""
    latitude = np.radians([place.latitude for place in PLACES])
    longitude = np.radians([place.longitude for place in PLACES])
    half = (
        np.sin((latitude[:, None] - latitude) / 2) ** 2
        + np.cos(latitude[:, None])
        * np.cos(latitude)
        * np.sin((longitude[:, None] - longitude) / 2) ** 2
    )
    far = 2 * 6371.0 * np.arcsin(np.sqrt(half)) > 1500.0
    rank = rng.random((len(here), len(PLACES)))
    rank[~far[here]] = -1.0
    chosen: Integers = np.argmax(rank, axis=1).astype(np.int64)
    return chosen
