"""Read, decide, commit: one after the other while batches are small, at once when they are large.

A small batch that finds nothing before it goes through all stages in the thread that read it: to
hand it on would take longer than the work. Large ones go through three threads and two short
queues, each on the next batch. Kernels release the GIL, so the stages overlap; queues are bounded,
so a slow disk holds back the reader and memory stays bounded. Batches that wait for the disk are
committed together.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Read = TypeVar("Read")
Made = TypeVar("Made")

_DEPTH = 2


class _End:
    """Stands behind the last item of a queue."""


_END = _End()


class Conveyor(Generic[Read, Made]):
    """Runs `make` on what is read, and `keep` on what was made, in order.

    Args:
        make: Called in the order of reading, never twice at once; so is `keep`.
        keep: Called with all that was made since it was last called.
        small: Whether an item is better taken through all stages at once than handed on.
    """

    def __init__(
        self,
        make: Callable[[Read], Made],
        keep: Callable[[list[Made]], None],
        small: Callable[[Read], bool] = lambda _item: False,
    ) -> None:
        self._make = make
        self._keep = keep
        self._small = small
        # each is written by one thread alone: the one that reads, the one that keeps
        self._handed_on = 0
        self._kept = 0
        self._inputs: queue.Queue[Read | _End] = queue.Queue(_DEPTH)
        self._made: queue.Queue[Made | _End] = queue.Queue(_DEPTH)
        self._failed: list[BaseException] = []
        self._stop = threading.Event()

    def idle(self) -> bool:
        """Whether all that was read is kept."""
        return self._handed_on == self._kept

    def room(self) -> bool:
        """Whether the next item that is read would be made at once, or next."""
        return self._inputs.empty()

    def stopped(self) -> bool:
        """Whether reading should end: it was asked to, or a later stage has failed."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ask reading to end; what was read by then is still decided and kept."""
        self._stop.set()

    def run(self, items: Iterable[Read]) -> None:
        """Go on until the items end, or `stop`; raises what a stage raised first.

        After a failure no stage does more work: what was read is taken off the queues, so that
        every thread ends.
        """
        threads = [
            threading.Thread(target=self._reading, args=(items,), name="read"),
            threading.Thread(target=self._making, name="decide"),
        ]
        for thread in threads:
            thread.start()
        self._keeping()
        for thread in threads:
            thread.join()
        if self._failed:
            raise self._failed[0]

    def _fail(self, error: BaseException) -> None:
        self._failed.append(error)
        self._stop.set()

    def _reading(self, items: Iterable[Read]) -> None:
        try:
            for item in items:
                if self.idle() and self._small(item):
                    self._keep([self._make(item)])
                else:
                    self._handed_on += 1
                    self._inputs.put(item)
                if self._stop.is_set():
                    break
        except BaseException as error:  # noqa: BLE001 - raised again by `run`
            self._fail(error)
        self._inputs.put(_END)

    def _making(self) -> None:
        while not isinstance(item := self._inputs.get(), _End):
            if self._failed:
                continue
            try:
                self._made.put(self._make(item))
            except BaseException as error:  # noqa: BLE001 - raised again by `run`
                self._fail(error)
        self._made.put(_END)

    def _keeping(self) -> None:
        ended = False
        while not ended:
            made, ended = self._gathered()
            if made and not self._failed:
                try:
                    self._keep(made)
                    self._kept += len(made)
                except BaseException as error:  # noqa: BLE001 - raised again by `run`
                    self._fail(error)

    def _gathered(self) -> tuple[list[Made], bool]:
        """All that was made by now, at least one; and whether it is the last."""
        made: list[Made] = []
        item = self._made.get()
        while not isinstance(item, _End):
            made.append(item)
            try:
                item = self._made.get_nowait()
            except queue.Empty:
                return made, False
        return made, True
