"""What stages say to a reader: which events go where, by which key, and what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headrace.definitions.describe import group_name, kept_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.definitions.stages import SideStage, Stages


def stage_lines(stages: Stages) -> list[str]:
    """The stages as lines of text."""
    if not stages.sides:
        if not stages.key:
            return ["One stage: no feature reads a window, topics may be partitioned by anything."]
        return [f"One stage: all windows are kept by {stages.key}.", *_sources(stages)]
    keys = ", ".join(dict.fromkeys([stages.key, *(side.key for side in stages.sides)]))
    lines = [
        f"{2 + len(stages.sides)} stages: windows are kept by {keys}.",
        *_sources(stages),
        "  admission: judges every event, in the order of its topic",
    ]
    for side in stages.sides:
        lines += _side(side)
    lines.append(f"  main, by {stages.key}: takes all that was admitted, in the same order")
    lines += [f"    keeps {name}" for name in kept_names(stages.main)]
    return lines


def _sources(stages: Stages) -> list[str]:
    """By what topics have to be partitioned."""
    return [f"  partition topics of {_routed(stages.keyed)}; of other streams by anything"]


def _routed(routes: Mapping[str, str]) -> str:
    return ", ".join(f"{stream} by {own}" for stream, own in routes.items())


def _side(side: SideStage) -> list[str]:
    lines = [f"  {side.name}: takes {_routed(side.routes)}"]
    lines += [
        f"    of {stream.name} the fields {', '.join(stream.schema.names)}"
        for stream in side.plan.streams
    ]
    lines += [f"    reads table {table.name}" for table in side.plan.tables]
    lines += [f"    keeps {group_name(group)}" for group in side.plan.groups]
    return [*lines, *(f"    gives {given.field.name}: {given.text}" for given in side.given)]
