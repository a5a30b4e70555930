"""Decisions as whoever asked for them wants them: short lines of JSON.

    {"decision_id", "event_id", "score", "reasons", "outcome", "rule", "rules", "model", "policy"}

`score` is left out where there is none. All else that belongs to a decision (the event, features,
times) is in the journal, under its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.events.arrow_forms import to_arrow
from headrace.events.json_writer import Rendered, lines_of
from headrace.events.schema import Role, Schema
from headrace.journal.tables import decision_table

if TYPE_CHECKING:
    from headrace.journal.batch import Decisions, JournalBatch
    from headrace.journal.header import JournalHeader

#: What lines and table have of each decision itself.
_DECIDED = ("score", "reasons", "outcome", "rule", "rules", "model", "policy")
_QUOTE = '"'


def answer_lines(batch: JournalBatch, header: JournalHeader) -> bytes:
    """The decisions of a batch as lines of JSON, in known order."""
    decisions = batch.decisions
    if len(decisions) == 0:
        return b""
    seqs = pa.array(decisions.seq).cast(pa.string())
    lane = msgspec.json.encode(f"{header.lane}/").decode()[:-1]
    return lines_of(
        [
            ("decision_id", Rendered(pc.binary_join_element_wise(lane, seqs, _QUOTE, ""))),
            ("event_id", _event_ids(batch, header)),
            ("score", pa.array(decisions.score, from_pandas=True)),
            ("reasons", Rendered(_reasons(decisions, header))),
            ("outcome", Rendered(_policy_part(decisions, header))),
        ]
    )


def answer_table(batch: JournalBatch, header: JournalHeader) -> pa.Table:
    """The decisions of a batch as a table, in known order: a column for a member of the lines."""
    whole = decision_table(batch, header)
    return pa.table(
        {
            "decision_id": whole.column("decision_id"),
            "event_id": _event_ids(batch, header),
            **{name: whole.column(name) for name in _DECIDED},
        }
    )


def _event_ids(batch: JournalBatch, header: JournalHeader) -> Any:
    """The ids of the decided events."""
    schema = header.schema(header.on)
    rows = batch.inputs.row[batch.decisions.seq - batch.first_seq]
    fields = tuple(field for field in schema.fields if field.role is Role.ID)
    events = batch.events[header.on]
    ids = type(events)({field.name: events.columns[field.name] for field in fields}, len(events))
    if len(rows) != len(events):
        ids = ids.take(rows)
    return to_arrow(Schema(schema.name, fields), ids).column(0)


def _policy_part(decisions: Decisions, header: JournalHeader) -> Any:
    """From the outcome on, all members: there are few different ones, and each is written once."""
    policy = {"model": header.model, "policy": header.policy}
    masks, which = np.unique(decisions.rules, return_inverse=True)
    # one number for each combination, since numbers are sorted much faster than records
    keys = (which << 24) | ((decisions.rule.astype(np.int64) + 1) << 8) | decisions.outcome
    distinct, place = np.unique(keys, return_inverse=True)
    texts = []
    for key in distinct.tolist():
        outcome, rule, rules = key & 0xFF, (key >> 8 & 0xFFFF) - 1, int(masks[key >> 24])
        told = {
            "rule": header.rules[rule] if rule >= 0 else "otherwise",
            "rules": [name for bit, name in enumerate(header.rules) if rules >> bit & 1],
            **policy,
        }
        members = msgspec.json.encode(told).decode()[1:-1]
        name = msgspec.json.encode(header.outcomes[outcome]).decode()
        texts.append(f"{name},{members}")
    return pa.array(texts, pa.string()).take(pa.array(place))


def _reasons(decisions: Decisions, header: JournalHeader) -> Any:
    """Lists of what made the score, the strongest first."""
    told = np.flatnonzero((decisions.reason_feature >= 0).any(axis=0))
    texts = ["[]"]
    place = np.zeros(len(decisions), dtype=np.int64)
    for at in told.tolist():
        place[at] = len(texts)
        reasons = [
            {"feature": header.features[feature], "contribution": contribution}
            for feature, contribution in zip(
                decisions.reason_feature[:, at].tolist(),
                decisions.reason_contribution[:, at].tolist(),
                strict=True,
            )
            if feature >= 0
        ]
        texts.append(msgspec.json.encode(reasons).decode())
    return pa.array(texts, pa.string()).take(pa.array(place))
