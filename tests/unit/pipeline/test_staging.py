"""What stages hand on to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import headrace as hr
from headrace.core.columns import Batch, Fixed, Text
from headrace.core.errors import InvariantBroken
from headrace.definitions.stages import plan_stages
from headrace.journal.batch import InputKind
from headrace.pipeline.inputs import Inputs
from headrace.pipeline.lane import Definition, Lane, LaneLimits
from headrace.pipeline.staging import Answered, Joining, answered, forwarded, partitions_of
from headrace.pipeline.step import step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.definitions.plan import Plan
    from headrace.journal.batch import JournalBatch

SECOND = 10**9
NOON = 1_772_366_400 * SECOND
FAR = 2**53 - 1


class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    card: hr.Key
    merchant: hr.Key
    amount: hr.Int
    fee: hr.Int
    shop: hr.Category


payments = hr.stream(Payment, lateness="10s")
merchant = payments.by("merchant")
features = hr.features(
    busy=payments.by("card").count("1h"),
    count=merchant.count("1h"),
    since=hr.seconds_between(merchant.first(payments.at, "1h"), payments.at),
    wide=merchant.previous(payments.amount + payments.fee, "1h"),
    shop=merchant.previous(payments.shop, "1h"),
)
STAGES = plan_stages(on=payments, features=features, key="card")
(SIDE,) = STAGES.sides

Row = tuple[str, float, str, int]


def lane(plan: Plan) -> Lane:
    return Lane(Definition("case", plan, None, None), (1, 2), LaneLimits(threads=1))


def inputs(rows: Sequence[Row]) -> Inputs:
    """Payments as (id, seconds after noon, merchant, amount), received when they were."""
    count, numbers = len(rows), np.arange(len(rows))
    ids, seconds, merchants, amounts = zip(*rows, strict=True)
    at = [NOON + int(second * SECOND) for second in seconds]
    batch = Batch(
        {
            "payment_id": Text.of(ids),
            "at": Fixed.of(at),
            "card": Text.of(["c"] * count),
            "merchant": Text.of(merchants),
            "amount": Fixed.of(amounts),
            "fee": Fixed.of(amounts),
            "shop": Text.of([f"shop of {name}" for name in ids]),
        },
        count,
    )
    return Inputs(
        stream=np.zeros(count, dtype=np.uint8),
        row=numbers.astype(np.int32),
        source=np.zeros(count, dtype=np.uint16),
        position=numbers,
        received_ns=np.array(at),
        read_ns=np.array(at),
        batches={"payment": batch},
    )


def admitted(rows: Sequence[Row]) -> JournalBatch:
    return step(lane(STAGES.admission), inputs(rows))


def sent(batch: JournalBatch, lane: int = 0, partitions: int = 1) -> dict[int, Inputs]:
    return forwarded(batch, STAGES.admission, SIDE, lane, partitions)


def test_values_come_through_exactly() -> None:
    batch = admitted([("a", 0, "m", FAR), ("b", 5.5, "m", -FAR), ("c", 7, "m", 3)])
    (answer,) = answered(step(lane(SIDE.plan), sent(batch)[0]), SIDE).values()
    joining = Joining(STAGES)
    joining.take(SIDE.name, answer)
    made = step(lane(STAGES.main), joining.joined(batch))
    columns = made.events["payment"]
    given = {item.text: item.field.name for item in SIDE.given}
    first = columns.fixed(given["the merchant's first at in the last 1 hour"])
    assert first.values.tolist() == [NOON] * 3
    wide = columns.fixed(given["the merchant's previous amount plus fee"])
    assert wide.valid.tolist() == [0, 1, 1]
    assert wide.values.tolist() == [0, 2 * FAR, -2 * FAR]
    shops = columns.text(given["the merchant's previous shop"])
    assert shops.strings() == [None, "shop of a", "shop of b"]
    assert made.decisions.features[:2].tolist() == [[1, 2, 3], [1, 2, 3]]
    assert made.decisions.features[2].tolist() == [0, 5.5, 7]


def test_each_key_goes_to_one_partition_and_keeps_its_order() -> None:
    rows = [(f"p{n}", float(n), f"m{n % 20}", n) for n in range(60)]
    batch = admitted(rows)
    parts = sent(batch, lane=7, partitions=3)
    assert sorted(parts) == [0, 1, 2]
    homes: dict[str | None, set[int]] = {}
    for number, part in parts.items():
        assert (np.diff(part.position) > 0).all()
        assert set(part.source.tolist()) == {7}
        assert list(part.batches["payment"].columns) == list(SIDE.plan.streams[0].schema.names)
        names = part.batches["payment"].text("merchant").strings()
        assert [f"m{at % 20}" for at in part.position.tolist()] == names
        for name in names:
            homes.setdefault(name, set()).add(number)
    assert sum(len(part) for part in parts.values()) == 60
    assert all(len(places) == 1 for places in homes.values())


def test_whole_numbers_are_keys_too() -> None:
    batch = Batch({"account": Fixed.of([*range(50), None])}, 51)
    where = partitions_of(batch, "account", 4)
    assert set(where.tolist()) == {0, 1, 2, 3}
    assert where.tolist() == partitions_of(batch, "account", 4).tolist()


def test_what_is_not_accepted_goes_no_further() -> None:
    rows = [("a", 0, "m", 1), ("a", 0, "m", 1), ("b", 60, "m", 2), ("late", 0, "m", 3)]
    batch = admitted(rows)
    assert batch.inputs.kind.tolist() == [
        InputKind.ACCEPTED,
        InputKind.DUPLICATE,
        InputKind.ACCEPTED,
        InputKind.QUARANTINED,
    ]
    assert sent(batch)[0].position.tolist() == [0, 2]
    (answer,) = answered(step(lane(SIDE.plan), sent(batch)[0]), SIDE).values()
    joining = Joining(STAGES)
    joining.take(SIDE.name, answer)
    made = step(lane(STAGES.main), joining.joined(batch))
    # a duplicate has no given values, and is one all the same
    assert made.inputs.kind.tolist() == batch.inputs.kind.tolist()
    assert made.inputs.original_seq.tolist() == [-1, 0, -1, -1]
    count = made.events["payment"].fixed(SIDE.given[0].field.name)
    assert count.valid.tolist() == [1, 0, 1, 0]


def test_what_comes_late_to_a_side_stage_counts_and_has_no_features() -> None:
    side = lane(SIDE.plan)
    ahead = admitted([("a", 100, "m", 1)])
    behind = admitted([("b", 80, "m", 2), ("c", 91, "m", 3), ("d", 100, "m", 4)])
    step(side, sent(ahead, lane=0)[0])
    made = step(side, sent(behind, lane=1)[0])
    assert made.inputs.kind.tolist() == [InputKind.ACCEPTED] * 3
    counts = made.decisions.features[0]
    assert np.isnan(made.decisions.features[:, 0]).all()
    # 91 is within the lateness of 10 s, and sees 80; 100 sees all four
    assert counts[1:].tolist() == [2, 4]


def test_answers_wait_for_each_other_in_any_order() -> None:
    batch = admitted([(f"p{n}", float(n), "m", n) for n in range(4)])
    (answer,) = answered(step(lane(SIDE.plan), sent(batch)[0]), SIDE).values()
    joining = Joining(STAGES)
    for part in ([3], [0], [2]):
        rows = np.array(part)
        joining.take(SIDE.name, Answered(answer.seq[rows], answer.values.take(rows)))
        assert not joining.is_whole(batch)
    with pytest.raises(InvariantBroken, match="answers each event once"):
        joining.joined(batch)
    joining.take(SIDE.name, Answered(answer.seq[1:2], answer.values.take(np.array([1]))))
    assert (joining.is_whole(batch), len(joining)) == (True, 4)
    made = step(lane(STAGES.main), joining.joined(batch))
    assert made.decisions.features[1].tolist() == [1, 2, 3, 4]
    assert len(joining) == 0
