"""
The container files, as far as they can be tried without an engine: they say what exists, and what the image
would install and run is installed and run.
"""

import asyncio
import json
import os
import re
import shlex
import ssl
import subprocess
import sys
import sysconfig
import tarfile
import time
import urllib.request
import zipfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis.exceptions import ConnectionError as NoConnection
from sqlalchemy import make_url

from tests.support import servers
from tests.support.certificates import make_certificate
from tests.support.cluster import find_ports
from v1 import __version__
from v1.settings import Settings
from v1.store import config_check, connect, keys
from worker.embedded.cluster.addresses import NodeAddress
from worker.embedded.cluster.forming import form_cluster, open_clients
from worker.settings import WorkerSettings

ROOT = Path(__file__).resolve().parents[1]
NEWEST = (ROOT / "latest").resolve().name
DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
SETTINGS = {f"TRACKER_{name.upper()}" for name in WorkerSettings.model_fields}
START_SECONDS = 60.0


def said_by_the_image(instruction: str) -> list[str]:
    """Return the words after each such instruction of the last stage."""
    return re.findall(rf"^{instruction} (.+)$", DOCKERFILE.rpartition("FROM ")[2], re.MULTILINE)


ENVIRONMENT = dict(word.split("=", 1) for word in shlex.split(said_by_the_image("ENV")[0]))
COMMAND: list[str] = json.loads(said_by_the_image("CMD")[0])
HEALTH: list[str] = json.loads(said_by_the_image("HEALTHCHECK")[0].partition("CMD ")[2])


def interpolated(value: str, given: Mapping[str, str]) -> str:
    """
    Return a value of the Compose file as Compose reads it: `${NAME:-else}` and `${NAME:+instead}`, one in another.

    https://github.com/compose-spec/compose-spec/blob/main/12-interpolation.md
    """
    innermost = re.compile(r"\$\{(\w+):([-+])([^${}]*)\}")
    while found := innermost.search(value):
        name, sign, word = found.groups()
        known = given.get(name, "")
        value = value.replace(found[0], (known or word) if sign == "-" else (word if known else ""))
    return value


def test_the_compose_file_is_one():
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]

    checked = subprocess.run(check, cwd=ROOT, capture_output=True, text=True)

    assert checked.returncode == 0, checked.stdout


def test_every_setting_in_the_container_files_exists():
    in_compose = {name for part in ("worker", "api") for name in SERVICES[part]["environment"]}
    in_image = {name for name in ENVIRONMENT if name.startswith("TRACKER_")}

    assert in_compose | in_image <= SETTINGS


@pytest.mark.parametrize("service, kind", [("api", Settings), ("worker", WorkerSettings)])
def test_a_service_of_the_compose_file_starts_with_the_settings_it_is_given(
    service: str, kind: type[Settings], clean: pytest.MonkeyPatch
):
    for name, value in {**ENVIRONMENT, **SERVICES[service]["environment"]}.items():
        clean.setenv(name, interpolated(value, {}))

    settings = kind.load()

    assert settings.redis_address == "redis://redis:6379/0"
    assert settings.archive_address == "sqlite+aiosqlite:////data/archive.db"


@pytest.mark.parametrize("service, kind", [("api", Settings), ("worker", WorkerSettings)])
def test_with_its_profile_the_archive_is_in_the_postgres_of_the_compose_file(
    service: str, kind: type[Settings], clean: pytest.MonkeyPatch
):
    database = SERVICES["postgres"]
    profiles = {"COMPOSE_PROFILES": database["profiles"][0]}
    for name, value in {**ENVIRONMENT, **SERVICES[service]["environment"]}.items():
        clean.setenv(name, interpolated(value, profiles))

    found = make_url(kind.load().archive_address)

    assert (found.host, found.username, found.database) == (
        "postgres",
        database["environment"]["POSTGRES_USER"],
        database["environment"]["POSTGRES_DB"],
    )
    assert SERVICES[service]["depends_on"]["postgres"] == {"condition": "service_healthy", "required": False}


def test_a_database_of_ones_own_is_used_whatever_the_profile():
    own = {"COMPOSE_PROFILES": "postgres", "TRACKER_DATABASE_URL": "postgresql+asyncpg://db.example.org/tracker"}

    given = interpolated(SERVICES["worker"]["environment"]["TRACKER_DATABASE_URL"], own)

    assert given == own["TRACKER_DATABASE_URL"]


