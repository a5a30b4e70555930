"""Decisions as the service answers them: one JSON object each."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from itertools import groupby, repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from headrace.journal.batch import InputKind
from headrace.models.reasons import reason_text
from headrace.runtime.audit import feature_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headrace.core.columns import Kind
    from headrace.definitions.plan import Feature
    from headrace.journal.batch import Decisions, JournalBatch
    from headrace.journal.header import JournalHeader


class Answers:
    """The answers to inputs of one batch: JSON objects.

    Args:
        seqs: Sequence numbers of the inputs, ascending.
        each: The answer to each.

    >>> answers = Answers([7, 8, 10], [b"a", b"b", b"c"])
    >>> answers.get(8), answers.get(9)
    (b'b', None)
    """

    __slots__ = ("_seqs", "each")

    def __init__(self, seqs: list[int], each: list[bytes]) -> None:
        self._seqs, self.each = seqs, each

    def __len__(self) -> int:
        return len(self.each)

    def get(self, seq: int) -> bytes | None:
        """The answer to an input; None if it has none here."""
        at = bisect_left(self._seqs, seq)
        return self.each[at] if at < len(self) and self._seqs[at] == seq else None

    def missing(self, seq: int, end: int) -> list[int]:
        """Those of the inputs `seq` to before `end` that have no answer here, ascending.

        >>> Answers([7, 9], [b"1", b"2"]).missing(6, 10)
        [6, 8]
        """
        return sorted(set(range(seq, end)).difference(self._seqs))

    def joined(self, others: Mapping[int, bytes]) -> Answers:
        """These and others, by their sequence numbers.

        >>> Answers([7, 9], [b"1", b"2"]).joined({8: b"[]", 10: b"{}"}).each
        [b'1', b'[]', b'2', b'{}']
        """
        both = {**dict(zip(self._seqs, self.each, strict=True)), **others}
        seqs = sorted(both)
        return Answers(seqs, [both[seq] for seq in seqs])


@dataclass(frozen=True, slots=True)
class _Told:
    """How a reason of one feature is told."""

    name: str
    kind: Kind
    category: Kind | None
    template: str | None


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
        self._told = [
            _Told(name, feature.kind, header.category(name), feature.text or None)
            for name, feature in zip(header.features[: len(features)], features, strict=True)
        ]

    def written(self, batch: JournalBatch) -> Answers:
        """The answers to the accepted inputs of a batch."""
        decisions = batch.decisions
        count = len(decisions)
        reasons = [b',"reasons":[]'] * count
        for at, told in self._reasons(decisions, batch.categories):
            reasons[at] = b',"reasons":' + told
        seqs = decisions.seq.tolist()
        columns = [
            repeat(self._begin, count),
            _numbers(seqs),
            self._verdicts_of(decisions),
            _numbers(decisions.score.tolist()),
            reasons,
            *self._classes(decisions),
            repeat(self._end, count),
        ]
        decided = Answers(seqs, list(map(b"".join, zip(*columns, strict=True))))
        receipts = self._receipts(batch)
        return decided.joined(receipts) if receipts else decided

    def _classes(self, decisions: Decisions) -> list[list[bytes]]:
        """The scores of classes, where a model tells several apart: a column, or none."""
        names = self._header.features[len(self._features) :]
        if not names:
            return []
        rows = decisions.features[len(self._features) :].T.tolist()
        return [
            [
                b',"scores":%b'
                % _json(
                    {
                        name.removeprefix("score_"): None if value != value else value  # noqa: PLR0124 - only NaN is not itself
                        for name, value in zip(names, row, strict=True)
                    }
                )
                for row in rows
            ]
        ]

    def _receipts(self, batch: JournalBatch) -> dict[int, bytes]:
        """What is answered to the accepted inputs that are not decided."""
        kinds = batch.inputs.kind
        told = kinds.tobytes()
        if told.count(InputKind.ACCEPTED) + told.count(InputKind.BACKFILL) == len(batch.decisions):
            return {}
        accepted = (kinds == InputKind.ACCEPTED.value) | (kinds == InputKind.BACKFILL.value)
        accepted[batch.decisions.seq - batch.first_seq] = False
        seqs = np.flatnonzero(accepted) + batch.first_seq
        return {seq: _json({"accepted": f"{self._header.lane}/{seq}"}) for seq in seqs.tolist()}

    def fallback(self, outcome: str) -> bytes:
        """The answer to an event whose decision was not ready in time."""
        said: dict[str, object] = {
            "decision_id": None,
            "outcome": outcome,
            "rule": None,
            "rules": [],
        }
        return _json(said)[:-1] + b',"score":null,"reasons":[],"fallback":true' + self._end

    def _verdicts_of(self, decisions: Decisions) -> list[bytes]:
        """Outcome and rules of each decision, which are few."""
        which = list(
            zip(
                decisions.outcome.tolist(),
                decisions.rule.tolist(),
                decisions.rules.tolist(),
                strict=True,
            )
        )
        for new in set(which).difference(self._verdicts):
            self._verdicts[new] = self._verdict(*new)
        return [self._verdicts[one] for one in which]

    def _verdict(self, outcome: int, rule: int, rules: int) -> bytes:
        names = self._header.rules
        said = {
            "outcome": self._header.outcomes[outcome],
            "rule": names[rule] if rule >= 0 else None,
            "rules": [name for bit, name in enumerate(names) if rules >> bit & 1],
        }
        return b'",' + _json(said)[1:-1] + b',"score":'

    def _reasons(
        self, decisions: Decisions, categories: Mapping[int, str]
    ) -> Iterator[tuple[int, bytes]]:
        """The reasons of those decisions that have some, by row."""
        rows, places = (decisions.reason_feature.T >= 0).nonzero()
        if not len(rows):
            return
        numbers = decisions.reason_feature[places, rows]
        reasons = zip(
            rows.tolist(),
            numbers.tolist(),
            decisions.features[numbers, rows].tolist(),
            decisions.reason_contribution[places, rows].tolist(),
            strict=True,
        )
        for row, some in groupby(reasons, itemgetter(0)):
            told = [
                self._reason(self._told[number], value, contribution, categories)
                for _, number, value, contribution in some
            ]
            yield row, _json(told)

    @staticmethod
    def _reason(
        told: _Told, number: float, contribution: float, categories: Mapping[int, str]
    ) -> dict[str, Any]:
        value = feature_value(told.kind, told.category, number, categories)
        return {
            "feature": told.name,
            "contribution": contribution,
            "text": reason_text(told.name, value, told.template),
        }


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _numbers(values: Sequence[float]) -> list[bytes]:
    """Each number as JSON has it; what is none is null."""
    return _json(values)[1:-1].split(b",") if values else []
