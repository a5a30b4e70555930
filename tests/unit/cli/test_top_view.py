"""The view of a service says what its metrics say."""

import io

from rich.console import Console

from headrace.adapters.metrics_reading import Reading
from headrace.cli.top_view import TopView

PAGE = """\
headrace_info{{version="1.2",use_case="cards",durability="os"}} 1
process_start_time_seconds {start}
headrace_failed {failed}
headrace_decisions_total{{outcome="approve"}} {approved}
headrace_decisions_total{{outcome="step_up"}} {stepped}
headrace_quarantined_total{{reason="bad time"}} {bad}
headrace_rejected_requests_total{{status="429"}} 12
headrace_request_duration_seconds_bucket{{route="/metrics",status="2xx",le="0.004"}} 0
headrace_request_duration_seconds_bucket{{route="/metrics",status="2xx",le="+Inf"}} 900
headrace_request_duration_seconds_bucket{{route="/v1/cards/decisions",le="0.004"}} {approved}
headrace_request_duration_seconds_bucket{{route="/v1/cards/decisions",le="+Inf"}} {approved}
headrace_waiting_events 19000
headrace_waiting_events_limit 20000
headrace_state_bytes{{structure="ids"}} 1024
headrace_state_bytes{{structure="texts"}} 2048
headrace_journal_next_seq 1234567
"""


def page(
    start: int = 1_000, failed: int = 0, approved: int = 90, stepped: int = 10, bad: int = 3
) -> Reading:
    return Reading.of(
        PAGE.format(start=start, failed=failed, approved=approved, stepped=stepped, bad=bad)
    )


def shown(view: TopView, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(view.panel())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_first_view_is_of_all_since_the_start() -> None:
    view = TopView("http://here:8080")
    view.add(page(), 1_010.0)
    said = shown(view)
    assert " cards " in said
    assert "10 a second" in said  # 100 decisions in 10 seconds
    assert "90.0% 90" in said
    assert "10.0% 10" in said
    assert "bad time" in said
    assert "HTTP 429" in said
    assert "2.00 ms" in said  # half of a bucket that ends at 4 ms
    assert "next 1,234,567" in said
    assert "since the service started" in said
    assert "● deciding" in said


def test_the_next_views_are_of_the_time_between() -> None:
    view = TopView("http://here:8080")
    view.add(page(), 1_010.0)
    view.add(page(approved=290, stepped=10), 1_012.0)
    said = shown(view)
    assert "100 a second" in said
    assert "300 in all" in said
    assert "100.0% 200" in said
    assert "nothing quarantined" in said
    assert "nothing refused" in said


def test_a_restart_counts_from_its_own_start() -> None:
    view = TopView("http://here:8080")
    view.add(page(), 1_010.0)
    view.add(page(start=1_020, approved=40, stepped=0, bad=0), 1_030.0)
    assert "4 a second" in shown(view)


def test_trouble_is_in_the_first_line() -> None:
    view = TopView("http://here:8080")
    view.add(page(failed=1), 1_010.0)
    assert "nothing is decided any more" in shown(view).splitlines()[0]
    view.lost("it does not answer")
    assert "it does not answer" in shown(view, 200).splitlines()[0]


def test_it_fits_narrow_terminals() -> None:
    view = TopView("http://here:8080")
    view.add(page(), 1_010.0)
    assert max(map(len, shown(view, 80).splitlines())) <= 80
    assert max(map(len, shown(view, 100).splitlines())) <= 100
