"""The ways to run a use case: each gives the records that the journal would hold, as bytes."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from definition import Builder

from headrace.adapters.opening import open_file, open_frame
from headrace.core.columns import CATEGORICAL, category_text
from headrace.definitions.plan import Plan
from headrace.journal.batch import InputKind
from headrace.journal.canonical import RecordWriter, records
from headrace.journal.payload import decode_payload, encode_payload
from headrace.pipeline.lane import Lane, LaneLimits
from headrace.pipeline.replay import inputs_of
from headrace.pipeline.step import step
from headrace.runtime.intake import Assembly, HistoryIntake
from headrace.runtime.local_lane import header_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from headrace.adapters.history import HistoricSource
    from headrace.definitions.plan import Feature
    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader
    from headrace.models.serving import ServedModel
    from headrace.pipeline.lane import Definition
    from headrace.pipeline.use_case import UseCase

    Data = Mapping[str, Any]
    Lines = Mapping[str, Sequence[Data]]

KEY = (3, 4)


def frame_of(fields: Data, lines: Sequence[Data]) -> pa.Table:
    """Lines as a frame: numbers and times as text, so that nothing passes through a float."""

    def column(name: str) -> pa.Array:
        values = [line.get(name) for line in lines]
        if fields[name]["type"] == "float":
            return pa.array([None if v is None else float(v) for v in values], pa.float64())
        if fields[name]["type"] == "bool":
            return pa.array(values, pa.bool_())
        return pa.array([None if v is None else str(v) for v in values], pa.string())

    return pa.table({name: column(name) for name in fields})


def write_lines(path: Path, lines: Iterable[Data]) -> Path:
    """Lines as a file of JSON, one to a line."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@dataclass
class Prepared:
    """A use case with the inputs that it is run over.

    Attributes:
        case: As a user would have written it.
        names: Streams by rank, then tables.
        lines: Of those.
    """

    data: Data
    case: UseCase
    names: list[str]
    lines: Lines
    model: ServedModel | None = None

    @staticmethod
    def of(data: Data, lines: Lines, **more: Any) -> Prepared:
        """Build the use case of the data."""
        case = Builder(data).use_case(**more)
        names = [s.name for s in case.plan.streams] + [t.name for t in case.plan.tables]
        return Prepared(data, case, names, {name: lines.get(name, ()) for name in names})

    @property
    def definition(self) -> Definition:
        """What decides."""
        return self.case.definition(self.model)

    @property
    def header(self) -> JournalHeader:
        """What its journal would begin with."""
        return header_of(self.definition, tuple(self.names))

    def fields(self, name: str) -> Data:
        """The fields of a stream or table."""
        said: Data = self.data["streams"].get(name) or self.data["tables"][name]
        fields: Data = said["fields"]
        return fields

    def frames(self) -> dict[str, pa.Table]:
        """A frame for each stream and table."""
        return {name: frame_of(self.fields(name), self.lines[name]) for name in self.names}

    def intake(self, folder: Path | None = None) -> HistoryIntake:
        """The inputs in known order: of frames, or of files of JSON lines in a folder."""
        assembly = Assembly(self.case.plan, None)
        sources: list[tuple[int, HistoricSource]] = []
        for number, name in enumerate(self.names):
            schema = assembly.schemas[name]
            if folder is None:
                frame = frame_of(self.fields(name), self.lines[name])
                sources.append((number, open_frame(frame, name, schema)))
            else:
                path = write_lines(folder / f"{name}.jsonl", self.lines[name])
                sources.append((number, open_file(path, name, schema)))
        after = {stream.name: stream.arrives_after_ns for stream in self.case.plan.streams}
        return HistoryIntake(assembly, sources, after, lambda: 0)

    def lane(self, threads: int = 1, definition: Definition | None = None) -> Lane:
        """A lane with nothing in it."""
        return Lane(definition or self.definition, KEY, LaneLimits(threads=threads))

    def steps(self, intake: HistoryIntake, size: int, threads: int = 1) -> list[JournalBatch]:
        """The batches of `run`."""
        return self.run(intake, size, threads)[1]

    def with_a_stop(self, intake: HistoryIntake, size: int, stop: int) -> list[JournalBatch]:
        """The same, but after some batches the state goes to bytes and into another lane."""
        lane, done = self.lane(), []
        for number, inputs in enumerate(intake.batches(0, size)):
            if number == stop:
                state = lane.snapshot()
                lane = self.lane(threads=2)
                lane.restore(state)
                assert lane.snapshot() == state
            done.append(step(lane, inputs))
        return done

    def replayed(self, batches: Sequence[JournalBatch]) -> list[JournalBatch]:
        """Journaled batches through `step` again, by a plan that was read back."""
        plan = Plan.from_canonical(self.case.plan.canonical())
        lane = self.lane(definition=dataclasses.replace(self.definition, plan=plan))
        return [step(lane, inputs_of(self.stored(batch))) for batch in batches]

    def stored(self, batch: JournalBatch) -> JournalBatch:
        """A batch as it is read back from the journal, from records and from columns by turns."""
        return stored(batch, self.header)

    def records(self, batches: Sequence[JournalBatch]) -> list[bytes]:
        """The canonical bytes of every input, in known order."""
        return [record for batch in batches for record in records(batch, self.header)]

    def digests(self, batches: Sequence[JournalBatch]) -> list[str]:
        """Their digests, in hexadecimal."""
        return [
            bytes(digest).hex()
            for batch in batches
            for digest in RecordWriter(batch, self.header).digests()
        ]

    def told(self, lane: Lane, batches: Sequence[JournalBatch]) -> list[dict[str, Any]]:
        """What became of every input, in names: the form of `expected.jsonl`."""
        return [line for batch in batches for line in _told(self, lane, batch)]

    def run(
        self, intake: HistoryIntake, size: int, threads: int = 1
    ) -> tuple[Lane, list[JournalBatch]]:
        """Everything through `step`, so many inputs at a time; the lane after it."""
        lane = self.lane(threads)
        return lane, [step(lane, inputs) for inputs in intake.batches(0, size)]


