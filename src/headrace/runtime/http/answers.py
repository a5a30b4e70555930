"""Decisions as the service answers them: one JSON object each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from headrace.journal.batch import InputKind
from headrace.models.reasons import reason_text
from headrace.runtime.audit import feature_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headrace.definitions.plan import Feature
    from headrace.journal.batch import Decisions, JournalBatch
    from headrace.journal.header import JournalHeader


class DecisionWriter:
    """Writes the decisions made under one header.

    Args:
        header: Of the lane's journal.
        features: Of the plan, which say how reasons are worded.
        durability: Of the lane: what an answer promises.
    """

    def __init__(self, header: JournalHeader, features: Sequence[Feature], durability: str) -> None:
        self._header = header
        self._features = features
        self._begin = b'{"decision_id":' + _json(f"{header.lane}/")[:-1]
        versions = {
            "definition": header.definition,
            "model": header.model,
            "policy": header.policy,
            "engine": header.engine,
        }
        self._end = b',"versions":%b,"durability":%b}' % (_json(versions), _json(durability))
        self._verdicts: dict[tuple[int, int, int], bytes] = {}

    def written(self, batch: JournalBatch) -> dict[int, bytes]:
        """The answer to every decided input of a batch, by its sequence number."""
        decisions = batch.decisions
        seqs = decisions.seq.tolist()
        verdicts = zip(
            decisions.outcome.tolist(),
            decisions.rule.tolist(),
            decisions.rules.tolist(),
            strict=True,
        )
        reasons = self._reasons(decisions, batch.categories)
        begin, end, verdict = self._begin, self._end, self._verdict
        return {
            seq: b'%b%d"%b,"score":%b,"reasons":%b%b'
            % (begin, seq, verdict(which), _number(score), reasons.get(at, b"[]"), end)
            for at, (seq, which, score) in enumerate(
                zip(seqs, verdicts, decisions.score.tolist(), strict=True)
            )
        }

    def fallback(self, outcome: str) -> bytes:
        """The answer to an event whose decision was not ready in time."""
        said: dict[str, object] = {
            "decision_id": None,
            "outcome": outcome,
            "rule": None,
            "rules": [],
        }
        return _json(said)[:-1] + b',"score":null,"reasons":[],"fallback":true' + self._end

    def _verdict(self, which: tuple[int, int, int]) -> bytes:
        """Outcome and rules, which are few."""
        if which not in self._verdicts:
            outcome, rule, rules = which
            names = self._header.rules
            said = {
                "outcome": self._header.outcomes[outcome],
                "rule": names[rule] if rule >= 0 else None,
                "rules": [name for bit, name in enumerate(names) if rules >> bit & 1],
            }
            self._verdicts[which] = b"," + _json(said)[1:-1]
        return self._verdicts[which]

    def _reasons(self, decisions: Decisions, categories: Mapping[int, str]) -> dict[int, bytes]:
        """The reasons of those decisions that have some, by row."""
        if not len(decisions.reason_feature):
            return {}
        return {
            row: _json(
                [
                    self._reason(decisions, row, number, place, categories)
                    for place, number in enumerate(decisions.reason_feature[:, row].tolist())
                    if number >= 0
                ]
            )
            for row in np.flatnonzero(decisions.reason_feature[0] >= 0).tolist()
        }

    def _reason(
        self,
        decisions: Decisions,
        row: int,
        number: int,
        place: int,
        categories: Mapping[int, str],
    ) -> dict[str, Any]:
        name, feature = self._header.features[number], self._features[number]
        number_there = float(decisions.features[number, row])
        value = feature_value(feature.kind, self._header.category(name), number_there, categories)
        return {
            "feature": name,
            "contribution": float(decisions.reason_contribution[place, row]),
            "text": reason_text(name, value, feature.text or None),
        }


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _number(value: float) -> bytes:
    return b"null" if value != value else repr(value).encode()  # noqa: PLR0124 - only NaN differs from itself


def receipts(lane: str, batch: JournalBatch) -> dict[int, bytes]:
    """What is answered to every accepted input that is not decided, by its sequence number."""
    decided = set(batch.decisions.seq.tolist())
    accepted = np.flatnonzero(
        (batch.inputs.kind == InputKind.ACCEPTED.value)
        | (batch.inputs.kind == InputKind.BACKFILL.value)
    )
    return {
        seq: _json({"accepted": f"{lane}/{seq}"})
        for seq in (accepted + batch.first_seq).tolist()
        if seq not in decided
    }
