"""What became of each row of a frame, as columns in the frame's order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headrace.core.columns import CATEGORICAL, Kind, category_text
from headrace.events.frames import read as frames_read
from headrace.events.reasons import Reason
from headrace.events.schema import Role, Schema
from headrace.pipeline.acceptance import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from headrace.core.columns import Floats, Int64s
    from headrace.definitions.plan import Feature
    from headrace.journal.batch import JournalBatch
    from headrace.pipeline.inputs import Inputs
    from headrace.pipeline.lane import Definition
    from headrace.pipeline.use_case import UseCase

#: What was wrong with a row: as quarantine says it of an event.
_REFUSED = pa.struct([(name, pa.string()) for name in ("field", "value", "expected")])


class FrameRows:
    """What became of each row of the decided stream's frame, in the frame's order."""

    def __init__(self, case: UseCase, frames: Mapping[str, Any]) -> None:
        self.case = case
        self.rank = [stream.name for stream in case.plan.streams].index(case.plan.on)
        self.ids = _ids(case, frames[case.plan.on])
        rows = len(self.ids)
        self.verdict = np.full(rows, Verdict.QUARANTINED, dtype=np.uint8)
        self.reason = np.zeros(rows, dtype=np.uint16)
        self.features = np.full((len(case.plan.features), rows), np.nan)
        self.decided = np.zeros(rows, dtype=bool)
        self.told: dict[int, dict[str, str]] = {}

    def judged(
        self, inputs: Inputs, verdicts: NDArray[np.uint8], reasons: NDArray[np.uint16]
    ) -> None:
        """Note what became of the inputs of one batch."""
        mine = np.flatnonzero(inputs.stream == self.rank)
        self.verdict[inputs.position[mine]] = verdicts[mine]
        self.reason[inputs.position[mine]] = reasons[mine]
        refused = inputs.refused
        for place, index in enumerate(refused.index.tolist()):
            if inputs.stream[index] == self.rank:
                self.told[int(inputs.position[index])] = {
                    "field": refused.fields[place],
                    "value": refused.values[place],
                    "expected": refused.expected[place],
                }

    def computed(self, positions: Int64s, values: Floats) -> None:
        """Note the features of the rows at `positions`."""
        self.features[:, positions] = values
        self.decided[positions] = True

    def columns(self, categories: Sequence[str]) -> dict[str, pa.Array]:
        """Id, status, what was wrong, and features, as Arrow columns."""
        names = np.array(["accepted", "duplicate", "quarantined"])
        texts = {int(reason): reason.text for reason in Reason}
        columns: dict[str, pa.Array] = {
            "id": pa.array(self.ids, pa.string()),
            "status": pa.array(names[self.verdict]),
            "reason": pa.array([texts.get(int(code)) for code in self.reason], pa.string()),
        }
        columns["refused"] = pa.array(
            [self.told.get(row) for row in range(len(self.ids))], _REFUSED
        )
        for number, feature in enumerate(self.case.plan.features):
            columns[feature.name] = _feature_column(feature, self.features[number], categories)
        return columns


def _ids(case: UseCase, table: pa.Table) -> NDArray[np.object_]:
    """The id of every row of the decided stream's frame, where there is one to be read.

    A row that is refused for another field is known by its id all the same.
    """
    ids = np.full(len(table), None, dtype=object)
    schema = case.plan.stream(case.plan.on).schema
    id_field = schema.having(Role.ID)
    if id_field is not None and id_field.name in table.column_names:
        for chunk in frames_read(table):
            parsed = chunk.parsed(Schema(schema.name, (id_field,)))
            ids[chunk.first + parsed.rows] = parsed.batch.text(id_field.name).strings()
    return ids


def _feature_column(feature: Feature, values: Floats, categories: Sequence[str]) -> pa.Array:
    """A feature as people read it: categories as text, counts as integers."""
    missing = np.isnan(values)
    if feature.kind in CATEGORICAL:
        codes = np.unique(values[~missing]).astype(np.int64)
        texts = {int(code): category_text(feature.kind, int(code), categories) for code in codes}
        return pa.array(
            [
                None if gone else texts[int(value)]
                for gone, value in zip(missing, values, strict=True)
            ],
            pa.string(),
        )
    if feature.kind in (Kind.INT, Kind.BOOL):
        whole = np.where(missing, 0.0, values).astype(np.int64)
        column = pa.array(whole, mask=missing)
        return column.cast(pa.bool_()) if feature.kind is Kind.BOOL else column
    return pa.array(values, mask=missing)


def decision_columns(definition: Definition, batch: JournalBatch, positions: Int64s) -> pa.Table:
    """Score, outcome, rules and reasons of one batch, each row with its place in the frame."""
    made = batch.decisions
    policy = definition.policy
    outcomes = np.array(policy.outcomes if policy else ["undecided"])
    names = [rule.name for rule in policy.policy.rules] if policy else []
    features = [feature.name for feature in definition.plan.features]
    reasons = [
        [
            {"feature": features[f], "contribution": float(made.reason_contribution[k, i])}
            for k, f in enumerate(made.reason_feature[:, i].tolist())
            if f >= 0
        ]
        for i in range(len(made))
    ]
    reason_type = pa.list_(pa.struct([("feature", pa.string()), ("contribution", pa.float64())]))
    rules = [
        [name for bit, name in enumerate(names) if mask >> bit & 1] for mask in made.rules.tolist()
    ]
    return pa.table(
        {
            "position": pa.array(positions),
            "margin": pa.array(made.margin, mask=np.isnan(made.margin)),
            "score": pa.array(made.score, mask=np.isnan(made.score)),
            **{
                column.name: pa.array(values, mask=np.isnan(values))
                for column, values in zip(
                    definition.columns[len(features) :],
                    made.features[len(features) :],
                    strict=True,
                )
            },
            "outcome": pa.array(outcomes[made.outcome], pa.string()),
            "rule": pa.array([names[r] if r >= 0 else None for r in made.rule], pa.string()),
            "rules": pa.array(rules, pa.list_(pa.string())),
            "reasons": pa.array(reasons, reason_type),
        }
    )
