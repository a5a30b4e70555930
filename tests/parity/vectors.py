"""Conformance vectors: plain data files, and what every runtime and kernel must make of them.

    python tests/parity/vectors.py            write expected.jsonl anew, and show what changed
    python tests/parity/vectors.py --check    show what comes out otherwise; 1 if anything does

tests/golden/conformance/README.md says what is in the files, and where each value is from.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from contract import Contract
from contract_values import real, stamp
from ways import Prepared

import headrace as hr
from headrace.core.columns import concatenated
from headrace.lifecycle.training import imported
from headrace.models.serving import ServedModel
from headrace.pipeline.inputs import Inputs
from headrace.pipeline.step import step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contract import Input
    from contract_values import Value

    from headrace.journal.batch import JournalBatch
    from headrace.pipeline.lane import Lane

    Line = dict[str, Any]

ROOT = Path(__file__).resolve().parents[1] / "golden" / "conformance"
NAMES = sorted(path.name for path in ROOT.iterdir() if path.is_dir())


def lines_of(path: Path) -> list[Line]:
    """A file of JSON lines; a number with a point stays what it spells."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Vector:
    """One folder: a use case, its lines, and what must come of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = ROOT / name
        self.data: dict[str, Any] = json.loads((self.folder / "case.json").read_text("utf-8"))
        streams = [*self.data["streams"], *self.data.get("tables", {})]
        more: dict[str, Any] = {}
        if "model" in self.data:
            more["model"] = hr.ModelFile(self.folder / self.data["model"])
            more["explain_all"] = self.data["explain_all"]
        self.prepared = Prepared.of(
            self.data, {s: lines_of(self.folder / f"{s}.jsonl") for s in streams}, **more
        )
        if "model" in self.data:
            content = (self.folder / self.data["model"]).read_bytes()
            case = self.prepared.case
            self.artefact = imported(case, content, "xgboost-json", more["model"])
            self.prepared.model = ServedModel(self.artefact, case.plan.features)

    @property
    def recorded(self) -> set[str]:
        """What the contract does not give to the last bit: taken from a run."""
        return set(self.data.get("recorded", {}))

    def expected(self) -> list[Line]:
        """What must come out, as it is written down."""
        return lines_of(self.folder / "expected.jsonl")

    def sources(self) -> list[str]:
        """The files as a user names them, in the order of their ranks."""
        return [f"{name}={self.folder / f'{name}.jsonl'}" for name in self.prepared.names]

    def retried(self, batch: JournalBatch) -> Inputs:
        """The inputs of a batch that come back from quarantine."""
        said = self.data["retry"]
        reasons = [self.prepared.header.reasons.index(reason) for reason in said["reasons"]]
        chosen = np.flatnonzero(np.isin(batch.inputs.reason, reasons))
        on = self.data["on"]
        typed = batch.events[on].take(batch.inputs.row[chosen])
        return Inputs(
            stream=batch.inputs.stream[chosen],
            row=np.arange(len(chosen), dtype=np.int32),
            source=np.full(len(chosen), len(self.prepared.names), dtype=np.uint16),
            position=chosen.astype(np.int64),
            received_ns=np.full(len(chosen), stamp(said["known"])),
            read_ns=np.zeros(len(chosen), dtype=np.int64),
            batches={on: concatenated([typed])},
            retried=True,
        )

    def run(self, size: int = 100_000, threads: int = 1) -> tuple[Lane, list[JournalBatch]]:
        """Everything through `step`, so many inputs at a time, and then what is retried."""
        intake = self.prepared.intake()
        lane, batches = self.prepared.run(intake, size, threads)
        if "retry" in self.data:
            (whole,) = self.prepared.steps(intake, 100_000)
            batches.append(step(lane, self.retried(whole)))
        return lane, batches

    def made(self) -> list[Line]:
        """What comes out of Headrace, in the form of `expected.jsonl`."""
        lane, batches = self.run()
        told = self.prepared.told(lane, batches)
        digests = self.digests(batches)
        return [
            line if digest is None else line | {"digest": digest}
            for line, digest in zip(told, digests, strict=True)
        ]

    def digests(self, batches: list[JournalBatch]) -> list[str | None]:
        """Of each record; None of what could not be read, whose record tells how it was written."""
        typed = np.concatenate([batch.inputs.row >= 0 for batch in batches])
        digests = self.prepared.digests(batches)
        return [digest if there else None for digest, there in zip(digests, typed, strict=True)]

    def by_contract(self, scores: dict[int, float]) -> list[Line]:
        """What the contract says; what it does not give to the last bit is a `Near`."""
        contract = Contract(
            self.data, self.prepared.names, score=lambda event: scores.get(event.seq)
        )
        contract.run(self.prepared.lines)
        said = self.data.get("retry")
        if said is not None:
            seqs = [e.seq for e in contract.inputs if e.reason in said["reasons"]]
            contract.retry(seqs, stamp(said["known"]))
        return [self.told(event) for event in contract.inputs]

    def told(self, event: Input) -> Line:
        """An input as the contract judges and decides it."""
        return told(event, [n for n in self.prepared.case.features if n not in self.recorded])

    def regenerated(self) -> list[Line]:
        """What must come out: by the contract where it says so, else as it comes out now."""
        made = self.made()
        scores = {line["seq"]: float.fromhex(line["score"]) for line in made if "score" in line}
        lines = []
        for mine, said in zip(made, self.by_contract(scores), strict=True):
            line = mine | said
            if "features" in said:
                line["features"] = mine["features"] | said["features"]
            lines.append(line)
        return lines


def written(value: Value) -> str | None:
    """A feature as vectors write it: a float in hexadecimal, a category as its text."""
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, bool):
        return float(value).hex()
    number = real(value)
    return None if number is None else number.hex()


def told(event: Input, features: Iterable[str]) -> Line:
    """What the contract says of an input, in the form of `expected.jsonl`."""
    accepted = "backfill" if event.backfill else "accepted"
    line: Line = {
        "seq": event.seq,
        "stream": event.stream,
        "position": event.position,
        "known_ns": event.known,
        "verdict": accepted if event.verdict == "accepted" else event.verdict,
    }
    if event.verdict == "quarantined":
        line["reason"] = event.reason
    if event.verdict == "duplicate":
        line["original"] = event.original
    if event.outcome is not None:
        line["features"] = {name: written(event.features[name]) for name in features}
        line["outcome"] = event.outcome
        line["rules"] = event.rules
    return line


def changes(old: list[Line], new: list[Line]) -> list[str]:
    """What differs between two lists of lines, one text for each value."""
    found = [f"{len(old)} lines, now {len(new)}"] if len(old) != len(new) else []
    for before, after in zip(old, new, strict=False):
        for name in {**before, **after}:
            a, b = before.get(name), after.get(name)
            if isinstance(a, dict) and isinstance(b, dict):
                found += [
                    f"input {after['seq']}: {name} {part} was {a.get(part)}, is {b.get(part)}"
                    for part in {**a, **b}
                    if a.get(part) != b.get(part)
                ]
            elif a != b:
                found.append(f"input {after['seq']}: {name} was {a}, is {b}")
    return found


def main(*, check: bool) -> int:
    """Write what must come out, or look at what does; what differs is printed."""
    differing = 0
    for name in NAMES:
        vector = Vector(name)
        path = vector.folder / "expected.jsonl"
        new = vector.made() if check else vector.regenerated()
        found = changes(vector.expected() if path.exists() else [], new)
        differing += len(found)
        sys.stdout.write(f"{name}: {len(new)} inputs, {len(found)} differences\n")
        sys.stdout.writelines(f"  {line}\n" for line in found[:20])
        if not check:
            content = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in new)
            path.write_text(content, encoding="utf-8")
    return 1 if check and differing else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
