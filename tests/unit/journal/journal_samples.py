"""Batches for the journal's tests, made from a seed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headrace.core.columns import Batch, Fixed, Kind, Text, pack_letters
from headrace.events.schema import Field, Role, Schema
from headrace.journal.batch import (
    CONTROL_STREAM,
    Decisions,
    InputKind,
    Inputs,
    JournalBatch,
    Measured,
    Position,
    Quarantined,
)
from headrace.journal.header import JournalHeader, StreamHeader

if TYPE_CHECKING:
    from collections.abc import Iterator

PAYMENT = Schema(
    "Payment",
    (
        Field("payment_id", Kind.TEXT, Role.ID),
        Field("at", Kind.TIME, Role.EVENT_TIME),
        Field("card", Kind.TEXT, Role.KEY),
        Field("merchant", Kind.TEXT, Role.KEY, optional=True),
        Field("amount", Kind.MONEY, currency_field="currency"),
        Field("currency", Kind.CURRENCY),
        Field("country", Kind.COUNTRY, optional=True),
        Field("distance", Kind.FLOAT, optional=True),
    ),
)
CHARGEBACK = Schema(
    "Chargeback",
    (Field("chargeback_id", Kind.TEXT, Role.ID), Field("at", Kind.TIME, Role.EVENT_TIME)),
)


def header(features: int = 3, lane: str = "lane-0", model: str = "m1") -> JournalHeader:
    """A header over payments and chargebacks."""
    return JournalHeader(
        use_case="card_fraud",
        lane=lane,
        definition="d" * 64,
        model=model,
        policy="p" * 64,
        engine="0.1.0",
        streams=(StreamHeader("payments", PAYMENT), StreamHeader("chargebacks", CHARGEBACK)),
        on="payments",
        features=tuple(f"f{i}" for i in range(features)),
        outcomes=("approve", "review", "block"),
        rules=("high", "burst"),
        reasons=("", "late", "malformed"),
        sources=("payments.jsonl", "chargebacks.jsonl"),
        tables={"currencies": "c" * 64},
    )


def payments(random: np.random.Generator, rows: int) -> Batch:
    """Payments with some values missing."""
    some = random.random(rows) < 0.9
    return Batch(
        {
            "payment_id": Text.of([f"pay-{random.integers(10**9):09d}" for _ in range(rows)]),
            "at": Fixed.of([int(value) for value in random.integers(0, 10**18, rows)]),
            "card": Text.of([f"card-{random.integers(10**6):016d}" for _ in range(rows)]),
            "merchant": Text.of([f"m{i}é" if some[i] else None for i in range(rows)]),
            "amount": Fixed.of([int(value) for value in random.integers(0, 10**6, rows)]),
            "currency": Fixed.of([pack_letters("EUR")] * rows),
            "country": Fixed.of([pack_letters("DE") if some[i] else None for i in range(rows)]),
            "distance": Fixed(
                np.where(some, random.normal(size=rows), 0.0).view(np.int64), some.view(np.uint8)
            ),
        },
        rows,
    )


def chargebacks(random: np.random.Generator, rows: int) -> Batch:
    """Chargebacks."""
    return Batch(
        {
            "chargeback_id": Text.of([f"cb-{random.integers(10**9):09d}" for _ in range(rows)]),
            "at": Fixed.of([int(value) for value in random.integers(0, 10**18, rows)]),
        },
        rows,
    )


def decisions(
    random: np.random.Generator, seq: np.ndarray, features: int, reasons: int = 3
) -> Decisions:
    """Decisions of those inputs, with missing features and some reasons."""
    count = len(seq)
    values = random.normal(size=(features, count))
    values[random.random((features, count)) < 0.1] = np.nan
    told = random.integers(0, reasons + 1, count)
    given = np.arange(reasons)[:, None] < told[None, :]
    return Decisions(
        seq=seq.astype(np.int64),
        features=values,
        margin=random.normal(size=count).astype(np.float32).astype(np.float64),
        score=random.random(count),
        reason_feature=np.where(
            given, random.integers(0, max(features, 1), given.shape), -1
        ).astype(np.int16),
        reason_contribution=np.where(given, random.normal(size=given.shape), 0.0),
        rules=random.integers(0, 4, count).astype(np.uint64),
        rule=random.integers(-1, 2, count).astype(np.int16),
        outcome=random.integers(0, 3, count).astype(np.uint8),
        arm=np.zeros(count, np.uint8),
        marks=np.zeros(count, np.uint8),
    )


def batch(
    seed: int, first_seq: int, count: int, features: int = 3, *, plain: bool = False
) -> JournalBatch:
    """A batch with every kind of input (`plain`: accepted payments only)."""
    random = np.random.default_rng(seed)
    kind = (
        np.zeros(count, np.uint8)
        if plain
        else random.choice([0, 0, 0, 0, 1, 2, 3, 4], count).astype(np.uint8)
    )
    stream = np.zeros(count, np.uint8) if plain else random.integers(0, 2, count).astype(np.uint8)
    stream[kind == InputKind.CONTROL] = CONTROL_STREAM
    untyped = (kind == InputKind.CONTROL) | (
        (kind == InputKind.QUARANTINED) & (random.random(count) < 0.5)
    )
    row = np.full(count, -1, np.int32)
    for rank in (0, 1):
        mine = (stream == rank) & ~untyped
        row[mine] = np.arange(mine.sum())
    refused = np.flatnonzero(kind == InputKind.QUARANTINED)
    controls = np.flatnonzero(kind == InputKind.CONTROL)
    decided = np.flatnonzero(
        (stream == 0) & ((kind == InputKind.ACCEPTED) | (kind == InputKind.BACKFILL))
    )
    told = len(refused)
    return JournalBatch(
        first_seq,
        Inputs(
            stream=stream,
            kind=kind,
            row=row,
            source=random.integers(0, 2, count).astype(np.uint16),
            position=np.arange(count, dtype=np.int64) + first_seq,
            received_ns=random.integers(0, 10**18, count),
            reason=np.where(kind == InputKind.QUARANTINED, 2, 0).astype(np.uint16),
            original_seq=np.where(kind == InputKind.DUPLICATE, first_seq, -1),
            read_ns=10**18 + np.sort(random.integers(0, 10**6, count)),
        ),
        {
            "payments": payments(random, int((row[stream == 0] >= 0).sum())),
            "chargebacks": chargebacks(random, int((row[stream == 1] >= 0).sum())),
        },
        decisions(random, decided + first_seq, features),
        Quarantined(
            seq=(refused + first_seq).astype(np.int64),
            field=Text.of(["amount" if i % 2 else None for i in range(told)]),
            value=Text.of(["twelve" if i % 2 else None for i in range(told)]),
            expected=Text.of(["a number"] * told),
            vault=Text.of([None if i % 2 else f"vault-{i}" for i in range(told)]),
            length=np.full(told, 77, np.int64),
        ),
        [(int(i) + first_seq, b'{"control":"swap"}') for i in controls],
        Measured(1, 2, {"score": 3}),
        {"payments.jsonl": Position(first_seq + count, 10 * (first_seq + count))},
    )


@contextmanager
def full_disk() -> Iterator[None]:
    """Segments of journals take nothing any more."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("headrace.journal.segments.os.write", full)
        yield