@pytest.mark.parametrize(
    "given, shares",
    [
        ({}, False),
        ({"REDIS_URL": "redis://node-1:6379,node-2:6379"}, True),
        ({"REDIS_URL": "redis://node-1:6379,node-2:6379", "TRACKER_SHARE": "no"}, False),
    ],
    ids=["one node", "a cluster", "as it is said"],
)
def test_workers_share_a_cluster_and_stand_by_on_one_node(
    given: Mapping[str, str], shares: bool, clean: pytest.MonkeyPatch
):
    for name, value in SERVICES["worker"]["environment"].items():
        clean.setenv(name, interpolated(value, given))

    assert WorkerSettings.load().share is shares


def test_the_example_of_settings_names_every_one_with_its_default(clean: pytest.MonkeyPatch):
    example = re.findall(r"^#(TRACKER_\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    default = WorkerSettings.load()
    for name, value in example:
        clean.setenv(name, value)

    assert {name for name, _ in example} == SETTINGS
    assert WorkerSettings.load() == default


PUBLISHED = "PUBLISH_ADDRESS", "PUBLISH_PORT", "EDGE_ADDRESS", "EDGE_PORT", "CONFIG"
SERVERS = "REDIS_MAXMEMORY", "NODE_MAXMEMORY", "REDIS_URL"
NODES = sorted(name for name in SERVICES if name.startswith("node-"))
MEMORY = {name: f"{name.partition('-')[0].upper()}_MEMORY" for name in SERVICES}


@pytest.mark.parametrize(
    "given, port",
    [({}, "127.0.0.1:8000:8000"), ({"PUBLISH_ADDRESS": "0.0.0.0", "PUBLISH_PORT": "80"}, "0.0.0.0:80:8000")],
)
def test_the_port_is_published_where_it_is_said_and_else_on_this_machine_alone(given: Mapping[str, str], port: str):
    assert [interpolated(each, given) for each in SERVICES["api"]["ports"]] == [port]


@pytest.mark.parametrize(
    "given, port",
    [({}, "127.0.0.1:8080:8080"), ({"EDGE_ADDRESS": "0.0.0.0", "EDGE_PORT": "80"}, "0.0.0.0:80:8080")],
)
def test_nginx_is_there_by_its_profile_alone_and_listens_where_it_is_published(given: Mapping[str, str], port: str):
    edge = SERVICES["edge"]
    mounted = {inside: path for path, inside, _ in (volume.split(":") for volume in edge["volumes"])}
    configuration = (ROOT / mounted["/etc/nginx/nginx.conf"]).read_text()

    assert edge["profiles"] == ["edge"]
    assert [interpolated(each, given) for each in edge["ports"]] == [port]
    assert f"listen {port.rpartition(':')[2]};" in configuration
    assert f"server api:{SERVICES['api']['environment']['TRACKER_BIND'].rpartition(':')[2]};" in configuration
    for name in set(re.findall(r"include (data-tracker/[\w.]+);", configuration)):
        assert (ROOT / mounted["/etc/nginx/data-tracker"] / Path(name).name).is_file()


def test_every_container_has_a_limit_of_memory_and_of_logs():
    for name, service in SERVICES.items():
        assert interpolated(service["mem_limit"], {MEMORY[name]: "3g"}) == "3g"
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}


@pytest.mark.parametrize("service, kind", [("api", Settings), ("worker", WorkerSettings)])
def test_a_settings_file_rules_and_secrets_are_found_in_the_folder_that_is_mounted(
    service: str, kind: type[Settings], clean: pytest.MonkeyPatch, tmp_path: Path
):
    told = SERVICES[service]
    (mount,) = [interpolated(each, {"CONFIG": str(tmp_path)}) for each in told["volumes"] if "CONFIG" in each]
    for name, value in {**ENVIRONMENT, **told["environment"]}.items():
        clean.setenv(name, interpolated(value, {}))
    (tmp_path / "tracker.toml").write_text('interval = 5\napi_keys_file = "keys"\n')
    (tmp_path / "keys").write_text("a-key-of-16-or-more\n")

    settings = kind.load()

    assert mount == f"{tmp_path}:{told['working_dir']}:ro"
    assert (settings.interval, settings.api_keys) == (5, ("a-key-of-16-or-more",))


def test_the_page_about_containers_names_every_variable_of_the_compose_file():
    text = (ROOT / "docker-compose.yml").read_text()
    page = (ROOT / "docs" / "how-to" / "containers.md").read_text()

    names = {name for name in re.findall(r"\$\{(\w+)", text) if not name.startswith("TRACKER_")}

    assert names == {*PUBLISHED, *SERVERS, *MEMORY.values(), "COMPOSE_PROFILES"}
    assert all(f"`{name}`" in page for name in names)


def test_the_image_serves_the_version_that_latest_points_at():
    assert ["python", "-m", (ROOT / "latest").resolve().name] == COMMAND


