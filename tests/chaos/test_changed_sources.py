"""Sources between runs: they may grow in known order; whatever else changed stops the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.warm import headrace

from headrace.core.errors import DataError
from headrace.definitions.describe import worst_case_bytes
from headrace.journal.reader import stored_batches
from headrace.runtime.home import Home
from headrace.runtime.loading import load_case
from headrace.runtime.local import LocalRun, RunSettings
from headrace.runtime.local_lane import LaneSettings
from headrace_solutions.card_fraud.lines import write_table
from headrace_solutions.card_fraud.simulator import SimulationSettings, simulate

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

CASE = """
import headrace as hr

class Payment(hr.Event):
    payment_id: hr.Id
    at: hr.EventTime
    received: hr.KnownAt
    card: hr.Key = hr.field(pii=True, subject=True)
    amount: hr.Money
    currency: hr.Currency

payments = hr.stream(Payment, name="payments", lateness="10m")
features = hr.features(
    card_count_1h=payments.by("card").count("1h"),
    since_last=payments.by("card").seconds_since_last(within="30d"),
)
grown = hr.UseCase(
    name="grown",
    on=payments,
    features=features,
    policy=hr.Policy(hr.block("burst", features.card_count_1h > 2), otherwise=hr.approve()),
)
"""
SETTINGS = RunSettings(lane=LaneSettings(durability="os"))
DAYS = 3
ROWS = 300


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A use case, and a folder with the payments of each day: `day-N` in every format."""
    (tmp_path / "case.py").write_text(CASE)
    for name in ("all", "days"):
        (tmp_path / name).mkdir()
    made = simulate(
        SimulationSettings(
            events=DAYS * ROWS,
            cards=40,
            merchants=9,
            days=DAYS,
            seed=8,
            late=0.0,
            duplicates=0.0,
            invalid=0.0,
        )
    )
    table = made.payments.sort_by([("received", "ascending"), ("at", "ascending")])
    for day in range(DAYS):
        part = table.slice(day * ROWS, ROWS)
        for ending in ("csv", "parquet"):
            write_table(part, tmp_path / "all" / f"day-{day}.{ending}")
        lines = part.select(["payment_id", "at", "received", "card", "amount", "currency"])
        text = [
            '{{"payment_id":"{}","at":"{}","received":"{}","card":"{}","amount":"{}",'
            '"currency":"{}"}}\n'.format(
                row["payment_id"],
                row["at"].isoformat(),
                row["received"].isoformat(),
                row["card"],
                row["amount"],
                row["currency"],
            )
            for row in lines.to_pylist()
        ]
        (tmp_path / "all" / f"day-{day}.jsonl").write_text("".join(text))
    return tmp_path


def given(work: Path, *names: str) -> None:
    """Put files of `all` into the folder that is run."""
    for name in names:
        (work / "days" / name).write_bytes((work / "all" / name).read_bytes())


def done(work: Path, source: str = "days", home: str = "home") -> None:
    names = [str(work / source)]
    case = load_case(str(work / "case.py"))
    LocalRun(case, Home(work / home), names, settings=SETTINGS).go()


def refused(work: Path, *words: str, source: str = "days") -> None:
    """The run stops, says all of `words`, and leaves the journal as it was."""
    before = decided(work, "home")
    with pytest.raises(DataError) as error:
        done(work, source)
    said = str(error.value)
    assert not [word for word in (*words, "--home") if word not in said], said
    assert decided(work, "home") == before


def command(
    work: Path, source: str, feed: bytes = b"", home: str = "home"
) -> subprocess.CompletedProcess[str]:
    arguments = ["run", "case.py", f"--source={source}", f"--home={home}"]
    return headrace(arguments, work, {"COLUMNS": "1000"}, feed)


def command_done(work: Path, source: str, feed: bytes = b"", home: str = "home") -> None:
    made = command(work, source, feed, home)
    assert made.returncode == 0, made.stderr


def command_refused(work: Path, *words: str, source: str = "days", feed: bytes = b"") -> None:
    """The command fails, says all of `words`, and leaves the journal as it was."""
    before = decided(work, "home")
    made = command(work, source, feed)
    said = made.stderr
    assert made.returncode != 0
    assert "Traceback" not in said
    assert not [word for word in words if word not in said], said
    assert decided(work, "home") == before


