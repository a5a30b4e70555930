"""What is retried from quarantine comes back as a backfill: against counting by hand."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headrace as hr
from headrace.adapters.live import LiveLines
from headrace.core.errors import DataError
from headrace.events.json_lines import JsonLines
from headrace.events.reasons import Reason
from headrace.journal.batch import MARK_BACKFILLED, InputKind
from headrace.journal.reader import stored_batches
from headrace.journal.verification import verify
from headrace.runtime.definitions import Definitions
from headrace.runtime.home import Home
from headrace.runtime.intake import Assembly, LiveIntake
from headrace.runtime.local_lane import LaneSettings, LocalLane, now_ns, signing_key
from headrace.runtime.quarantine import SOURCE, quarantined, retry
from headrace.runtime.replaying import recorded_definitions, replay

if TYPE_CHECKING:
    from headrace.runtime.quarantine import QuarantinedInput

SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND
LATENESS, AHEAD, WINDOW = 60 * SECOND, 30 * SECOND, 300 * SECOND
STDIN = "stdin:payments"


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    card: hr.Key = hr.field(pii=True, subject=True)
    amount: hr.Money = hr.field(currency="EUR")


payments = hr.stream(Payment, name="payments", lateness="60s", max_ahead="30s", dedupe="90d")
features = hr.features(
    count=payments.by("card").count("5m"),
    spent=payments.by("card").sum(payments.amount, "5m"),
)
case = hr.UseCase(
    name="retried",
    on=payments,
    features=features,
    policy=hr.Policy(hr.block("burst", features.count > 3), otherwise=hr.approve()),
)
DEFINITION = case.definition(None)


@dataclass(frozen=True)
class Event:
    """One payment; an amount of None is written so that it cannot be read."""

    name: str
    at: int
    received: int
    card: str
    amount: int | None

    @property
    def line(self) -> bytes:
        amount = "much" if self.amount is None else f"{self.amount / 100:.2f}"
        made = {
            "payment_id": self.name,
            "at": _text(self.at),
            "received": _text(self.received),
            "card": self.card,
            "amount": amount,
        }
        return json.dumps(made).encode() + b"\n"


def _text(at: int) -> str:
    return f"{np.datetime64(at, 'ns')}Z"


@dataclass
class ByHand:
    """The contract of time, read aloud, for events that may come back."""

    seen: dict[str, Event] = field(default_factory=dict)
    accepted: list[Event] = field(default_factory=list)
    watermark: int = -(2**62)

    def judge(self, event: Event, received: int, *, retried: bool) -> tuple[int, int]:
        """What becomes of it, and why."""
        if event.amount is None:
            return InputKind.QUARANTINED, Reason.WRONG_TYPE
        first = self.seen.get(event.name)
        if first is not None:
            same = (first.at, first.card, first.amount) == (event.at, event.card, event.amount)
            return (InputKind.DUPLICATE, 0) if same else (InputKind.QUARANTINED, Reason.ID_CONFLICT)
        if event.at > received + AHEAD:
            return InputKind.QUARANTINED, Reason.EARLY
        if not retried and event.at < self.watermark - LATENESS:
            return InputKind.QUARANTINED, Reason.LATE
        self.watermark = max(event.at, self.watermark)
        self.seen[event.name] = event
        self.accepted.append(event)
        return (InputKind.BACKFILL if retried else InputKind.ACCEPTED), 0

    def features(self, event: Event) -> tuple[float, float]:
        """Of the event just accepted: over what state still reaches."""
        reached = self.watermark - LATENESS - WINDOW
        window = [
            item.amount or 0
            for item in self.accepted
            if item.card == event.card
            and event.at - WINDOW < item.at <= event.at
            and item.at > reached
        ]
        return float(len(window)), sum(window) / 100


@st.composite
def drawn(draw: st.DrawFn) -> tuple[list[Event], int, list[bool]]:
    """Events in order of arrival, how many come before the retry, and which are retried."""
    events: list[Event] = []
    now = BEGIN
    for number in range(draw(st.integers(2, 24))):
        now += draw(st.integers(0, 40)) * SECOND
        shift = draw(st.sampled_from([0, 0, 0, -30, -61, -100, -250, -400, 30, 31, 200])) * SECOND
        amount = draw(st.one_of(st.integers(-500, 50_000), st.none()))
        card = draw(st.sampled_from(["c1", "c2"]))
        event = Event(f"p{number}", now + shift, now, card, amount)
        kind = draw(st.sampled_from(["new", "new", "new", "new", "again", "changed"]))
        if events and kind != "new":
            old = draw(st.sampled_from(events))
            changed = (old.amount or 0) + (kind == "changed")
            amount = None if old.amount is None else changed
            event = Event(old.name, old.at, now, old.card, amount)
        events.append(event)
    before = draw(st.integers(1, len(events)))
    return events, before, draw(st.lists(st.booleans(), min_size=before, max_size=before))


def opened(home: Home) -> LocalLane:
    return LocalLane(DEFINITION, home, [STDIN, SOURCE], LaneSettings(durability="os"))


def fed(home: Home, events: list[Event]) -> None:
    """Feed events on a pipe, from the first on; those that were decided are passed over."""
    outside, inside = os.pipe()
    os.write(inside, b"".join(event.line for event in events))
    os.close(inside)
    with opened(home) as local:
        assembly = Assembly(DEFINITION.plan, local.vault)
        intake = LiveIntake(
            assembly,
            (local.source_number(STDIN), STDIN),
            "payments",
            JsonLines(assembly.schemas["payments"]),
            LiveLines(outside, now_ns),
            clock=now_ns,
            earlier=local.position(STDIN),
        )
        for inputs in intake.batches(lambda _: True, lambda: False):
            local.decide(inputs)
    os.close(outside)


def check(home: Home, expected: list[tuple[Event, int, bool]]) -> None:
    """The journal holds the expected inputs, each judged and computed as by hand."""
    by_hand = ByHand()
    counts = dict.fromkeys(InputKind, 0)
    found = 0
    for stored in stored_batches(home.journal(case.name)):
        batch = stored.batch()
        place = {int(seq): at for at, seq in enumerate(batch.decisions.seq)}
        for index in range(len(batch)):
            event, received, retried = expected[found]
            if retried:  # received when it was retried
                received = int(batch.inputs.received_ns[index])
            kind, reason = by_hand.judge(event, received, retried=retried)
            assert (batch.inputs.kind[index], batch.inputs.reason[index]) == (kind, reason), event
            counts[InputKind(kind)] += 1
            found += 1
            at = place.get(batch.first_seq + index)
            assert (at is not None) == (kind in {InputKind.ACCEPTED, InputKind.BACKFILL})
            if at is not None:
                made = batch.decisions
                assert tuple(made.features[:, at]) == by_hand.features(event), event
                marked = bool(made.marks[at] & MARK_BACKFILLED)
                assert marked == (kind == InputKind.BACKFILL)
    accepted = counts[InputKind.ACCEPTED] + counts[InputKind.BACKFILL]
    refused = counts[InputKind.DUPLICATE] + counts[InputKind.QUARANTINED]
    assert accepted + refused == found == len(expected)


@settings(deadline=None, max_examples=25)
@given(drawn())
def test_what_is_retried_counts_from_then_on(
    history: tuple[list[Event], int, list[bool]],
) -> None:
    events, before, wanted = history
    with TemporaryDirectory() as folder:
        home = Home(Path(folder))
        Definitions(home.definitions).keep(DEFINITION)
        fed(home, events[:before])
        expected = [(event, event.received, False) for event in events[:before]]
        chosen = [item for item in quarantined(home.journal(case.name)) if wanted[item.seq]]
        with opened(home) as local:
            retry(local, chosen)
        expected += _order_of_retry(events, chosen)
        check(home, expected)

        # once more is harmless: what came back is refused by name, and never counted twice
        after = {item.seq: item for item in quarantined(home.journal(case.name))}
        back = [after[item.seq] for item in chosen if after[item.seq].retried_as is not None]
        with opened(home) as local:
            if back:
                with pytest.raises(DataError, match="was accepted before, as input"):
                    retry(local, back)
            retry(local, chosen)
        expected += _order_of_retry(events, chosen)
        again = {item.seq: item.retried_as for item in quarantined(home.journal(case.name))}
        assert [again[item.seq] for item in back] == [item.retried_as for item in back]

        fed(home, events)
        expected += [(event, event.received, False) for event in events[before:]]
        check(home, expected)
        found = replay(home.journal(case.name), recorded_definitions(home, case.name))
        assert (found.difference, found.inputs) == (None, len(expected))
        verify(home.journal(case.name), signing_key(home).public).require()


def _order_of_retry(
    events: list[Event], chosen: list[QuarantinedInput]
) -> list[tuple[Event, int, bool]]:
    """Those whose fields the journal has go first, then those that the vault kept as bytes."""
    typed = [item.seq for item in chosen if not item.reference]
    sealed = [item.seq for item in chosen if item.reference]
    return [(events[seq], 0, True) for seq in typed + sealed]
