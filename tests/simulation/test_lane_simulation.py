"""A lane under disorder and crashes: seeded, against counting by hand.

A seed draws events that come late, early, twice and changed, cuts them into batches, and crashes
the lane at random moments: it is made anew from a snapshot, and the inputs since are put through
again, as a start does from the journal. What comes out must be what counting by hand gives.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from crashing_lane import CrashingLane  # type: ignore[import-not-found]  # on the path above

import headrace as hr
from headrace.core.columns import Batch, Fixed, Text
from headrace.events.reasons import Reason
from headrace.pipeline.acceptance import Verdict
from headrace.pipeline.inputs import Inputs
from headrace.runtime.local_lane import header_of

if TYPE_CHECKING:
    from headrace.journal.batch import JournalBatch

SECONDS = float(os.environ.get("HEADRACE_SIMULATION_SECONDS", "5"))
SECOND = 1_000_000_000
LATENESS, AHEAD, WINDOW = 60 * SECOND, 30 * SECOND, 300 * SECOND


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key
    amount: hr.Money = hr.field(currency="EUR")


payments = hr.stream(Payment, name="payments", lateness="60s", max_ahead="30s", dedupe="10m")
features = hr.features(
    count=payments.by("card").count("5m"),
    spent=payments.by("card").sum(payments.amount, "5m"),
    most=payments.by("card").max(payments.amount, "5m"),
)
case = hr.UseCase(
    name="simulated",
    on=payments,
    features=features,
    policy=hr.Policy(hr.block("burst", features.count > 3), otherwise=hr.approve()),
)


@dataclass(frozen=True)
class Event:
    name: str
    at: int
    card: str
    amount: int
    received: int


@dataclass
class ByHand:
    """The contract of time, read aloud."""

    seen: dict[str, tuple[Event, int]] = field(default_factory=dict)
    accepted: list[Event] = field(default_factory=list)
    watermark: int | None = None

    def judge(self, event: Event) -> tuple[int, int]:
        """Verdict and reason."""
        first = self.seen.get(event.name)
        if first is not None and self.watermark is not None:
            earlier, mark = first
            if self.watermark - mark <= 600 * SECOND:
                same = (earlier.at, earlier.card, earlier.amount) == (
                    event.at,
                    event.card,
                    event.amount,
                )
                if same:
                    return Verdict.DUPLICATE, 0
                return Verdict.QUARANTINED, Reason.ID_CONFLICT
        if event.at > event.received + AHEAD:
            return Verdict.QUARANTINED, Reason.EARLY
        if self.watermark is not None and event.at < self.watermark - LATENESS:
            return Verdict.QUARANTINED, Reason.LATE
        self.watermark = max(event.at, self.watermark or event.at)
        self.seen[event.name] = (event, self.watermark)
        self.accepted.append(event)
        return Verdict.ACCEPTED, 0

    def features(self, event: Event) -> tuple[float, float, float]:
        window = [
            item.amount
            for item in self.accepted
            if item.card == event.card and event.at - WINDOW < item.at <= event.at
        ]
        return float(len(window)), sum(window) / 100, max(window) / 100


def drawn(dice: np.random.Generator, count: int) -> list[Event]:
    """Events in the order of their arrival, with every kind of disorder."""
    events: list[Event] = []
    now = 1_700_000_000 * SECOND
    for number in range(count):
        now += int(dice.integers(0, 8)) * SECOND
        chance = dice.random()
        if events and chance < 0.08:
            events.append(Event(*_again(events[int(dice.integers(len(events)))], now)))
            continue
        if events and chance < 0.11:
            old = events[int(dice.integers(len(events)))]
            events.append(Event(old.name, old.at, old.card, old.amount + 1, now))
            continue
        shift = int(dice.choice([0, 0, 0, -20, -59, -60, -61, -200, 29, 30, 31, 300]))
        card = f"c{int(dice.integers(4))}"
        amount = int(dice.integers(-(10**4), 10**6))
        events.append(Event(f"p{number}", now + shift * SECOND, card, amount, now))
    return events


def _again(event: Event, now: int) -> tuple[str, int, str, int, int]:
    return event.name, event.at, event.card, event.amount, now


def inputs_of(events: list[Event], begin: int) -> Inputs:
    size = len(events)
    return Inputs(
        stream=np.zeros(size, dtype=np.uint8),
        row=np.arange(size, dtype=np.int32),
        source=np.zeros(size, dtype=np.uint16),
        position=np.arange(begin, begin + size),
        received_ns=np.array([event.received for event in events]),
        read_ns=np.zeros(size, dtype=np.int64),
        batches={
            "payments": Batch(
                {
                    "payment_id": Text.of([event.name for event in events]),
                    "at": Fixed.of([event.at for event in events]),
                    "card": Text.of([event.card for event in events]),
                    "amount": Fixed.of([event.amount for event in events]),
                },
                size,
            )
        },
    )


def simulate(seed: int) -> None:
    dice = np.random.default_rng(seed)
    events = drawn(dice, 250)
    by_hand = ByHand()
    definition = case.definition(None)
    lane = CrashingLane(
        definition,
        header_of(definition, ("payments",)),
        lambda begin, end: inputs_of(events[begin:end], begin),
        dice,
    )
    counts = np.zeros(3, dtype=np.int64)
    for batch in lane.batches(len(events), most=40):
        begin = batch.first_seq
        _check(batch, events[begin : batch.next_seq], by_hand, f"seed {seed}, inputs from {begin}")
        counts += np.bincount(batch.inputs.kind, minlength=3)[:3]
    assert counts.sum() == len(events)


def _check(batch: JournalBatch, events: list[Event], by_hand: ByHand, where: str) -> None:
    place = 0
    for index, event in enumerate(events):
        verdict, reason = by_hand.judge(event)
        assert batch.inputs.kind[index] == verdict, (where, event)
        assert batch.inputs.reason[index] == reason, (where, event)
        if verdict != Verdict.ACCEPTED:
            continue
        got = batch.decisions.features[:, place].tolist()
        assert tuple(got) == by_hand.features(event), (where, event)
        blocked = batch.decisions.outcome[place] > 0
        assert blocked == (got[0] > 3), (where, event)
        place += 1


@pytest.mark.parametrize("seed", range(6))
def test_disorder_and_crashes(seed: int) -> None:
    simulate(seed)


@pytest.mark.slow
def test_disorder_and_crashes_for_longer() -> None:
    end = time.monotonic() + SECONDS
    seed = 1_000
    while time.monotonic() < end:
        simulate(seed)
        seed += 1
