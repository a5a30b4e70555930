"""The service as an application of RSGI: routes, bodies, answers.

    POST /v1/{use_case}/decisions         decide events of the decided stream
    POST /v1/{use_case}/events/{stream}   take events of another stream, or rows of a table
    GET  /v1/decisions/{id}               a decision of the journal, taken apart
    GET  /v1/decisions/{id}/proof         a proof of it
    GET  /healthz, /readyz                whether it runs; whether it takes requests
    GET  /metrics                         what it counts, for Prometheus
    GET  /openapi.json                    what it takes and gives, for programs

The application knows nothing of the server that hosts it (`headrace.adapters.granian_server`).
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from headrace.core.errors import DataError, JournalError, NotFound
from headrace.runtime.http.bodies import events_of
from headrace.runtime.http.body_reader import Body, BodyReader
from headrace.runtime.http.link import FrontCounts
from headrace.runtime.http.problems import PROBLEM_TYPE, Problem
from headrace.runtime.http.refusals import Refusals
from headrace.runtime.http.wire import Answered
from headrace.security.api_keys import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.adapters.telemetry import Tracing
    from headrace.runtime.http.link import LaneLink
    from headrace.runtime.http.records import Records
    from headrace.runtime.http.wire import Hello
    from headrace.security.api_keys import ApiKeys

Headers = list[tuple[str, str]]

_JSON: Headers = [("content-type", "application/json")]

#: The header of a request that says how many milliseconds it waits for its decision at most.
DEADLINE_HEADER = "headrace-deadline-ms"
#: The longest that a request may say it waits.
LONGEST_DEADLINE_MS = 600_000
#: How long after its answer a decision may take to be found, where that does not wait for the disk.
_SIGNED_SECONDS = 0.05


class Scope(Protocol):
    """What a server says of a request."""

    method: str
    path: str
    scheme: str

    @property
    def headers(self) -> Any:
        """The headers by their names in small letters."""


class Exchange(Body, Protocol):
    """How a request's body is read, and how it is answered."""

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the service takes before it says no.

    Attributes:
        body_bytes: Of one request's body.
        waiting: Events that wait for their answer; beyond it requests get 429.
        deadline_ms: Milliseconds after which a request is answered without its decision, unless it
            says otherwise itself (`Headrace-Deadline-Ms`); None: it waits.
    """

    body_bytes: int = 4 * 1024 * 1024
    waiting: int = 20_000
    deadline_ms: int | None = None


class App:
    """Answers requests to one use case.

    Args:
        hello: What the lane decides.
        lane: How it is asked.
        records: What was decided before.
        keys: Who may ask for what; everybody may while there is none.
        limits: See `Limits`.
        clock: Nanoseconds since 1970.
        tracing: Makes spans of requests, where that is asked for.
    """

    def __init__(
        self,
        hello: Hello,
        lane: LaneLink,
        records: Records,
        keys: ApiKeys,
        limits: Limits,
        clock: Callable[[], int],
        *,
        tracing: Tracing | None = None,
    ) -> None:
        self._lane = lane
        self._records = records
        self._keys = keys
        self._limits = limits
        self._clock = clock
        self._tracing = tracing
        self._bodies = BodyReader(limits.body_bytes)
        self._counts = FrontCounts(limits.waiting)
        self._refuse = Refusals(self._counts.rejected)
        self._ready = True
        self._fallback = hello.fallback
        self._on = hello.streams.index(hello.on)
        ranks = {name: rank for rank, name in enumerate(hello.streams)}
        self._posts = {f"/v1/{hello.use_case}/events/{name}": rank for name, rank in ranks.items()}
        self._posts[f"/v1/{hello.use_case}/decisions"] = self._on
        self._gets: dict[str, Callable[[], tuple[int, Headers, bytes]]] = {
            "/healthz": self._health,
            "/readyz": self._readiness,
            "/openapi.json": lambda: (200, _JSON, hello.openapi),
        }

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, in the loop of the server."""
        self._lane.start(loop)

    def stop(self) -> None:
        """Say that no new requests should come; those that do are still answered."""
        self._ready = False
        self._bodies.hurry()

    async def watch(self) -> None:
        """Let no client take for ever, until this is cancelled."""
        await self._bodies.watch()

    async def finish(self) -> None:
        """Hear the rest of what was asked, when all requests have their answers."""
        await self._lane.finish()

    def tell_rest(self) -> None:
        """Log the refusals that the log has not heard of yet."""
        self._refuse.tell_rest()

    def route(self, path: str) -> str:
        """The route that a path is of, without the ids in it; "other" where there is none."""
        if path in self._posts or path in self._gets or path == "/metrics":
            return path
        if not path.startswith("/v1/decisions/"):
            return "other"
        return "/v1/decisions/{id}" + ("/proof" if path.endswith("/proof") else "")

    async def __rsgi__(self, scope: Scope, exchange: Exchange) -> None:
        """Answer one request, and count how long it took."""
        if self._tracing is None:
            await self._served(scope, exchange, b"")
            return
        headers, status = scope.headers, 0
        span = self._tracing.request(
            scope.method, scope.scheme, headers.get("traceparent"), headers.get("tracestate")
        )
        try:
            status = await self._served(scope, exchange, span.context)
        finally:
            span.end(self.route(scope.path), status)

    async def _served(self, scope: Scope, exchange: Exchange, trace: bytes) -> int:
        """Answer one request; the status it was answered with."""
        begun, path = perf_counter_ns(), scope.path
        rank = self._posts.get(path)
        if rank is not None and scope.method == "POST":
            route, status = path, await self._post(rank, scope, exchange, trace)
        else:
            route, status = self.route(path), await self._other(scope, exchange)
        self._counts.times.add(route, status, perf_counter_ns() - begun)
        return status

    async def _other(self, scope: Scope, exchange: Exchange) -> int:
        """Answer a request that brings no events; the status it was answered with."""
        path = scope.path
        if path in self._posts:
            wrong = Problem(405, f"{path} takes POST alone")
            return self._refuse(exchange, wrong, [("allow", "POST")])
        if scope.method not in ("GET", "HEAD"):
            return self._refuse(exchange, Problem(404, f"there is no {path} to {scope.method} to"))
        if path in self._gets:
            status, headers, body = self._gets[path]()
            exchange.response_bytes(status, headers, body)
            return status
        if path == "/metrics":
            return await self._measured(scope, exchange)
        if path.startswith("/v1/decisions/"):
            return await self._record(path.removeprefix("/v1/decisions/"), scope, exchange)
        missing = Problem(404, f"there is no {path}; /openapi.json says what there is")
        return self._refuse(exchange, missing)

    def _denied(self, scope: Scope, role: Role) -> Problem | None:
        """Why whoever asks may not; None if it may."""
        if not self._keys.guarding:
            return None
        kind, _, secret = (scope.headers.get("authorization") or "").partition(" ")
        may = self._keys.may(secret.strip(), role) if kind.lower() == "bearer" else None
        if may is None:
            return Problem(401, "send an API key: Authorization: Bearer KEY")
        return None if may else Problem(403, f"this API key has not the role {role.value!r}")

    async def _post(self, rank: int, scope: Scope, exchange: Exchange, trace: bytes) -> int:
        denied = self._denied(scope, Role.DECIDE if rank == self._on else Role.FEED)
        if denied is not None:
            return self._refuse(exchange, denied)
        headers = scope.headers  # the server makes them anew for each who asks
        body = await self._bodies.read(headers.get("content-length"), exchange)
        if isinstance(body, Problem):
            return self._refuse(exchange, body)
        events = _packed(body, headers) or events_of(body, headers.get("content-type") or "")
        if isinstance(events, Problem):
            return self._refuse(exchange, events)
        if self._lane.waiting + events.count > self._limits.waiting:
            return self._refuse(exchange, _overloaded(self._lane.waiting))
        milliseconds = self._milliseconds(headers.get(DEADLINE_HEADER))
        if isinstance(milliseconds, Problem):
            return self._refuse(exchange, milliseconds)
        answered = await self._lane.ask(rank, events, self._clock(), milliseconds, trace)
        if answered is None:
            answered = self._too_late(rank, events.count, milliseconds)
        return self._answer(exchange, answered, single=events.single)

    def _answer(self, exchange: Exchange, answered: Answered | Problem, *, single: bool) -> int:
        """Say what became of the events of a request; the status that says it."""
        if isinstance(answered, Problem):
            return self._refuse(exchange, answered)
        if single and answered.problem is not None:
            return self._refuse(exchange, answered.problem)
        body = answered.body if single else b"[%b]" % answered.body
        exchange.response_bytes(200, _JSON, body)
        return 200

    def _milliseconds(self, said: str | None) -> int | Problem | None:
        """How long a request waits for its decision at most; None for as long as it takes."""
        if said is None:
            return self._limits.deadline_ms
        if not said.isascii() or not said.isdigit() or not 0 < int(said[:7]) <= LONGEST_DEADLINE_MS:
            return Problem(
                400,
                f"{DEADLINE_HEADER} is {said!r}; expected 1 to {LONGEST_DEADLINE_MS} milliseconds",
            )
        return int(said)

    def _too_late(self, rank: int, count: int, milliseconds: int | None) -> Answered | Problem:
        """What is said when decisions come too late."""
        if self._fallback is None or rank != self._on:
            return Problem(
                504,
                f"no decision within {milliseconds} ms; it will be made: ask again with the same"
                " event",
            )
        self._counts.fallbacks += count
        return Answered(0, 0, b",".join([self._fallback] * count))

    async def _measured(self, scope: Scope, exchange: Exchange) -> int:
        """What the service counts, for Prometheus."""
        denied = self._denied(scope, Role.OBSERVE)
        if denied is not None:
            return self._refuse(exchange, denied)
        found = await self._lane.measure(scope.headers.get("accept") or "", self._counts)
        if isinstance(found, Problem):
            return self._refuse(exchange, found)
        exchange.response_bytes(200, [("content-type", found.content_type)], found.page)
        return 200

    async def _record(self, name: str, scope: Scope, exchange: Exchange) -> int:
        """A decision that was made before, or the proof of it."""
        denied = self._denied(scope, Role.READ)
        if denied is not None:
            return self._refuse(exchange, denied)
        work: Callable[[str], object] = self._records.decision
        if name.endswith("/proof"):
            name, work = name.removesuffix("/proof"), self._records.proof
        try:
            found = await _sought(work, name)
        except NotFound as error:
            return self._refuse(exchange, Problem(404, str(error)))
        except (DataError, JournalError) as error:
            return self._refuse(exchange, Problem(409, str(error)))
        exchange.response_bytes(200, _JSON, msgspec.json.encode(found))
        return 200

    def _health(self) -> tuple[int, Headers, bytes]:
        failed = self._lane.failed
        if failed is not None:
            return 503, [("content-type", PROBLEM_TYPE)], failed.encoded()
        return 200, _JSON, b'{"status":"running"}'

    def _readiness(self) -> tuple[int, Headers, bytes]:
        if self._ready and self._lane.failed is None:
            return 200, _JSON, b'{"status":"ready"}'
        return 503, _JSON, b'{"status":"not ready"}'


async def _sought(look: Callable[[str], object], name: str) -> object:
    """What was recorded under a name; looked for twice, as the journal may be signed only now.

    Raises:
        NotFound: There is nothing.
        JournalError: What is there cannot be read.
        DataError: It is no decision.
    """
    with contextlib.suppress(NotFound):
        return await asyncio.to_thread(look, name)
    await asyncio.sleep(_SIGNED_SECONDS)
    return await asyncio.to_thread(look, name)


def _packed(body: bytes, headers: Any) -> Problem | None:
    """Why a body that is compressed is not read; what is plainly JSON is not asked about."""
    if body.startswith((b"{", b"[")):
        return None
    coding = headers.get("content-encoding") or "identity"
    if coding == "identity":
        return None
    return Problem(415, f"a body of content-encoding {coding!r} is not read here; send it as it is")


def _overloaded(waiting: int) -> Problem:
    return Problem(
        429,
        f"{waiting:,} events wait for their decision already; try again in a second",
        retry_after=1,
    )
