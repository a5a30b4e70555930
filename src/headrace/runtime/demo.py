"""The demo: a use case from simulated events to decisions that are explained and proved.

All of it lies in one folder:

    data/                 what was simulated: history, and what comes later
    home/                 journal, models, vault, keys
    decisions.parquet     every decision
    answers.parquet       what a counterparty answered to them, where the use case brings one
    witness.jsonl         the checkpoint, outside the journal's folder
    proof.json            of one decision, with verify_proof.py and public-key.pem beside it
    report.html           what came of it
"""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from headrace.adapters.opening import open_file
from headrace.core.errors import DataError, invariant
from headrace.events.arrow_forms import arrow_schema, to_arrow
from headrace.events.schema import Role
from headrace.journal.proof import VERIFIER, prove, write_proof
from headrace.journal.reader import stored_batches
from headrace.journal.verification import Report as Verification
from headrace.journal.verification import verify
from headrace.runtime.audit import explain, newest
from headrace.runtime.definitions import Definitions
from headrace.runtime.home import Home
from headrace.runtime.journals import Place
from headrace.runtime.local_lane import lane_name, signing_key
from headrace.runtime.models import model_of
from headrace.runtime.notices import notice_of
from headrace.runtime.replaying import Replayed, replay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from headrace.core.columns import Floats, Int64s
    from headrace.lifecycle.notice import Notice
    from headrace.pipeline.use_case import UseCase
    from headrace.runtime.audit import Explanation
    from headrace.runtime.solutions import Solution

#: From which severity on an outcome is an alarm: that of an outcome without one of its own.
ALARM_SEVERITY = 40
#: Stands in a folder that a demo made, and may make anew.
_MARK = ".headrace-demo"


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """How large the demo is.

    Attributes:
        events: Of the decided stream.
        days: Of simulated time.
        history_days: Of them, those that the model learns from.
        seed: Of the simulation.
        start: Its first day.
    """

    events: int
    days: int
    history_days: int
    seed: int = 7
    start: dt.date = dt.date(2026, 1, 5)

    @property
    def cut_ns(self) -> int:
        """When history ends, nanoseconds since 1970."""
        since = self.start - dt.date(1970, 1, 1)
        return (since.days + self.history_days) * 86_400_000_000_000


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """Where a demo keeps everything."""

    folder: Path

    def prepare(self) -> None:
        """Make the folder, empty; what an earlier demo left there goes.

        Raises:
            DataError: Something else stands there.
        """
        mark = self.folder / _MARK
        if self.folder.exists() and not mark.exists():
            if not self.folder.is_dir() or any(self.folder.iterdir()):
                raise DataError(
                    f"{self.folder} was not made by a demo, and holds something:"
                    " name another folder with --out"
                )
        elif mark.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        mark.touch()

    @property
    def home(self) -> Home:
        """Journal, models, vault and keys."""
        return Home(self.folder / "home")

    @property
    def decisions(self) -> Path:
        """Every decision, as Parquet."""
        return self.folder / "decisions.parquet"

    @property
    def answers(self) -> Path:
        """Every answer of a counterparty, as Parquet."""
        return self.folder / "answers.parquet"

    @property
    def witness(self) -> Path:
        """The checkpoint, outside the journal."""
        return self.folder / "witness.jsonl"

    @property
    def proof(self) -> Path:
        """The proof of one decision."""
        return self.folder / "proof.json"

    @property
    def verifier(self) -> Path:
        """The stand-alone verifier."""
        return self.folder / "verify_proof.py"

    @property
    def public_key(self) -> Path:
        """The key that the verifier believes."""
        return self.folder / "public-key.pem"

    @property
    def report(self) -> Path:
        """The report."""
        return self.folder / "report.html"


@dataclass(frozen=True, slots=True)
class Judged:
    """The decisions after the end of history, and how the events turned out.

    Attributes:
        seq: Sequence number of each.
        score: Of the model.
        positive: Whether a label came in time.
        worth: Of the event, in units of the report's currency; 0 where missing.
        outcome: By name.
        rule: That decided, by name.
        alarmed: Whether the outcome was harsher than an approval, at whatever price.
        reasons: How often each feature is the first reason of an alarm.
    """

    seq: Int64s
    score: Floats
    positive: NDArray[np.bool_]
    worth: Floats
    outcome: NDArray[np.str_]
    rule: NDArray[np.str_]
    alarmed: NDArray[np.bool_]
    reasons: Mapping[str, int]


def judge(
    solution: Solution, place: DemoFolder, parts: Sequence[Mapping[str, Path]], since_ns: int
) -> Judged:
    """Hold the decisions against the labels that came later.

    Args:
        solution: Whose decisions.
        place: Where they are.
        parts: Files of the simulation, with all labels among them.
        since_ns: When history ended: the model has seen what was before.

    Raises:
        DataError: When nothing was decided after the end of history.
    """
    case = solution.case
    schema = case.on.definition.schema
    worth = solution.worth[0]
    id_field, at_name = schema.having(Role.ID), case.on.definition.event_time
    assert id_field is not None
    id_name = id_field.name
    named = f"feature_{worth}" if worth in schema.names else worth
    table = pyarrow.parquet.read_table(
        place.decisions,
        columns=[id_name, at_name, "seq", "received", "score", "outcome", "rule", "reasons", named],
    )
    known = table["received"].cast("int64").to_numpy()
    table = table.filter(known >= since_ns)
    if len(table) == 0:
        raise DataError("nothing was decided after the end of history: simulate more days")
    outcome = np.array(table["outcome"].to_pylist())
    told = _first_labels(case, [part[case.label.stream.name] for part in parts if case.label])
    within = case.label.within_ns if case.label else 0
    at = table[at_name].cast("int64").to_numpy()
    waits = [
        told.get(name, since_ns + 2**62) - int(when)
        for name, when in zip(table[id_name].to_pylist(), at, strict=True)
    ]
    first = (given[0]["feature"] for given in table["reasons"].to_pylist() if given)
    return Judged(
        seq=table["seq"].to_numpy(),
        score=table["score"].to_numpy(),
        positive=np.array([0 <= wait <= within for wait in waits]),
        worth=np.nan_to_num(table[named].to_numpy(zero_copy_only=False).astype(np.float64)),
        outcome=outcome,
        rule=np.array(table["rule"].to_pylist()),
        alarmed=~np.isin(outcome, _mild(case)),
        reasons=dict(Counter(first).most_common()),
    )


