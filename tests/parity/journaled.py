"""Runs over files in a home, and what their journals hold, as bytes to compare."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
from tests.disturbances import lines

from headrace.journal.reader import stored_batches
from headrace.pipeline.lane import LaneLimits
from headrace.runtime.home import Home
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.local_lane import LaneSettings

if TYPE_CHECKING:
    from pathlib import Path

    from cases import History

    import headrace as hr
    from headrace.definitions.plan import StreamPlan
    from headrace.journal.batch import JournalBatch


def run(
    case: hr.UseCase, home: Home, history: History, *, rows: int, threads: int
) -> list[JournalBatch]:
    settings = RunSettings(
        lane=LaneSettings(durability="os", limits=LaneLimits(threads=threads)), batch_rows=rows
    )
    LocalRun(case, home, history.sources, settings=settings).go()
    return [stored.batch() for stored in stored_batches(home.journal(case.name))]


def decided(batches: list[JournalBatch]) -> dict[str, bytes]:
    """All that was decided, and on what grounds; surrogates are drawn anew in every home."""
    parts: dict[str, list[bytes]] = {}
    for batch in batches:
        for name in ("seq", "margin", "score", "rule", "rules", "outcome", "marks"):
            parts.setdefault(name, []).append(getattr(batch.decisions, name).tobytes())
        for name in ("features", "reason_feature", "reason_contribution"):
            column = np.ascontiguousarray(getattr(batch.decisions, name).T)
            parts.setdefault(name, []).append(column.tobytes())
        for name in ("stream", "kind", "position", "received_ns", "reason", "original_seq"):
            parts.setdefault(name, []).append(getattr(batch.inputs, name).tobytes())
    return {name: b"".join(chunks) for name, chunks in parts.items()}


def column_of(case: hr.UseCase, feature: str) -> str:
    """Where the table of decisions has a feature: beside a field of the same name."""
    own = feature in decided_stream(case).schema.names
    return f"feature_{feature}" if own else feature


def decided_stream(case: hr.UseCase) -> StreamPlan:
    """The stream whose events are decided."""
    return next(stream for stream in case.plan.streams if stream.name == case.plan.on)


def copied(home: Home, folder: Path) -> Home:
    return Home(shutil.copytree(home.folder, folder / "home"))


def known_order(
    case: hr.UseCase, history: History, batches: list[JournalBatch]
) -> list[tuple[str, bytes]]:
    """Stream and line of each input of a history, in the order in which a run took them."""
    names = [stream.name for stream in case.plan.streams]
    written = {name: list(lines(table)) for name, table in history.frames.items()}
    with history.decided.open("rb") as file:
        written[case.plan.on] = file.readlines()
    return [
        (names[stream], written[names[stream]][position])
        for batch in batches
        for stream, position in zip(
            batch.inputs.stream.tolist(), batch.inputs.position.tolist(), strict=True
        )
    ]
