"""Writes a journal until it is killed; each commit is told on standard output.

Takes the folder of the journal, that of the journal whose batches it writes again, and how durable
a commit is.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from journal_material import KEY, Material  # type: ignore[import-not-found]  # on the path above

from headrace.core.sha256 import leaves_of, merkle_root
from headrace.journal.canonical import RecordWriter
from headrace.journal.index_files import IndexFolder
from headrace.journal.journal import Journal


def main() -> None:
    """Go on from where the journal stands, a few batches to a commit."""
    folder, material, durability = Path(sys.argv[1]), Material(Path(sys.argv[2])), sys.argv[3]
    # the kernels are loaded before the first kill can come
    batch = material.batches[0]
    merkle_root(leaves_of(RecordWriter(batch, material.header).digests(), batch.inputs.read_ns))
    index = IndexFolder(folder.parent / "index", (3, 4))
    with Journal.open(
        folder,
        material.header,
        KEY,
        durability=durability,  # type: ignore[arg-type]  # the test gives one of the three
        segment_bytes=100_000,
        index=index,
    ) as journal:
        sys.stdout.write(f"open {journal.next_seq}\n")
        sys.stdout.flush()
        while True:
            for _ in range(2):
                journal.append(material.at(journal.next_seq))
            sys.stdout.write(f"{journal.commit(sealed=True).next_seq}\n")
            sys.stdout.flush()
            if journal.next_seq % 3 == 0:  # else the next commit signs this one
                journal.catch_up()


if __name__ == "__main__":
    main()
