"""What comes back from quarantine is a backfill, as the contract says, and replays the same."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from contract import Contract
from drawn import at, field
from hypothesis import given, settings
from hypothesis import strategies as st
from vectors import changes, told
from ways import Prepared, write_lines

from headrace.runtime import quarantine
from headrace.runtime.home import Home
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.local_lane import LaneSettings, LocalLane
from headrace.runtime.replaying import recorded_definitions, replay

Line = dict[str, Any]

#: Longer than any history here: state still reaches back to whatever is retried.
CARD: Line = {"of": "payments", "by": ["card"], "window": "1d"}
CASE: Line = {
    "name": "retry",
    "on": "payments",
    "streams": {
        "payments": {
            "fields": {
                "payment_id": {"type": "id"},
                "at": {"type": "event_time"},
                "received": {"type": "known_at"},
                "card": {"type": "key"},
                "amount": {"type": "money", "currency": "EUR"},
                "shop": {"type": "category", "optional": True},
            },
            "lateness": "5s",
            "dedupe": "1m",
        }
    },
    "features": {
        "count": ["count", CARD],
        "sum": ["sum", field("amount"), CARD],
        "previous": ["previous", field("shop"), CARD],
        "distinct": ["distinct", field("shop"), CARD],
    },
}
SETTINGS = LaneSettings(durability="os")
LINES = st.fixed_dictionaries(
    {
        "clock": st.sampled_from([0, 1, 3, 10]),
        "late": st.sampled_from([0, 0, 6, 20, -4_000]),
        "again": st.sampled_from([0, 0, 0, 1, 5]),
        "card": st.sampled_from(["a", "b"]),
        "amount": st.sampled_from(["3.00", "3.00", "3.00", "2.50", "1.001", "x"]),
        "shop": st.sampled_from(["grocer", "petrol", None]),
    }
)


def lines_of(drawn: list[Line]) -> list[Line]:
    """Lines of payments in the order of arrival: some late, early, repeated or unreadable."""
    clock, lines = 0, []
    for number, said in enumerate(drawn):
        clock += said["clock"]
        times = {"at": at(clock - said["late"]), "received": at(clock)}
        name = {"payment_id": f"p{number - said['again']}"}
        lines.append(name | times | {key: said[key] for key in ("card", "amount", "shop")})
    return lines


@settings(deadline=None, max_examples=10, derandomize=True)
@given(st.lists(LINES, min_size=10, max_size=40), st.sampled_from([1, 7, 100]))
def test_what_is_retried(drawn: list[Line], size: int) -> None:
    made = Prepared.of(CASE, {"payments": lines_of(drawn)})
    contract = Contract(CASE, made.names)
    contract.run(made.lines)
    with tempfile.TemporaryDirectory() as folder:
        path = write_lines(Path(folder) / "payments.jsonl", made.lines["payments"])
        home = Home(Path(folder) / "home")
        settings = RunSettings(lane=SETTINGS, batch_rows=size)
        LocalRun(made.case, home, [str(path)], settings=settings).go()
        journal = home.journal(CASE["name"])
        items = quarantine.quarantined(journal)
        assert [item.seq for item in items] == [
            event.seq for event in contract.inputs if event.verdict == "quarantined"
        ]
        with LocalLane(made.definition, home, (quarantine.SOURCE,), SETTINGS) as local:
            batches = quarantine.retry(local, items)
            for batch in batches:
                received = batch.inputs.received_ns.tolist()
                for seq, known in zip(batch.inputs.position.tolist(), received, strict=True):
                    contract.retry([seq], known)
            expected = [told(event, CASE["features"]) for event in contract.inputs[len(drawn) :]]
            assert changes(expected, made.told(local.lane, batches)) == []
        found = replay(journal, recorded_definitions(home, CASE["name"]))
        assert found.difference is None
        assert found.inputs == len(contract.inputs)
