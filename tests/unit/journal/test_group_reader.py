"""Group commits that come one by one, as messages of a topic do."""

import sys
from collections import deque
from pathlib import Path
from typing import Any

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))

import journal_samples as samples  # type: ignore[import-not-found]  # on the path above

from headrace.adapters.answers import answer_lines
from headrace.core.errors import JournalError
from headrace.journal.chain import Chain
from headrace.journal.chain_writer import ChainWriter, FrameGroup
from headrace.journal.group_reader import GroupReader
from headrace.journal.journal import Journal
from headrace.journal.keys import SigningKey
from headrace.journal.segments import SegmentFiles
from headrace.journal.tables import decision_table
from headrace.journal.verification import verify

KEY = SigningKey.from_seed(bytes(32))
SIZES = (7, 600, 1, 40)


def content(group: FrameGroup) -> bytes:
    return b"".join(group.frames()[0])


def groups() -> list[bytes]:
    writer = ChainWriter(Chain((KEY.public,)), samples.header(), KEY, lambda: 7)
    found = []
    first = 0
    for seed, size in enumerate(SIZES):
        writer.append(samples.batch(seed, first, size))
        first += size
        group = writer.close_group()
        assert group is not None
        found.append(content(group))
    assert writer.close_group() is None
    return found


def test_segments_of_messages_are_those_of_a_journal(tmp_path: Path) -> None:
    """The same batches, written to files at once and by way of messages, are the same bytes."""
    with Journal.open(
        tmp_path / "at-once", samples.header(), KEY, segment_bytes=60_000, clock=lambda: 7
    ) as journal:
        first = 0
        for seed, size in enumerate(SIZES):
            journal.append(samples.batch(seed, first, size))
            journal.commit()
            first += size
    files = SegmentFiles(tmp_path / "collected", (KEY.public,), segment_bytes=60_000)
    reader = GroupReader(files.chain)
    for message in groups():
        files.add(reader.follow(message).group)
    files.release()
    written = {path.name: path.read_bytes() for path in (tmp_path / "at-once").iterdir()}
    assert len(written) > 2
    assert written == {path.name: path.read_bytes() for path in (tmp_path / "collected").iterdir()}
    assert verify(tmp_path / "collected", KEY.public).require().records == sum(SIZES)


def test_batches_come_back(tmp_path: Path) -> None:
    with Journal.open(tmp_path, samples.header(), KEY) as journal:
        for seed, first in enumerate((0, 7, 607, 608)):
            journal.append(samples.batch(seed, first, SIZES[seed]))
    kept = Journal.open(tmp_path, samples.header(), KEY)
    expected = [decision_table(batch, samples.header()) for batch in kept.batches(0)]
    kept.close()
    reader = GroupReader.at(groups()[1], (KEY.public,))
    found = [batch for message in groups()[1:] for batch in reader.follow(message).batches()]
    assert [decision_table(batch, samples.header()) for batch in found] == expected[1:]


@pytest.mark.parametrize("change", ["left out", "twice", "changed", "cut", "another key"])
def test_what_does_not_follow_is_refused(change: str) -> None:
    messages = groups()
    if change == "left out":
        del messages[1]
    elif change == "twice":
        messages.insert(1, messages[0])
    elif change == "changed":
        messages[1] = messages[1][:5_000] + bytes([messages[1][5_000] ^ 1]) + messages[1][5_001:]
    elif change == "cut":
        messages[1] = messages[1][:-168]
    keys = (SigningKey.from_seed(b"1" * 32).public,) if change == "another key" else (KEY.public,)
    reader = GroupReader(Chain(keys))
    with pytest.raises(JournalError):
        deque(map(reader.follow, messages))


def test_answers_say_what_was_decided() -> None:
    header = samples.header()
    for seed in range(5):
        batch = samples.batch(seed, 50, 300)
        table = decision_table(batch, header)
        lines = [msgspec.json.decode(line) for line in answer_lines(batch, header).splitlines()]
        expected: list[dict[str, Any]] = [
            {
                "decision_id": row["decision_id"],
                "event_id": row["payment_id"],
                "score": row["score"],
                **{name: row[name] for name in ("reasons", "outcome", "rule", "rules")},
                "model": row["model"],
                "policy": row["policy"],
            }
            for row in table.to_pylist()
        ]
        for row in expected:
            if row["score"] is None:
                del row["score"]
        assert lines == expected
