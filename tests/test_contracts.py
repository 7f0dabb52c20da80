"""Each contract on who may import whom is broken once, in a copy, and must be seen to be broken."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = [
    contract["name"]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
]

VIOLATIONS = [
    ("inside a version, imports point down", "v1/keys.py", "from . import store"),
    ("inside a version, imports point down", "v1/routes/__init__.py", "from .. import app"),
    ("inside a version, imports point down", "v1/nowhere.py", "pass"),
    ("inside the worker, imports point down", "worker/tick.py", "from worker.sources import kraken"),
    ("inside the worker, imports point down", "worker/nowhere.py", "pass"),
    ("a version does not know who feeds it", "v1/app.py", "import worker"),
    ("the worker names a version in one place", "worker/tick.py", "from v1.model import Metric"),
    ("what is pure stays pure", "v1/moments.py", "import redis"),
    ("what is pure stays pure", "v1/keys.py", "import asyncio"),
    ("the clock knows no network", "worker/beats.py", "import aiohttp"),
    ("only the store speaks Redis", "v1/app.py", "from redis.asyncio import Redis"),
    ("only the store speaks Redis", "worker/tick.py", "import redis"),
    ("only sources and notifiers speak HTTP to the outside", "worker/tick.py", "import aiohttp"),
    ("only sources and notifiers speak HTTP to the outside", "v1/app.py", "from aiohttp import ClientSession"),
    ("one channel knows Apprise", "worker/notify/webhook.py", "import apprise"),
    ("only the archive speaks SQL", "v1/store/reader.py", "from sqlalchemy import text"),
    ("only routes and the application know FastAPI", "v1/store/reader.py", "from fastapi import Depends"),
    ("inside the worker, imports point down", "worker/sampling/sampler.py", "from worker.archiving import archiver"),
    ("inside the worker, imports point down", "worker/backfill/service.py", "from worker.sampling import sampler"),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in ("v1", "worker"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def broken_in(folder: Path) -> set[str]:
    """Return the names of the contracts that are broken in a checkout."""
    linter = Path(sys.executable).with_name("lint-imports")
    said = subprocess.run(
        [sys.executable, linter, "--no-cache", "--no-logo"], cwd=folder, capture_output=True, text=True
    ).stdout

    assert set(re.findall(r"^(.+) (?:KEPT|BROKEN)", said, re.MULTILINE)) == set(CONTRACTS), said
    return set(re.findall(r"^(.+) BROKEN", said, re.MULTILINE))


def test_nobody_imports_whom_he_may_not(copy: Path):
    assert broken_in(copy) == set()


@pytest.mark.parametrize("contract, path, line", VIOLATIONS, ids=lambda word: word)
def test_a_broken_contract_is_noticed(copy: Path, contract: str, path: str, line: str):
    with (copy / path).open("a") as module:
        module.write(f"\n{line}\n")

    assert contract in broken_in(copy)


def test_every_contract_is_tried():
    assert {contract for contract, _, _ in VIOLATIONS} == set(CONTRACTS)
