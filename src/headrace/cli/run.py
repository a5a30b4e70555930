"""`headrace run`: decide events."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from headrace.adapters.sinks import open_sink
from headrace.cli.compile import compiled_once
from headrace.cli.live_view import LiveView
from headrace.cli.terminal import aside, console, stages
from headrace.core.errors import DataError
from headrace.definitions.describe import EVENTS_PER_KEY, KEYS, worst_case_bytes
from headrace.runtime.home import Home
from headrace.runtime.loading import load_case
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.local_lane import LaneSettings

if TYPE_CHECKING:
    from headrace.adapters.sinks import LineSink, TableSink
    from headrace.runtime.local_lane import LocalLane


def run(
    case: str,
    /,
    *,
    source: Annotated[tuple[str, ...], Parameter(negative="", allow_leading_hyphen=True)],
    sink: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    model: str | None = None,
    durability: Literal["fsync", "os", "async"] = "fsync",
    checkpoint: Path | None = None,
    recover_within: str = "30s",
    home: Path | None = None,
) -> None:
    """Decide the events of files, folders or stdin; each decision is signed into the journal.

    The same command again goes on where it ended, also after a crash: sources are read from
    where the journal stands. Ctrl-C ends it in good order.

    Parameters
    ----------
    case
        A Python file with the use case (FILE.py, or FILE.py:NAME), or a ready-made one.
    source
        FILE or folder of the decided stream, - for stdin, STREAM=FILE for any other stream.
    sink
        Write decisions here too: a name that ends in .jsonl, .csv, .parquet or .arrow.
    model
        The id of a trained model, in place of the current one.
    durability
        When a decision counts: on disk (fsync), with the operating system (os), or at once
        (async); the last two may lose decisions in a crash of the machine.
    checkpoint
        The witness file that the journal's head is written to at the end.
    recover_within
        How long it may take to go on after a crash, as in 30s or 5m: the state is kept as often as
        that asks for.
    home
        The folder of journal, models, vault and keys.
    """
    for path in sink:
        if sink.count(path) > 1:
            raise DataError(f"--sink {path} is named twice; expected a file for each")
    place = Home.at(home)
    use_case = load_case(case)
    aside.print(
        f"state at worst: {worst_case_bytes(use_case.plan):,} bytes with {KEYS:,} keys and"
        f" {EVENTS_PER_KEY} events of each in its windows; headrace plan says more"
    )
    compiled_once()
    settings = RunSettings(
        lane=LaneSettings(durability=durability, recover_within=recover_within),
        model=model,
        checkpoint=checkpoint,
    )
    with stages() as stage:
        opened = LocalRun(
            use_case,
            place,
            source,
            [partial(_sink, path) for path in sink],
            settings,
            stage,
            say=aside.print,
        )
    _say_what_was_found(opened)
    with LiveView(use_case.name, opened.meters, opened.total):
        opened.go()
    LiveView.summary(console, use_case.name, opened.meters, place)


def _say_what_was_found(opened: LocalRun) -> None:
    """What a user should know before the first decision."""
    for word in opened.recovery.words:
        aside.print(word)
    if opened.recovery.next_seq:
        aside.print(str(opened.recovery))
    for lacking in opened.lacking:
        aside.print(
            f"warning: features read {lacking}, and neither this run nor an earlier one was given"
            f" it: what they make of it is missing or 0. Run --source {lacking}=FILE first"
        )
    if opened.begins_at:
        aside.print(f"going on at input {opened.begins_at:,}: those before it were decided")
    if opened.total == 0:
        further = "further " if opened.begins_at else ""
        aside.print(f"the sources hold no {further}events")


def _sink(path: Path, local: LocalLane) -> LineSink | TableSink:
    return open_sink(path, local.journal.folder, local.header, local.journal.next_seq)
