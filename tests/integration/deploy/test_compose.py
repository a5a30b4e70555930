"""The compose file: it is of its specification, its parts fit, and its containers are contained."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from container_file import stages  # type: ignore[import-not-found]  # on the path above
from manifests import (  # type: ignore[import-not-found]  # on the path above
    DEPLOY,
    ROOT,
    commands_of,
    documents,
    interpolated,
    parsed,
)

COMPOSE: dict[str, Any] = yaml.safe_load(interpolated((DEPLOY / "compose.yaml").read_text()))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
#: Folders that a user fills.
FILLED = {"./case", "./secrets"}


def checked(given: dict[str, Any]) -> None:
    """Read a compose file as its specification has it."""
    compose_spec.PyCompose.from_json(json.dumps(given)).to_spec()


def test_it_is_a_compose_file() -> None:
    checked(COMPOSE)


@pytest.mark.parametrize(
    ("name", "value"),
    [("cap_dropp", ["ALL"]), ("mem_limit", "much"), ("ports", ["99999999:1"])],
)
def test_what_is_none_would_be_found(name: str, value: object) -> None:
    wrong = COMPOSE | {"services": {"headrace": SERVICES["headrace"] | {name: value}}}
    with pytest.raises(ValueError, match=r"x-|unit|too large"):
        checked(wrong)


@pytest.mark.parametrize("name", SERVICES)
def test_containers_may_do_and_use_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid"} & set(service)
    assert service["mem_limit"]
    assert service["cpus"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_of_one_version(name: str) -> None:
    image = SERVICES[name]["image"]
    if image == "headrace:latest":
        build = SERVICES[name]["build"]
        assert (DEPLOY / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).is_file()
    else:
        assert re.search(r":v?\d+\.\d+\.\d+$", image), f"{image} is of no one version"


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_is_declared(name: str) -> None:
    service = SERVICES[name]
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert source in FILLED or (DEPLOY / source).exists(), f"there is no {source}"
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", ["headrace", "worker"])
def test_headrace_takes_its_commands(name: str) -> None:
    assert parsed(SERVICES[name]["command"]) == SERVICES[name]["command"][0]
    targets = {volume.split(":")[1] for volume in SERVICES[name]["volumes"]}
    assert stages()[1].environment["HEADRACE_HOME"] in targets
    assert str(Path(SERVICES[name]["command"][1]).parent) in targets


def test_prometheus_asks_the_service() -> None:
    (settings,) = documents(DEPLOY / "prometheus" / "prometheus.yml")
    jobs = {job["job_name"]: job for job in settings["scrape_configs"]}
    assert jobs["headrace"]["static_configs"] == [{"targets": ["headrace:8080"]}]
    assert stages()[1].all("EXPOSE") == ["8080"]
    assert set(SERVICES["prometheus"]["networks"]) & set(SERVICES["headrace"]["networks"])
    key = jobs["headrace"]["authorization"]["credentials_file"]
    assert key == f"/run/secrets/{SERVICES['prometheus']['secrets'][0]}"


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    (sources,) = documents(provisioning / "datasources" / "prometheus.yaml")
    assert sources["datasources"][0]["url"] == "http://prometheus:9090"
    (boards,) = documents(provisioning / "dashboards" / "headrace.yaml")
    path = boards["providers"][0]["options"]["path"]
    assert f"./grafana:{path}:ro" in SERVICES["grafana"]["volumes"]
    password = SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"]
    assert password == f"/run/secrets/{SERVICES['grafana']['secrets'][0]}"


def test_the_how_to_names_what_there_is() -> None:
    found = commands_of("run-with-compose.md", "docker")
    asking = [words for words in found if {"run", "exec"} & set(words)]
    for words in found:
        assert words[1:3] == ["compose", "--file"]
        assert ROOT / words[3] == DEPLOY / "compose.yaml"
    inside = [words[words.index("headrace") + 1 :] for words in asking]
    assert [parsed(words) for words in inside[:2]] == ["add", "add"]
    # the name of the command follows that of the service where nothing is started
    assert [words[0] for words in inside[2:]] == ["headrace"]
    assert parsed(inside[2][1:]) == "verify"
