"""What `--source` means: a file, a folder, `-` for stdin, each for one stream.

The journal knows stdin by its stream. Lines that are not those fed before are another source: it is
given a name of its own, `-:NAME`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace.adapters.opening import files_of, open_file
from headrace.core.errors import DataError
from headrace.events.arrow_forms import to_arrow
from headrace.events.parsed import Parsed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.adapters.history import HistoricSource
    from headrace.runtime.intake import Assembly

#: What stands for stdin.
STDIN = "-"


@dataclass(frozen=True, slots=True)
class SourceName:
    """One source as a user names it: `STREAM=PLACE`, or a place alone for the decided stream.

    >>> SourceName.of("chargebacks=late.csv", "payments")
    SourceName(stream='chargebacks', place='late.csv')
    >>> SourceName.of("-", "payments")
    SourceName(stream='payments', place='-')
    >>> SourceName.of("kafka://host:9092/paid?until=end", "payments").stream
    'payments'
    """

    stream: str
    place: str

    @property
    def is_stdin(self) -> bool:
        """Whether it is live: lines from stdin."""
        return self.place == STDIN or self.place.startswith(f"{STDIN}:")

    @property
    def stdin_name(self) -> str:
        """How the journal calls stdin.

        >>> SourceName("payments", "-").stdin_name, SourceName("payments", "-:may").stdin_name
        ('stdin:payments', 'stdin:payments:may')
        """
        return f"stdin:{self.stream}{self.place.removeprefix(STDIN)}"

    @staticmethod
    def of(text: str, decided: str) -> SourceName:
        """Read what was written after `--source`."""
        stream, equals, place = text.partition("=")
        # the settings of a topic's address have equals signs too
        named = equals and "://" not in stream
        return SourceName(stream, place) if named else SourceName(decided, text)


def named_sources(texts: Sequence[str], decided: str) -> list[SourceName]:
    """The sources of a command.

    Raises:
        DataError: When stdin is mixed with other sources, or nothing is named.
    """
    names = [SourceName.of(text, decided) for text in texts]
    if not names:
        raise DataError("no source: name a file, a folder, or - for stdin, with --source")
    if len(names) > 1 and any(name.is_stdin for name in names):
        raise DataError(
            "stdin is live, and files are history: they have no order between them."
            " Give one or the other"
        )
    return names


def historic_sources(names: Sequence[SourceName], assembly: Assembly) -> list[HistoricSource]:
    """Open the files of all sources.

    Raises:
        NotFound: A file is not there.
        DataError: A stream is unknown, or a file is of no known format.
    """
    opened: list[HistoricSource] = []
    for name in names:
        assembly.rank(name.stream)
        schema = assembly.schemas[name.stream]
        opened += [open_file(path, name.stream, schema) for path in files_of(Path(name.place))]
    return opened


def frames_of(names: Sequence[SourceName], assembly: Assembly) -> dict[str, pa.Table]:
    """The rows of files that can be read, whole, as a table for each stream.

    Raises:
        NotFound: A file is not there.
        DataError: A stream is unknown, or a file is of no known format.
    """
    found: dict[str, list[pa.RecordBatch]] = {}
    for source in historic_sources(names, assembly):
        schema = assembly.schemas[source.stream]
        times, _ = source.times(0, lambda _rows: None)
        rows = np.arange(len(times))
        parts = found.setdefault(source.stream, [to_arrow(schema, Parsed.of(schema, ()).batch)])
        if len(rows):
            source.expect(rows)
            parts.append(to_arrow(schema, source.read(rows).batch))
    return {stream: pa.Table.from_batches(parts) for stream, parts in found.items()}


def source_names(names: Sequence[SourceName]) -> list[str]:
    """How the journal calls the sources: a source is one file, or stdin."""
    return [
        text
        for name in names
        for text in (
            [name.stdin_name]
            if name.is_stdin
            else [str(path) for path in files_of(Path(name.place))]
        )
    ]
