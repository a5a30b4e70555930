"""Every benchmark, one after the other: `python -m benchmarks`, or `make bench`."""

import subprocess
import sys

#: The shorter ones first; each prints its own tables, and says what it was compared with.
BENCHMARKS = (
    "json_lines",
    "payload_forms",
    "door",
    "engine",
    "memory",
    "state",
    "scorer",
    "journal",
    "lookups",
    "throughput",
    "online",
    "kafka",
    "handbook",
)


def main() -> int:
    """Run them all; the exit status is the number that failed."""
    failed = 0
    for name in BENCHMARKS:
        sys.stdout.write(f"\n## {name}\n\n")
        sys.stdout.flush()
        failed += (
            subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
            != 0
        )
    return failed


if __name__ == "__main__":
    sys.exit(main())
