"""Traces by OpenTelemetry: spans of requests, batches and their stages, sent by OTLP over HTTP.

What a span says is names, numbers and durations. No field of an event, no id that a caller chose
and no address of a caller is among them. Sampling, service name and headers are those of the
standard variables (`OTEL_*`).
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.trace import Span

_PATH = "/v1/traces"
#: Methods that a span names; any other is told as `_OTHER`, since a caller may make one up.
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
#: How long the last spans may take to be sent when all ends.
_CLOSING_SECONDS = 5.0
_SERVER_ERROR = 500


class RequestSpan:
    """The span of one request.

    Attributes:
        context: Who it is, for the lane: trace and span, 24 bytes; b"" where it is not sampled.
    """

    __slots__ = ("_method", "_span", "context")

    def __init__(self, span: Span, method: str) -> None:
        self._span, self._method = span, method
        told = span.get_span_context()
        self.context = b""
        if told.trace_flags.sampled:
            self.context = told.trace_id.to_bytes(16, "big") + told.span_id.to_bytes(8, "big")

    def end(self, route: str, status: int) -> None:
        """The request was answered; 0 where nobody waited for it any more."""
        span = self._span
        if span.is_recording():
            span.update_name(f"{self._method} {route}")
            span.set_attribute("http.route", route)
            if status:
                span.set_attribute("http.response.status_code", status)
            if not status or status >= _SERVER_ERROR:
                span.set_attribute("error.type", str(status) if status else "cancelled")
                span.set_status(Status(StatusCode.ERROR))
        span.end()


class Tracing:
    """Makes spans, and sends them from a thread of its own.

    Args:
        endpoint: Where to: `http://HOST:4318`, to which the path of traces is added. "": what the
            standard variables say.
        facts: What all spans are of, beside what `OTEL_RESOURCE_ATTRIBUTES` says.
    """

    def __init__(self, endpoint: str, facts: Mapping[str, str]) -> None:
        named = {"service.name": "headrace"} if "OTEL_SERVICE_NAME" not in os.environ else {}
        resource = Resource.create({**named, **facts})
        target = endpoint.rstrip("/").removesuffix(_PATH) + _PATH if endpoint else None
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=target)))
        self._tracer = self._provider.get_tracer("headrace")
        self._propagator = TraceContextTextMapPropagator()

    def request(
        self, method: str, scheme: str, traceparent: str | None, tracestate: str | None
    ) -> RequestSpan:
        """Begin the span of a request that was just read.

        Args:
            method: Of HTTP.
            scheme: `http` or `https`.
            traceparent: The header of that name, as W3C Trace Context has it.
            tracestate: Likewise.
        """
        carrier = {"traceparent": traceparent} if traceparent else {}
        if tracestate:
            carrier["tracestate"] = tracestate
        named = method if method in _METHODS else "_OTHER"
        span = self._tracer.start_span(
            named,
            self._propagator.extract(carrier) if carrier else None,
            SpanKind.SERVER,
            {"http.request.method": named, "url.scheme": scheme},
        )
        return RequestSpan(span, named)

    def batch(
        self,
        begun_ns: int,
        stages: Sequence[tuple[str, int, int]],
        requests: Sequence[bytes],
        facts: Mapping[str, int | str],
    ) -> None:
        """The span of a batch that ended, with one below it for each stage.

        It is a child of the first request that is sampled, and linked to all others.

        Args:
            begun_ns: When it began, nanoseconds since 1970.
            stages: Name, begin and end of each, in nanoseconds since 1970; the last to end ends it.
            requests: `RequestSpan.context` of those that are sampled.
            facts: What it was.
        """
        contexts = [_context(request) for request in requests]
        parent = set_span_in_context(NonRecordingSpan(contexts[0])) if contexts else None
        span = self._tracer.start_span(
            "batch",
            parent,
            attributes=facts,
            links=[Link(context) for context in contexts[1:]],
            start_time=begun_ns,
        )
        if span.is_recording():
            within = set_span_in_context(span)
            for name, begin_ns, end_ns in stages:
                self._tracer.start_span(name, within, start_time=begin_ns).end(end_ns)
        span.end(max([begun_ns, *(end for _, _, end in stages)]))

    def close(self) -> None:
        """Send what is left, as far as that takes no longer than a few seconds."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSING_SECONDS)


def _context(request: bytes) -> SpanContext:
    """Who a request's span is, as it was said to the lane."""
    return SpanContext(
        int.from_bytes(request[:16], "big"),
        int.from_bytes(request[16:], "big"),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
