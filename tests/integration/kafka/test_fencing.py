"""A lane that another worker takes over, at any moment of a transaction."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from headrace.adapters.kafka.cluster import Cluster, Fenced
from headrace.adapters.kafka.transactions import LaneId, Outgoing, Transactions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.integration.kafka.topic_stage import Stage


class Held:
    """Holds every lane; offsets are in nobody's name."""

    def metadata(self) -> object:
        return None

    def renew(self) -> None: ...

    def refresh(self) -> None: ...

    def holds(self, lane: int) -> bool:
        return lane >= 0


def transactions(stage: Stage) -> Transactions:
    cluster = Cluster(stage.servers, {})
    return Transactions(cluster, LaneId(stage.name, 0), Held(), print, lambda: False)


def outgoing(stage: Stage, values: Sequence[bytes]) -> list[Outgoing]:
    return [Outgoing(stage.source, 0, values)]


def test_fenced_between_transactions(stage: Stage) -> None:
    first = transactions(stage)
    first.commit(outgoing(stage, [b"1"]), {}, lambda: False)
    second = transactions(stage)
    with pytest.raises(Fenced, match="another worker has taken over lane"):
        first.commit(outgoing(stage, [b"2"]), {}, lambda: False)
    second.commit(outgoing(stage, [b"3"]), {}, lambda: False)
    first.close()
    second.close()


class TakenOver(list[bytes]):
    """Messages; while they are handed over, another worker takes the lane."""

    def __init__(self, stage: Stage) -> None:
        super().__init__([b"never committed"])
        self._stage = stage
        self.other: Transactions | None = None

    def __iter__(self) -> Iterator[bytes]:
        yield self[0]
        self.other = transactions(self._stage)
        end = time.monotonic() + 60
        while time.monotonic() < end:  # until the client knows that it is fenced
            yield self[0]
            time.sleep(0.01)


def test_fenced_while_messages_are_handed_over(stage: Stage) -> None:
    """The client then says of a message that it had a fatal error, and not which."""
    first = transactions(stage)
    values = TakenOver(stage)
    with pytest.raises(Fenced, match="another worker has taken over lane"):
        first.commit(outgoing(stage, values), {}, lambda: False)
    first.close()
    assert values.other is not None
    values.other.close()
