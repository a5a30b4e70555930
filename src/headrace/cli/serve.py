"""`headrace serve`: decide events that come in by HTTP."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from headrace.cli.compile import compiled_once
from headrace.cli.terminal import stages
from headrace.core.errors import DataError, SecurityError
from headrace.runtime.home import Home
from headrace.runtime.loading import load_case
from headrace.runtime.local_lane import LaneSettings
from headrace.runtime.logs import LogFormat, logged
from headrace.runtime.traces import traces_wanted
from headrace.security.api_keys import ApiKeys

_LOG = logging.getLogger("headrace.service")
#: The longest that a service may wait awake.
_AWAKE_MOST_MS = 1_000


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Listening:
    """Where the service listens, how much it takes, and how it waits.

    Attributes:
        host: The interface to listen at. Beyond this machine it takes an API key to ask.
        port: The port to listen at.
        certificate: A PEM file with the certificate chain: the service then speaks TLS alone.
        certificate_key: A PEM file with the certificate's private key.
        most_body_bytes: The longest body of a request.
        most_waiting: How many events may wait for their decision before requests are turned away
            with 429.
        deadline_ms: Milliseconds that a request waits for its decision at most, unless its header
            Headrace-Deadline-Ms says otherwise. It waits as long as it takes if not given.
        fallback: The outcome that a request gets whose decision is not ready in time; it gets 504
            if not given. That it got it is recorded.
        awake_ms: Milliseconds that it waits awake for the next request, where they are rare: that
            one is answered sooner, and a core is busy meanwhile. 0 lets it sleep.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    certificate: Path | None = None
    certificate_key: Path | None = None
    most_body_bytes: int = 4 * 1024 * 1024
    most_waiting: int = 20_000
    deadline_ms: int | None = None
    fallback: str | None = None
    awake_ms: float = 2.0

    def check(self) -> None:
        """Look at all that would else be found wrong by the front, or by nobody.

        Raises:
            DataError: A number is out of its bounds, or the certificate cannot be used.
        """
        from headrace.runtime.http.app import (  # noqa: PLC0415 - loaded for this command alone
            LONGEST_DEADLINE_MS,
        )

        for name, value, least, most in (
            ("port", self.port, 1, 65_535),
            ("most-body-bytes", self.most_body_bytes, 1, 2**31),
            ("most-waiting", self.most_waiting, 1, 2**31),
            ("deadline-ms", self.deadline_ms, 1, LONGEST_DEADLINE_MS),
            ("awake-ms", self.awake_ms, 0, _AWAKE_MOST_MS),
        ):
            if value is not None and not least <= value <= most:
                raise DataError(f"--{name} {value:,}: expected {least:,} to {most:,}")
        _check_certificate(self.certificate, self.certificate_key)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Logs:
    """What the service says while it runs.

    Attributes:
        log: How the log is written to stderr: lines of text, or of JSON.
        access_log: Log every request too: method, route, status, milliseconds.
        traces: Send traces by OTLP over HTTP to this collector, as in http://localhost:4318; the
            standard variables (OTEL_EXPORTER_OTLP_ENDPOINT and others) say so too.
    """

    log: LogFormat = "text"
    access_log: Annotated[bool, Parameter(negative="")] = False
    traces: str | None = None


def _check_certificate(certificate: Path | None, key: Path | None) -> None:
    if certificate is None and key is None:
        return
    if certificate is None or key is None:
        raise DataError("TLS needs two files; name --certificate and --certificate-key")
    for path in (certificate, key):
        if not path.is_file():
            raise DataError(f"no file {path}; check the name, or the folder you are in")
    try:
        # a key under a password would be asked for at a terminal that a service has not
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, lambda: b"")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{certificate} and {key} are no certificate and its key ({error}); expected files of"
            " PEM: the chain, the service's own certificate first, and its key without a password"
        ) from error


def serve(
    case: str,
    /,
    *,
    listening: Listening | None = None,
    logs: Logs | None = None,
    durability: Literal["fsync", "os", "async"] = "fsync",
    model: str | None = None,
    home: Path | None = None,
) -> None:
    """Decide events that come in by HTTP, each with its own answer.

    POST an event to /v1/USE_CASE/decisions; /openapi.json says the rest. SIGTERM or Ctrl-C ends
    it in good order: what was asked is answered first.

    Parameters
    ----------
    case
        A Python file with the use case (FILE.py, or FILE.py:NAME), or a ready-made one.
    durability
        When an answer goes out: when the decision is on disk (fsync), with the operating system
        (os), or at once (async); the last two may lose decisions in a crash, and each answer says
        which it was.
    model
        The id of a trained model, in place of the current one.
    home
        The folder of journal, models, vault and keys.
    """
    listening, logs = listening or Listening(), logs or Logs()
    lane = LaneSettings(durability=durability)
    with logged(logs.log):
        _serve(case, listening, logs, lane, model, Home.at(home))


def _serve(
    case: str, listening: Listening, logs: Logs, lane: LaneSettings, model: str | None, place: Home
) -> None:
    try:
        from headrace.runtime.http.front import Setting  # noqa: PLC0415 - needs an extra
        from headrace.runtime.service import (  # noqa: PLC0415 - the same
            Service,
            ServiceSettings,
            is_loopback,
        )
    except ImportError as error:
        raise DataError(
            "headrace serve needs the extra `serve`; install it: pip install 'headrace[serve]'"
        ) from error
    listening.check()
    if not len(ApiKeys(place.api_keys)) and not is_loopback(listening.host):
        raise SecurityError(
            f"whoever reaches {listening.host} could ask for decisions; make an API key first:"
            " headrace access add NAME --role decide"
        )
    use_case = load_case(case)
    compiled_once(_LOG.info)
    settings = ServiceSettings(lane, model, listening.fallback, listening.awake_ms)
    with stages() as stage:
        service = Service(use_case, place, settings, stage)
    setting = Setting(
        str(place.folder.absolute()),
        listening.host,
        listening.port,
        str(listening.certificate) if listening.certificate else None,
        str(listening.certificate_key) if listening.certificate_key else None,
        listening.most_body_bytes,
        listening.most_waiting,
        listening.deadline_ms,
        logs.log,
        logs.access_log,
        traces_wanted(logs.traces),
        awake=service.awake,
    )
    asked_at = f"{setting.address}/v1/{use_case.name}/decisions"
    _LOG.info(f"serving {use_case.name} at {asked_at}; Ctrl-C ends it")
    service.go(setting)