def stored(batch: JournalBatch, header: JournalHeader) -> JournalBatch:
    """A batch as it is read back from a journal, from records and from columns by turns."""
    leaves = np.zeros((len(batch), 32), dtype=np.uint8)
    kept = records(batch, header) if batch.first_seq % 2 else None
    parts = encode_payload(batch, header, leaves, kept)
    payload = b"".join(bytes(part) for part in parts)
    aligned = np.frombuffer(bytearray(payload), dtype=np.uint8)
    return decode_payload(aligned, header, batch.first_seq)[0]


def _told(prepared: Prepared, lane: Lane, batch: JournalBatch) -> list[dict[str, Any]]:
    header, plan = prepared.header, prepared.case.plan
    place = {int(seq): at for at, seq in enumerate(batch.decisions.seq)}
    lines = []
    for index in range(len(batch)):
        inputs, seq = batch.inputs, batch.first_seq + index
        kind = InputKind(int(inputs.kind[index]))
        line: dict[str, Any] = {
            "seq": seq,
            "stream": header.stream_names[int(inputs.stream[index])],
            "position": int(inputs.position[index]),
            "known_ns": int(inputs.received_ns[index]),
            "verdict": kind.name.lower(),
        }
        if kind is InputKind.QUARANTINED:
            line["reason"] = header.reasons[int(inputs.reason[index])]
        if kind is InputKind.DUPLICATE:
            line["original"] = int(inputs.original_seq[index])
        at = place.get(seq)
        if at is not None:
            made = batch.decisions
            line["features"] = {
                feature.name: written(feature, float(made.features[n, at]), lane.engine.categories)
                for n, feature in enumerate(plan.features)
            }
            if prepared.model is not None:
                line["margin"] = float(made.margin[at]).hex()
                line["score"] = float(made.score[at]).hex()
                line["reasons"] = [
                    [plan.features[f].name, float(made.reason_contribution[k, at]).hex()]
                    for k, f in enumerate(made.reason_feature[:, at].tolist())
                    if f >= 0
                ]
            line["outcome"] = header.outcomes[int(made.outcome[at])]
            mask = int(made.rules[at])
            line["rules"] = [rule for bit, rule in enumerate(header.rules) if mask >> bit & 1]
        lines.append(line)
    return lines


def written(feature: Feature, value: float, categories: Sequence[str]) -> str | None:
    """A feature as vectors write it: a float in hexadecimal, a category as its text."""
    if np.isnan(value):
        return None
    if feature.kind in CATEGORICAL:
        return category_text(feature.kind, int(value), categories)
    return value.hex()
