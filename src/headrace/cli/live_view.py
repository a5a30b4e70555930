"""A run as it goes: rate, latency, outcomes, quarantine."""

from __future__ import annotations

import threading
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Self

from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table

from headrace.cli.terminal import aside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from headrace.runtime.meters import Meters, WorkerMeters

_REFRESH_SECONDS = 0.25
#: So many of a worker's lanes are named, those furthest behind.
_MOST_LANES = 4
#: From so many seconds of compiling on, the latencies of a run are told with a word on it.
_WORTH_TELLING = 0.1


class LiveView:
    """Shows the meters of a run on stderr, four times a second, where that is a terminal.

    Args:
        name: Of the use case.
        meters: Of the run.
        total: Inputs to come; None when they arrive live.
        lanes: Of a worker over Kafka, by the name of each stage; the last one decides.
    """

    def __init__(
        self,
        name: str,
        meters: Meters,
        total: int | None = None,
        lanes: Mapping[str, WorkerMeters] = MappingProxyType({}),
    ) -> None:
        self._name = name
        self._meters = meters
        self._total = total
        self._lanes = lanes
        self._live = Live(console=aside, auto_refresh=False, transient=True)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._show, name="view", daemon=True)

    def __enter__(self) -> Self:
        if aside.is_terminal:
            self._live.start()
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()
            self._live.stop()

    def _show(self) -> None:
        while not self._done.wait(_REFRESH_SECONDS):
            self._live.update(self._panel(), refresh=True)

    def _panel(self) -> Panel:
        meters = self._meters
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim")
        if self._total:
            table.add_row("", ProgressBar(self._total, meters.received, width=48))
        of = f" of {self._total:,}" if self._total is not None else ""
        table.add_row("received", f"{meters.received:,}{of}")
        table.add_row("rate", f"[bold]{meters.rate():,.0f}[/bold] decisions/s")
        p50, p99 = meters.latency_ms(50, 99)
        table.add_row("read to durable", f"p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        table.add_row("outcomes", _counts(meters.outcomes))
        table.add_row("duplicates", f"{meters.duplicates:,}")
        table.add_row("quarantined", f"{meters.quarantined:,}  {_counts(meters.reasons)}")
        self._add_lanes(table)
        return Panel(table, title=self._name, expand=False)

    def _add_lanes(self, table: Table) -> None:
        """Rows on the lanes of a worker: how they are, how far behind, how they came and went."""
        several = len(self._lanes) > 1
        for stage, lanes in self._lanes.items():
            standings = lanes.standings()
            states = Counter(one.state for one in standings)
            title = f"{stage} lanes" if several else "lanes"
            table.add_row(title, f"{len(standings)} of {lanes.of}  {_counts(states)}")
            late = [one for one in standings if one.behind]
            most = sorted(late, key=lambda one: -one.behind)[:_MOST_LANES]
            each = ", ".join(f"lane {one.lane} {one.behind:,}" for one in most)
            table.add_row("behind", f"{sum(one.behind for one in late):,} messages  {each}")
        if self._lanes:
            rebalances, lost, fenced = (
                sum(counts)
                for counts in zip(
                    *((one.rebalances, one.lost, one.fenced) for one in self._lanes.values()),
                    strict=True,
                )
            )
            table.add_row("rebalances", f"{rebalances:,}, lanes lost {lost}, fenced {fenced}")

    @staticmethod
    def summary(console: Console, name: str, meters: Meters, journal: str) -> None:
        """What a run came to, in a few lines; `journal` says where that is."""
        p50, p99 = meters.latency_ms(50, 99)
        console.print(
            f"{name}: {meters.received:,} received = {meters.accepted:,} accepted"
            f" + {meters.duplicates:,} duplicates + {meters.quarantined:,} quarantined"
        )
        if meters.decisions:
            console.print(
                f"{meters.decisions:,} decisions ({_counts(meters.outcomes)}),"
                f" {meters.rate():,.0f} a second;"
                f" read to durable p50 {p50:.1f} ms, p99 {p99:.1f} ms"
            )
        if meters.compiling_seconds > _WORTH_TELLING:
            console.print(
                f"in {meters.compiling_seconds:.1f} s of that, kernels were compiled that this use"
                " case is the first to need; the next run has them"
            )
        if meters.reasons:
            console.print(f"quarantined: {_counts(meters.reasons)}; headrace quarantine list")
        console.print(f"journal: {journal}, {meters.journal_bytes:,} bytes written")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items() if count) or "none"
