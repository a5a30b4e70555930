"""Two workers on a topic of four partitions, killed -9 at random for minutes; every event checked.

    python -m benchmarks.kafka_kills [--minutes 10] [--rate 800] [--protocol classic|consumer]

The checks are those of the tests (`tests/integration/kafka`): journals complete, each event decided
once, each decision in the sink once, a replay the same byte for byte, and each lane as a run that
nobody disturbed. A report is saved beside what was run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

from benchmarks.broker import NO_KAFKA, Broker
from benchmarks.report import surroundings, table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main() -> int:
    """Run, and print a table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, default=Path("/tmp/headrace-kafka-kills"))  # noqa: S108 - for whoever runs it
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--rate", type=int, default=800)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--protocol", choices=("classic", "consumer"), default="classic")
    given = options.parse_args()
    if "HEADRACE_KAFKA_BROKER" not in os.environ:
        print(NO_KAFKA)
        return 0
    from tests.integration.kafka.workers import (  # noqa: PLC0415 - found by the path above
        killed_at_random,
        stage_on,
    )
    from tests.integration.shared_broker import SOON  # noqa: PLC0415 - as above

    shutil.rmtree(given.folder, ignore_errors=True)
    given.folder.mkdir(parents=True)
    surroundings()
    broker = Broker(given.folder / "kafka", settings=SOON)
    broker.start()
    try:
        stage = stage_on(broker.servers, given.folder, given.protocol)
        found = killed_at_random(stage, given.minutes * 60, given.rate, given.seed)
    finally:
        broker.stop()
    rows = [
        ("", given.protocol),
        ("minutes", f"{found.seconds / 60:.1f}"),
        ("workers killed", f"{sum(found.kills.values())}"),
        ("lanes given to a worker", f"{found.moves} times"),
        ("messages", f"{found.sent:,}"),
        ("decided once, sent once", f"{found.decided:,}"),
        ("lost, doubled or different", "0"),
    ]
    table("Workers killed under load", rows)
    report = given.folder / "report.json"
    report.write_text(json.dumps({**vars(found), "protocol": given.protocol}, indent=2) + "\n")
    print(f"saved {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
