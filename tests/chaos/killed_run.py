"""A use case whose run is killed at random moments and started again, until it is done."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tests.warm import NOTHING, WarmProcess, headrace, started

from headrace.journal.reader import stored_batches
from headrace.runtime.home import Home

if TYPE_CHECKING:
    import random
    from pathlib import Path


@dataclass(frozen=True)
class Work:
    """A use case, and what it is run over.

    Attributes:
        folder: That commands work in.
        case: As the command takes it.
        name: Of the use case.
        sources: As the command takes them.
        feed: What stdin has, for a source that is "-".
        trained: A home that has a model.
        personal: Fields whose values are surrogates, drawn anew in each home.
        more: What the command is told beside.
    """

    folder: Path
    case: str
    name: str
    sources: tuple[str, ...]
    feed: Path = NOTHING
    trained: Path | None = None
    personal: tuple[str, ...] = ("card",)
    more: tuple[str, ...] = ()

    def home(self, folder: Path) -> Path:
        """A home to run in, with the model if there is one."""
        if self.trained is not None:
            shutil.copytree(self.trained, folder)
        return folder

    def arguments(self, home: Path, sink: Path) -> list[str]:
        """Behind `headrace`."""
        sources = [f"--source={source}" for source in self.sources]
        return ["run", self.case, *self.more, *sources, f"--home={home}", f"--sink={sink}"]

    def started(self, home: Path, sink: Path) -> WarmProcess:
        """A process that runs."""
        return started(self.arguments(home, sink), self.folder, feed=self.feed)

    def finished(self, home: Path, sink: Path) -> None:
        """Run to the end."""
        feed = self.feed.read_bytes() if self.feed.is_file() else b""
        done = headrace(self.arguments(home, sink), self.folder, feed=feed)
        assert done.returncode == 0, done.stderr

    def written(self, home: Path) -> int:
        """Bytes of the journal."""
        return sum(path.stat().st_size for path in Home(home).journal(self.name).glob("*.segment"))

    def killed(self, home: Path, sink: Path, whole: int, kills: int, dice: random.Random) -> int:
        """Kill a run so many times, most of them when its journal has grown to a random size.

        Args:
            home: To run in.
            sink: Where decisions go.
            whole: Bytes that the journal has in the end.
            kills: How many runs to start.
            dice: Draws the moments.

        Returns:
            How many of them were killed; the others were done before.
        """
        done = 0
        for number in range(kills):
            process = self.started(home, sink)
            if number == 1:  # while it starts, or recovers what the first has left
                time.sleep(dice.uniform(0.1, 1.0))
            else:
                begun = self.written(home)
                goal = begun + dice.random() * (whole - begun) / (kills - number)
                while process.poll() is None and self.written(home) <= goal:
                    time.sleep(0.002)
                time.sleep(dice.choice([0.0, 0.01, 0.05]))
            process.send_signal(signal.SIGKILL)
            done += process.wait() == -signal.SIGKILL
        return done

    def decided(self, home: Path) -> dict[str, bytes]:
        """What became of every input, and what was decided, in order."""
        columns: dict[str, list[bytes]] = {}

        def take(where: str, item: object, *names: str) -> None:
            for name in names:
                column = np.ascontiguousarray(getattr(item, name).T).tobytes()
                columns.setdefault(f"{where} {name}", []).append(column)

        for stored in stored_batches(Home(home).journal(self.name)):
            batch = stored.batch()
            take("input", batch.inputs, "stream", "kind", "reason", "position", "original_seq")
            take("decision", batch.decisions, "seq", "features", "margin", "score", "outcome")
            take("decision", batch.decisions, "rules", "reason_feature", "reason_contribution")
        return {name: b"".join(parts) for name, parts in columns.items()}

    def without_surrogates(self, sink: Path) -> list[dict[str, object]]:
        """The lines of a sink, without what differs from home to home."""
        with sink.open() as file:
            lines = csv.DictReader(file) if sink.suffix == ".csv" else map(json.loads, file)
            return [{k: v for k, v in line.items() if k not in self.personal} for line in lines]
