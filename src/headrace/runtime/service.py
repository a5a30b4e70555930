"""`headrace serve`: one lane behind an HTTP service, from what a command names on."""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headrace import __version__
from headrace.core.errors import DataError
from headrace.runtime.definitions import Definitions
from headrace.runtime.http.front_process import front_process
from headrace.runtime.http.lane import ServedLane, source_name
from headrace.runtime.http.meters import ServiceMeters
from headrace.runtime.kernels import cores, load_all
from headrace.runtime.local_lane import LaneSettings, LocalLane
from headrace.runtime.models import model_of
from headrace.runtime.run import undisturbed
from headrace.runtime.traces import tracing

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.pipeline.use_case import UseCase
    from headrace.runtime.home import Home
    from headrace.runtime.http.front import Setting
    from headrace.runtime.recovery import Recovery

_LOG = logging.getLogger("headrace.service")


def is_loopback(host: str) -> bool:
    """Whether an interface is reached from this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How a service goes.

    Attributes:
        lane: How its lane is kept.
        model: The id of an artefact, in place of the current one.
        fallback: The outcome that a request gets whose decision is not ready in time.
        awake_ms: How long the lane waits awake for the next request where they are rare, and there
            is more than one core.
    """

    lane: LaneSettings = field(default_factory=LaneSettings)
    model: str | None = None
    fallback: str | None = None
    awake_ms: float = 2.0


class Service:
    """A use case that answers requests.

    Args:
        case: The use case.
        home: Where everything is kept.
        settings: See `ServiceSettings`.
        progress: Called with (what is done, done, of how many) while it is opened.

    Attributes:
        meters: What it counts.
    """

    def __init__(
        self,
        case: UseCase,
        home: Home,
        settings: ServiceSettings | None = None,
        progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
    ) -> None:
        settings = settings or ServiceSettings()
        self._fallback = settings.fallback
        self._awake_ms = settings.awake_ms if cores() > 1 else 0.0
        _check_fallback(case, settings.fallback)
        model = model_of(case, home, settings.model)
        definition = case.definition(model)
        if model is not None:
            progress("laying out the model", 0, 0)
            model.make_ready(reasons=case.explaining.most > 0)
        progress("loading kernels", 0, 0)
        load_all()
        Definitions(home.definitions).keep(definition)
        names = [stream.name for stream in case.plan.streams]
        names += [table.name for table in case.plan.tables]
        self._local = LocalLane(
            definition,
            home,
            [source_name(name) for name in names],
            settings.lane,
            lambda done, most: progress("replaying the journal", done, most),
        )
        self.meters = ServiceMeters()
        self._log_opened()

    @property
    def awake(self) -> bool:
        """Whether it waits awake where requests are rare."""
        return self._awake_ms > 0

    @property
    def recovery(self) -> Recovery:
        """What was found when the lane was opened."""
        return self._local.recovery

    def go(self, setting: Setting) -> None:
        """Answer until SIGTERM or Ctrl-C; then make the state last, and let go of the lane.

        Args:
            setting: Of the front.

        Raises:
            DataError: The front ended on its own.
            HeadraceError: Nothing could be decided any more.
        """
        traces = tracing(setting.traces, self._local.definition.name, "lane")
        try:
            with self._local, undisturbed(), front_process(setting) as channel:
                lane = ServedLane(
                    self._local, self.meters, channel, self._fallback, traces, self._awake_ms
                )
                lane.run()
        finally:
            if traces is not None:
                traces.close()
        _LOG.info(
            f"stopped after {self.meters.decisions:,} decisions; every answer that was promised has"
            " gone out",
            extra={"facts": {"next_seq": self._local.journal.committed.next_seq}},
        )

    def _log_opened(self) -> None:
        """Log what runs, and what was found."""
        header, found = self._local.header, self.recovery
        facts = {
            "version": __version__,
            "use_case": header.use_case,
            "definition": header.definition[:16],
            "model": header.model[:16],
            "durability": self._local.settings.durability,
        }
        _LOG.info("opened", extra={"facts": facts})
        for word in found.words:
            _LOG.warning(word)
        places = {
            "next_seq": found.next_seq,
            "from_snapshot": found.from_snapshot,
            "replayed": found.replayed,
        }
        _LOG.info("recovered", extra={"facts": places})


def _check_fallback(case: UseCase, fallback: str | None) -> None:
    outcomes = [outcome.name for outcome in case.policy.outcomes] if case.policy else []
    if fallback is not None and fallback not in outcomes:
        raise DataError(
            f"--fallback {fallback} is no outcome of {case.name}; expected one of"
            f" {', '.join(outcomes) or 'those of a policy, and it has none'}"
        )