def assert_same(left: JournalBatch, right: JournalBatch) -> None:
    """Every column of two batches is the same, bit for bit."""
    assert left.first_seq == right.first_seq
    for part in ("inputs", "decisions"):
        for name in type(getattr(left, part)).__slots__:
            a, b = getattr(getattr(left, part), name), getattr(getattr(right, part), name)
            assert a.dtype == b.dtype, name
            np.testing.assert_array_equal(a.view(np.uint8), b.view(np.uint8), name)
    some = {name: events for name, events in left.events.items() if events.rows}
    assert some.keys() == dict(right.events).keys()
    for name, events in some.items():
        for field, column in events.columns.items():
            _assert_same_column(column, right.events[name].columns[field])
    for name in ("field", "value", "expected", "vault"):
        _assert_same_column(getattr(left.quarantined, name), getattr(right.quarantined, name))
    np.testing.assert_array_equal(left.quarantined.seq, right.quarantined.seq)
    np.testing.assert_array_equal(left.quarantined.length, right.quarantined.length)
    assert list(left.controls) == list(right.controls)
    assert left.measured == right.measured
    assert left.positions == right.positions
    assert left.categories == right.categories


def _assert_same_column(left: Fixed | Text, right: Fixed | Text) -> None:
    assert type(left) is type(right)
    np.testing.assert_array_equal(left.valid, right.valid)
    if isinstance(left, Text):
        assert left.strings() == right.strings()  # type: ignore[union-attr]  # of the same type
    else:
        np.testing.assert_array_equal(left.values, right.values)  # type: ignore[union-attr]  # of the same type
