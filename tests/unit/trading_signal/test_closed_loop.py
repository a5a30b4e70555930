"""A closed loop: what comes of orders is known to later decisions, and to a replay of it all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests import paper_case
from tests.paper_case import ASSUMED, LIMITS, book, case, frames

import headrace as hr
from headrace.cli import build
from headrace.core.errors import DataError
from headrace.journal.reader import stored_batches
from headrace.runtime.home import Home
from headrace_solutions.trading_signal.closed_loop import run_closed_loop
from headrace_solutions.trading_signal.gateway import OrderTerms
from headrace_solutions.trading_signal.venue import Assumptions

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.runtime.closed_loop import Heard


@pytest.mark.parametrize("joins", [False, True])
def test_what_comes_back_is_known_to_decisions_and_a_replay_decides_the_same(
    *, joins: bool
) -> None:
    read = frames(400, seed=3)
    terms = OrderTerms(quantity="1", joins=joins)
    found = run_closed_loop(case, read, assumptions=ASSUMED, limits=LIMITS, terms=terms, book=book)
    # decided as one history, the orders among it, it comes to the same
    again = hr.decide(case, {**read, "orders": found.orders})
    assert again.equals(found.decisions.combine_chunks().cast(again.schema))
    assert found.orders["status"].to_pylist().count("filled") > 3
    # the policy stops by the position that came back; what was under way may still be filled
    position = np.array(found.decisions["position"].to_pylist(), dtype=float)
    assert np.abs(position).max() >= 3
    assert np.abs(position).max() <= 5
    outcomes = np.array(found.decisions["outcome"].to_pylist())
    assert not (outcomes[position >= 3] == "buy").any()
    assert not (outcomes[position <= -3] == "sell").any()
    assert (outcomes == "full").any()
    # no decision knows of an order earlier than a round trip after the decision that made it
    held = found.gateway.ledger.positions["X"]
    known = [report for report in found.reports if report.quantity]
    assert held == sum(report.side * report.quantity for report in known)


def test_a_loop_comes_to_the_same_each_time() -> None:
    read = frames(150, seed=5)
    both = [
        run_closed_loop(
            case, read, assumptions=ASSUMED, limits=LIMITS, terms=OrderTerms(quantity="1"),
            book=book,
        )
        for _ in range(2)
    ]  # fmt: skip
    assert both[0].orders.equals(both[1].orders)
    assert both[0].decisions.equals(both[1].decisions)
    assert both[0].orders.num_rows > 0


def test_a_loop_without_latency_is_refused() -> None:
    read = frames(20, seed=5)
    with pytest.raises(hr.DefinitionError, match="a round trip of 0 ns"):
        run_closed_loop(
            case,
            read,
            assumptions=Assumptions(order_latency_us=0, report_latency_us=0),
            limits=LIMITS,
            terms=OrderTerms(),
            book=book,
        )


#: Stands for the position known to an input that is not decided.
UNDECIDED = -99.0


def written(tables: dict[str, pa.Table], folder: Path, begin: int, end: int) -> list[str]:
    """A stretch of a market as files, as commands take them."""
    known = np.sort(tables["depth"]["received"].cast(pa.int64()).to_numpy())
    low, high = known[begin], known[end] if end < len(known) else known[-1] + 2
    sources = []
    for name, table in tables.items():
        times = table["received"].cast(pa.int64()).to_numpy()
        path = folder / f"{name}-{begin}.parquet"
        pq.write_table(table.filter(pa.array((times >= low) & (times < high))), path)
        sources += ["--source", f"{name}={path}"]
    return sources


def headrace(*words: str) -> None:
    build()(words)


def journaled(home: Path) -> list[tuple[int, int, int, float]]:
    """Every input, with its stream, its place in its source, and the position known to it."""
    rows = []
    for stored in stored_batches(Home(home).journal("loop")):
        batch = stored.batch()
        held = dict(
            zip(batch.decisions.seq.tolist(), batch.decisions.features[2].tolist(), strict=True)
        )
        for at in range(len(batch)):
            seq = batch.first_seq + at
            rows.append(
                (
                    int(batch.inputs.stream[at]),
                    int(batch.inputs.position[at]),
                    int(batch.inputs.received_ns[at]),
                    held.get(seq, UNDECIDED),
                )
            )
    return rows


def test_a_run_journals_the_loop_and_another_run_goes_on_with_it(tmp_path: Path) -> None:
    tables = frames(500, seed=4)
    file = paper_case.__file__
    whole, half = tmp_path / "whole", tmp_path / "half"
    first = written(tables, tmp_path, 0, 230)
    second = written(tables, tmp_path, 230, 500)
    run = ("run", file, "--closed-loop")
    headrace(*run, *first, *second, "--home", str(whole))
    # what the journal has is what is decided in memory
    found = run_closed_loop(
        case, tables, assumptions=ASSUMED, limits=LIMITS, terms=OrderTerms(quantity="1"), book=book
    )
    said = [row for row in journaled(whole) if row[0] == 2]
    assert len(said) == found.orders.num_rows > 20
    assert [row[2] for row in said] == found.orders["received"].cast(pa.int64()).to_pylist()
    held = [row[3] for row in journaled(whole) if row[3] != UNDECIDED]
    assert held == found.decisions["position"].to_pylist()
    # a run over the beginning, and one over all: the venue comes back to where it stood
    headrace(*run, *first, "--home", str(half))
    headrace(*run, *first, *second, "--home", str(half))
    # positions in a source count from its file's start; the rest is the same
    assert [(row[0], *row[2:]) for row in journaled(half)] == [
        (row[0], *row[2:]) for row in journaled(whole)
    ]
    for home in (whole, half):
        headrace("verify", "--home", str(home))
        headrace("replay", "--home", str(home))


def test_a_counterparty_that_did_not_hear_all_is_refused(tmp_path: Path) -> None:
    tables = frames(300, seed=4)
    first, second = written(tables, tmp_path, 0, 100), written(tables, tmp_path, 100, 300)
    home = ("--home", str(tmp_path / "home"))
    run = ("run", paper_case.__file__)
    headrace(*run, "--closed-loop", *first, *home)
    headrace(*run, *first, *second, *home)
    with pytest.raises(DataError, match="goes on only as it was"):
        headrace(*run, "--closed-loop", *first, *second, *home)


class Hasty:
    """Answers sooner than it says."""

    stream = "orders"
    round_trip_ns = 1_000_000
    since_ns = 0
    next_ns = None

    def __init__(self) -> None:
        self.last = 0
        self.template = frames_of_orders()

    def hear(self, heard: Heard) -> None:
        self.last = int(heard.received_ns[-1])

    def answers(self, until_ns: int) -> pa.Table | None:  # noqa: ARG002 - it answers all the same
        return self.template if self.last else None


def frames_of_orders() -> pa.Table:
    """Some orders of a loop, long known."""
    terms = OrderTerms(quantity="1")
    read = frames(150, seed=5)
    found = run_closed_loop(case, read, assumptions=ASSUMED, limits=LIMITS, terms=terms, book=book)
    return found.orders.slice(0, 2)


def test_an_answer_that_is_known_too_soon_is_refused() -> None:
    with pytest.raises(DataError, match="a round trip after the decision or later"):
        hr.decide(case, frames(100, seed=6), counterparty=Hasty())


def test_a_case_without_a_counterparty_has_no_loop(tmp_path: Path) -> None:
    sources = written(frames(50, seed=4), tmp_path, 0, 50)
    with pytest.raises(hr.NotFound, match="card-fraud has no counterparty"):
        headrace("run", "card-fraud", "--closed-loop", *sources, "--home", str(tmp_path / "home"))
    run = ("run", paper_case.__file__, "--closed-loop", "--source", "-")
    with pytest.raises(DataError, match="stdin is live"):
        headrace(*run, "--home", str(tmp_path / "home"))
