"""Writes lines of a file to stdout at a steady rate, as a gateway would.

python -m benchmarks.paced FILE RATE SECONDS BEGAN

The file BEGAN is told when the first line was due, in nanoseconds since 1970.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from headrace_solutions.card_fraud.lines import paced

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> None:
    """Write, and end after the seconds that were asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("file", type=Path)
    options.add_argument("rate", type=float)
    options.add_argument("seconds", type=float)
    options.add_argument("began", type=Path)
    given = options.parse_args()
    with given.file.open("rb") as file:

        def chunks() -> Iterator[bytes]:
            left = int(given.rate * given.seconds)
            while left > 0 and (lines := list(islice(file, min(left, 4_096)))):
                left -= len(lines)
                yield b"".join(lines)

        given.began.write_text(str(time.time_ns()))
        for piece in paced(chunks(), given.rate):
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
