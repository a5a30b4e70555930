"""A client of a schema registry with Confluent's REST interface.

It needs a handful of calls, all of them cached, so it is made of the standard library's HTTP client
alone. What a registry once said of an id holds for good; that it does not know one holds for half a
minute. While it does not answer it is asked again, ever more slowly, until patience ends.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from headrace.core.errors import DataError, NotFound, SecurityError, Unavailable
from headrace.events.reasons import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headrace.adapters.registry_settings import RegistrySettings

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0
_UNKNOWN_SECONDS = 30.0
_GREATEST_ID = 2**31 - 1
#: A schema, a subject or a version of it that is not there, in the registry's own numbers.
_NOT_THERE = {40401, 40402, 40403}
#: Ids that are remembered as unknown, at most.
_MOST_UNKNOWN = 10_000
_LONGEST_ANSWER = 16 * 1024 * 1024
_CONTENT = "application/vnd.schemaregistry.v1+json"


@dataclass(frozen=True, slots=True)
class Reference:
    """A schema that another one imports: its name there, and where the registry has it."""

    name: str
    subject: str
    version: int


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """A schema as the registry holds it.

    Attributes:
        number: Its id.
        form: `"AVRO"`, `"PROTOBUF"` or `"JSON"`.
        text: The schema; of Protobuf, its file descriptor, serialized and in base64.
        references: What it imports.
    """

    number: int
    form: str
    text: str
    references: tuple[Reference, ...] = ()


class SchemaRegistry:
    """Looks schemas up by id, and registers them; threads may share it.

    Args:
        settings: Where it is.
        say: Told once when it stops answering, and once when it answers again.
        sleep: Waits so many seconds; called while it does not answer.
        clock: Seconds that only go up.

    Raises:
        DataError: The address is none of HTTP.
        SecurityError: A certificate cannot be read.
    """

    def __init__(
        self,
        settings: RegistrySettings,
        *,
        say: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._say, self._sleep, self._clock = say, sleep, clock
        self._urls = [url.strip().rstrip("/") for url in settings.url.split(",")]
        for url in self._urls:
            if not url.startswith(("http://", "https://")):
                raise DataError(
                    f"the schema registry {url!r} is no address; expected http://HOST:PORT or"
                    " https://HOST:PORT"
                )
        self._opener = urllib.request.build_opener(
            _NoRedirects, urllib.request.HTTPSHandler(context=_context(settings))
        )
        self._lock = threading.Lock()
        self._known: dict[int, RegisteredSchema] = {}
        self._unknown: dict[int, float] = {}

    @property
    def url(self) -> str:
        """Where it is, for messages."""
        return ", ".join(self._urls)

    def schema(self, number: int) -> RegisteredSchema:
        """The schema with that id.

        Raises:
            NotFound: The registry does not have it.
            SecurityError: It does not let us in, or its certificate is not trusted.
            Unavailable: It does not answer, or not as a registry does.
        """
        known = self._known.get(number)
        if known is not None:
            return known
        if number > _GREATEST_ID:
            raise self._not_found(number)
        with self._lock:
            if number in self._known:
                return self._known[number]
            if self._unknown.get(number, -1.0) > self._clock():
                raise self._not_found(number)
            try:
                found = self._looked_up(number)
            except NotFound:
                if len(self._unknown) >= _MOST_UNKNOWN:
                    self._unknown.clear()
                self._unknown[number] = self._clock() + _UNKNOWN_SECONDS
                raise self._not_found(number) from None
            self._known[number] = found
            return found

    def knows(self, number: int) -> bool:
        """Whether what `schema` says of that id is known without asking."""
        return (
            number in self._known
            or number > _GREATEST_ID
            or self._unknown.get(number, -1.0) > self._clock()
        )

    def imports(self, number: int) -> bool:
        """Whether a schema that is known imports others."""
        found = self._known.get(number)
        return found is not None and bool(found.references)

    def referenced(self, reference: Reference) -> RegisteredSchema:
        """A schema that another one imports; raises as `schema` does."""
        return self._read(_versioned(reference.subject, str(reference.version)))

    def latest(self, subject: str) -> RegisteredSchema:
        """The newest schema of a subject; raises as `schema` does."""
        return self._read(_versioned(subject, "latest"))

    def register(self, subject: str, form: str, text: str) -> int:
        """Register a schema under a subject, unless it is there already, and give its id.

        Raises:
            DataError: The registry refuses it, as one that breaks readers of older ones.
            SecurityError: As `schema` does.
            Unavailable: As `schema` does.
        """
        path = f"/subjects/{_quoted(subject)}/versions"
        answer = self._ask("POST", path, {"schemaType": form, "schema": text})
        if type(answer.get("id")) is not int:
            raise self._strange(path, answer)
        number: int = answer["id"]
        return number

    def _looked_up(self, number: int) -> RegisteredSchema:
        return self._read(f"/schemas/ids/{number}", number)

    def _read(self, path: str, number: int = -1) -> RegisteredSchema:
        answer = self._ask("GET", path)
        form, text = answer.get("schemaType", "AVRO"), answer.get("schema")
        if form == "PROTOBUF":
            # as text it would have to be compiled
            text = self._ask("GET", f"{path}?format=serialized").get("schema")
        try:
            references = tuple(
                Reference(str(item["name"]), str(item["subject"]), int(item["version"]))
                for item in answer.get("references") or ()
            )
        except (KeyError, TypeError, ValueError):
            raise self._strange(path, answer) from None
        if not isinstance(text, str) or not isinstance(form, str):
            raise self._strange(path, answer)
        return RegisteredSchema(int(answer.get("id", number)), form, text, references)

    def _ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """The answer of a registry, as JSON; asks again while there is none."""
        begun = self._clock()
        wait, told = _FIRST_WAIT, False
        while True:
            for url in self._urls:
                try:
                    answer = self._once(method, url + path, body)
                except _NoAnswer as error:
                    why = str(error)
                    continue
                if told:
                    self._say(f"the schema registry {url} answers again")
                return answer
            if self._clock() - begun + wait > self._settings.patience_seconds:
                raise Unavailable(
                    f"the schema registry {self.url} has not answered for"
                    f" {self._settings.patience_seconds:g} seconds ({why}); nothing was lost, what"
                    " needs it was not read. Start it, or check its address, and go on"
                )
            if not told:
                self._say(f"the schema registry {self.url} does not answer ({why}); asking again")
                told = True
            self._sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    def _once(self, method: str, url: str, body: Mapping[str, object] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, method=method)  # noqa: S310 - the scheme was looked at
        request.add_header("Accept", f"{_CONTENT}, application/json")
        if data is not None:
            request.add_header("Content-Type", _CONTENT)
        if self._settings.user:
            secret = f"{self._settings.user}:{self._settings.password}".encode()
            request.add_header("Authorization", f"Basic {base64.b64encode(secret).decode()}")
        try:
            with self._opener.open(request, timeout=self._settings.timeout_seconds) as answer:
                said = answer.read(_LONGEST_ANSWER)
        except urllib.error.HTTPError as error:
            _refused(error, url)
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                raise SecurityError(
                    f"the certificate of {url} is not trusted ({error.reason.verify_message});"
                    " name the file of its authority"
                ) from error
            raise _NoAnswer(str(error.reason)) from error
        except (OSError, http.client.HTTPException) as error:
            raise _NoAnswer(str(error) or type(error).__name__) from error
        try:
            found: Any = json.loads(said)
        except ValueError:
            raise self._strange(url, said) from None
        return found if isinstance(found, dict) else {}

    def _not_found(self, number: int) -> NotFound:
        return NotFound(f"the schema registry {self.url} does not have the schema id {number}")

    def _strange(self, path: str, answer: object) -> Unavailable:
        return Unavailable(
            f"{path} of the schema registry {self.url} gives {shown(answer)}; expected what"
            " Confluent's interface gives: check the address"
        )


class _NoAnswer(Exception):
    """There was no answer, or one that says to ask again."""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows nowhere, since the password would go along."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """See the standard library; None follows no redirect."""


def _refused(error: urllib.error.HTTPError, url: str) -> NoReturn:
    """Say what an answer of HTTP other than 200 means."""
    with error:
        answer = error.read(2000)
    said = shown(answer)
    if error.code in (408, 429) or error.code >= 500:
        raise _NoAnswer(f"HTTP {error.code}: {said}") from error
    if error.code in (401, 403):
        raise SecurityError(
            f"{url} does not let us in (HTTP {error.code}); check user and password of the schema"
            " registry"
        ) from error
    if error.code == 404 and _error_number(answer) in _NOT_THERE:
        raise NotFound(f"{url} is not there: {said}") from error
    if error.code in (409, 422):
        raise DataError(f"{url} refuses the schema (HTTP {error.code}): {said}") from error
    raise Unavailable(
        f"{url} answers HTTP {error.code}: {said}; expected Confluent's interface of a schema"
        " registry: check the address"
    ) from error


def _error_number(answer: bytes) -> object:
    try:
        found = json.loads(answer)
    except ValueError:
        return None
    return found.get("error_code") if isinstance(found, dict) else None


def _context(settings: RegistrySettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca)
        if settings.certificate is not None:
            context.load_cert_chain(settings.certificate)
    except (OSError, ssl.SSLError) as error:
        raise SecurityError(
            f"a certificate for the schema registry cannot be read ({error}); expected files of PEM"
        ) from error
    return context


def _versioned(subject: str, version: str) -> str:
    return f"/subjects/{_quoted(subject)}/versions/{version}"


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
