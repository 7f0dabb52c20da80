"""The manifests for Kubernetes: valid, in agreement with each other and with the settings, and tried as far as they go."""

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml

from tests.support.cluster import find_ports
from tests.test_containers import running
from v1.settings import Settings
from v1.store import config_check
from worker.embedded.cluster.addresses import NodeAddress
from worker.embedded.cluster.forming import form_cluster, open_clients
from worker.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.30", "1.33", kubernetes_validate.latest_version())
PAGE = ROOT / "docs" / "how-to" / "cluster.md"
SECRET_PASSWORD = "of-the-nodes"


def read_documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object of each manifest, with its kind and name."""
    for path in sorted(FOLDER.glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if path.name != "kustomization.yaml":
                yield f"{document['kind']}/{document['metadata']['name']}", document


OBJECTS = dict(read_documents())
PODS = {name: each["spec"]["template"] for name, each in OBJECTS.items() if "template" in each.get("spec", {})}
CONTAINERS = {name: pod["spec"]["containers"][0] for name, pod in PODS.items()}
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())


def references(found: object, kind: str) -> Iterator[dict[str, Any]]:
    """Yield each reference of a kind, such as `secretKeyRef`, anywhere in an object."""
    if isinstance(found, dict):
        if kind in found:
            yield found[kind]
        for each in found.values():
            yield from references(each, kind)
    elif isinstance(found, list):
        for each in found:
            yield from references(each, kind)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OBJECTS)
def test_each_object_is_valid_in_each_version_that_is_in_use(name: str, version: str):
    kubernetes_validate.validate(OBJECTS[name], version, strict=True)


def test_a_field_that_does_not_exist_would_be_noticed():
    broken = yaml.safe_load(yaml.safe_dump(OBJECTS["StatefulSet/redis"]))
    broken["spec"]["template"]["spec"]["containers"][0]["livenes"] = {}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


def test_the_list_of_manifests_names_each_and_the_configuration_of_the_nodes_exists():
    (generated,) = KUSTOMIZATION["configMapGenerator"]
    name, _, path = generated["files"][0].partition("=")

    assert sorted(KUSTOMIZATION["resources"]) == sorted(
        path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml"
    )
    assert (FOLDER / path).resolve() == ROOT / "worker" / "embedded" / "redis.conf"
    assert CONTAINERS["StatefulSet/redis"]["command"][1] == f"/etc/redis/{name}"


def test_what_is_named_elsewhere_exists():
    configurations = {name.partition("/")[2] for name in OBJECTS if name.startswith("ConfigMap/")}
    configurations |= {each["name"] for each in KUSTOMIZATION["configMapGenerator"]}

    for reference in (*references(OBJECTS, "configMapRef"), *references(OBJECTS, "configMap")):
        assert reference["name"] in configurations
    for name, each in OBJECTS.items():
        if selector := each["spec"].get("selector") if "spec" in each else None:
            labels = selector.get("matchLabels", selector)
            assert [pod for pod in PODS.values() if labels.items() <= pod["metadata"]["labels"].items()], name


def test_the_secret_is_made_by_the_page_with_all_that_is_asked_of_it():
    asked = {each["key"] for each in references(OBJECTS, "secretKeyRef")}
    asked |= {item["key"] for each in references(OBJECTS, "secret") for item in each["items"]}
    text = (FOLDER / "settings.yaml").read_text()

    assert {each["name"] for each in references(OBJECTS, "secretKeyRef")} == {"data-tracker"}
    assert set(re.findall(r"^#   ([\w.-]+)  +\S", text, re.MULTILINE)) == asked
    assert set(re.findall(r"--from-literal=([\w.-]+)=", PAGE.read_text())) == asked


@pytest.mark.parametrize("name, kind", [("Deployment/api", Settings), ("Deployment/worker", WorkerSettings)])
def test_a_deployment_starts_with_the_settings_it_is_given(
    name: str, kind: type[Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    for setting in [each for each in os.environ if each.startswith("TRACKER_")]:
        monkeypatch.delenv(setting)
    monkeypatch.chdir(tmp_path)
    secrets = {
        "redis-url": f"redis://:{SECRET_PASSWORD}@redis-0.redis:6379,redis-1.redis:6379,redis-2.redis:6379",
        "database-url": "postgresql+asyncpg://tracker@postgres/tracker",
        "api-keys": "a-key-of-16-or-more",
    }
    given = dict(OBJECTS["ConfigMap/data-tracker"]["data"])
    for each in CONTAINERS[name]["env"]:
        given[each["name"]] = each.get("value") or secrets[each["valueFrom"]["secretKeyRef"]["key"]]
    for setting, value in given.items():
        monkeypatch.setenv(setting, value)

    settings = kind.load()

    assert {each.removeprefix("TRACKER_").lower() for each in given} <= set(WorkerSettings.model_fields)
    assert settings.redis_address == secrets["redis-url"]
    assert settings.archive_address == secrets["database-url"]
    if isinstance(settings, WorkerSettings):
        assert OBJECTS[name]["spec"]["replicas"] == 1 or settings.share
    if kind is Settings:
        assert settings.is_guarded
        assert settings.bind.endswith(f":{CONTAINERS[name]['ports'][0]['containerPort']}")


def test_every_container_has_probes_limits_and_no_more_rights_than_it_needs():
    for name, container in CONTAINERS.items():
        ports = {each["name"] for each in container.get("ports", ())}
        probes = [container[probe] for probe in ("startupProbe", "livenessProbe") if probe in container]

        assert len(probes) == (0 if name.startswith("Job/") else 2)
        assert {next(iter(references(probe, "port")), "") for probe in probes} <= ports
        assert container["resources"]["limits"]["memory"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert PODS[name]["spec"]["securityContext"]["runAsNonRoot"]
        assert PODS[name]["spec"]["automountServiceAccountToken"] is False


async def test_the_nodes_of_the_manifest_become_a_cluster_that_lacks_nothing(tmp_path: Path, server_binary: Path):
    nodes, container = OBJECTS["StatefulSet/redis"], CONTAINERS["StatefulSet/redis"]
    pods = [f"redis-{number}" for number in range(nodes["spec"]["replicas"])]
    auth = tmp_path / "redis-auth.conf"
    auth.write_text(f"requirepass {SECRET_PASSWORD}\nmasterauth {SECRET_PASSWORD}\n")
    addresses = []
    with ExitStack() as started:
        for pod in pods:
            address, folder = NodeAddress("127.0.0.1", *find_ports()), tmp_path / pod
            folder.mkdir()
            here = {
                "redis-server": str(server_binary),
                "/etc/redis/redis.conf": str(ROOT / "worker" / "embedded" / "redis.conf"),
                "/etc/redis-auth/redis-auth.conf": str(auth),
                "/data": str(folder),
                "6379": str(address.port),
                "$(POD_IP)": "127.0.0.1",
                "$(POD_NAME).redis": f"{pod}.redis",
            }
            words = [*container["command"], *container["args"], "--cluster-port", str(address.bus_port)]
            started.enter_context(running([here.get(word, word) for word in words], folder))
            addresses.append(address)
        await form_cluster(addresses, 3, SECRET_PASSWORD)
        async with open_clients(addresses, SECRET_PASSWORD) as opened:
            clients = dict(zip(map(str, addresses), opened, strict=True))
            lacks = await config_check.list_lacks_of_nodes(clients, [*clients])
            shards = await next(iter(clients.values())).execute_command("CLUSTER", "SHARDS")

    named = [f"{node['endpoint']}:6379" for shard in shards for node in shard["nodes"]]
    assert lacks == []
    assert sorted(named) == [word for word in CONTAINERS["Job/forming"]["args"] if word.endswith(":6379")]
