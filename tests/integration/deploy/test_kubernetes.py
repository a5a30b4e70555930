"""The manifests: Kubernetes' schemas take them, their parts fit, and their pods are contained."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from container_file import stages  # type: ignore[import-not-found]  # on the path above
from manifests import (  # type: ignore[import-not-found]  # on the path above
    DEPLOY,
    ROOT,
    commands_of,
    documents,
    parsed,
)

from headrace.adapters.kafka.address import KafkaAddress
from headrace.runtime.loading import load_case

KUBERNETES = DEPLOY / "kubernetes"
LAYERS = ["base", "service", "workers"]
#: The oldest version that has all that is used, and the newest whose schemas there are.
VERSIONS = ["1.34", kubernetes_validate.latest_version()]
#: Kinds of extensions, whose schemas are not Kubernetes' own.
EXTENSIONS = {"ScaledObject"}
#: Not in a kustomization's list of resources: read by it otherwise, or by people alone.
BESIDE = {"kustomization.yaml", "secret.example.yaml"}


def kustomization(layer: str) -> dict[str, Any]:
    (found,) = documents(KUBERNETES / layer / "kustomization.yaml")
    return found  # type: ignore[no-any-return]  # as YAML has it


def resources() -> list[tuple[str, dict[str, Any]]]:
    """Every document, by the layer it is in."""
    return [
        (layer, found)
        for layer in LAYERS
        for path in sorted((KUBERNETES / layer).glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for found in documents(path)
    ]


def of_kind(layer: str, kind: str) -> dict[str, Any]:
    (found,) = [found for at, found in resources() if at == layer and found["kind"] == kind]
    return found


def named(value: object) -> str:
    return f"{value['kind']}" if isinstance(value, dict) else str(value)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("layer", "resource"), resources(), ids=named)
def test_schemas_take_it(layer: str, resource: dict[str, Any], version: str) -> None:
    if resource["kind"] in EXTENSIONS:
        with pytest.raises(kubernetes_validate.SchemaNotFoundError):
            kubernetes_validate.validate(resource, version, strict=True)
    else:
        assert kubernetes_validate.validate(resource, version, strict=True), layer


def test_schemas_would_find_what_is_wrong() -> None:
    wrong = of_kind("service", "StatefulSet")
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_kustomization_has_every_file_beside_it(layer: str) -> None:
    listed = {name for name in kustomization(layer)["resources"] if not name.startswith("..")}
    assert listed == {path.name for path in (KUBERNETES / layer).glob("*.yaml")} - BESIDE


@pytest.mark.parametrize("layer", ["service", "workers"])
def test_kustomize_builds_it(layer: str) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl: install it to see what kustomize makes of the manifests")
    done = subprocess.run(
        [kubectl, "kustomize", KUBERNETES / layer], capture_output=True, text=True, check=True
    )
    made = list(yaml.safe_load_all(done.stdout))
    assert {found["kind"] for found in made} > {"Namespace", "ConfigMap", "StatefulSet"}
    maps = {found["metadata"]["name"] for found in made if found["kind"] == "ConfigMap"}
    for found in made:
        if found["kind"] not in EXTENSIONS:
            kubernetes_validate.validate(found, VERSIONS[-1], strict=True)
        if found["kind"] != "Namespace":
            assert found["metadata"]["namespace"] == "headrace"
        if found["kind"] == "StatefulSet":
            pod = found["spec"]["template"]["spec"]
            used = {
                volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume
            }
            assert used
            assert used <= maps
            for container in (*pod["initContainers"], *pod["containers"]):
                assert container["image"] == "registry.example/headrace:0.1.0"


@pytest.mark.parametrize("layer", ["service", "workers"])
def test_pods_fit_the_restricted_profile(layer: str) -> None:
    """What the namespace enforces (Pod Security Standards, `restricted`), and more."""
    labels = of_kind("base", "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    pod = of_kind(layer, "StatefulSet")["spec"]["template"]["spec"]
    user, group = (int(part) for part in stages()[1].all("USER")[0].split(":"))
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert (security["runAsUser"], security["fsGroup"]) == (user, group)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
    kinds = {next(iter(set(volume) - {"name"})) for volume in pod["volumes"]}
    assert kinds <= {"configMap", "emptyDir", "secret", "persistentVolumeClaim"}


@pytest.mark.parametrize("layer", ["service", "workers"])
def test_what_points_at_pods_finds_them(layer: str) -> None:
    owner = of_kind(layer, "StatefulSet")
    labels = owner["spec"]["template"]["metadata"]["labels"]
    assert owner["spec"]["selector"]["matchLabels"] == labels
    assert of_kind(layer, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert of_kind(layer, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    account = owner["spec"]["template"]["spec"]["serviceAccountName"]
    assert account == of_kind("base", "ServiceAccount")["metadata"]["name"]


@pytest.mark.parametrize("layer", ["service", "workers"])
def test_a_pod_mounts_what_it_has_and_has_what_headrace_writes(layer: str) -> None:
    owner = of_kind(layer, "StatefulSet")["spec"]
    pod = owner["template"]["spec"]
    has = {volume["name"] for volume in (*pod["volumes"],)}
    has |= {claim["metadata"]["name"] for claim in owner["volumeClaimTemplates"]}
    for container in (*pod["initContainers"], *pod["containers"]):
        assert {mount["name"] for mount in container["volumeMounts"]} <= has
    (main,) = pod["containers"]
    writable = {
        mount["mountPath"] for mount in main["volumeMounts"] if not mount.get("readOnly", False)
    }
    home = stages()[1].environment["HEADRACE_HOME"]
    assert writable == {home, f"{home}/keys", "/tmp"}  # noqa: S108 - the container's


@pytest.mark.parametrize("layer", ["service", "workers"])
def test_headrace_takes_its_commands(layer: str) -> None:
    (main,) = of_kind(layer, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    assert parsed(main["args"]) == main["args"][0]


def test_the_service_is_reached_and_asked_where_it_answers() -> None:
    (main,) = of_kind("service", "StatefulSet")["spec"]["template"]["spec"]["containers"]
    (port,) = main["ports"]
    assert str(port["containerPort"]) == stages()[1].all("EXPOSE")[0]
    (way,) = of_kind("service", "Service")["spec"]["ports"]
    assert way["targetPort"] == port["name"]
    (entry,) = of_kind("service", "NetworkPolicy")["spec"]["ingress"]
    assert entry["ports"] == [{"protocol": "TCP", "port": port["name"]}]
    paths = [
        main[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "readiness", "liveness")
    ]
    assert paths == ["/healthz", "/readyz", "/healthz"]


def test_a_lane_has_one_writer() -> None:
    owner = of_kind("service", "StatefulSet")["spec"]
    assert owner["replicas"] == 1
    assert owner["volumeClaimTemplates"][0]["spec"]["accessModes"] == ["ReadWriteOncePod"]


def test_workers_share_a_topic_under_names_that_stay() -> None:
    scaled = of_kind("workers", "ScaledObject")["spec"]
    assert scaled["minReplicaCount"] == 0
    assert scaled["maxReplicaCount"] > 1
    (main,) = of_kind("workers", "StatefulSet")["spec"]["template"]["spec"]["containers"]
    source = main["args"][main["args"].index("--source") + 1]
    pod = {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    assert pod in main["env"]
    address = source.replace("$(SERVERS)", "kafka:9092").replace("$(SOURCE)", "payments")
    found = KafkaAddress.of(address)
    assert "single" not in found.settings
    assert found.client == {"group.instance.id": "$(POD_NAME)"}


def test_the_scaler_looks_at_what_the_worker_reads() -> None:
    scaled, owner = of_kind("workers", "ScaledObject")["spec"], of_kind("workers", "StatefulSet")
    assert scaled["scaleTargetRef"] == {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
    }
    assert "replicas" not in owner["spec"], "the scaler would be overruled at each apply"
    (generated,) = kustomization("workers")["configMapGenerator"]
    topics = dict(literal.split("=", 1) for literal in generated["literals"])
    (trigger,) = scaled["triggers"]
    assert trigger["metadata"]["bootstrapServers"] == topics["SERVERS"]
    assert trigger["metadata"]["topic"] == topics["SOURCE"]
    case = load_case(str(KUBERNETES / "base" / "case.py"))
    assert trigger["metadata"]["consumerGroup"] == f"headrace.{case.name}"
    assert topics["SOURCE"] == case.plan.on


def test_the_how_to_names_what_there_is() -> None:
    found = commands_of("run-on-kubernetes.md", "kubectl")
    layers = [words[words.index("--kustomize") + 1] for words in found if "--kustomize" in words]
    assert [ROOT / layer for layer in layers] == [KUBERNETES / "service", KUBERNETES / "workers"]