def decided(work: Path, home: str) -> list[bytes]:
    """What became of every input and what was decided, in order, batch by batch."""
    columns: list[bytes] = []
    for stored in stored_batches(Home(work / home).journal("grown")):
        batch = stored.batch()
        inputs, made = batch.inputs, batch.decisions
        rows = np.column_stack([inputs.kind, inputs.reason, inputs.position, inputs.received_ns])
        columns += [row.tobytes() for row in rows]
        columns += [made.features[:, at].tobytes() for at in range(len(made))]
    return columns


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_file_is_added_each_day(ending: str, work: Path) -> None:
    for day in range(DAYS):
        given(work, f"day-{day}.{ending}")
        done(work)
    done(work, home="at-once")
    assert sorted(decided(work, "home")) == sorted(decided(work, "at-once"))
    assert len(decided(work, "home")) == 2 * DAYS * ROWS


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_lines_are_added_to_a_file(ending: str, work: Path) -> None:
    path = work / "days" / f"day-0.{ending}"
    given(work, path.name)
    done(work)
    more = (work / "all" / f"day-1.{ending}").read_bytes()
    with path.open("ab") as file:
        file.write(more if ending == "jsonl" else more.split(b"\n", 1)[1])
    done(work)
    done(work, home="at-once")
    assert sorted(decided(work, "home")) == sorted(decided(work, "at-once"))


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_file_that_was_changed_is_named(ending: str, work: Path) -> None:
    path = work / "days" / f"day-0.{ending}"
    given(work, path.name, f"day-1.{ending}")
    done(work)
    if ending == "parquet":
        rows = pq.read_table(path)
        pq.write_table(rows.take(list(range(ROWS - 1, -1, -1))), path)
    else:
        path.write_bytes(path.read_bytes().replace(b"EUR", b"USD", 1))
    refused(work, f"days/day-0.{ending} is not what it was when {ROWS} events of it were decided")


def test_a_file_that_was_cut_short_is_named(work: Path) -> None:
    path = work / "days" / "day-0.jsonl"
    given(work, path.name)
    done(work)
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[: size // 2])
    refused(work, "day-0.jsonl", f"it had {size:,} bytes, and has {size // 2:,}")


def test_a_file_between_those_decided_is_named(work: Path) -> None:
    given(work, "day-0.jsonl", "day-2.jsonl")
    done(work)
    given(work, "day-1.jsonl")
    refused(work, "days/day-1.jsonl: its row 0 was known at", "day-2.jsonl)", "as the only source")
    # on its own it is decided as what it is by now: late
    done(work, "days/day-1.jsonl")
    # and with all of it decided, the folder goes on
    done(work)


def test_a_line_between_those_decided_is_named(work: Path) -> None:
    path = work / "days" / "day-2.jsonl"
    given(work, path.name)
    done(work)
    early = (work / "all" / "day-0.jsonl").read_bytes().split(b"\n", 1)[0]
    with path.open("ab") as file:
        file.write(early + b"\n")
    refused(work, f"day-2.jsonl: its row {ROWS} was known at", "a file of their own")


def test_a_line_that_was_not_finished_is_named(work: Path) -> None:
    path = work / "days" / "day-0.jsonl"
    given(work, path.name)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    done(work)
    path.write_bytes(whole)
    refused(work, "day-0.jsonl", "its last line was cut off then")


def test_a_file_that_is_gone_does_no_harm(work: Path) -> None:
    given(work, "day-0.jsonl", "day-1.jsonl")
    done(work)
    (work / "days" / "day-0.jsonl").unlink()
    given(work, "day-2.jsonl")
    done(work)
    assert len(decided(work, "home")) == 2 * DAYS * ROWS


@pytest.mark.slow
def test_the_command_goes_on_with_a_new_file_and_names_a_changed_one(work: Path) -> None:
    given(work, "day-0.jsonl", "day-1.parquet")
    first = command(work, "days")
    assert first.returncode == 0
    worst = worst_case_bytes(load_case(str(work / "case.py")).plan)
    assert f"state at worst: {worst:,} bytes" in first.stderr
    given(work, "day-2.csv")
    command_done(work, "days")
    done(work, home="at-once")
    assert sorted(decided(work, "home")) == sorted(decided(work, "at-once"))
    path = work / "days" / "day-0.jsonl"
    path.write_bytes(path.read_bytes().replace(b"EUR", b"USD", 1))
    command_refused(work, "days/day-0.jsonl is not what it was", "SHA-256", "--home")


@pytest.mark.slow
def test_stdin_is_fed_again(work: Path) -> None:
    feed = (work / "all" / "day-0.jsonl").read_bytes()
    other = (work / "all" / "day-1.jsonl").read_bytes()
    command_done(work, "-", feed[: len(feed) // 2].rsplit(b"\n", 1)[0] + b"\n")
    command_done(work, "-", feed)
    command_done(work, "-", feed, home="at-once")
    assert sorted(decided(work, "home")) == sorted(decided(work, "at-once"))
    command_refused(work, f"stdin:payments: {ROWS} lines were", source="-", feed=other * 2)
    command_refused(work, "stdin:payments ended after", "-:NAME", source="-", feed=feed[:1_000])
    command_done(work, "-:second", other)
    assert len(decided(work, "home")) == 4 * ROWS


def test_more_than_256_files(work: Path) -> None:
    lines = (work / "all" / "day-0.jsonl").read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines):
        (work / "days" / f"{number:04}.jsonl").write_bytes(line)
    done(work)
    assert len(decided(work, "home")) == 2 * ROWS
