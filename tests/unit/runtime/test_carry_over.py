"""A lane opened under a changed definition stands where the whole journal would bring it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from headrace.journal.journal import Journal
from headrace.journal.reader import segment_starts, stored_batches
from headrace.pipeline.lane import Lane
from headrace.pipeline.replay import inputs_of, ranks_under
from headrace.pipeline.step import accept
from headrace.runtime.definitions import Definitions
from headrace.runtime.home import Home
from headrace.runtime.loading import load_case
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.local_lane import LaneSettings, LocalLane, header_of, signing_key
from headrace.runtime.snapshots import Snapshots
from headrace_solutions.card_fraud.lines import write, write_table
from headrace_solutions.card_fraud.simulator import SimulationSettings, simulate

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.pipeline.use_case import UseCase

CASE = """
import headrace as hr

class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    card: hr.Key = hr.field(pii=True, subject=True)
    merchant: hr.Key
    amount: hr.Money
    currency: hr.Currency
    channel: hr.Category

class Chargeback(hr.Event):
    chargeback_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    payment_id: hr.Ref[Payment]
    merchant: hr.Key

payments = hr.stream(Payment, name="payments", lateness="LATENESS")
chargebacks = hr.stream(Chargeback, name="chargebacks")
card, merchant = payments.by("card"), payments.by("merchant")
case = hr.UseCase(
    name="changing",
    on=payments,
    features=hr.features(FEATURES),
    label=chargebacks.of(payments).within("60d"),
)
"""
BEFORE = {
    "card_count_1d": 'card.count("1d")',
    "merchant_count_2d": 'merchant.count("2d")',
    "hour": "payments.at.hour()",
}


def case_of(folder: Path, features: dict[str, str], lateness: str = "10m") -> UseCase:
    path = folder / "case.py"
    said = ", ".join(f"{name}={value}" for name, value in features.items())
    path.write_text(CASE.replace("FEATURES", said).replace("LATENESS", lateness))
    return load_case(str(path))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("sources")
    made = simulate(
        SimulationSettings(events=6_000, cards=500, merchants=40, days=20, seed=3, late=0.02)
    )
    write(made, folder / "payments.jsonl")
    write_table(made.chargebacks, folder / "chargebacks.parquet")
    return [str(folder / "payments.jsonl"), f"chargebacks={folder / 'chargebacks.parquet'}"]


@pytest.fixture(scope="module")
def decided(sources: list[str], tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which all payments were decided by the first definition."""
    folder = tmp_path_factory.mktemp("decided")
    home = Home(folder / "home")
    settings = RunSettings(lane=LaneSettings(durability="os"), batch_rows=250)
    LocalRun(case_of(folder, BEFORE), home, sources, settings=settings).go()
    return home


def in_small_segments(decided: Home, case: UseCase, home: Home) -> Home:
    """The same journal in many files, with the state at four fifths of it."""
    shutil.copytree(decided.keys, home.keys)
    shutil.copytree(decided.definitions, home.definitions)
    batches = [stored.batch() for stored in stored_batches(decided.journal(case.name))]
    journal = Journal.open(
        home.journal(case.name),
        header_of(case.definition(None), tuple(batches[-1].positions)),
        signing_key(home),
        durability="os",
        segment_bytes=40_000,
    )
    lane = Lane(case.definition(None), key_of(home))
    snapshots = Snapshots(home.snapshots(case.name), case.plan.digest())
    for number, batch in enumerate(batches):
        journal.append(batch)
        journal.commit()
        accept(lane, inputs_of(batch))
        if number == len(batches) * 4 // 5:
            snapshots.write(lane.next_seq, *lane.freeze().content())
    journal.close()
    return home


def key_of(home: Home) -> tuple[int, int]:
    raw = (home.keys / "dedupe.key").read_bytes()
    return int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:16], "little")


def rebuilt(case: UseCase, home: Home) -> bytes:
    """The state that the whole journal makes."""
    lane = Lane(case.definition(None), key_of(home))
    for stored in stored_batches(home.journal(case.name)):
        accept(lane, inputs_of(stored.batch(), ranks_under(stored.header, case.plan)))
    return lane.snapshot()


def journal_end(home: Home, case: UseCase) -> int:
    """Where the journal ends."""
    return [stored.link.next_seq for stored in stored_batches(home.journal(case.name))][-1]


def opened(case: UseCase, home: Home) -> tuple[bytes, str, int]:
    """The state of the lane as it is opened, what is said, and where the snapshot stood."""
    Definitions(home.definitions).keep(case.definition(None))
    with LocalLane(case.definition(None), home) as local:
        recovery = local.recovery
        return local.lane.snapshot(), "\n".join(recovery.words), recovery.from_snapshot


