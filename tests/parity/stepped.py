"""A use case in memory: its inputs in known order, cut anywhere, and the lane that decides them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.adapters.opening import open_file
from headrace.pipeline.lane import Lane, LaneLimits
from headrace.pipeline.step import step
from headrace.runtime.intake import Assembly, HistoryIntake
from headrace.runtime.local_lane import header_of
from headrace.runtime.models import model_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cases import History

    import headrace as hr
    from headrace.journal.batch import JournalBatch
    from headrace.journal.header import JournalHeader
    from headrace.pipeline.inputs import Inputs
    from headrace.pipeline.lane import Definition
    from headrace.runtime.home import Home


@dataclass(frozen=True)
class Stepped:
    """A use case with its model, over a history.

    Attributes:
        definition: What decides.
        header: What its journal begins with.
        intake: Its inputs.
    """

    definition: Definition
    header: JournalHeader
    intake: HistoryIntake

    @staticmethod
    def of(case: hr.UseCase, home: Home, history: History) -> Stepped:
        """A use case with the model of a home."""
        assembly = Assembly(case.plan, None)
        sources = [
            (number, open_file(path, name, assembly.schemas[name]))
            for number, (name, path) in enumerate(history.files.items())
        ]
        after = {stream.name: stream.arrives_after_ns for stream in case.plan.streams}
        definition = case.definition(model_of(case, home))
        return Stepped(
            definition,
            header_of(definition, tuple(history.files)),
            HistoryIntake(assembly, sources, after, lambda: 0),
        )

    def lane(self, threads: int = 1) -> Lane:
        """A lane with nothing in it."""
        return Lane(self.definition, (3, 4), LaneLimits(threads=threads))

    def inputs(self, begin: int, end: int) -> Inputs:
        """Those from one place of the known order up to another; at most 1,024."""
        return next(self.intake.batches(begin, end - begin))

    def batches(self, sizes: Iterable[int]) -> Iterator[JournalBatch]:
        """What is decided of batches of those sizes, until there are no more inputs."""
        lane, begin = self.lane(), 0
        for size in sizes:
            end = min(begin + size, len(self.intake))
            if begin == end:
                return
            yield step(lane, self.inputs(begin, end))
            begin = end
