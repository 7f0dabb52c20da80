"""The top list as people start it: `run --only`, `plan`, and a worker that makes it beside sampling."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.loopback import serving, top_providers
from tests.support.shared import SHARED, shared
from worker.cli.commands import app
from worker.latest import MINUTE
from worker.toplist.roles import TopListStores

ROOT = Path(__file__).resolve().parents[3]


def run(folder: Path, *words: str, **settings: str) -> tuple[int, str, str]:
    """Run a command that ends by itself; return its code, and what it said to whom."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in list(os.environ):
            if name.startswith("TRACKER_"):
                patch.delenv(name)
        for name, value in settings.items():
            patch.setenv(f"TRACKER_{name}", value)
        result = CliRunner().invoke(app, words)
    return result.exit_code, result.stdout, result.stderr


def test_a_plan_is_printed_and_asks_nobody(tmp_path: Path):
    code, said, _ = run(tmp_path, "plan", REDIS_URL="unix:///nowhere/redis.sock", COINMARKETCAP_URL="http://nowhere")

    assert code == 0
    assert "pricing      coinmarketcap, 200 coins for 1 credit, every 5 min" in said


@pytest.mark.parametrize(
    "only, said",
    [
        pytest.param("prices", "--only: 'prices' is not accepted; accepted: sampling, pricing, ranking, merging", id="no role"),
        pytest.param("sampling,", "--only: '' is not accepted", id="nothing"),
        pytest.param("pricing", "--only: TRACKER_COINMARKETCAP_API_KEY is not set", id="without its key"),
        pytest.param("pricing,ranking", "TRACKER_COINMARKETCAP_API_KEY and TRACKER_CRYPTOCOMPARE_API_KEY are not", id="without both"),
    ],
)  # fmt: skip
def test_a_role_that_cannot_run_alone_is_told_in_one_line(tmp_path: Path, only: str, said: str):
    code, _, errors = run(tmp_path, "run", "--only", only)

    assert code == 2
    assert said in errors
    assert errors.count("\n") == 1


async def test_three_roles_make_a_list_at_once_and_stop_when_they_are_told(
    server: str, stores: TopListStores, tmp_path: Path
):
    shared("market-data", "toplists")
    providers = top_providers(SHARED, time.time, coins="april")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    async with serving(providers.app) as base:
        settings = {
            "REDIS_URL": server,
            "DATA_DIR": str(tmp_path),
            "COINMARKETCAP_URL": base,
            "COINMARKETCAP_API_KEY": "key",
            "CRYPTOCOMPARE_URL": base,
            "CRYPTOCOMPARE_API_KEY": "s3cret",
        }
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "worker", "run", "--only", "pricing,ranking", "--only", "merging"],
                cwd=tmp_path,
                env=inherited | {"PYTHONPATH": str(ROOT)} | {f"TRACKER_{name}": each for name, each in settings.items()},
                stdin=subprocess.DEVNULL,
                stderr=log,
            )  # fmt: skip
        try:
            async with asyncio.timeout(60):
                while await stores.top.read_range() is None:
                    assert process.poll() is None, (tmp_path / "log").read_text()
                    await asyncio.sleep(0.05)
        finally:
            process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(process.wait, 20)

    said = (tmp_path / "log").read_text()
    snapshot = await stores.top.read_snapshot(int(time.time()))
    assert code == 0, said
    assert (len(snapshot.coins), snapshot.at % MINUTE) == (100, 0)
    assert "s3cret" not in said
    assert "every='300 s'" in said
