"""Whether traces are made, and what makes them; nothing of OpenTelemetry is loaded where not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from headrace import __version__
from headrace.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.adapters.telemetry import Tracing

#: Either of these says where traces go, as OpenTelemetry has it.
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def traces_wanted(named: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Where traces go; "" where the standard variables say so, None where none are made.

    Args:
        named: The address of a collector that a command names.
        environment: Of the process.

    Raises:
        DataError: It is no address.

    >>> traces_wanted(None, {}), traces_wanted("http://localhost:4318", {})
    (None, 'http://localhost:4318')
    >>> traces_wanted(None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"})
    ''
    """
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if named is not None:
        if not named.startswith(("http://", "https://")):
            raise DataError(
                f"--traces {named} is no address of a collector; name one as in"
                " http://localhost:4318"
            )
        return named
    if environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return None
    return "" if any(environment.get(name) for name in _ENDPOINTS) else None


def tracing(endpoint: str | None, use_case: str, part: str) -> Tracing | None:
    """What makes the traces of a process; None where none are wanted.

    Args:
        endpoint: Of `traces_wanted`.
        use_case: What is decided.
        part: Which process of it: `front`, `lane` or `run`.

    Raises:
        DataError: OpenTelemetry is not installed.
    """
    if endpoint is None:
        return None
    try:
        from headrace.adapters.telemetry import Tracing  # noqa: PLC0415 - an extra, off by default
    except ImportError as error:
        raise DataError(
            "traces need the extra `otel`; install it: pip install 'headrace[otel]'"
        ) from error
    facts = {
        "service.version": __version__,
        "headrace.use_case": use_case,
        "headrace.part": part,
    }
    return Tracing(endpoint, facts)
