"""`headrace demo`: the whole thing, on simulated events, with nothing to set up."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from headrace.adapters.sinks import open_sink
from headrace.cli.compile import compiled_once
from headrace.cli.live_view import LiveView
from headrace.cli.terminal import console, stages
from headrace.core.errors import DataError
from headrace.lifecycle.folds import FoldSettings
from headrace.lifecycle.split import SplitSettings
from headrace.lifecycle.training import Trained, TrainingSettings
from headrace.runtime.demo import (
    DemoFolder,
    DemoSettings,
    gather_evidence,
    judge,
    telling_decision,
    write_answers,
)
from headrace.runtime.demo_report import DemoResult, write_report
from headrace.runtime.direction_demo import judge_directions
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.solutions import solution
from headrace.runtime.sources import SourceName
from headrace.runtime.training import train_on_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from headrace.adapters.sinks import LineSink, TableSink
    from headrace.lifecycle.direction_training import TrainedDirection
    from headrace.runtime.demo import Evidence, Judged
    from headrace.runtime.direction_demo import JudgedDirections
    from headrace.runtime.local_lane import LocalLane
    from headrace.runtime.meters import Meters
    from headrace.runtime.solutions import Solution

#: History is short, so little of it is kept back for judging: what comes later judges better.
_TEST_SHARE = 0.1
#: Of a direction: test parts that walk forward, unless history is too short.
_FOLDS = 4
#: So many times smaller than it is by itself a demo still has enough to learn from.
_SMALLEST = 20
#: Of a direction: what is left out beside labels that reach into what is judged on.
_EMBARGO_NS = 5 * 10**9


def demo(
    case: str,
    /,
    *,
    out: Path = Path("demo"),
    events: int | None = None,
    days: int | None = None,
    history_days: int | None = None,
    seed: int = 7,
) -> None:
    """Simulate, train, decide at full speed, explain, prove, verify, and write a report.

    Parameters
    ----------
    case
        A ready-made use case: card-fraud, credit-risk or trading-signal.
    out
        The folder that all goes to; what an earlier demo left there is replaced.
    events
        How many events to simulate; what suits the use case when left out.
    days
        Over how many days; likewise.
    history_days
        How many of them the model learns from; likewise.
    seed
        Of all that is random.
    """
    found = solution(case)
    settings = DemoSettings(
        events or found.demo.events,
        days or found.demo.days,
        history_days or found.demo.history_days,
        seed,
    )
    place = DemoFolder(out)
    place.prepare()
    _announce(found, place, settings)
    begun = time.monotonic()
    compiled_once()
    with _step("simulated") as told, stages() as stage:
        parts = found.simulate_to(
            out / "data",
            events=settings.events,
            days=settings.days,
            seed=seed,
            start=settings.start,
            parted_at=settings.history_days,
            progress=stage,
        )
        size = sum(path.stat().st_size for part in parts for path in part.values())
        told.append(f"{settings.events:,} events, {size / 1e6:,.0f} MB in {out / 'data'}")
    trained = _train(found, place, parts[0])
    meters = _run(found, place, parts, settings)
    judged, directions = _judge(found, place, parts, trained, settings)
    evidence = _prove(found, place, judged)
    with _step("reported") as told:
        result = DemoResult(
            solution=found,
            settings=settings,
            place=place,
            manifest=trained.artefact.manifest,
            model_id=trained.artefact.id,
            meters=meters,
            judged=judged,
            directions=directions,
            evidence=evidence,
            commands=_commands(found, place, evidence),
        )
        drawn = write_report(result)
        told.append(str(place.report))
    _farewell(result, time.monotonic() - begun, drawn=drawn)


def _say(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)


def _announce(found: Solution, place: DemoFolder, settings: DemoSettings) -> None:
    later = settings.days - settings.history_days
    _say(f"[bold]Headrace demo: {found.name}[/bold]")
    _say(
        f"It simulates {settings.events:,} events over {settings.days} days, trains on the first"
        f" {settings.history_days}, decides all of them at full speed,\n"
        f"judges itself on the last {later}, explains and proves one decision, and writes a report."
        f"\nEverything stays in {place.folder}/, nothing leaves this machine."
    )
    _say("")


@contextmanager
def _step(name: str) -> Iterator[list[str]]:
    """One line when a step is done: what came of it, and how long it took."""
    begun = time.monotonic()
    told: list[str] = []
    yield told
    seconds = time.monotonic() - begun
    line = Table.grid(padding=(0, 1))
    words = f"{' '.join(told)} [dim]{seconds:.1f} s[/dim]"
    line.add_row("[green]✓[/green]", f"[bold]{name:<9}[/bold]", words)
    console.print(line, highlight=False)


def _train(
    found: Solution, place: DemoFolder, history: Mapping[str, Path]
) -> Trained | TrainedDirection:
    names = [SourceName(stream, str(path)) for stream, path in history.items()]
    with _step("trained") as told, stages() as stage:
        trained = _trained(found, place, names, stage)
        manifest = trained.artefact.manifest
        if isinstance(trained, Trained):
            learned = f"{manifest.split['trained on']:,} events"
        else:
            learned = (
                f"{manifest.split['last fold trained on']:,} events, the last of"
                f" {len(trained.judged)} purged folds of a macro-F1 of"
                f" {trained.metrics.macro_f1:.3f}"
            )
        told.append(
            f"{manifest.trees} trees on {learned}, {len(manifest.features)} features;"
            f" model {trained.artefact.id[:12]}"
        )
    return trained


def _trained(
    found: Solution,
    place: DemoFolder,
    names: Sequence[SourceName],
    stage: Callable[[str, int, int], None],
) -> Trained | TrainedDirection:
    """Train; a direction is judged in fewer folds where history is too short for as many.

    Raises:
        DataError: It is too short for one.
    """
    folds = _FOLDS if found.case.direction is not None else 1
    while True:
        settings = TrainingSettings(
            split=SplitSettings(test=_TEST_SHARE),
            folds=FoldSettings(folds=folds, embargo_ns=_EMBARGO_NS),
        )
        try:
            return train_on_files(found.case, place.home, names, settings, stage)
        except DataError as error:
            if folds == 1:
                enough = found.demo.events // _SMALLEST
                raise DataError(
                    f"{error}. For this demo, ask for --events {enough:,} or more, with as many"
                    f" days as it takes by itself ({found.demo.days})"
                ) from error
            folds -= 1


def _judge(
    found: Solution,
    place: DemoFolder,
    parts: Sequence[Mapping[str, Path]],
    trained: Trained | TrainedDirection,
    settings: DemoSettings,
) -> tuple[Judged, JudgedDirections | None]:
    with _step("judged") as told:
        if isinstance(trained, Trained):
            judged = judge(found, place, parts, settings.cut_ns)
            told.append(_judged_words(found, judged))
            return judged, None
        manifest = trained.artefact.manifest
        directions = judge_directions(found.case, manifest, place, settings.cut_ns)
        judged = directions.judged
        acted, right = int(judged.alarmed.sum()), int(judged.positive.sum())
        told.append(
            f"macro-F1 {directions.metrics.macro_f1:.3f} on {len(judged.seq):,} events after the"
            f" end of history; {acted:,} acted on, {right / max(1, acted):.0%} of them rightly"
        )
    return judged, directions


def _run(
    found: Solution,
    place: DemoFolder,
    parts: Sequence[Mapping[str, Path]],
    settings: DemoSettings,
) -> Meters:
    """Decide everything, with the live view; what comes after history is answered, if by anyone."""
    answering = found.counterparty
    made = None if answering is None else partial(answering, since_ns=settings.cut_ns)
    sources = [f"{stream}={path}" for part in parts for stream, path in part.items()]
    # the decided stream names the run
    sources.sort(key=lambda text: not text.startswith(f"{found.case.plan.on}="))
    with _step("decided") as told:
        with stages() as stage:
            opened = LocalRun(
                found.case,
                place.home,
                sources,
                [partial(_sink, place.decisions)],
                RunSettings(checkpoint=place.witness),
                stage,
                counterparty=made,
            )
        with LiveView(found.case.name, opened.meters, opened.total):
            opened.go()
        meters = opened.meters
        back = ""
        if opened.answers_stream is not None:
            count = write_answers(found.case, place, opened.answers_stream)
            back = f"; {count:,} {opened.answers_stream} came back on paper"
        told.append(
            f"{meters.decisions:,} events at [bold]{meters.rate():,.0f} a second[/bold],"
            f" signed and on disk; {_counts(meters.outcomes)};"
            f" {meters.duplicates:,} duplicates, {meters.quarantined:,} quarantined{back}"
        )
    return meters


def _sink(path: Path, local: LocalLane) -> LineSink | TableSink:
    return open_sink(path, local.folder, local.header, local.journal.next_seq)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count)


def _judged_words(found: Solution, judged: Judged) -> str:
    one, many = found.positive
    caught = int((judged.positive & judged.alarmed).sum())
    wrongly = (judged.alarmed & ~judged.positive).mean()
    return (
        f"{caught:,} of {int(judged.positive.sum()):,} {many} caught,"
        f" {wrongly:.2%} of all events stopped that were no {one}"
    )


def _prove(found: Solution, place: DemoFolder, judged: Judged) -> Evidence:
    with _step("proved") as told, stages() as stage:
        rules = found.case.policy.rules if found.case.policy else ()
        chosen = telling_decision(judged, rules[0].name if rules else "")
        evidence = gather_evidence(
            found.case,
            place,
            int(judged.seq[chosen]),
            stage,
            positive=bool(judged.positive[chosen]),
        )
        told.append(
            f"{evidence.explanation.id} ({evidence.explanation.outcome}) by a verifier that stands"
            f" alone: {'good' if evidence.verified else 'FAILED'}; journal of"
            f" {evidence.journal.records:,} records: {_state(evidence)}"
        )
    return evidence


def _state(evidence: Evidence) -> str:
    if evidence.journal.fault is not None:
        return f"BROKEN, {evidence.journal.fault}"
    if evidence.replayed.difference is not None:
        return f"verified; replay DIFFERS, {evidence.replayed.difference}"
    return "verified, replayed byte for byte"


def _commands(
    found: Solution, place: DemoFolder, evidence: Evidence
) -> tuple[tuple[str, str], ...]:
    home = f"--home {place.home.folder}"
    # as it was called, where it is not on the path: from a virtual environment, say
    headrace = "headrace" if shutil.which("headrace") else sys.argv[0]
    notice = (
        (
            f"{headrace} notice {found.name} {evidence.explanation.id} {home}",
            "what the applicant is told",
        ),
    )
    return (
        (f"{headrace} explain {evidence.explanation.id} {home}", "why that decision was made"),
        *(notice if evidence.notice is not None else ()),
        (
            f"python3 {place.verifier} {place.proof} --public-key {place.public_key}",
            "verify its proof, without Headrace",
        ),
        (f"{headrace} verify {home} --checkpoint {place.witness}", "check the whole journal"),
        (
            f'{headrace} query "FROM decisions SELECT outcome, count(*) GROUP BY outcome" {home}',
            "ask the journal in SQL",
        ),
        (f"{headrace} plan {found.name}", "features, state and policy of this use case"),
        (f"{headrace} train --help", "the same on events of your own"),
    )


def _farewell(result: DemoResult, seconds: float, *, drawn: bool) -> None:
    told = result.evidence.explanation
    _say("")
    # of several classes the score is that of one alone
    plain = told.score is not None and result.directions is None
    score = f", score {told.score:.3f}" if plain else ""
    of = f": what raised the score of {told.explains}" if told.explains else ""
    _say(f"Why [bold]{told.id}[/bold] came to [bold]{told.outcome}[/bold]{score}{of}:")
    for reason in told.reasons:
        _say(f"  {reason.contribution:+.2f}  {reason.text}")
    _say("")
    _say(f"The report: [bold]{result.place.report.resolve()}[/bold]")
    _say(f"[dim]{seconds:.0f} s in all[/dim]")
    if not drawn:
        _say("It has no plots: for them, pip install 'headrace[report]' and run the demo again.")
    _say("Try next:")
    width = max(len(line) for line, _ in result.commands)
    beside = width + max(len(what) for _, what in result.commands) + 4 <= console.width
    for line, what in result.commands:
        _say(
            f"  {line:<{width}}  [dim]{what}[/dim]"
            if beside
            else f"  {line}\n    [dim]{what}[/dim]"
        )
