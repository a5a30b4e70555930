"""A client of the service: events out, decisions back, over connections that stay open."""

from __future__ import annotations

import http.client
import ssl
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec
import numpy as np

from headrace.core.errors import DataError, HeadraceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

Answer = TypeVar("Answer")

_TIMEOUT_SECONDS = 10.0
#: What encoding fails with: other classes, half a character, what holds itself.
_NO_JSON = (TypeError, ValueError, RecursionError)
#: How much is shown of an answer that is not the service's.
_SHOWN_BYTES = 200


class DecidedReason(msgspec.Struct, frozen=True):
    """One reason of a score: a feature, what it added to the margin, and how to say it."""

    feature: str
    contribution: float
    text: str


class Decided(msgspec.Struct, frozen=True):
    """What the service decided of one event.

    Attributes:
        decision_id: Its name: use case, lane and sequence number; None of a fallback.
        outcome: What was decided.
        score: What the policy read; None without a model.
        rule: The rule that decided; None if none matched.
        rules: Every rule that matched.
        reasons: Of the score, the strongest first.
        versions: Digests of what was in force.
        durability: What the answer promises: "fsync", "os" or "async".
        fallback: Whether the decision was not ready in time, and this outcome stands in for it.
    """

    decision_id: str | None
    outcome: str
    score: float | None
    rule: str | None
    rules: tuple[str, ...]
    reasons: tuple[DecidedReason, ...]
    versions: dict[str, str]
    durability: str
    fallback: bool = False


