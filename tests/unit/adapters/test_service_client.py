"""What users put into events, and what stands before services, as clients meet it."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from headrace.adapters.service_client import Client, Refused, _encoded
from headrace.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (np.int64(2**62), 2**62),
        (np.float64(1.5), 1.5),
        (np.float64("nan"), None),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.datetime64("2026-03-01T12:00:00.000000001"), "2026-03-01T12:00:00.000000001"),
        (np.datetime64("NaT"), None),
        (pd.Timestamp("2026-03-01T12:00:00.000000001Z"), "2026-03-01T12:00:00.000000001+00:00"),
        (pd.NaT, None),
        (pd.NA, None),
        (datetime(2026, 3, 1, tzinfo=UTC), "2026-03-01T00:00:00Z"),
        (Decimal("12.50"), "12.50"),
    ],
)
def test_values_of_arrays_and_frames_are_sent(value: object, sent: object) -> None:
    assert msgspec.json.decode(_encoded({"a": value})) == {"a": sent}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1 + 2j, r"\(1\+2j\) is a complex, which JSON has no form for"),
        ("\ud800", "cannot be sent"),
        ({(1, 2): 3}, "cannot be sent"),
    ],
)
def test_a_value_without_a_form_is_no_traceback(value: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        _encoded({"amount": value})


@contextlib.contextmanager
def answering(status: int, content: bytes) -> Iterator[str]:
    """Something that answers every request alike, as a proxy does that has lost its service."""

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_refusal_of_a_proxy_is_one_too() -> None:
    with answering(502, b"<html>upstream is away</html>") as url, Client(url, "fraud") as client:
        with pytest.raises(Refused, match="502 Bad Gateway: <html>upstream is away") as refused:
            client.decide({"a": 1})
        assert refused.value.refusal.status == 502


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.decide({}),
        lambda client: client.decide_all([]),
        lambda client: client.feed("labels", {}),
    ],
)
def test_an_answer_that_no_service_gives_is_shown(ask: Any) -> None:
    with (
        answering(200, b"<html>welcome</html>") as url,
        Client(url, "fraud") as client,
        pytest.raises(
            DataError, match=r"no service says .*welcome.* is headrace serve running there"
        ),
    ):
        ask(client)
