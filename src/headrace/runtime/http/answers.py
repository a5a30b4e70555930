"""Decisions as the service answers them: one JSON object each."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from headrace.journal.batch import InputKind
from headrace.models.reasons import reason_text
from headrace.runtime.audit import feature_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headrace.definitions.plan import Feature
    from headrace.journal.batch import Decisions, JournalBatch
    from headrace.journal.header import JournalHeader


class Answers:
    """The answers to inputs of one batch: JSON objects, one after the other.

    Args:
        seqs: Sequence numbers of the inputs, ascending.
        data: The answers, each with a comma behind it.
        ends: Where each ends, behind its comma.

    >>> answers = Answers.of_columns([7, 8, 10], [[b"a", b"b", b"c"]], b"<", b">")
    >>> answers.get(8), answers.between(7, 9), answers.between(8, 10), answers.get(9)
    (b'<b>', b'<a>,<b>', None, None)
    """

    __slots__ = ("_data", "_dense", "_ends", "_first", "_seqs")

    def __init__(self, seqs: list[int], data: bytes, ends: list[int]) -> None:
        self._seqs, self._data, self._ends = seqs, data, ends
        self._first = seqs[0] if seqs else 0
        self._dense = not seqs or seqs[-1] - self._first == len(seqs) - 1

    @staticmethod
    def of_columns(
        seqs: list[int], columns: Sequence[list[bytes]], begin: bytes = b"", end: bytes = b""
    ) -> Answers:
        """Answers of parts that stand in columns, between what all of them begin and end with."""
        end += b","
        answers = list(map(b"".join, zip(*columns, strict=True)))
        same = len(begin) + len(end)
        ends = list(accumulate([len(answer) + same for answer in answers]))
        return Answers(seqs, begin + (end + begin).join(answers) + end if seqs else b"", ends)

    def __len__(self) -> int:
        return len(self._ends)

    def get(self, seq: int) -> bytes | None:
        """The answer to an input; None if it has none here."""
        return self.between(seq, seq + 1)

    def between(self, seq: int, end: int) -> bytes | None:
        """The answers to inputs `seq` to `end`, with commas between; None if one is missing."""
        low = seq - self._first if self._dense else bisect_left(self._seqs, seq)
        high = low + end - seq
        if low < 0 or high > len(self):
            return None
        if not self._dense and (self._seqs[low] != seq or self._seqs[high - 1] != end - 1):
            return None
        return self._data[self._ends[low - 1] if low else 0 : self._ends[high - 1] - 1]

    def missing(self, seq: int, end: int) -> list[int]:
        """Those of the inputs `seq` to before `end` that have no answer here, ascending.

        >>> Answers.of_columns([7, 9], [[b"1", b"2"]]).missing(6, 10)
        [6, 8]
        """
        return sorted(set(range(seq, end)).difference(self._seqs))

    def joined(self, others: Mapping[int, bytes]) -> Answers:
        """These and others, by their sequence numbers.

        >>> answers = Answers.of_columns([7, 9], [[b"1", b"2"]]).joined({8: b"[]", 10: b"{}"})
        >>> answers.between(7, 11)
        b'1,[],2,{}'
        """
        seqs: list[int] = []
        pieces: list[bytes] = []
        ends: list[int] = []
        low, before, moved = 0, 0, 0
        for seq in sorted(others):
            high = bisect_left(self._seqs, seq, low)
            seqs += [*self._seqs[low:high], seq]
            ends += [end + moved for end in self._ends[low:high]]
            end = self._ends[high - 1] if high else 0
            pieces += [self._data[before:end], others[seq], b","]
            moved += len(others[seq]) + 1
            ends.append(end + moved)
            low, before = high, end
        seqs += self._seqs[low:]
        ends += [end + moved for end in self._ends[low:]]
        pieces.append(self._data[before:])
        return Answers(seqs, b"".join(pieces), ends)


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

    def written(self, batch: JournalBatch) -> Answers:
        """The answers to the accepted inputs of a batch."""
        decisions = batch.decisions
        count = len(decisions)
        verdicts = zip(
            decisions.outcome.tolist(),
            decisions.rule.tolist(),
            decisions.rules.tolist(),
            strict=True,
        )
        reasons = [b',"reasons":[]'] * count
        for at, told in self._reasons(decisions, batch.categories):
            reasons[at] = b',"reasons":' + told
        seqs = decisions.seq.tolist()
        columns = [
            _numbers(seqs),
            [self._verdict(which) for which in verdicts],
            _numbers(decisions.score.tolist()),
            reasons,
            *self._classes(decisions),
        ]
        decided = Answers.of_columns(seqs, columns, self._begin, self._end)
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
            self._verdicts[which] = b'",' + _json(said)[1:-1] + b',"score":'
        return self._verdicts[which]

    def _reasons(
        self, decisions: Decisions, categories: Mapping[int, str]
    ) -> Iterator[tuple[int, bytes]]:
        """The reasons of those decisions that have some, by row."""
        if not len(decisions.reason_feature):
            return
        for row in (decisions.reason_feature[0] >= 0).nonzero()[0].tolist():
            told = [
                self._reason(decisions, row, number, place, categories)
                for place, number in enumerate(decisions.reason_feature[:, row].tolist())
                if number >= 0
            ]
            yield row, _json(told)

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


def _numbers(values: Sequence[float]) -> list[bytes]:
    """Each number as JSON has it; what is none is null."""
    return _json(values)[1:-1].split(b",") if values else []
