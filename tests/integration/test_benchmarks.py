"""Every benchmark that makes a page still runs: on a small workload, for a moment.

No figure is looked at; what must be there is the sections that the pages ask for.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import pages  # noqa: E402 - after the folder of the benchmarks is known
from benchmarks.__main__ import BENCHMARKS  # noqa: E402 - the same
from benchmarks.report import FIGURES  # noqa: E402 - the same

SMALL = ("--events", "6000")
#: How each is made short; those that are not here read data that is not ours, or only print lines.
SHORT = {
    "streams": ("--seconds", "1"),
    "attack": (*SMALL, "--seconds", "0.5", "--rounds", "1"),
    "inflight": (*SMALL, "--seconds", "1", "--stress", "2", "--warm", "0.2", "--in-flight", "500"),
    "online": (*SMALL, "--seconds", "1", "--runs", "1", "--connections", "64"),
    "kafka": (*SMALL, "--runs", "1"),
    "throughput": (*SMALL, "--runs", "1", "--only", "throughput", "shares", "peers", "cold"),
    "json_lines": ("--events", "2000", "--repeat", "1"),
    "payload_forms": ("--events", "2000", "--batch", "1000", "--repeat", "1"),
    "door": ("--events", "20000", "--cards", "500", "--repeat", "1"),
    "engine": ("20000",),
    "memory": ("5000",),
    "state": ("1000", "20000"),
    "journal": ("--rows", "256", "--batches", "3"),
    "use_cases": (*SMALL, "--runs", "1", "--applications", "2000", "--seconds", "45"),
    "tick_to_signal": ("--seconds", "45", "--times", "50", "--runs", "2"),
    "trading": ("--quick",),
    "learning_curve": ("--messages", "20000", "--sizes", "3000"),
    "credit_book": ("--quick",),
}
DATA = Path(os.environ.get("HEADRACE_DATA", "data"))
CAPTURE = (DATA / "lob_binance_ws").exists() and importlib.util.find_spec("torch") is not None
NEEDS = {
    "online": shutil.which("wrk"),
    "kafka": os.environ.get("HEADRACE_KAFKA_BROKER"),
    "learning_curve": importlib.util.find_spec("torch"),
    **dict.fromkeys(("use_cases", "tick_to_signal", "trading"), CAPTURE),
    "credit_book": (DATA / "credit_lgd").exists(),
}
PICTURES = {
    "learning_curve": {"learning-curve.svg"},
    "inflight": {"stress.svg"},
    "trading": {
        f"next-move-{name}.svg"
        for name in ("spot-by-trades", "perpetual-by-trades", "spot-by-quotes", "amazon")
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the small workload for all of them."""
    made = tmp_path_factory.mktemp("benchmark")
    (made / "times-1").mkdir()
    # one of them keeps workloads apart by their size; it is the same size here
    (made / f"events-{SMALL[1]}").symlink_to("times-1")
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_it_prints_what_its_pages_ask_for(name: str, folder: Path, tmp_path: Path) -> None:
    if name in NEEDS and not NEEDS[name]:
        pytest.skip(f"{name} needs what is not here")
    command = [sys.executable, "-m", f"benchmarks.{name}", *SHORT[name]]
    if SMALL[0] in SHORT[name] and SMALL[1] in SHORT[name]:
        command += ["--folder", str(folder)]
    elif name == "streams":
        command += ["--folder", str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, FIGURES: str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.glob("*.svg")} == PICTURES.get(name, set())
    asking = [page for page in pages.PAGES.glob("*.md") if pages.asked(page.read_text(), name)]
    assert asking, f"no page shows {name}"
    for page in asking:
        if name == "throughput":
            # the offered rates are those of minutes, not of a small workload
            text = page.read_text().replace("throughput, Latency", "none")
        else:
            text = page.read_text()
        assert pages.filled(text, name, done.stdout) != text


def test_a_section_that_was_not_printed_is_missed() -> None:
    page = "<!-- measured: speed, Slow -->\n<!-- end of measured -->\n"
    with pytest.raises(LookupError, match="begins with 'Slow'"):
        pages.filled(page, "speed", "machine\n\n### Fast\n\n1\n")


def test_words_around_what_was_measured_stay(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "before\n\n<!-- measured: speed -->\nold\n<!-- end of measured -->\n\n"
        "between\n\n<!-- measured: other -->\nkept\n<!-- end of measured -->\n\nafter\n"
    )
    untouched = tmp_path / "untouched.md"
    untouched.write_text("nothing is measured here\n")
    assert pages.write("speed", "a  1\nb  2\n", tmp_path) == [page]
    assert page.read_text() == (
        "before\n\n<!-- measured: speed -->\n\n```text\na  1\nb  2\n```\n\n"
        "<!-- end of measured -->\n\n"
        "between\n\n<!-- measured: other -->\nkept\n<!-- end of measured -->\n\nafter\n"
    )


def test_every_mark_names_a_benchmark() -> None:
    for page in pages.PAGES.glob("*.md"):
        for found in pages._BLOCK.finditer(page.read_text()):
            assert found["name"] in BENCHMARKS, f"{page}: {found['mark']}"
        assert page.read_text().count("<!-- measured") == len(
            list(pages._BLOCK.finditer(page.read_text()))
        )
