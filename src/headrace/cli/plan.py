"""`headrace plan`: what a use case compiles to."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from headrace.cli.terminal import console
from headrace.core.errors import DataError, DefinitionError
from headrace.definitions.describe import (
    EVENTS_PER_KEY,
    KEYS,
    book_bytes,
    book_name,
    feature_table,
    group_sizes,
    worst_case_bytes,
)
from headrace.definitions.stage_lines import stage_lines
from headrace.pipeline.acceptance import BYTES_PER_ID
from headrace.policy.tables import truth_table
from headrace.runtime.loading import load_case

if TYPE_CHECKING:
    from headrace.pipeline.use_case import UseCase


def plan(
    case: str,
    /,
    *,
    keys: int = KEYS,
    events_per_key: int = EVENTS_PER_KEY,
    key: str | None = None,
) -> None:
    """Show what a use case compiles to: features, the size of its state, its stages, its policy.

    Parameters
    ----------
    case
        A Python file with the use case (FILE.py, or FILE.py:NAME), or a ready-made one.
    keys
        How many keys each group has: cards, merchants.
    events_per_key
        The most events of one key that fall into its longest window.
    key
        The field that topics of the decided stream are partitioned by; by default the one that
        most windows are kept by.
    """
    for name, value in (("keys", keys), ("events-per-key", events_per_key)):
        if value < 1:
            raise DataError(f"--{name} {value}: expected 1 or more")
    use_case = load_case(case)
    made = use_case.plan

    def say(text: str = "") -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    say(f"{use_case.name}: decides {made.on}, {len(made.features)} features")
    say(f"definition {made.digest()}")
    say()
    say(feature_table(made))
    say()
    sizes = group_sizes(made, keys, events_per_key)
    say(f"State at worst, with {keys:,} keys and {events_per_key:,} events of each in its window:")
    for size in sizes:
        held = dt.timedelta(microseconds=size.horizon_ns // 1000)
        say(
            f"  {size.group}: {size.total_bytes / 1e6:,.1f} MB; {size.entries} entries of"
            f" {size.entry_bytes} bytes for each key, held for {held}"
        )
    for book in made.books:
        each = book_bytes(book)
        say(f"  {book_name(book)}: {keys * each / 1e6:,.1f} MB; {each:,} bytes for each")
    say(f"  together {worst_case_bytes(made, keys, events_per_key):,} bytes")
    say(f"  and for each id remembered against duplicates at most {BYTES_PER_ID} bytes:")
    for stream in made.streams:
        say(f"    {stream.name} for {dt.timedelta(microseconds=stream.dedupe_ns // 1000)}")
    say()
    say("Where topics have many partitions:")
    for line in _stages(use_case, key):
        say(f"  {line}")
    say()
    if use_case.policy is None:
        say("No policy: events are scored, not decided.")
        return
    say(f"Policy {use_case.policy.digest()}: the first rule that matches decides.")
    say(str(truth_table(use_case.policy)))


def _stages(use_case: UseCase, key: str | None) -> list[str]:
    """The stages; or why there can be none."""
    try:
        return stage_lines(use_case.stages(key))
    except DefinitionError as error:
        if key is not None:
            raise
        return [f"none: {error}"]
