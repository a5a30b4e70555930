"""A stub of a schema registry: Confluent's REST interface, as far as readers and producers use it.

It is a real HTTP server on the loopback interface, so clients are tested over sockets; but it is no
registry: it keeps schemas in memory, and judges nothing of their compatibility.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class RegistryStub:
    """What the stub holds, and how it misbehaves.

    Attributes:
        url: Where it listens.
        schemas: By id: what it answers of it.
        subjects: Of each subject the ids of its versions.
        failing: So many requests are answered with HTTP 503 first.
        user: Asked for, with `password`, if it is not "".
        requests: Paths that were asked for, in order.
    """

    def __init__(self) -> None:
        self.url = ""
        self.schemas: dict[int, dict[str, Any]] = {}
        self.subjects: dict[str, list[int]] = {}
        self.failing = 0
        self.user = self.password = ""
        self.serializes = True
        self.requests: list[str] = []

    def add(self, form: str, text: str, *, subject: str = "", references: Any = ()) -> int:
        """Hold a schema, and give its id."""
        number = max(self.schemas, default=0) + 1
        self.schemas[number] = {"schemaType": form, "schema": text, "references": list(references)}
        if form == "AVRO":  # the registry leaves it out
            del self.schemas[number]["schemaType"]
        if subject:
            self.subjects.setdefault(subject, []).append(number)
        return number

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        asked = urlsplit(path)
        serialized = parse_qs(asked.query).get("format") == ["serialized"]
        match [method, *(unquote(part) for part in asked.path.strip("/").split("/"))]:
            case ["GET", "schemas", "ids", number]:
                return self._schema(int(number), serialized=serialized)
            case ["GET", "subjects", subject, "versions", version]:
                return self._version(subject, version, serialized=serialized)
            case ["POST", "subjects", subject, "versions"]:
                if "incompatible" in body["schema"]:
                    return 409, {"error_code": 409, "message": "Schema is incompatible"}
                return 200, {"id": self.add(body["schemaType"], body["schema"], subject=subject)}
        return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}

    def _version(self, subject: str, version: str, *, serialized: bool) -> tuple[int, Any]:
        held = self.subjects.get(subject)
        if held is None:
            return 404, {"error_code": 40401, "message": "Subject not found."}
        place = len(held) if version == "latest" else int(version)
        if not 1 <= place <= len(held):
            return 404, {"error_code": 40402, "message": "Version not found."}
        status, found = self._schema(held[place - 1], serialized=serialized)
        return status, {**found, "id": held[place - 1], "version": place}

    def _schema(self, number: int, *, serialized: bool) -> tuple[int, Any]:
        found = self.schemas.get(number)
        if found is None:
            return 404, {"error_code": 40403, "message": f"Schema {number} not found"}
        if found.get("schemaType") == "PROTOBUF" and not (serialized and self.serializes):
            return 200, {**found, "schema": "syntax = 'proto3'; // as text"}
        return 200, found


def _handler(stub: RegistryStub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._respond("GET", None)

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            self._respond("POST", json.loads(data))

        def _respond(self, method: str, body: Any) -> None:
            stub.requests.append(self.path)
            wanted = base64.b64encode(f"{stub.user}:{stub.password}".encode()).decode()
            if stub.failing > 0:
                stub.failing -= 1
                status, answer = 503, {"error_code": 50301, "message": "busy"}
            elif stub.user and self.headers.get("Authorization") != f"Basic {wanted}":
                status, answer = 401, {"error_code": 401, "message": "Unauthorized"}
            else:
                status, answer = stub.answer(method, self.path, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def serving(
    stub: RegistryStub, *, port: int = 0, certificate: Path | None = None
) -> Iterator[RegistryStub]:
    """The stub, listening; with TLS where there is a certificate."""
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(stub))
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    stub.url = f"{scheme}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