class WrongField(msgspec.Struct, frozen=True):
    """What was wrong with one field of an event."""

    field: str
    reason: str
    value: str
    expected: str


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request, or one event of it, got no decision (RFC 9457).

    Attributes:
        status: The HTTP status code.
        title: What that code is called.
        detail: What was wrong, and what to do.
        errors: What is wrong with single fields.
        quarantined: Where the event is kept, if it is.
    """

    status: int
    title: str = ""
    detail: str = ""
    errors: tuple[WrongField, ...] = ()
    quarantined: str = ""


class Refused(HeadraceError):
    """The service refused a request.

    Attributes:
        refusal: What it said.
    """

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        fields = "; ".join(
            f"{wrong.field}: {wrong.reason}, got {wrong.value!r}, expected {wrong.expected}"
            for wrong in refusal.errors
        )
        super().__init__(f"{refusal.status} {refusal.title}: {refusal.detail} {fields}".strip())


class _Accepted(msgspec.Struct, frozen=True):
    """What became of an event that is not decided."""

    accepted: str


_DECIDED = msgspec.json.Decoder(Decided)
_REFUSAL = msgspec.json.Decoder(Refusal)
_RAW = msgspec.json.Decoder(list[msgspec.Raw])
_ACCEPTED = msgspec.json.Decoder(_Accepted)
_FOUND = msgspec.json.Decoder(dict[str, Any])


class Client:
    """Asks a service for decisions. Threads may share it; each has a connection of its own.

    A request that failed on its way may be sent again: the same event gets the same decision.

    Args:
        url: Of the service, as http://127.0.0.1:8080.
        use_case: What decides.
        key: An API key, where the service asks for one.
        timeout: Seconds to wait for an answer.
        deadline_ms: Milliseconds after which the service gives its fallback; its own if not given.
        context: What certificates are trusted; the system's if not given.

    Raises:
        DataError: The address is none of a service.
    """

    def __init__(
        self,
        url: str,
        use_case: str,
        *,
        key: str | None = None,
        timeout: float = _TIMEOUT_SECONDS,
        deadline_ms: int | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DataError(f"{url!r} is no address of a service; give http://HOST:PORT")
        self._parts = parts
        self._use_case = use_case
        self._timeout = timeout
        self._context = context
        self._headers = {"content-type": "application/json"}
        if key is not None:
            self._headers["authorization"] = f"Bearer {key}"
        if deadline_ms is not None:
            self._headers["headrace-deadline-ms"] = str(deadline_ms)
        self._local = threading.local()

    def decide(self, event: Mapping[str, Any]) -> Decided:
        """The decision on one event, given by its fields.

        Raises:
            Refused: The service refused it; `refusal` says why.
            DataError: The service cannot be reached.
        """
        body = self._asked("POST", f"/v1/{self._use_case}/decisions", _encoded(event))
        return self._read(_DECIDED, body)

    def decide_all(self, events: Iterable[Mapping[str, Any]]) -> list[Decided | Refusal]:
        """The decisions on several events, in their order; a refusal where there is none.

        Raises what `decide` raises, when the service refuses them all.
        """
        content = b"[%b]" % b",".join(map(_encoded, events))
        body = self._asked("POST", f"/v1/{self._use_case}/decisions", content)
        return [
            _REFUSAL.decode(item)
            if b'"decision_id"' not in bytes(item)[:16]
            else _DECIDED.decode(item)
            for item in self._read(_RAW, body)
        ]

    def feed(self, stream: str, event: Mapping[str, Any]) -> str:
        """Bring in an event of another stream, or a row of a table; the name that it got.

        Raises what `decide` raises.
        """
        body = self._asked("POST", f"/v1/{self._use_case}/events/{quote(stream)}", _encoded(event))
        return self._read(_ACCEPTED, body).accepted

    def decision(self, name: str) -> dict[str, Any]:
        """A decision made before, taken apart; by its id or by that of its event.

        Raises what `decide` raises.
        """
        return self._read(_FOUND, self._asked("GET", f"/v1/decisions/{quote(name)}"))

    def proof(self, name: str) -> dict[str, Any]:
        """The proof of a decision made before. Raises what `decide` raises."""
        path = f"/v1/decisions/{quote(name)}/proof"
        return self._read(_FOUND, self._asked("GET", path))

    def _asked(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The body of an answer; a connection that the service has closed is opened once again."""
        for last in (False, True):
            connection = self._connection()
            try:
                connection.request(method, path, body, self._headers)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if last or isinstance(error, TimeoutError):
                    raise DataError(
                        f"{self._parts.geturl()} does not answer ({error or type(error).__name__});"
                        " is headrace serve running there?"
                    ) from error
                continue
            if answer.status >= http.client.BAD_REQUEST:
                raise Refused(_refusal(answer.status, content))
            return content
        raise AssertionError

    def _read(self, decoder: msgspec.json.Decoder[Answer], body: bytes) -> Answer:
        """What an answer says."""
        try:
            return decoder.decode(body)
        except msgspec.DecodeError as error:
            raise DataError(
                f"{self._parts.geturl()} answers with what no service says ({error}):"
                f" {_beginning(body)!r}; is headrace serve running there?"
            ) from error

    def _connection(self) -> http.client.HTTPConnection:
        """The connection of this thread."""
        held: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if held is None:
            host, port = self._parts.hostname or "", self._parts.port
            if self._parts.scheme == "https":
                context = self._context or ssl.create_default_context()
                held = http.client.HTTPSConnection(
                    host, port, timeout=self._timeout, context=context
                )
            else:
                held = http.client.HTTPConnection(host, port, timeout=self._timeout)
            self._local.connection = held
        return held

    def close(self) -> None:
        """Close the connection of this thread."""
        held: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if held is not None:
            held.close()
            self._local.connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _encoded(event: Mapping[str, Any]) -> bytes:
    """An event as JSON.

    Raises:
        DataError: A value has no form in it.
    """
    try:
        return msgspec.json.encode(event, enc_hook=_plain)
    except _NO_JSON as error:
        raise DataError(f"the event cannot be sent: {error}") from error


def _plain(value: object) -> object:
    """A value of NumPy or pandas, as rows of arrays and frames hold them, as one of Python's."""
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, datetime):  # of a class of its own, and perhaps not equal to itself
        return value.isoformat() if value == value else None  # noqa: PLR0124 - no time is not
    if type(value).__name__ == "NAType":
        return None
    raise TypeError(
        f"{value!r} is a {type(value).__name__}, which JSON has no form for; expected a text, a"
        " number, a truth value, a time, or None"
    )


def _refusal(status: int, content: bytes) -> Refusal:
    """What a refusal says; of whoever stands before the service, what it looks like."""
    try:
        return _REFUSAL.decode(content)
    except msgspec.DecodeError:
        title = http.client.responses.get(status, "")
        return Refusal(status=status, title=title, detail=_beginning(content))


def _beginning(content: bytes) -> str:
    """As much of an answer as fits into a sentence."""
    return content[:_SHOWN_BYTES].decode(errors="replace")
