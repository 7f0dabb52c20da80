"""
Clients are generated from the OpenAPI document, and used: in Python against a running API, in TypeScript by its compiler.

Each generator is installed once, from a lock file in `tests/clients`, into the cache of pytest. The Python one wants
an older library than we do, so it lives in an environment of its own.
"""

import asyncio
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support import missing
from tests.support.serving import Api, every_minute, fill

CLIENTS = Path(__file__).resolve().parents[1] / "clients"
USE = """
import sys
from client import Client
from client.api.metrics import (
    get_history, get_history_csv, get_metric, get_snapshot, get_snapshot_arrow, list_history,
)
from client.api.rules import backtest_rules, create_rule, get_rule, list_rules
from client.models import (
    BacktestRequest, ChangeRule, HistoryView, Measure, MetricDetail, NewChangeRule, NewThresholdAboveRule, Problem,
    RatioRule, StaleRule, ThresholdRule,
)

client = Client(base_url=sys.argv[1])
history = get_history.sync("KRAKEN:BTCUSD", client=client, from_="-10m", measure=Measure.PRICE)
assert isinstance(history, HistoryView) and history.points[-1][1] == 89, history
assert get_history_csv.sync("KRAKEN:BTCUSD", client=client).startswith("tick,price")
assert isinstance(get_metric.sync("KRAKEN:BTCUSD", client=client), MetricDetail)
snapshot = get_snapshot.sync(client=client, metrics="KRAKEN:*", measures="price,volume")
assert [row.value for row in snapshot.rows] == [89, None], snapshot
assert snapshot.rows[0].rank == 1 and snapshot.rows[0].sparkline is None, snapshot
several = list_history.sync(client=client, metrics="KRAKEN:*", measures="price,volume", from_="-10m")
assert several.series[0].points[-1][1:] == [89, None], several
assert get_snapshot_arrow.sync(client=client)[:4] == bytes([255] * 4)
problem = get_metric.sync("KRAKEN:BTCUSDT", client=client)
assert isinstance(problem, Problem) and problem.errors[0].accepted == "KRAKEN:BTCUSD", problem
made = create_rule.sync(client=client, body=NewThresholdAboveRule(id="high", kind="threshold", above=50000))
assert isinstance(made, ThresholdRule) and (made.above, made.below, made.for_) == (50000, None, 0), made
assert isinstance(get_rule.sync("stale", client=client), StaleRule)
kinds = {type(rule) for rule in list_rules.sync(client=client).rules}
assert kinds == {RatioRule, StaleRule, ThresholdRule}, kinds
asked = BacktestRequest(rules=[NewChangeRule(id="jump", kind="change", percent=5)])
found = backtest_rules.sync(client=client, body=asked)
assert found.samples == 90 and found.rules[0].matches == 1, found
"""


def installed(config: pytest.Config, lock: str, commands: Callable[[Path], Sequence[Sequence[str]]]) -> Path:
    """Return a folder with what a lock file names; it is made where there is none of that lock yet."""
    digest = hashlib.sha256((CLIENTS / lock).read_bytes()).hexdigest()[:16]
    folder = Path(config.cache.mkdir("clients")) / f"{lock.partition('.')[0]}-{digest}"
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for command in commands(unfinished):
            run = subprocess.run(command, cwd=unfinished, capture_output=True, text=True)
            if run.returncode:
                missing.skip_without_packages(lock, run.stderr.strip()[-300:])
        unfinished.rename(folder)
    return folder


async def run(*command: str | Path, cwd: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()

    assert process.returncode == 0, said.decode()
    return said.decode()


@pytest.fixture
async def document(api: Api, writer, tmp_path: Path) -> Path:
    await fill(writer, {"KRAKEN:BTCUSD": every_minute([str(minute) for minute in range(90)])})
    path = tmp_path / "openapi.json"
    path.write_text((await api.get("/openapi.json")).text)
    return path


@pytest.mark.timeout(300)  # the first time it is installed
async def test_a_python_client_is_generated_and_knows_every_answer(
    api: Api, document: Path, tmp_path: Path, pytestconfig: pytest.Config
):
    lock = "requirements.txt"
    folder = installed(
        pytestconfig,
        lock,
        lambda into: [
            [sys.executable, "-m", "venv", str(into)],
            [
                *(f"{into}/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *("--require-hashes", "--requirement", str(CLIENTS / lock)),
            ],
        ],
    )
    python = folder / "bin" / "python"

    said = await run(
        *(python, "-m", "openapi_python_client", "generate", "--path", document, "--meta", "none"),
        *("--config", CLIENTS / "openapi-python-client.yaml", "--output-path", tmp_path / "client"),
        "--fail-on-warning",
        cwd=tmp_path,
    )
    await run(python, "-c", USE, api.url, cwd=tmp_path)

    assert "WARNING" not in said
    names = [path.stem for path in (tmp_path / "client").rglob("*.py")]
    assert [name for name in names if "_type_" in name or len(name) > 40] == ["top_role_health_faults_type_0"]


@pytest.mark.timeout(300)  # the first time it is installed
async def test_a_typescript_client_is_generated_and_its_compiler_knows_every_answer(
    document: Path, tmp_path: Path, pytestconfig: pytest.Config
):
    if missing.program("npm") is None:
        missing.skip("npm")
    lock = "package-lock.json"
    folder = installed(pytestconfig, lock, lambda into: [["sh", "-c", NPM, "sh", str(CLIENTS), str(into)]])
    (tmp_path / "node_modules").symlink_to(folder / "node_modules")
    shutil.copy(CLIENTS / "client.ts", tmp_path)
    binaries = folder / "node_modules" / ".bin"

    await run(binaries / "openapi-typescript", document, "--output", tmp_path / "api.d.ts", cwd=tmp_path)

    await run(
        *(binaries / "tsc", "--strict", "--noEmit", "--skipLibCheck", "--target", "es2022", "--module", "esnext"),
        *("--moduleResolution", "bundler", "client.ts"),
        cwd=tmp_path,
    )


NPM = 'cp "$1"/package*.json "$2" && npm ci --silent --no-audit --no-fund'
