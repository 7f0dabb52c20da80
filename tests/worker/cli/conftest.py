"""Commands that run in the process of their tests."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.loopback import providers, serving
from tests.support.shared import shared
from worker.settings import WorkerSettings


@pytest.fixture(autouse=True)
def own_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command that runs in this process leave its log as it is: other tests read what is logged."""
    monkeypatch.setattr("worker.cli.process.configure_logs", lambda _: None)


@pytest.fixture
def nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment of whoever runs this, nor files beside him."""
    for name in WorkerSettings.model_fields:
        monkeypatch.delenv(f"TRACKER_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def exchange() -> web.Application:
    return providers(shared("recorded"), time.time)


@pytest.fixture
async def base(exchange: web.Application) -> AsyncIterator[str]:
    async with serving(exchange) as served:
        yield served