def test_what_is_the_same_is_kept_and_the_rest_rebuilt_from_where_it_can_be_seen(
    decided: Home, tmp_path: Path
) -> None:
    home = in_small_segments(decided, case_of(tmp_path, BEFORE), Home(tmp_path / "home"))
    after = case_of(
        tmp_path,
        {
            "merchant_count_1h": 'merchant.count("1h")',
            "card_count_2d": 'card.count("2d")',
            "card_sum_1d": 'card.sum(payments.amount / payments.amount, "1d")',
            "log": "payments.at.weekday()",
        },
    )
    state, said, stood = opened(after, home)
    assert state == rebuilt(after, home)
    assert stood > 0
    assert opened(after, home) == (state, "", journal_end(home, after))
    assert "the definition has changed: the state of merchant_count_1h is kept" in said
    assert "that of card_count_2d and card_sum_1d was rebuilt from the journal, input " in said
    begin = int(said.split("journal, input ")[1].split(" on")[0].replace(",", ""))
    assert begin in segment_starts(home.journal(after.name))
    assert 0 < begin < stood


def test_back_and_forth_each_definition_has_its_state(decided: Home, tmp_path: Path) -> None:
    before = case_of(tmp_path, BEFORE)
    home = in_small_segments(decided, before, Home(tmp_path / "home"))
    after = case_of(tmp_path, BEFORE | {"more": 'merchant.count("30d")'})
    for case in (after, before, after, before):
        state, said, _ = opened(case, home)
        assert state == rebuilt(case, home)
        assert "cannot be" not in said


def test_a_window_longer_than_the_journal_is_said(decided: Home, tmp_path: Path) -> None:
    home = in_small_segments(decided, case_of(tmp_path, BEFORE), Home(tmp_path / "home"))
    after = case_of(tmp_path, BEFORE | {"disputes_90d": 'chargebacks.by("merchant").count("90d")'})
    state, said, _ = opened(after, home)
    assert state == rebuilt(after, home)
    assert "the state of card_count_1d and merchant_count_2d is kept" in said
    assert "that of disputes_90d was rebuilt from the journal, its first input on" in said
    assert "disputes_90d looks back 90 days, the journal begins at 20" in said
    assert ": complete from 20" in said


@pytest.mark.parametrize(
    ("features", "lateness", "why"),
    [
        (BEFORE, "20m", "how late, early or often their events may come, have changed"),
        (BEFORE | {"channel": "payments.channel"}, "10m", "features read other texts"),
    ],
)
def test_what_concerns_every_part_rebuilds_the_whole(
    features: dict[str, str], lateness: str, why: str, decided: Home, tmp_path: Path
) -> None:
    home = in_small_segments(decided, case_of(tmp_path, BEFORE), Home(tmp_path / "home"))
    after = case_of(tmp_path, features, lateness)
    state, said, stood = opened(after, home)
    assert state == rebuilt(after, home)
    assert stood == 0
    assert why in said
    assert "the definition has changed: its state is rebuilt from the journal" in said


def test_verdicts_of_an_earlier_definition_are_not_built_on(decided: Home, tmp_path: Path) -> None:
    """Events that were accepted once are late under what is in force: only the whole tells."""
    home = in_small_segments(decided, case_of(tmp_path, BEFORE), Home(tmp_path / "home"))
    strict = case_of(tmp_path, BEFORE, "1s")
    state, _, _ = opened(strict, home)
    assert state == rebuilt(strict, home)
    after = case_of(tmp_path, BEFORE | {"card_count_9d": 'card.count("9d")'}, "1s")
    state, said, stood = opened(after, home)
    assert state == rebuilt(after, home)
    assert stood == 0
    assert "were judged under a definition with other rules" in said


def test_streams_that_are_ranked_otherwise_are_told_apart(decided: Home, tmp_path: Path) -> None:
    """A journal names streams by their ranks under its own definition."""
    home = in_small_segments(decided, case_of(tmp_path, BEFORE), Home(tmp_path / "home"))
    batch = next(stored_batches(home.journal("changing")))
    plan = case_of(tmp_path, BEFORE).plan
    assert ranks_under(batch.header, plan) is None
    turned = replace(plan, streams=plan.streams[::-1])
    ranks = ranks_under(batch.header, turned)
    assert ranks == (1, 0)
    assert set(inputs_of(batch.batch(), ranks).stream.tolist()) <= {0, 1}
    assert (inputs_of(batch.batch(), ranks).stream == 1 - batch.batch().inputs.stream).all()
