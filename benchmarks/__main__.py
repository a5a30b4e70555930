"""Every benchmark, one after the other, into docs/benchmarks: `python -m benchmarks`, `make bench`.

    python -m benchmarks [--only NAME ...]

Each prints its own tables as it goes; once it has ended well, they stand in the page that asks for
them (`benchmarks.pages`), and its pictures beside it. The tables of the handbook stand among words
that are about them, and are put there by hand.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from benchmarks import pages
from benchmarks.report import FIGURES

#: The shorter ones first.
BENCHMARKS = (
    "json_lines",
    "payload_forms",
    "door",
    "engine",
    "memory",
    "books",
    "state",
    "scorer",
    "journal",
    "lookups",
    "streams",
    "attack",
    "inflight",
    "online",
    "kafka",
    "throughput",
    "use_cases",
    "tick_to_signal",
    "handbook",
    "credit",
    "trading",
    "learning_curve",
    "credit_book",
)


def main() -> int:
    """Run those that were asked for; the exit status is the number that failed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS)
    failed = []
    for name in options.parse_args().only:
        sys.stdout.write(f"\n## {name}\n\n")
        printed = _run(name)
        if printed is None:
            failed.append(name)
            continue
        try:
            for page in pages.write(name, printed):
                sys.stderr.write(f"{name}: wrote {page}\n")
        except LookupError as error:
            sys.stderr.write(f"{name}: {error}\n")
            failed.append(name)
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}; their pages are as they were\n")
    return len(failed)


def _run(name: str) -> str | None:
    """What a benchmark printed, shown as it goes; None if it failed."""
    command = [sys.executable, "-m", f"benchmarks.{name}"]
    environment = {**os.environ, FIGURES: str(pages.PAGES)}
    lines = []
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
    return "".join(lines) if running.returncode == 0 else None


if __name__ == "__main__":
    sys.exit(main())
