"""A lender on public credit data: trained on the first rows, it decides the rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.adapters.sinks import open_sink
from headrace.lifecycle.notice import html_notice
from headrace.lifecycle.split import SplitSettings
from headrace.lifecycle.training import TrainingSettings
from headrace.runtime.demo import DemoFolder, Evidence, gather_evidence
from headrace.runtime.journals import Journals
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.notices import notice_of
from headrace.runtime.sources import SourceName
from headrace.runtime.training import train_on_files
from headrace_solutions.credit_risk.open_data import german, gmsc, taiwan

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    import pyarrow as pa
    from numpy.typing import NDArray

    import headrace as hr
    from headrace.lifecycle.notice import Notice
    from headrace.runtime.local_lane import LocalLane
    from headrace.runtime.meters import Meters

#: Of the rows, those that come first and are learned from.
LEARNED = 0.75
#: Of what is learned from, what the model card's own figures are of.
CARD_TEST = 0.1
#: Refusals whose notices are written and told of.
NOTICES = 12


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A set, and how groups of its protected attributes are parted.

    Attributes:
        title: For people.
        module: Of `headrace_solutions.credit_risk.open_data`.
        groups: Protected attributes; of a number, where its bands begin.
        source: Who published it.
    """

    title: str
    module: ModuleType
    groups: dict[str, tuple[float, ...]]
    source: str


SETS = {
    "taiwan": PublicSet(
        "Card clients in Taiwan",
        taiwan,
        {"sex": (), "marriage": (), "age": (30, 60)},
        "30,000 clients of a card, September 2005 (Yeh and Lien, 2009)",
    ),
    "gmsc": PublicSet(
        "Give Me Some Credit",
        gmsc,
        {"age": (30, 62)},
        "borrowers of the Kaggle competition of 2011",
    ),
    "german": PublicSet(
        "German loans",
        german,
        {"sex_status": (), "foreign_worker": (), "age": (30, 60)},
        "1,000 loans of 1973 to 1975, bad ones oversampled (Hofmann, 1994)",
    ),
}


@dataclass(frozen=True, slots=True)
class Lent:
    """What came of a set.

    Attributes:
        public: The set.
        place: The folder of all that is left.
        learned: Rows that were learned from.
        decisions: On the rows after them, one row each, in order.
        bad: Whether each of those defaulted.
        notices: Of some refusals, by the id of the application.
        evidence: Of one decision, and of the journal.
        manifest: Of the model.
        model_id: Likewise.
        meters: Of the run.
    """

    public: PublicSet
    place: DemoFolder
    learned: int
    decisions: pa.Table
    bad: NDArray[np.bool_]
    notices: dict[str, Notice]
    evidence: Evidence
    manifest: Any
    model_id: str
    meters: Meters

    @property
    def case(self) -> hr.UseCase:
        """The set's use case."""
        case: hr.UseCase = self.public.module.case
        return case


def lend(public: PublicSet, data: Path, out: Path, rows: int | None = None) -> Lent:
    """Train on the first rows, decide the others, write notices, gather evidence.

    Args:
        public: The set.
        data: The folder of the sets.
        out: A folder of this set alone; what an earlier run left there goes.
        rows: How many of the set's rows are taken, the first; None takes all.

    Raises:
        DataError: The folder holds something else.
    """
    case: hr.UseCase = public.module.case
    place = DemoFolder(out)
    place.prepare()
    frames = public.module.history(data)
    applications = frames["applications"].slice(0, rows)
    learned = int(LEARNED * len(applications))
    early, later = _write(place, applications, frames["defaults"], learned)
    trained = train_on_files(
        case,
        place.home,
        [SourceName(name, str(path)) for name, path in early.items()],
        TrainingSettings(split=SplitSettings(test=CARD_TEST)),
    )
    run = LocalRun(
        case,
        place.home,
        [f"applications={later}"],
        [partial(_sink, place.decisions)],
        RunSettings(checkpoint=place.witness),
    )
    run.go()
    decisions = pq.read_table(place.decisions)
    bad = pc.is_in(
        decisions["application_id"], value_set=frames["defaults"]["application_id"]
    ).to_numpy()
    told = _telling(decisions, bad)
    seqs = decisions["seq"].to_numpy()
    return Lent(
        public,
        place,
        learned,
        decisions,
        bad,
        _notices(case, place, decisions),
        gather_evidence(case, place, int(seqs[told]), positive=bool(bad[told])),
        trained.artefact.manifest,
        trained.artefact.id,
        run.meters,
    )


def _write(
    place: DemoFolder, applications: pa.Table, defaults: pa.Table, learned: int
) -> tuple[dict[str, Path], Path]:
    """Files of what is learned from, by stream, and of the applications after it."""
    data = place.folder / "data"
    data.mkdir()
    early = applications.slice(0, learned)
    known = pc.is_in(defaults["application_id"], value_set=early["application_id"])
    tables = {
        "applications": early,
        "defaults": defaults.filter(known),
        "later": applications.slice(learned),
    }
    files = {name: data / f"{name}.parquet" for name in tables}
    for name, table in tables.items():
        pq.write_table(table, files[name])
    later = files.pop("later")
    return files, later


def _sink(path: Path, local: LocalLane) -> Any:
    return open_sink(path, local.folder, local.header, local.journal.next_seq)


def refused(decisions: pa.Table) -> NDArray[np.int64]:
    """Rows of the refusals, the lowest score first: those nearest to another outcome."""
    blocked = np.flatnonzero(np.array(decisions["outcome"].to_pylist()) == "block")
    scores = decisions["score"].to_numpy()[blocked]
    order: NDArray[np.int64] = blocked[np.argsort(scores, kind="stable")]
    return order


def _telling(decisions: pa.Table, bad: NDArray[np.bool_]) -> int:
    """The refusal in the middle of those that defaulted; without one, the highest score."""
    rows = refused(decisions)
    rows = rows[bad[rows]]
    if len(rows):
        return int(rows[len(rows) // 2])
    return int(np.argmax(decisions["score"].to_numpy()))


def _notices(case: hr.UseCase, place: DemoFolder, decisions: pa.Table) -> dict[str, Notice]:
    """Notices of refusals from the narrowest to the clearest, written as pages."""
    rows = refused(decisions)
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(NOTICES, len(rows))).astype(int))]
    folder = place.folder / "notices"
    folder.mkdir()
    journals = Journals(place.home)
    found = {}
    for row in chosen.tolist():
        seq = decisions["seq"][row].as_py()
        name = decisions["application_id"][row].as_py()
        found[name] = notice_of(case, place.home, journals.decision(f"{case.name}/0/{seq}"))
        (folder / f"{name}.html").write_text(html_notice(found[name]), encoding="utf-8")
    return found
