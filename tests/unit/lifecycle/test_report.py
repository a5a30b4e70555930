from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pytest

from headrace.lifecycle import metrics, plots
from headrace.lifecycle.report import (
    Commands,
    DecisionExplained,
    KeyFigure,
    ProofChecked,
    Reason,
    Report,
    Table,
)

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.lifecycle.drawing import Plot

VOID = {"meta", "br", "use", "path", "img", "link", "input"}


class Nesting(HTMLParser):
    """Checks that elements close in order, and collects ids and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self._note(attrs)

    def handle_startendtag(
        self,
        tag: str,  # noqa: ARG002 - the parser's calling form
        attrs: list[tuple[str, str | None]],
    ) -> None:
        self._note(attrs)

    def _note(self, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.append(value)
            if name in ("href", "src", "xlink:href") and value:
                self.addresses.append(value)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def all_plots() -> list[Plot]:
    draw = np.random.default_rng(1)
    labels = draw.random(3000) < 0.1
    scores = np.clip(draw.normal(0.3 + 0.3 * labels, 0.2), 0, 1)
    money = metrics.money_curve(labels, scores, draw.random(3000) * 90, cost_per_alarm=3.0)
    seconds = np.arange(2000) / 100
    return [
        plots.roc(metrics.roc_curve(labels, scores)),
        plots.precision_recall(
            metrics.precision_recall_curve(labels, scores), float(labels.mean())
        ),
        plots.calibration(metrics.calibration(labels, scores)),
        plots.reason_bars(["a<b", "count"], [3, 9]),
        plots.throughput(seconds, 4e5 + draw.random(2000) * 1e4),
        plots.latency(seconds, {"p50": 1 + draw.random(2000), "p99": 5 + draw.random(2000)}),
        plots.money(money, "EUR", chosen=0.6),
    ]


@pytest.fixture(scope="module")
def page() -> str:
    report = Report("Fraud & proof", "A <month>", [KeyFigure("Decisions", "1,000", "a note")])
    report.add("Plots", "What to see.", *all_plots(), Table("T", ("name", "n"), (("x", "1,204"),)))
    report.add(
        "One",
        "",
        DecisionExplained(
            "pay_1",
            "block",
            0.97,
            ("high: score is 0.97",),
            (Reason("12 in 5m", 2.0), Reason("y", -1.0)),
        ),
        ProofChecked(verified=True, says="The head is signed.", facts=(("root", "ab"),)),
        ProofChecked(verified=False, says="The record was changed."),
        Commands((("headrace verify", "the chain"),)),
    )
    return report.html()


def test_the_page_is_whole_and_asks_for_nothing(page: str) -> None:
    parser = Nesting()
    parser.feed(page)
    assert parser.open == []
    assert len(parser.ids) == len(set(parser.ids))
    assert all(address.startswith("#") for address in parser.addresses)
    assert "<script" not in page
    assert "@import" not in page
    assert set(re.findall(r"https?://[^\"\s<]+", page)) == {"http://www.w3.org/2000/svg"}
    assert re.search(r"url\((?!#)", page) is None


def test_what_users_wrote_is_escaped(page: str) -> None:
    assert "A &lt;month&gt;" in page
    assert "A <month>" not in page
    assert "Fraud &amp; proof" in page


def test_every_plot_is_labelled_captioned_and_in_the_pages_colours(page: str) -> None:
    assert page.count("<figure>") == page.count("<figcaption>") == 7
    assert page.count('role="img" aria-label=') == 7
    assert re.search(r"#0[1-7]0[1-7]0[1-7]", page) is None
    assert "var(--first)" in page
    assert page.count('<div class="plots">') == 1


def test_numbers_stand_to_the_right_and_headers_have_scopes(page: str) -> None:
    assert '<th scope="col" class="number">n</th>' in page
    assert '<th scope="col">name</th>' in page
    assert '<td class="number">1,204</td>' in page


def test_the_same_report_is_the_same_bytes(page: str, tmp_path: Path) -> None:
    again = [plot.svg for plot in all_plots()]
    assert all(svg in page for svg in again)
    report = Report("t", "s")
    report.write(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text("utf-8") == report.html()


def test_proofs_say_in_words_how_they_ended(page: str) -> None:
    assert "✓ Verified" in page
    assert "✗ Not verified" in page
