"""One run of the real command path in a process of its own, which tells what it measured.

    python -m benchmarks.one_run HOME SOURCE REPORT
        [--case CASE] [--more STREAM=FILE ...] [--profile]

The source is a file, or `-` for stdin; other streams have files of their own. The report is a JSON
file; beside it a file `.ready` says that the run begins.
"""

# ruff: noqa: PLC0415 - loading the product is part of what is measured

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

_BEGUN = time.perf_counter()


def main() -> None:
    """Run, and write the report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("home", type=Path)
    options.add_argument("source")
    options.add_argument("report", type=Path)
    options.add_argument("--case", default=str(Path(__file__).with_name("payments.py")))
    options.add_argument("--more", nargs="*", default=[], metavar="STREAM=FILE")
    options.add_argument("--profile", action="store_true")
    given = options.parse_args()
    watched: dict[str, Any] = {"wall": {}, "processor": {}}
    if given.profile:
        from benchmarks.stages import Stopwatch

        watch = Stopwatch()
        watch.watch_all()
        watched = {"wall": watch.wall, "processor": watch.processor}
    ready = given.report.with_suffix(".ready")
    sources = [given.source, *given.more]
    told = measured(given.case, given.home, sources, ready)
    given.report.write_text(json.dumps(told | watched))


def measured(name: str, home: Path, sources: list[str], ready: Path) -> dict[str, Any]:
    """Open, run and close; what the run says of itself, and what the process took."""
    from headrace.runtime.home import Home
    from headrace.runtime.loading import load_case
    from headrace.runtime.local import LocalRun

    case = load_case(name)
    imported = time.perf_counter()
    run = LocalRun(case, Home(home), sources)
    opened = time.perf_counter()
    processor = time.process_time()
    ready.touch()
    run.go()
    done = time.perf_counter()
    processor = time.process_time() - processor
    meters = run.meters
    first, last = meters.samples[0], meters.samples[-1]
    clock = time.time() - time.perf_counter()
    p50, p99, p999 = meters.latency_ms(50.0, 99.0, 99.9)
    return {
        "decisions": meters.decisions,
        "received": meters.received,
        "duplicates": meters.duplicates,
        "quarantined": meters.quarantined,
        "outcomes": meters.outcomes,
        "rate": meters.rate(),
        "p50_ms": p50,
        "p99_ms": p99,
        "p999_ms": p999,
        "commits": [(sample.durable_ns, sample.inputs) for sample in meters.samples],
        "first_decision_s": first.durable_ns / 1e9 - clock - _BEGUN,
        "import_s": imported - _BEGUN,
        "open_s": opened - imported,
        "go_s": done - opened,
        "decided_s": (last.durable_ns - first.durable_ns + first.waited_ns) / 1e9,
        "processor_s": processor,
        "journal_bytes": sum(path.stat().st_size for path in home.glob("journal/*/*/*.segment")),
        "vault_bytes": sum(path.stat().st_size for path in home.glob("vault/*")),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
