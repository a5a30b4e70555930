"""One Kafka for all processes that run tests of one session."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.broker import Broker

#: Workers may ask to be missed soon, by either protocol; what they left open is undone soon, too.
SOON = {
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "group.min.session.timeout.ms": "1000",
    "group.consumer.min.session.timeout.ms": "1000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "500",
    "group.consumer.heartbeat.interval.ms": "1000",
}


@contextmanager
def shared_broker(folder: Path) -> Iterator[str]:
    """The address of a Kafka that all have who name the same folder.

    Whoever comes first starts it, and ends it when nobody uses it any more.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address, started = folder / "address", None
    with (folder / "users").open("w") as users:
        with (folder / "starting").open("w") as one_by_one:
            fcntl.flock(one_by_one, fcntl.LOCK_EX)
            # one that is being ended is waited for
            fcntl.flock(users, fcntl.LOCK_SH)
            if not address.exists():
                started = Broker(folder / "kafka", settings=SOON)
                started.start()
                address.write_text(started.servers)
        try:
            yield address.read_text()
        finally:
            if started is not None:
                fcntl.flock(users, fcntl.LOCK_UN)
                fcntl.flock(users, fcntl.LOCK_EX)
                address.unlink()
                started.kill()