def test_the_builder_is_sent_what_it_copies_and_nothing_else():
    sent = set(re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    copied = {word for line in re.findall(r"^COPY ([^-].+)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]}

    assert sent == copied
    assert all((ROOT / name).exists() for name in copied)


async def test_the_redis_of_the_compose_file_lacks_nothing(tmp_path: Path, server_binary: Path):
    port = servers.free_port()
    outside = dict(volume.split(":")[1::-1] for volume in SERVICES["redis"]["volumes"] if volume.startswith("./"))
    here = {"redis-server": str(server_binary), "/data": str(tmp_path), "6379": str(port)} | {
        inside: str(ROOT / path) for inside, path in outside.items()
    }
    command = [here.get(word, word) for word in (interpolated(each, {}) for each in SERVICES["redis"]["command"])]

    address = f"redis://127.0.0.1:{port}/0"

    async def answers() -> bool:
        try:
            async with connect(address, "tests") as redis:
                return bool(await redis.ping())
        except NoConnection:
            return False

    with running(command, tmp_path) as process:
        await until(answers, process)
        lacks = await config_check.check_config(address)

    assert lacks == []
    assert (tmp_path / "appendonlydir").is_dir()


def test_the_nodes_of_the_profile_are_those_that_are_made_one_cluster():
    forming = SERVICES["cluster"]["command"]
    example = re.findall(r"REDIS_URL=(\S+) docker compose --profile cluster", (ROOT / "docker-compose.yml").read_text())

    assert [word.partition(":")[0] for word in forming if word.startswith("node-")] == NODES
    assert [*SERVICES["cluster"]["depends_on"]] == NODES
    assert {*NODES, "cluster"} == {name for name, each in SERVICES.items() if each.get("profiles") == ["cluster"]}
    assert example == ["redis://node-1:6379,node-2:6379,node-3:6379"]
    for name in NODES:
        assert SERVICES[name]["command"] == [name]
        assert f"{name}:/data" in SERVICES[name]["volumes"]
        assert name in COMPOSE["volumes"]
    for part in ("worker", "api"):
        address = SERVICES[part]["environment"]["TRACKER_REDIS_URL"]
        assert interpolated(address, {"REDIS_URL": example[0]}) == example[0]
        assert SERVICES[part]["depends_on"]["cluster"] == {
            "condition": "service_completed_successfully",
            "required": False,
        }


async def test_the_nodes_of_the_compose_file_become_a_cluster_that_lacks_nothing(tmp_path: Path, server_binary: Path):
    (configuration,) = {SERVICES[name]["volumes"][0].partition(":")[0] for name in NODES}
    addresses = []
    with ExitStack() as started:
        for name in NODES:
            address, folder = NodeAddress("127.0.0.1", *find_ports()), tmp_path / name
            folder.mkdir()
            here = {
                "redis-server": str(server_binary),
                "/data": str(folder),
                "6379": str(address.port),
                "/etc/redis.conf": str(ROOT / configuration),
            }
            words = [*SERVICES[name]["entrypoint"], *SERVICES[name]["command"], "--cluster-port", str(address.bus_port)]
            command = [here.get(word, word) for word in (interpolated(each, {}) for each in words)]
            started.enter_context(running(command, folder))
            addresses.append(address)
        await form_cluster(addresses, 3)
        async with open_clients(addresses) as opened:
            nodes = dict(zip(map(str, addresses), opened, strict=True))
            lacks = await config_check.list_lacks_of_nodes(nodes, [*nodes])
            first, *_ = nodes.values()
            shards = await first.execute_command("CLUSTER", "SHARDS")

    assert lacks == []
    assert sorted(node["endpoint"] for shard in shards for node in shard["nodes"]) == NODES


def test_the_wheel_holds_the_version_and_the_worker_and_no_latest(wheel: Path):
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()

    assert {name.split("/")[0] for name in names} == {"v1", "worker", f"data_tracker-{__version__}.dist-info"}
    here = {str(path.relative_to(ROOT)) for room in ("v1", "worker") for path in (ROOT / room).rglob("*.py")}
    assert here <= set(names)


@pytest.mark.parametrize("packed", ["wheel", "sdist"])
def test_what_is_installed_holds_all_that_a_command_needs(packed: str, request: pytest.FixtureRequest):
    names = names_in(request.getfixturevalue(packed))
    needed = ["worker/backup/backup.py", "worker/backup/restore.py", "worker/embedded/redis.conf"]
    needed += [str(path.relative_to(ROOT)) for path in (ROOT / NEWEST / "page").rglob("*.*")]
    needed += [str(path.relative_to(ROOT)) for path in (ROOT / NEWEST / "archive" / "migrations").rglob("*.py")]

    assert set(needed) - names == set()
    assert any("/page/" in name for name in needed)
    assert any("/versions/" in name for name in needed)
    assert not any(name.startswith("latest") for name in names)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", ["backup", "restore"])
def test_the_image_has_the_commands_for_backups(installed: Path, tmp_path: Path, command: str):
    environment = environment_of(installed, {"TRACKER_DATA_DIR": str(tmp_path / "data")})

    helped, tried = [
        subprocess.run(
            ["python", "-m", "worker", command, word], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        for word in ("--help", "saved")
    ]

    assert helped.stdout.startswith(f"Usage: python -m worker {command} [OPTIONS] {{FOLDER}}\n")
    assert tried.returncode in {1, 2}
    assert re.fullmatch("there is no database in .+: nothing to back up|.+saved is no backup: .+", tried.stderr.strip())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_image_answers_its_health_check_and_stops_when_told(
    installed: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, server: str, scheme: str
):
    given = {"TRACKER_REDIS_URL": server}
    if scheme == "https":
        files = make_certificate(tmp_path_factory.mktemp("certificate"))
        given |= {"TRACKER_TLS_CERT": str(files.certificate), "TRACKER_TLS_KEY": str(files.key)}
    environment = environment_of(installed, given)
    address = f"{scheme}://{environment['TRACKER_BIND']}"
    trusted = ssl.create_default_context(cafile=given.get("TRACKER_TLS_CERT"))

    async def is_healthy() -> bool:
        return subprocess.run(HEALTH, env=environment, capture_output=True).returncode == 0

    with running(COMMAND, tmp_path, environment) as api:
        await until(is_healthy, api)
        live = urllib.request.urlopen(f"{address}/health/live", context=trusted).status
        page = urllib.request.urlopen(f"{address}/docs", context=trusted).read()
        api.terminate()
        code = api.wait(timeout=START_SECONDS)

    assert (live, code) == (200, 0)
    assert b"swagger" in page
    assert [path.name for path in tmp_path.iterdir()] == ["log"], "it needs no place to write"


@pytest.mark.timeout(300)
async def test_the_image_runs_the_worker_as_the_compose_file_does(installed: Path, tmp_path: Path, server: str):
    environment = environment_of(
        installed, {"TRACKER_REDIS_URL": server, "TRACKER_SOURCES": "simulated", "TRACKER_DATA_DIR": str(tmp_path)}
    )

    async def feeds() -> bool:
        async with connect(server, "tests") as redis:
            tick, archive = await redis.mget(keys.TICK, keys.ARCHIVE)
        return bool(tick and archive) and json.loads(archive)["state"] == "ok"

    with running(SERVICES["worker"]["command"], tmp_path, environment) as worker:
        await until(feeds, worker)
        worker.terminate()
        code = worker.wait(timeout=START_SECONDS)

    assert code == 0
    assert (tmp_path / "archive.db").is_file()


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without settings, in a folder without an .env."""
    for name in [name for name in os.environ if name.startswith("TRACKER_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.tar.gz"))


def names_in(package: Path) -> set[str]:
    """Return the names of the files in a wheel, or in a source archive without its first folder."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as packed:
            return set(packed.namelist())
    with tarfile.open(package) as packed:
        return {name.partition("/")[2] for name in packed.getnames()}


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """
    An environment as the image's: the locked requirements and the wheel.

    In CI the requirements are installed as the image does it; elsewhere those of the running tests are lent.
    """
    folder = tmp_path_factory.mktemp("image") / "venv"
    tools = folder.with_name("tools")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    subprocess.run([sys.executable, "-m", "venv", tools], check=True)
    pip: list[str | Path] = [tools / "bin" / "pip", "--quiet", "--python", folder, "install", "--no-deps"]
    if os.environ.get("CI"):
        subprocess.run([*pip, "--require-hashes", "-r", ROOT / "requirements.txt"], check=True)
    else:
        packages = next(folder.glob("lib/python*/site-packages"))
        (packages / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    subprocess.run([*pip, "--no-index", wheel], check=True)
    return folder


def environment_of(installed: Path, given: Mapping[str, str]) -> dict[str, str]:
    """Return the image's environment: no home, no settings but its own and those given."""
    image = {name: value.replace("/opt/venv", str(installed)) for name, value in ENVIRONMENT.items()}
    image["PATH"] = image["PATH"].replace("$PATH", os.defpath)
    return {**image, "TRACKER_BIND": f"127.0.0.1:{servers.free_port()}", **given}


@contextmanager
def running(
    command: list[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


async def until(is_so: Callable[[], Awaitable[bool]], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not await is_so():
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline, "it does not come up"
        await asyncio.sleep(0.05)
