"""The page of a real market that is traded on paper: made of AMZN's first messages."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pyarrow.compute as pc
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.paper import MARKETS, page_of  # noqa: E402 - after the folder of the benchmarks is known

DATA = Path(os.environ.get("HEADRACE_DATA", "data"))
MESSAGES = 5_000
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "lob_lobster").exists(), reason="HEADRACE_DATA has no AMZN"),
]


def test_amazon_is_one_page_with_what_was_tried_and_where_it_holds(tmp_path: Path) -> None:
    traded = MARKETS["amzn"]
    feed = traded.feed(DATA)
    assert (feed.lines, feed.quarantined.num_rows) == (31_099, 0)
    end = feed.frames["depth"]["received"][MESSAGES]
    frames = dict.fromkeys(("quotes", "orders", "switches")) | {
        name: frame.filter(pc.less(frame["received"], end)) for name, frame in feed.frames.items()
    }
    path = tmp_path / "amzn.html"
    page_of(traded, frames).write(path)
    page = path.read_text(encoding="utf-8")
    assert page.count("<html") == 1
    for said in (
        "NASDAQ AMZN: signals on paper",
        f"{MESSAGES:,}",
        "What the signals would have come to",
        "This is no claim of profit.",
        "0.14 bp",
        "Where the signal holds",
        "What the series is like",
        "Of AMZN.",
    ):
        assert said in page, said
    # nothing is loaded from elsewhere
    assert 'src="http' not in page
    assert 'href="http' not in page
