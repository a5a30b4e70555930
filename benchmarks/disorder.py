"""Four streams as they would come in, with what goes wrong on the way put in from a seed.

Of each stream some events come in bad (no event any more), some late (further behind than the
stream allows), some twice, and some out of order (behind others, and within what is allowed).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from numpy.typing import NDArray

MS = 1_000
#: What goes wrong, and with which share of the events of every stream.
SHARES = {"bad": 0.005, "late": 0.005, "duplicate": 0.005, "out of order": 0.02}
#: How long events are held back, in microseconds, from and to.
HELD_BACK = {"late": (4_000 * MS, 5_000 * MS), "out of order": (100 * MS, 1_000 * MS)}
_AGAIN = 50 * MS
_ACCOUNTS, _SYMBOLS = 2_000, 100
_KINDS = ("login", "search", "change_limit", "add_payee", "read_news")


@dataclass(frozen=True, slots=True)
class Sent:
    """A stream as it is sent.

    Attributes:
        name: Of the stream.
        due_us: When each line is due, microseconds from the beginning, ascending.
        lines: As many lines.
        injected: What was done to it: how often.
        whole: The events before anything was done to them, in the order of their time.
    """

    name: str
    due_us: NDArray[np.int64]
    lines: list[bytes]
    injected: Counter[str]
    whole: pa.Table


def four_streams(
    rates: dict[str, float], seconds: float, begin: dt.datetime, seed: int
) -> list[Sent]:
    """The streams of `benchmarks.four_streams`.

    Args:
        rates: Events of each in a second.
        seconds: How long they go on.
        begin: The time of their beginning.
        seed: Of all that is drawn.
    """
    random = np.random.default_rng(seed)
    return [
        _sent(name, _whole(name, int(rate * seconds), seconds, begin, random), begin, random)
        for name, rate in rates.items()
    ]


def _whole(
    name: str, count: int, seconds: float, begin: dt.datetime, random: np.random.Generator
) -> pa.Table:
    """The events of a stream, in the order of their time."""
    offsets = np.sort(random.choice(int(seconds * 1e6), size=count, replace=False))
    begin_us = int(begin.timestamp() * 1e6)
    of_account = _names("a", random.zipf(1.3, count) % _ACCOUNTS)
    of_symbol = _names("s", random.zipf(1.5, count) % _SYMBOLS)
    columns: dict[str, Any] = {
        f"{name[:-1]}_id": _names(name[0], np.arange(count)),
        "at": pa.array(begin_us + offsets).cast(pa.timestamp("us", "UTC")),
    }
    if name == "orders":
        amounts = np.exp(random.normal(6, 1, count)).round(2)
        columns |= {"account": of_account, "symbol": of_symbol}
        columns["amount"] = [f"{amount:.2f}" for amount in amounts.tolist()]
    elif name == "ticks":
        prices = 100 * np.exp(np.cumsum(random.normal(0, 1e-4, count)))
        columns |= {"symbol": of_symbol}
        columns["price"] = [f"{price:.4f}" for price in prices.tolist()]
    elif name == "actions":
        kinds = [_KINDS[kind] for kind in random.integers(0, len(_KINDS), count).tolist()]
        columns |= {"account": of_account, "kind": kinds}
    else:
        points = random.normal(600, 120, count).round(1)
        columns |= {"account": of_account}
        columns["points"] = [f"{value:.1f}" for value in points.tolist()]
    return pa.table(columns)


def _names(letter: str, numbers: NDArray[np.int64]) -> list[str]:
    return [f"{letter}{number}" for number in numbers.tolist()]


def _sent(name: str, whole: pa.Table, begin: dt.datetime, random: np.random.Generator) -> Sent:
    """A stream with what goes wrong."""
    lines = _lines(whole)
    begin_us = int(begin.timestamp() * 1e6)
    due = whole["at"].cast(pa.int64()).to_numpy() - begin_us
    fate = _fates(due, random)
    again = np.flatnonzero(fate == "duplicate")
    for number in np.flatnonzero(fate == "bad").tolist():
        lines[number] = spoilt(lines[number], number)
    for kind, (least, most) in HELD_BACK.items():
        held = np.flatnonzero(fate == kind)
        due[held] += random.integers(least, most, len(held))
    all_due = np.concatenate([due, due[again] + _AGAIN])
    every = lines + [lines[number] for number in again.tolist()]
    order = np.argsort(all_due, kind="stable")
    injected = Counter(fate.tolist())
    del injected[""]
    return Sent(name, all_due[order], [every[place] for place in order.tolist()], injected, whole)


def _fates(due: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.str_]:
    """What goes wrong with each event, "" where nothing does.

    What is late must come behind later events, so no event near the end is made so.
    """
    drawn = random.random(len(due))
    fate = np.full(len(due), "", dtype="U12")
    from_ = 0.0
    for kind, share in SHARES.items():
        fate[(drawn >= from_) & (drawn < from_ + share)] = kind
        from_ += share
    last = int(due[-1]) - HELD_BACK["late"][1]
    fate[(fate == "late") & (due > last)] = ""
    return fate


def _lines(table: pa.Table) -> list[bytes]:
    """JSON lines of a table of texts and times."""
    times = [f"{at:%Y-%m-%dT%H:%M:%S.%f}Z" for at in table["at"].to_pylist()]
    columns: list[Sequence[str]] = [
        times if name == "at" else table[name].to_pylist() for name in table.column_names
    ]
    shape = ",".join(f'"{name}":"%s"' for name in table.column_names)
    return [b"{%b}\n" % (shape % row).encode() for row in zip(*columns, strict=True)]


def spoilt(line: bytes, number: int) -> bytes:
    r"""A line that is no event any more, in one of three ways.

    >>> spoilt(b'{"id":"a","at":"2026-01-01T00:00:00Z"}\n', 1)
    b'{"id":"a","at":"noon"}\n'
    """
    ways = (
        lambda: line[: len(line) // 2] + b"\n",
        lambda: line[: line.index(b'"at":"') + 6] + b"noon" + line[line.index(b'Z"') + 1 :],
        lambda: line.replace(b'"at":', b'"when":'),
    )
    return ways[number % 3]()
