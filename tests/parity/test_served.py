"""What a service decides online is what a run over files decided, also when it is killed."""

from __future__ import annotations

import signal
import sys
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cases
import numpy as np
import pytest
from journaled import copied, known_order

from headrace.journal.reader import stored_batches
from headrace.journal.verification import verify
from headrace.runtime.local_lane import signing_key
from headrace.runtime.replaying import recorded_definitions, replay

sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / "http"))
from service_process import ServiceProcess  # type: ignore[import-not-found]  # on the path above

if TYPE_CHECKING:
    import headrace as hr
    from headrace.journal.batch import JournalBatch
    from headrace.runtime.home import Home

pytestmark = pytest.mark.slow

#: So many inputs are sent, in requests of so many at most.
INPUTS, REQUEST = 900, 150


def made(batches: list[JournalBatch], upto: int) -> dict[str, bytes]:
    """What became of the first inputs, and what was decided."""
    found: dict[str, bytes] = {}
    for name in ("stream", "kind", "reason", "original_seq"):
        found[name] = np.concatenate([getattr(b.inputs, name) for b in batches])[:upto].tobytes()
    deciding = [batch for batch in batches if len(batch.decisions)]
    seq = np.concatenate([batch.decisions.seq for batch in deciding])
    for name in ("margin", "score", "outcome", "rules", "features", "reason_contribution"):
        column = np.concatenate([getattr(b.decisions, name).T for b in deciding])
        found[name] = np.ascontiguousarray(column[seq < upto]).tobytes()
    return found


def sent(service: ServiceProcess, case: hr.UseCase, stream: str, lines: list[bytes]) -> None:
    """All of one request is answered, each line in its place."""
    path = "decisions" if stream == case.plan.on else f"events/{stream}"
    status, _, told = service.ask(
        "POST", f"/v1/{case.name}/{path}", b"".join(lines), content_type="application/x-ndjson"
    )
    answers: list[Any] = told if isinstance(told, list) else [told]
    assert len(answers) == len(lines), (status, told)


def test_online_and_killed_is_as_over_files(
    case: hr.UseCase,
    history: cases.History,
    seed_home: Home,
    undisturbed: tuple[Home, list[JournalBatch]],
    tmp_path: Path,
) -> None:
    if case not in cases.FILES:
        pytest.skip("its file declares several")
    home = copied(seed_home, tmp_path)
    order = known_order(case, history, undisturbed[1])[:INPUTS]
    requests = [
        (stream, lines[begin : begin + REQUEST])
        for stream, group in groupby(order, key=lambda item: item[0])
        for lines in [[line for _, line in group]]
        for begin in range(0, len(lines), REQUEST)
    ]
    half = len(requests) // 2
    for part, how in ((requests[:half], signal.SIGKILL), (requests[half:], signal.SIGTERM)):
        service = ServiceProcess(home.folder, case=cases.FILES[case])
        try:
            service.wait()
            for stream, lines in part:
                sent(service, case, stream, lines)
        finally:
            ended = service.stop(how)
        assert ended == (-how if how == signal.SIGKILL else 0), service.said()
    folder = home.journal(case.name)
    batches = [stored.batch() for stored in stored_batches(folder)]
    assert sum(map(len, batches)) == len(order)
    assert made(batches, INPUTS) == made(undisturbed[1], INPUTS)
    assert replay(folder, recorded_definitions(home, case.name)).difference is None
    verify(folder, signing_key(home).public).require()
