"""A state that was carried over to a changed definition is the one that the whole journal makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import drawn
from hypothesis import event, given, settings
from hypothesis import strategies as st
from ways import KEY, Prepared

from headrace.definitions.plan import Plan
from headrace.pipeline.change import Change, Horizon, Rebuilding
from headrace.pipeline.lane import LaneLimits
from headrace.pipeline.replay import inputs_of
from headrace.pipeline.step import accept, step

if TYPE_CHECKING:
    from headrace.journal.batch import JournalBatch

LIMITS = LaneLimits(threads=1)
TABLES = {"rates": (drawn.RATE, ["base", "quote"]), "limits": (drawn.LIMIT, ["card"])}


@st.composite
def changes(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A use case, and another on the same streams and tables that shares some of its features."""
    before = draw(drawn.use_cases())
    features = dict(before["features"])
    for name in draw(st.lists(st.sampled_from(sorted(set(features) - {"recent"})), unique=True)):
        del features[name]
    for name in sorted(features):
        said = features[name][-1]
        # buckets divide the window that they were drawn for
        if (
            isinstance(said, dict)
            and {"window", "every"} & set(said) == {"window"}
            and draw(st.booleans())
        ):
            other = {"window": draw(st.sampled_from(drawn.WINDOWS))}
            features[name] = [*features[name][:-1], said | other]
    added = draw(st.lists(drawn.windows(), max_size=3))
    features |= {f"new{n}": said for n, said in enumerate(added)}
    names = draw(st.permutations(sorted(features)))
    after = before | {"features": {name: features[name] for name in names}}
    for name, (fields, key) in TABLES.items():
        if name in drawn.mentioned(added):
            before["tables"][name] = {"fields": fields, "key": key}
    return before, after


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_carried_over_is_what_the_journal_makes(data: st.DataObject) -> None:
    before, after = data.draw(changes())
    lines = data.draw(drawn.histories(before))
    old, new = Prepared.of(before, lines), Prepared.of(after, lines)
    lane, size = old.lane(), data.draw(st.integers(1, 9))
    batches = [old.stored(step(lane, inputs)) for inputs in old.intake().batches(0, size)]
    plan = Plan.from_canonical(old.case.plan.canonical())
    reason = Change.whole(plan, new.case.plan)
    if reason:
        event(reason)
        return
    change = Change.between(plan, new.case.plan)
    event(f"kept {len(change.kept) > 0}, rebuilt {len(change.rebuilt) > 0}")
    rebuilding = Rebuilding(change, lane.snapshot(), LIMITS, KEY)
    assert rebuilding.next_seq == lane.next_seq
    begin = needed(change, rebuilding.watermark, batches)
    if change.rebuilt:
        event(f"rebuilt from the start {begin == 0}")
    for batch in batches[begin:]:
        rebuilding.take(batch)
    carried, whole = new.lane(), new.lane()
    carried.restore(rebuilding.state())
    for batch in batches:
        accept(whole, inputs_of(batch))
    assert carried.snapshot() == whole.snapshot()


def needed(change: Change, watermark: int, batches: list[JournalBatch]) -> int:
    """The last batch that can be begun with."""
    for begin in range(len(batches) - 1, 0, -1):
        horizon = Horizon(change, watermark)
        for batch in batches[begin:]:
            horizon.look(batch)
        if horizon.reached:
            return begin
    return 0
