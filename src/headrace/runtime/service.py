"""`headrace serve`: one lane behind an HTTP service, from what a command names on."""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headrace import __version__
from headrace.core.errors import DataError
from headrace.runtime.definitions import Definitions
from headrace.runtime.http.app import App, Deadline, Limits
from headrace.runtime.http.lane import ServedLane, source_name
from headrace.runtime.http.meters import ServiceMeters
from headrace.runtime.http.metrics import Metrics
from headrace.runtime.http.records import Records
from headrace.runtime.kernels import load_all
from headrace.runtime.local_lane import LaneSettings, LocalLane, now_ns, signing_key
from headrace.runtime.models import model_of
from headrace.runtime.run import undisturbed

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from headrace.pipeline.use_case import UseCase
    from headrace.runtime.home import Home
    from headrace.runtime.local_lane import Recovery
    from headrace.security.api_keys import ApiKeys

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
        limits: What it takes before it says no.
        deadline: What happens to a request whose decision is not ready in time.
        model: The id of an artefact, in place of the current one.
    """

    lane: LaneSettings = field(default_factory=LaneSettings)
    limits: Limits = field(default_factory=Limits)
    deadline: Deadline = field(default_factory=Deadline)
    model: str | None = None


def _check_fallback(case: UseCase, fallback: str | None) -> None:
    outcomes = [outcome.name for outcome in case.policy.outcomes] if case.policy else []
    if fallback is not None and fallback not in outcomes:
        raise DataError(
            f"--fallback {fallback} is no outcome of {case.name}; expected one of"
            f" {', '.join(outcomes) or 'those of a policy, and it has none'}"
        )


class Service:
    """A use case that answers requests; its application is hosted by a server.

    Used as a context: the lane answers within it, and at its end what was asked is answered, the
    state is written and the lane is let go of.

    Args:
        case: The use case.
        home: Where everything is kept.
        keys: Who may ask for what; everybody may while there is none.
        settings: See `ServiceSettings`.
        progress: Called with (what is done, done, of how many) while it is opened.

    Attributes:
        app: Of RSGI.
        meters: What it counts.
    """

    def __init__(
        self,
        case: UseCase,
        home: Home,
        keys: ApiKeys,
        settings: ServiceSettings | None = None,
        progress: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
    ) -> None:
        settings = settings or ServiceSettings()
        _check_fallback(case, settings.deadline.fallback)
        model = model_of(case, home, settings.model)
        definition = case.definition(model)
        if model is not None and case.explaining.most:
            progress("laying out reasons", 0, 0)
            _ = model.contributions
        progress("loading kernels", 0, 0)
        load_all()
        definitions = Definitions(home.definitions)
        definitions.keep(definition)
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
        self._lane = ServedLane(self._local, self.meters, now_ns)
        self.app = App(
            self._lane,
            Records(home, definitions, signing_key(home).public),
            keys,
            use_case=case.name,
            on=case.plan.on,
            limits=settings.limits,
            deadline=settings.deadline,
            metrics=Metrics(self._local, self._lane, self.meters, settings.limits.waiting).page,
        )
        self._quiet = undisturbed()

    @property
    def recovery(self) -> Recovery:
        """What was found when the lane was opened."""
        return self._local.recovery

    def __enter__(self) -> Self:
        self._log_opened()
        self._quiet.__enter__()
        self._lane.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._lane.close()
        finally:
            self._quiet.__exit__(kind, error, trace)
        self.app.tell_rest()
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
