"""The journal's tables, queried with SQL."""

from __future__ import annotations

import dataclasses
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from msgspec import structs

sys.path.insert(0, str(Path(__file__).parent))

import journal_samples as samples  # type: ignore[import-not-found]  # on the path above

from headrace.core.columns import Batch
from headrace.core.errors import NotFound
from headrace.events.schema import Schema
from headrace.journal.header import StreamHeader
from headrace.journal.journal import Journal
from headrace.journal.keys import SigningKey
from headrace.journal.tables import decision_table, tables

KEY = SigningKey.from_seed(bytes(32))


def test_sql_over_a_journal(tmp_path: Path) -> None:
    made = [samples.batch(1, 0, 200), samples.batch(2, 200, 50, features=4)]
    with Journal.open(tmp_path, samples.header(), KEY) as journal:
        journal.append(made[0])
        journal.describe(samples.header(features=4))
        journal.append(made[1])
    found = tables(tmp_path)
    connection = duckdb.connect()
    for name, table in found.items():
        connection.register(name, table)

    def ask(question: str) -> list[tuple[Any, ...]]:
        return connection.sql(question).fetchall()

    count = sum(len(batch.decisions) for batch in made)
    blocked = sum(int((batch.decisions.outcome == 2).sum()) for batch in made)
    assert ask("select count(*), count(*) filter (outcome = 'block') from decisions") == [
        (count, blocked)
    ]
    kinds = dict(ask("select kind, count(*) from inputs group by kind"))
    assert kinds["quarantined"] == ask("select count(*) from quarantine")[0][0]
    assert sum(int((batch.inputs.kind == 4).sum()) for batch in made) == kinds["control"]
    first = made[0]
    decision = int(np.flatnonzero(first.decisions.reason_feature[0] >= 0)[0])
    seq = int(first.decisions.seq[decision])
    row = int(first.inputs.row[seq])
    (answer,) = ask(
        'select decision_id, payment_id, epoch_ns("at"), amount, currency, score, '
        "reasons[1].feature, rules, f0, f3 "
        f"from decisions where seq = {seq}"
    )
    events = first.events["payments"]
    value = first.decisions.features[0, decision]
    matched = int(first.decisions.rules[decision])
    assert answer == (
        f"lane-0/{seq}",
        events.text("payment_id").strings()[row],
        int(events.fixed("at").values[row]),
        Decimal(int(events.fixed("amount").values[row])).scaleb(-2),
        "EUR",
        first.decisions.score[decision],
        f"f{first.decisions.reason_feature[0, decision]}",
        [name for bit, name in enumerate(("high", "burst")) if matched >> bit & 1],
        None if np.isnan(value) else value,
        None,
    )
    told = ask("select field, expected, vault, length from quarantine order by seq limit 2")
    assert told == [(None, "a number", "vault-0", 77), ("amount", "a number", None, 77)]
    assert tables(tmp_path, 230)["inputs"].num_rows == 20
    with pytest.raises(NotFound):
        tables(tmp_path / "none")


def test_no_column_hides_another() -> None:
    made = samples.batch(1, 0, 200, features=4)
    fields = tuple(
        dataclasses.replace(field, name={"card": "seq", "merchant": "Outcome"}.get(name, name))
        for field, name in zip(samples.PAYMENT.fields, samples.PAYMENT.names, strict=True)
    )
    schema = Schema("Payment", fields)
    columns = dict(made.events["payments"].columns)
    columns["seq"], columns["Outcome"] = columns.pop("card"), columns.pop("merchant")
    events = {**made.events, "payments": Batch(columns, made.events["payments"].rows)}
    header = dataclasses.replace(
        samples.header(),
        streams=(StreamHeader("payments", schema), *samples.header().streams[1:]),
        features=("amount", "feature_amount", "distance", "fast"),
    )
    batch = structs.replace(made, events=events)
    table = decision_table(batch, header)
    lower = [name.lower() for name in table.column_names]
    assert len(set(lower)) == len(lower)
    assert table["seq"].to_pylist() == batch.decisions.seq.tolist()
    assert set(table["outcome"].to_pylist()) <= set(header.outcomes)
    rows = batch.inputs.row[batch.decisions.seq - batch.first_seq]
    assert table["event_seq"].to_pylist() == columns["seq"].take(rows).strings()
    assert table["event_Outcome"].to_pylist() == columns["Outcome"].take(rows).strings()
    shown = ("feature_feature_amount", "feature_amount", "feature_distance", "fast")
    for name, values in zip(shown, batch.decisions.features, strict=True):
        np.testing.assert_array_equal(table[name].to_numpy(), values)
