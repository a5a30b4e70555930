"""Writes a journal until it is killed; each commit is told on standard output."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "journal"))

import journal_samples as samples  # type: ignore[import-not-found]  # on the path above

from headrace.core.sha256 import leaves_of, merkle_root
from headrace.journal.canonical import RecordWriter
from headrace.journal.index_files import IndexFolder
from headrace.journal.journal import Journal
from headrace.journal.keys import SigningKey


def main() -> None:
    """Go on from where the journal stands, a few batches to a commit."""
    folder = Path(sys.argv[1])
    key = SigningKey.from_seed(bytes(32))
    # the kernels are loaded before the first kill can come
    batch = samples.batch(0, 0, 9)
    merkle_root(leaves_of(RecordWriter(batch, samples.header()).digests(), batch.inputs.read_ns))
    index = IndexFolder(folder.parent / "index", (3, 4))
    with Journal.open(folder, samples.header(), key, segment_bytes=100_000, index=index) as journal:
        sys.stdout.write(f"open {journal.next_seq}\n")
        sys.stdout.flush()
        while True:
            for _ in range(2):
                seq = journal.next_seq
                journal.append(samples.batch(seq, seq, 1 + seq * 7 % 90))
            sys.stdout.write(f"{journal.commit().next_seq}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
