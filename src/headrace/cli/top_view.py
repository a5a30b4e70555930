"""What `headrace top` shows, made of readings of a service's metrics."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING

from rich.columns import Columns
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from headrace.adapters.metrics_reading import Interval, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

_REQUEST = "headrace_request_duration_seconds"
#: Of a run, its part.
_DURABLE = "headrace_durable_duration_seconds"
_STAGE = "headrace_stage_duration_seconds"
_STAGES = ("parse", "step", "commit", "answer")
#: Readings that a line of bars shows.
_HISTORY = 44
_BAR = 12
#: Of what stands before a bar.
_NAME = 16
#: Reasons or statuses that are shown.
_ROWS = 5
#: Of a block; two stand beside each other on a terminal of 100 columns.
_WIDTH = 48
_LEVELS = " ▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"
#: Outcomes that a policy may have by default; others are drawn in the colours that are left.
_COLOURS = {"approve": "green", "review": "yellow", "block": "red"}
_OTHERS = ("cyan", "magenta", "blue", "white")


def bar(share: float, width: int = _BAR) -> str:
    """A bar for a share of one, in eighths of a character.

    >>> bar(0.5, 4), bar(0.03, 4)
    ('██  ', '▏   ')
    """
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    full, rest = divmod(eighths or int(share > 0), 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def line(values: Sequence[float], width: int = _HISTORY) -> str:
    """A line of bars, as high as the values; the highest fills its line.

    >>> line([0.0, 1.0, 2.0], 4)
    '  ▄█'
    """
    last = [0.0 if math.isnan(value) else value for value in values][-width:]
    most = max(last, default=0.0) or 1.0
    steps = [round(value / most * (len(_LEVELS) - 1)) for value in last]
    return "".join(_LEVELS[step] for step in steps).rjust(width)


def duration(seconds: float) -> str:
    """A time as people read it.

    >>> duration(0.0042), duration(0.00031), duration(75.0), duration(7260.0)
    ('4.20 ms', '0.31 ms', '1m 15s', '2h 01m')
    """
    if math.isnan(seconds):
        return "-"
    if seconds < 1:
        milliseconds = seconds * 1e3
        return f"{milliseconds:.2f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if hours:
        return f"{hours}h {minutes % 60:02d}m"
    return f"{minutes}m {int(seconds) % 60:02d}s"


def size(count: float) -> str:
    """Bytes as people read them.

    >>> size(512), size(3 * 1024**2)
    ('512 B', '3.0 MiB')
    """
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


class TopView:
    """The view of one service; each reading that is added moves it on.

    Args:
        address: Of the service.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._interval = Interval(Reading(), Reading(), 0.0)
        self._read_at = 0.0
        self._rates: deque[float] = deque(maxlen=_HISTORY)
        self._latencies: deque[float] = deque(maxlen=_HISTORY)
        self._since_start = True
        self._lost = ""

    def add(self, reading: Reading, read_at: float) -> None:
        """Take the next reading.

        Args:
            reading: What the service said.
            read_at: When, seconds since 1970.
        """
        self._since_start = not self._interval.now.samples
        started = reading.value("process_start_time_seconds") or read_at
        before = self._interval.now
        begun = started if self._since_start else self._read_at
        if started > self._read_at > 0:  # another process, which has counted from nothing
            before, begun = Reading(), started
        self._interval = Interval(before, reading, max(read_at - begun, 1e-3))
        self._read_at = read_at
        self._lost = ""
        self._rates.append(self._interval.rate("headrace_decisions_total"))
        self._latencies.append(self._took(0.99))

    def lost(self, why: str) -> None:
        """The service did not answer; what was read last stays in view."""
        self._lost = why

    def panel(self) -> RenderableType:
        """All of it."""
        blocks = [
            _block("decisions", self._rate()),
            _block(
                "latency, read to durable" if self._is_run else "latency, arrival to answer",
                self._latency(),
            ),
            _block("outcomes", self._outcomes()),
            *([] if self._is_run else [_block("a batch, by stage", self._stages())]),
            _block("quarantined and refused", self._refused()),
            _block("queue, state, journal", self._state()),
        ]
        said = "since the service started" if self._since_start else "of the last interval"
        foot = Text(f"figures {said}", style="dim")
        return Group(self._head(), Columns(blocks, padding=(0, 1)), foot)

    def _head(self) -> Text:
        now, facts = self._interval.now, self._interval.now.facts("headrace_info")
        up = time.time() - now.value("process_start_time_seconds")
        head = Text.assemble(
            (f" {facts.get('use_case', '?')} ", "bold reverse"),
            f"  {self._address}  ",
            (f"headrace {facts.get('version', '?')}, {facts.get('durability', '?')}", "dim"),
            f"  up {duration(up)}  ",
        )
        if self._lost:
            head.append(f"● {self._lost}", "bold red")
        elif now.value("headrace_failed"):
            head.append("● nothing is decided any more: see /healthz", "bold red")
        else:
            head.append("● deciding", "bold green")
        return head

    def _rate(self) -> RenderableType:
        between = self._interval
        total = between.now.value("headrace_decisions_total")
        batch = between.mean("headrace_commit_events" if self._is_run else "headrace_batch_events")
        return Group(
            Text.assemble(
                (f"{self._rates[-1]:,.0f}", "bold cyan"),
                " a second",
                (f"   {total:,.0f} in all", "dim"),
            ),
            Text(line(self._rates), "cyan"),
            Text(f"{0 if math.isnan(batch) else batch:,.1f} events a batch", "dim"),
        )

    def _latency(self) -> RenderableType:
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
        table = Table.grid(padding=(0, 3))
        told = [duration(self._took(share)) for share in shares.values()]
        table.add_row(*(Text(name, "dim") for name in shares))
        table.add_row(*(Text(text, "bold magenta") for text in told))
        return Group(table, Text(line(self._latencies), "magenta"))

    def _took(self, share: float) -> float:
        """A quantile of the seconds that a decision took, for whoever waits for it."""
        if self._is_run:
            return self._interval.quantile(share, _DURABLE)
        case = self._interval.now.facts("headrace_info").get("use_case")
        return self._interval.quantile(share, _REQUEST, route=f"/v1/{case}/decisions")

    @property
    def _is_run(self) -> bool:
        """Whether it is of `headrace run`: nobody waits for an answer there."""
        return f"{_DURABLE}_count" in self._interval.now.samples

    def _outcomes(self) -> RenderableType:
        counts = self._interval.grown("headrace_decisions_total", "outcome")
        spare = iter(_OTHERS * (1 + len(counts) // len(_OTHERS)))
        colours = {name: _COLOURS.get(name) or next(spare) for name in counts}
        return _bars(counts, colours, "no decision yet")

    def _stages(self) -> RenderableType:
        means = {stage: self._interval.mean(_STAGE, stage=stage) for stage in _STAGES}
        whole = sum(mean for mean in means.values() if not math.isnan(mean)) or 1.0
        table = _grid()
        for stage, mean in means.items():
            tail = self._interval.quantile(0.99, _STAGE, stage=stage)
            share = 0.0 if math.isnan(mean) else mean / whole
            table.add_row(
                stage,
                Text(bar(share), "blue"),
                f"{duration(mean)}",
                Text(f"p99 {duration(tail)}", "dim"),
            )
        return table

    def _refused(self) -> RenderableType:
        grown = self._interval.grown
        reasons = grown("headrace_quarantined_total", "reason")
        refused = {
            f"HTTP {status}": count
            for status, count in grown("headrace_rejected_requests_total", "status").items()
        }
        late = grown("headrace_fallback_events_total", "outcome")
        refused |= {f"fallback: {outcome}": count for outcome, count in late.items()}
        return Group(
            _bars(_most(reasons), dict.fromkeys(reasons, "red"), "nothing quarantined"),
            _bars(_most(refused), dict.fromkeys(refused, "yellow"), "nothing refused"),
        )

    def _state(self) -> RenderableType:
        now = self._interval.now
        table = _grid()
        waiting, most = (
            now.value("headrace_waiting_events"),
            now.value("headrace_waiting_events_limit"),
        )
        if not self._is_run:
            table.add_row("waiting", _gauge(waiting / most if most else 0.0), f"{waiting:,.0f}")
        ids = now.value("headrace_state_bytes", structure="ids")
        held = now.value("headrace_state_bytes") - ids
        limit = now.value("headrace_state_limit_bytes")
        table.add_row("state", _gauge(held / limit if limit else 0.0), size(held))
        limit = now.value("headrace_state_ids_limit_bytes")
        table.add_row("ids", _gauge(ids / limit if limit else 0.0), size(ids))
        facts = _grid()
        keys, events = now.value("headrace_state_keys"), now.value("headrace_state_events")
        facts.add_row("holds", f"{events:,.0f} events of {keys:,.0f} entities")
        age = duration(now.value("headrace_snapshot_age_seconds"))
        facts.add_row("snapshot", f"{age} ago")
        heads = now.by("headrace_journal_next_seq", "stage")
        head = heads.get("main", now.value("headrace_journal_next_seq"))
        written = size(self._interval.rate("headrace_journal_bytes_total"))
        facts.add_row("journal", f"next {head:,.0f}, {written}/s")
        if lanes := now.value("headrace_lanes"):
            owned, behind = now.value("headrace_lanes_owned"), now.value("headrace_lag_messages")
            facts.add_row("Kafka", f"{owned:,.0f} of {lanes:,.0f} lanes, {behind:,.0f} behind")
            if paused := now.value("headrace_partitions_paused"):
                facts.add_row("", f"{paused:,.0f} partitions paused")
        cores = self._interval.rate("process_cpu_seconds_total")
        memory = size(now.value("process_resident_memory_bytes"))
        facts.add_row("process", f"{cores:.2f} cores, {memory}")
        return Group(table, facts)


def _most(counts: Mapping[str, float]) -> dict[str, float]:
    """The greatest of them, the greatest first."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return {name: count for name, count in ordered[:_ROWS] if count}


def _grid() -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, width=_NAME)
    return table


def _block(title: str, content: RenderableType) -> Panel:
    return Panel(content, title=title, title_align="left", width=_WIDTH, border_style="dim")


def _gauge(share: float) -> Text:
    """A bar that is green, yellow from a half on, and red near its end."""
    colour = "red" if share > 0.8 else "yellow" if share > 0.5 else "green"
    return Text(bar(share), f"{colour} on grey15")


def _bars(counts: Mapping[str, float], colours: Mapping[str, str], none: str) -> RenderableType:
    """Names with their counts, shares and bars."""
    total = math.fsum(counts.values())
    if not total:
        return Text(none, "dim")
    table = _grid()
    for name, count in counts.items():
        table.add_row(
            name,
            Text(bar(count / total), colours[name]),
            f"{count / total:6.1%}",
            Text(f"{count:,.0f}", "dim"),
        )
    return table
