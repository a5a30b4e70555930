"""What a ready-made use case may bring beside itself: a simulator of the events that it decides.

A solution is the module that an entry point of the group `headrace.solutions` names. Its use case
is found as in a user's file; the names below are looked for in the same module.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from headrace.core.errors import NotFound
from headrace.lifecycle.drawing import Plot
from headrace.lifecycle.report import PlainTable
from headrace.runtime.loading import load_case, solutions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from headrace.pipeline.use_case import UseCase
    from headrace.runtime.closed_loop import MakeCounterparty


class SimulateTo(Protocol):
    """`simulate_to`: writes a simulation to files, the same for the same seed."""

    def __call__(
        self,
        folder: Path,
        *,
        events: int,
        days: int,
        seed: int,
        start: dt.date | None = None,
        parted_at: int | None = None,
        progress: Callable[[str, int, int], None] = ...,
    ) -> tuple[dict[str, Path], ...]:
        """Returns the file of each stream and table, for each part of the simulated time."""


class SimulateLines(Protocol):
    """`simulate_lines`: the decided events as JSON lines, at a rate or as fast as can be."""

    def __call__(
        self,
        *,
        events: int,
        days: int,
        seed: int,
        start: dt.date | None = None,
        rate: float | None = None,
    ) -> Iterator[bytes]:
        """Returns whole lines, in order of arrival."""


class ConvertTo(Protocol):
    """`convert_to`: turns files of a vendor or venue into a file for each stream."""

    def __call__(
        self,
        folder: Path,
        form: str,
        files: Sequence[Path],
        *,
        symbol: str | None = None,
        day: dt.date | None = None,
    ) -> tuple[dict[str, Path], Path | None, str]:
        """Returns the file of each stream, that of quarantine if there is one, and counts in words.

        Raises:
            DataError: If a file cannot be read, or something is missing.
        """


#: What stands in a section of a report.
ReportPart: TypeAlias = PlainTable | Plot


class ReportSections(Protocol):
    """`report_sections`: what a demo's report shows of this use case beside the usual."""

    def __call__(
        self, data: Path, decisions: Path, since: dt.datetime, answers: Path | None = None
    ) -> Sequence[tuple[str, str, Sequence[ReportPart]]]:
        """Returns title, text, and tables and plots of each section.

        Args:
            data: The folder of the simulation.
            decisions: Every decision, as Parquet.
            since: When history ended.
            answers: Every answer of the counterparty, as Parquet; None where there is none.
        """


@dataclass(frozen=True, slots=True)
class DemoSize:
    """How large a demo is unless told: events of the decided stream, days, days of history."""

    events: int = 300_000
    days: int = 180
    history_days: int = 130


@dataclass(frozen=True, slots=True)
class Economics:
    """What decisions cost and save, for the threshold that pays.

    Attributes:
        cost_per_alarm: Of looking at one event, in the report's currency.
        lost: Share of an event's worth that is lost when it is a positive and let through.
        earned: Share of an event's worth that is earned when it is none and let through, which an
            alarm forgoes.
    """

    cost_per_alarm: float = 5.0
    lost: float = 1.0
    earned: float = 0.0


@dataclass(frozen=True, slots=True)
class Solution:
    """A ready-made use case with its simulator.

    Attributes:
        name: As commands call it.
        case: The use case.
        simulate_to: See `SimulateTo`.
        simulate_lines: See `SimulateLines`.
        worth: The feature that says what an event is worth, and its currency.
        positive: What the label says of an event, and of several: "fraud", "frauds".
        demo: How large a demo is.
        economics: See `Economics`.
        report_sections: See `ReportSections`; None shows the usual alone.
        counterparty: Makes what answers its decisions on paper; None: nothing does.
    """

    name: str
    case: UseCase
    simulate_to: SimulateTo
    simulate_lines: SimulateLines
    worth: tuple[str, str]
    positive: tuple[str, str]
    demo: DemoSize
    economics: Economics
    report_sections: ReportSections | None
    counterparty: MakeCounterparty | None


@dataclass(frozen=True, slots=True)
class Converter:
    """What a ready-made use case reads of vendors' and venues' files.

    Attributes:
        formats: What each format is, by its name.
        convert_to: See `ConvertTo`.
    """

    formats: Mapping[str, str]
    convert_to: ConvertTo


def converter(name: str) -> Converter:
    """What reads files for the ready-made use case of that name.

    Raises:
        NotFound: There is no such use case, or it reads no formats.
    """
    module = _module(name)
    if not hasattr(module, "convert_to"):
        raise NotFound(f"{name} reads files of its streams alone: there is nothing to convert")
    formats = {form: found.said for form, found in module.FORMATS.items()}
    return Converter(formats, module.convert_to)


def _module(name: str) -> Any:
    known = solutions()
    if name not in known:
        raise NotFound(f"no ready-made use case {name!r}; there are: {', '.join(sorted(known))}")
    return importlib.import_module(known[name])


def solution(name: str) -> Solution:
    """The ready-made use case of that name that can simulate its events.

    Raises:
        NotFound: There is none, or it has no simulator.
    """
    module = _module(name)
    try:
        return Solution(
            name,
            load_case(name),
            module.simulate_to,
            module.simulate_lines,
            module.WORTH,
            module.POSITIVE,
            DemoSize(*module.DEMO),
            Economics(*getattr(module, "ECONOMICS", ())),
            getattr(module, "report_sections", None),
            getattr(module, "counterparty", None),
        )
    except AttributeError as error:
        raise NotFound(f"{name} has no simulator ({error})") from error
