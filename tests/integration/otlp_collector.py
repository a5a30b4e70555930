"""A receiver of OTLP over HTTP, as a collector is one: it keeps the spans that it is sent."""

from __future__ import annotations

import gzip
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Received:
    """One span: its message, and the attributes of its resource and itself."""

    span: Any
    resource: dict[str, object]
    attributes: dict[str, object]

    @property
    def name(self) -> str:
        return str(self.span.name)


@dataclass
class Collector:
    """Listens on loopback within the block."""

    spans: list[Received] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Self:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                assert self.headers["content-type"] == "application/x-protobuf"
                collector.take(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the same
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, body: bytes) -> None:
        """Keep what one request brought."""
        self.raw.append(body)
        for told in ExportTraceServiceRequest.FromString(body).resource_spans:
            resource = _plain(told.resource.attributes)
            for scope in told.scope_spans:
                self.spans += [
                    Received(span, resource, _plain(span.attributes)) for span in scope.spans
                ]

    def wait(self, enough: Callable[[list[Received]], bool], seconds: float = 180) -> None:
        """Until what came is enough."""
        end = time.monotonic() + seconds
        while not enough(list(self.spans)):
            assert time.monotonic() < end, [span.name for span in self.spans]
            time.sleep(0.05)


def _plain(attributes: Any) -> dict[str, object]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}