def _mild(case: UseCase) -> list[str]:
    """The outcomes that let an event through: those milder than one of a user's own usually is."""
    if case.policy is None:
        return []
    known = [case.policy.otherwise, *(rule.outcome for rule in case.policy.rules)]
    return sorted({outcome.name for outcome in known if outcome.severity < ALARM_SEVERITY})


def _first_labels(case: UseCase, files: Sequence[Path]) -> dict[str, int]:
    """When the first label of each labelled event happened, by the event's id."""
    found: dict[str, int] = {}
    if case.label is None:
        return found
    stream = case.label.stream
    for path in files:
        source = open_file(path, stream.name, stream.schema)
        times, _ = source.times(stream.arrives_after_ns, lambda _rows: None)
        rows = np.arange(len(times))
        if len(rows) == 0:
            continue
        source.expect(rows)
        batch = source.read(rows).batch
        names = batch.text(case.label.reference).strings()
        for name, at in zip(names, batch.fixed(case.label.event_time).values.tolist(), strict=True):
            found[str(name)] = min(at, found.get(str(name), at))
    return found


@dataclass(frozen=True, slots=True)
class Evidence:
    """One decision explained and proved, and the journal checked.

    Attributes:
        explanation: Of the decision.
        positive: Whether the event was labelled.
        said: What the stand-alone verifier printed.
        verified: Whether the proof held.
        journal: What verification of the whole journal found.
        journal_bytes: How large it is.
        replayed: What replaying it found.
        notice: Of adverse action, where the use case gives one of such a decision.
    """

    explanation: Explanation
    positive: bool
    said: str
    verified: bool
    journal: Verification
    journal_bytes: int
    replayed: Replayed
    notice: Notice | None


def telling_decision(judged: Judged, first_rule: str = "") -> int:
    """Place among the judged of a decision that shows much: rightly blocked, and large.

    Args:
        judged: The decisions.
        first_rule: By which it was blocked, if there is one.
    """
    for chosen in (
        judged.positive & (judged.outcome == "block") & (judged.rule == first_rule),
        judged.positive & (judged.outcome == "block"),
        judged.outcome == "block",
        judged.positive & judged.alarmed,
        judged.alarmed,
    ):
        if chosen.any():
            places = np.flatnonzero(chosen)
            return int(places[np.argmax(judged.worth[places])])
    return int(np.argmax(judged.score))


def gather_evidence(
    case: UseCase,
    place: DemoFolder,
    seq: int,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
    *,
    positive: bool,
) -> Evidence:
    """Explain and prove one decision, run the verifier on it, verify and replay the journal.

    Args:
        case: The use case.
        place: Of the demo; the proof and what verifies it are written there.
        seq: Of the decision.
        progress: Called with (what is done, done, of how many).
        positive: Whether the event was labelled.
    """
    home = place.home
    journal = home.journal(case.name)
    found = Place(journal, case.name, 0, seq)
    explanation = explain(found, Definitions(home.definitions))
    key = signing_key(home).public
    checkpoint = newest(place.witness, lane_name(case.name))
    write_proof(place.proof, prove(journal, found.seq, key, checkpoint))
    shutil.copyfile(VERIFIER, place.verifier)
    key.write(place.public_key)
    verified, said = _verified(place)
    inputs = checkpoint.lanes[0].next_seq
    report = verify(
        journal, key, checkpoint, progress=lambda done: progress("verifying", done, inputs)
    )
    model = model_of(case, home)
    definition = case.definition(model)
    replayed = replay(
        journal,
        lambda _header: definition,
        progress=lambda done: progress("replaying", done, inputs),
    )
    invariant(report.records == inputs or report.fault, "a good journal is verified to its end")
    return Evidence(
        explanation=explanation,
        positive=positive,
        said=said,
        verified=verified,
        journal=report,
        journal_bytes=sum(item.stat().st_size for item in journal.rglob("*") if item.is_file()),
        replayed=replayed,
        notice=notice_of(case, home, found)
        if case.adverse_action and explanation.outcome in case.adverse_action.outcomes
        else None,
    )


def write_answers(case: UseCase, place: DemoFolder, stream: str) -> int:
    """Write the events of a counterparty's stream as the journal has them; how many there are."""
    schema = case.plan.stream(stream).schema
    parts = [arrow_schema(schema).empty_table()]
    for stored in stored_batches(place.home.journal(case.name)):
        batch = stored.batch()
        events = batch.events.get(stream)
        if events:
            parts.append(pa.Table.from_batches([to_arrow(schema, events)]))
    table = pa.concat_tables(parts)
    pyarrow.parquet.write_table(table, place.answers)
    return len(table)


def _verified(place: DemoFolder) -> tuple[bool, str]:
    """Run the verifier as anyone would: by itself, isolated from every installed package."""
    done = subprocess.run(  # noqa: S603 - this Python, and files that were just written
        [
            sys.executable,
            "-I",
            str(place.verifier),
            str(place.proof),
            "--public-key",
            str(place.public_key),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode == 0, done.stdout + done.stderr
