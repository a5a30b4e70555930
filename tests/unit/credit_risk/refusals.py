"""Refusals of public credit data, made as a lender would make them: trained, run, journaled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

import headrace as hr
from headrace.journal.reader import stored_batches
from headrace.lifecycle.registry import Registry
from headrace.lifecycle.split import SplitSettings
from headrace.lifecycle.training import TrainingSettings
from headrace.models.serving import ServedModel
from headrace.runtime.journals import Journals
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.local_lane import LaneSettings
from headrace.runtime.notices import notice_of
from headrace.runtime.replaying import recorded_definitions
from headrace.runtime.sources import SourceName
from headrace.runtime.training import train_on_files

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    import pyarrow as pa

    from headrace.core.columns import Floats
    from headrace.lifecycle.notice import Notice
    from headrace.pipeline.lane import Definition
    from headrace.runtime.home import Home

#: Enough to learn from, and quick; of them, the first part is learned from.
ROWS, LEARNED = 9000, 0.7
#: Refusals that are looked at.
MOST = 150


@dataclass(frozen=True)
class Refusal:
    """One refusal, as it was recorded.

    Attributes:
        seq: Its number in the journal.
        event: The application's fields.
        features: The values of all features, NaN missing.
        score: The probability of default.
        margin: Before calibration.
        named: Numbers of the reasons' features, the principal one first.
        contribution: Of each reason.
    """

    seq: int
    event: dict[str, Any]
    features: Floats
    score: float
    margin: float
    named: tuple[int, ...]
    contribution: tuple[float, ...]


@dataclass(frozen=True)
class Lender:
    """A home in which a use case was trained on the first rows, and decided the later ones."""

    case: hr.UseCase
    home: Home
    later: pa.Table
    directions: dict[str, int]

    @cached_property
    def artefact(self) -> hr.Artefact:
        current = Registry(self.home.models).current(self.case.name)
        assert current is not None
        return current

    @cached_property
    def definition(self) -> Definition:
        """What decided, by the home's own record of it."""
        first = next(iter(stored_batches(self.home.journal(self.case.name))))
        return recorded_definitions(self.home, self.case.name)(first.header)

    @property
    def model(self) -> ServedModel:
        assert isinstance(self.definition.model, ServedModel)
        return self.definition.model

    @property
    def names(self) -> list[str]:
        return list(self.case.features)

    @cached_property
    def refusals(self) -> list[Refusal]:
        events = self.later.to_pylist()
        found: list[Refusal] = []
        for stored in stored_batches(self.home.journal(self.case.name)):
            made = stored.batch().decisions
            blocked = np.flatnonzero(made.outcome == stored.header.outcomes.index("block"))
            for at in blocked.tolist():
                named = [n for n in made.reason_feature[:, at].tolist() if n >= 0]
                found.append(
                    Refusal(
                        int(made.seq[at]),
                        events[int(made.seq[at])],
                        np.ascontiguousarray(made.features[: len(self.names), at]),
                        float(made.score[at]),
                        float(made.margin[at]),
                        tuple(named),
                        tuple(made.reason_contribution[: len(named), at].tolist()),
                    )
                )
        return found[:MOST]

    @cached_property
    def dictionary(self) -> list[str]:
        """Texts of the journal's category codes."""
        codes: dict[int, str] = {}
        for stored in stored_batches(self.home.journal(self.case.name)):
            codes |= stored.batch().categories
        return [codes.get(code, "") for code in range(max(codes, default=-1) + 1)]

    @cached_property
    def notices(self) -> list[Notice]:
        """The notice of each refusal."""
        journals = Journals(self.home)
        return [
            notice_of(self.case, self.home, journals.decision(f"{self.case.name}/0/{refusal.seq}"))
            for refusal in self.refusals
        ]

    def taken(self, features: Floats) -> Floats:
        """Recorded features, [features, rows], as the model reads them."""
        return self.model.taken(np.ascontiguousarray(features), self.dictionary)


def lend(module: ModuleType, data: Path, folder: Path, home: Home) -> Lender:
    """Train a public set's use case on its first rows, quickly, and decide the later ones."""
    case: hr.UseCase = module.case
    assert isinstance(case.model, hr.XGBoost)
    quick = hr.UseCase(
        name=case.name,
        on=case.on,
        features=case.features,
        label=case.label,
        model=replace(case.model, trees=80, learning_rate=0.1, extra={"nthread": 1}),
        policy=case.policy,
        reasons=4,
        adverse_action=case.adverse_action,
    )
    frames = module.history(data)
    rows = min(ROWS, frames["applications"].num_rows)
    split = int(LEARNED * rows)
    parts = {
        "early": frames["applications"].slice(0, split),
        "later": frames["applications"].slice(split, rows - split),
        "defaults": frames["defaults"],
    }
    for name, table in parts.items():
        pq.write_table(table, folder / f"{name}.parquet")
    history = [
        SourceName("applications", str(folder / "early.parquet")),
        SourceName("defaults", str(folder / "defaults.parquet")),
    ]
    train_on_files(quick, home, history, TrainingSettings(split=SplitSettings(test=0.1)))
    settings = RunSettings(lane=LaneSettings(durability="os"))
    LocalRun(quick, home, [f"applications={folder / 'later.parquet'}"], settings=settings).go()
    return Lender(quick, home, parts["later"], module.MONOTONE)
