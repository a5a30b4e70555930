"""What each stage of the pipeline takes, timed from outside where it is called."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

from headrace.adapters.history import JsonLinesHistory
from headrace.engine.engine import Engine
from headrace.events.json_lines import JsonLines
from headrace.journal import chain_writer, journal
from headrace.journal.canonical import RecordWriter
from headrace.journal.segments import SegmentFiles
from headrace.models.serving import ServedModel
from headrace.pipeline.acceptance import Acceptance
from headrace.policy.evaluate import CompiledPolicy
from headrace.runtime import local_lane
from headrace.runtime.door import Door
from headrace.security.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Where each stage is called: what has it, under which name, and what the stage is called.
CALLS: tuple[tuple[Any, str, str], ...] = (
    (JsonLinesHistory, "times", "order of history"),
    (JsonLines, "parse", "parse"),
    (Door, "typed", "surrogates"),
    (Door, "refused", "refused rows"),
    (Acceptance, "judge", "accept"),
    (Engine, "compute", "features"),
    (ServedModel, "score", "score"),
    (ServedModel, "reasons", "reasons"),
    (CompiledPolicy, "evaluate", "policy"),
    (local_lane, "step", "step, all"),
    (RecordWriter, "digests", "records and digests"),
    (chain_writer, "leaves_of", "leaves"),
    (chain_writer, "merkle_root", "Merkle tree"),
    (chain_writer, "encode_payload", "pack columns"),
    (journal.Journal, "append", "append, all"),
    (SegmentFiles, "_write", "write and fsync"),
    (journal.Journal, "commit", "commit, all"),
    (Vault, "commit", "commit of the vault"),
)


class Stopwatch:
    """Adds up what calls take, in seconds of the clock and of their thread's processor."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.processor: dict[str, float] = {}
        self._lock = threading.Lock()

    def watch_all(self) -> None:
        """Time every stage from now on."""
        for owner, name, stage in CALLS:
            setattr(owner, name, self._timed(getattr(owner, name), stage))

    def _timed(self, inner: Callable[..., Any], stage: str) -> Callable[..., Any]:
        @wraps(inner)
        def timed(*given: Any, **named: Any) -> Any:
            with self._timing(stage):
                return inner(*given, **named)

        return timed

    @contextmanager
    def _timing(self, stage: str) -> Iterator[None]:
        wall, processor = time.perf_counter(), time.thread_time()
        yield
        wall, processor = time.perf_counter() - wall, time.thread_time() - processor
        with self._lock:
            self.wall[stage] = self.wall.get(stage, 0.0) + wall
            self.processor[stage] = self.processor.get(stage, 0.0) + processor
