"""Alert rules and dashboard: well formed, and of metrics that a service has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from service_process import ServiceProcess, payment  # type: ignore[import-not-found]  # on the path above

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "headrace.json"
KAFKA = DEPLOY / "grafana" / "headrace-kafka.json"
NAME = re.compile(r"\b(?:headrace|process)_\w+")
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="needs promtool: apt-get install prometheus"
)


def alert_expressions() -> list[str]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    # those of workers are held against a worker
    mine = [group for group in groups if group["name"] == "headrace"]
    return [rule["expr"] for group in mine for rule in group["rules"]]


def panels(dashboard: Path = DASHBOARD) -> list[dict[str, Any]]:
    return [
        panel for panel in json.loads(dashboard.read_text())["panels"] if panel["type"] != "row"
    ]


def panel_expressions(dashboard: Path = DASHBOARD) -> list[str]:
    return [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Name of every sample that /metrics can give, and the labels seen on it."""
    with ServiceProcess(tmp_path_factory.mktemp("exposed") / "home") as running:
        running.decide(payment(1))
        running.decide("{")
        page = running.page("/metrics")[1]
    names: dict[str, set[str]] = {}
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", page, re.MULTILINE):
        for suffix in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
            names[name + suffix] = set()
    for name, labels in re.findall(r"^(\w+)\{(.*)\} ", page, re.MULTILINE):
        names[name] |= set(re.findall(r'(\w+)="', labels))
    return names


def test_every_metric_that_is_named_is_there(exposed: dict[str, set[str]]) -> None:
    for expression in alert_expressions() + panel_expressions():
        named = set(NAME.findall(expression))
        assert named or "up{" in expression, expression
        assert named <= set(exposed), f"{named - set(exposed)} in {expression}"


def test_every_label_that_is_grouped_by_is_there(exposed: dict[str, set[str]]) -> None:
    # these are added by Prometheus when it reads a page
    added = {"job", "instance"}
    seen = set().union(*exposed.values())
    for expression in alert_expressions() + panel_expressions():
        for labels in re.findall(r"by \(([^)]*)\)", expression):
            grouped = {label.strip() for label in labels.split(",")}
            assert grouped <= seen | added, expression


def test_every_metric_of_the_service_is_on_the_dashboard(exposed: dict[str, set[str]]) -> None:
    shown = {name for text in panel_expressions() for name in NAME.findall(text)}
    left_out = {
        name
        for name in exposed
        if name.startswith("headrace_") and not name.endswith(("_sum", "_count", "_created"))
    } - shown
    # it does not change after the start, and the log says it
    assert left_out == {"headrace_recovery_replayed_events"}


@pytest.mark.parametrize("dashboard", [DASHBOARD, KAFKA], ids=["service", "kafka"])
def test_panels_have_a_place_of_their_own(dashboard: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels(dashboard):
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    identifiers = [panel["id"] for panel in json.loads(dashboard.read_text())["panels"]]
    assert len(set(identifiers)) == len(identifiers)


def test_alerts_say_what_to_do() -> None:
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"page", "warn"}
            assert set(rule["annotations"]) == {"summary", "description"}


@needs_promtool
def test_promtool_takes_the_alerts_and_they_fire_as_expected() -> None:
    promtool("check", "rules", ALERTS)
    promtool("test", "rules", ALERTS.with_name("test_alerts.yml"))


@needs_promtool
def test_promtool_takes_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": text.replace("$__rate_interval", "1m")}
        for number, text in enumerate(panel_expressions() + panel_expressions(KAFKA))
    ]
    page = tmp_path / "panels.yml"
    page.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", page)
