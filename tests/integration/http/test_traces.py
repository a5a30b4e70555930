"""Traces of a service and of a run, as a collector receives them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.ports import free_port
from otlp_collector import Collector, Received  # type: ignore[import-not-found]  # on the path above
from service_process import CASE, ServiceProcess, payment  # type: ignore[import-not-found]  # on the path above

if TYPE_CHECKING:
    import pytest

HEADRACE = [sys.executable, "-c", "from headrace.cli import main; main()"]
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STAGES = ["answer", "commit", "parse", "step"]


def named(spans: list[Received], name: str) -> list[Received]:
    return [span for span in spans if span.name == name]


def test_a_request_is_followed_into_its_batch_and_stages(tmp_path: Path) -> None:
    with Collector() as collector:
        with ServiceProcess(tmp_path / "home", "--traces", collector.url) as running:
            of = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            assert running.decide(payment("secret-id", card="secret-card"), **of)[0] == 200
            unsampled = {"traceparent": f"00-{'1' * 32}-{PARENT}-00"}
            assert running.decide(payment(2), **unsampled)[0] == 200
            assert running.decide("{")[0] == 400
            assert running.ask("GET", "/v1/decisions/psecret-id")[0] == 200
        spans = collector.spans
        route = "/v1/served/decisions"
        first, refused = named(spans, f"POST {route}")
        assert first.span.trace_id.hex() == TRACE
        assert first.span.parent_span_id.hex() == PARENT
        assert first.span.kind == 2  # SERVER
        assert first.attributes == {
            "http.request.method": "POST",
            "url.scheme": "http",
            "http.route": route,
            "http.response.status_code": 200,
        }
        assert first.resource["service.name"] == "headrace"
        assert first.resource["headrace.use_case"] == "served"
        assert first.resource["headrace.part"] == "front"
        assert refused.attributes["http.response.status_code"] == 400
        assert refused.span.trace_id.hex() not in (TRACE, "1" * 32)
        assert named(spans, "GET /v1/decisions/{id}")
        # the request that its caller left out of the sample is not there, nor is its batch
        assert "1" * 32 not in {span.span.trace_id.hex() for span in spans}
        batch, other = named(spans, "batch")
        assert batch.span.trace_id.hex() == TRACE
        assert batch.span.parent_span_id == first.span.span_id
        assert other.span.parent_span_id == refused.span.span_id
        assert batch.resource["headrace.part"] == "lane"
        assert batch.attributes == {
            "headrace.lane": "served/0",
            "headrace.first_seq": 0,
            "headrace.events": 1,
            "headrace.decisions": 1,
            "headrace.requests": 1,
        }
        below = [span for span in spans if span.span.parent_span_id == batch.span.span_id]
        assert sorted(span.name for span in below) == STAGES
        for span in below:
            assert span.span.start_time_unix_nano >= batch.span.start_time_unix_nano
            assert span.span.end_time_unix_nano <= batch.span.end_time_unix_nano
        assert not any(b"secret" in body for body in collector.raw)


def test_requests_of_one_batch_are_linked() -> None:
    """The lane's own: what it was asked at once is one batch, a child of the first request."""
    from headrace.adapters.telemetry import Tracing  # noqa: PLC0415 - an extra

    with Collector() as collector:
        tracing = Tracing(collector.url, {"headrace.use_case": "x"})
        requests = [tracing.request("POST", "http", None, None) for _ in range(3)]
        assert all(len(request.context) == 24 for request in requests)
        stages = [("parse", 1_000, 2_000), ("step", 2_000, 5_000)]
        tracing.batch(1_000, stages, [request.context for request in requests], {})
        gone = tracing.request("BREW-secret", "https", "no traceparent", None)
        gone.end("other", 0)
        for request in requests:
            request.end("/healthz", 503)
        tracing.close()
        (batch,) = named(collector.spans, "batch")
        ids = [span.span.span_id for span in named(collector.spans, "POST /healthz")]
        assert batch.span.parent_span_id == ids[0]
        assert [link.span_id for link in batch.span.links] == ids[1:]
        assert batch.span.end_time_unix_nano == 5_000
        (odd,) = named(collector.spans, "_OTHER other")
        assert odd.attributes["error.type"] == "cancelled"
        assert odd.span.status.code == 2  # ERROR
        assert not any(b"secret" in body for body in collector.raw)


def test_a_run_is_traced_by_the_standard_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "cards")
        events = "".join(json.dumps(payment(n, n)) + "\n" for n in range(9))
        command = [*HEADRACE, "run", str(CASE), "--source", "-", "--home", str(tmp_path / "home")]
        command += ["--sink", str(tmp_path / "decisions.jsonl")]
        subprocess.run(command, input=events.encode(), check=True, capture_output=True)
        batches = named(collector.spans, "batch")
        assert sum(int(str(batch.attributes["headrace.events"])) for batch in batches) == 9
        assert {batch.resource["service.name"] for batch in batches} == {"cards"}
        for batch in batches:
            below = [
                span.name
                for span in collector.spans
                if span.span.parent_span_id == batch.span.span_id
            ]
            assert {"step", "commit", "sinks"} == set(below)
        sent = len(collector.spans)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
        subprocess.run(command, input=events.encode(), check=True, capture_output=True)
        monkeypatch.delenv("OTEL_TRACES_SAMPLER")
        monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
        subprocess.run(command, input=events.encode(), check=True, capture_output=True)
        assert len(collector.spans) == sent


def test_a_collector_that_is_gone_stops_nothing(tmp_path: Path) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    with ServiceProcess(tmp_path / "home", "--traces", gone) as running:
        for n in range(3):
            assert running.decide(payment(n, n))[0] == 200


def test_nothing_is_loaded_where_no_traces_are_made(tmp_path: Path) -> None:
    events = json.dumps(payment(1)) + "\n"
    program = (
        "import sys; from headrace.cli import build\n"
        f"build()(['run', {str(CASE)!r}, '--source', '-', '--home', {str(tmp_path)!r}])\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run(
        [sys.executable, "-c", program], input=events.encode(), check=True, capture_output=True
    )


def test_what_is_no_address_is_told(tmp_path: Path) -> None:
    done = subprocess.run(
        [*HEADRACE, "serve", str(CASE), "--traces", "localhost", "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "--traces localhost is no address of a collector" in done.stderr
