"""Each contract on who may import whom is broken once, in a copy, and must be seen to be broken."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINTER = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = [contract["name"] for contract in LINTER["contracts"]]

VIOLATIONS = [
    ("inside a version, imports point down", "v1/rules/rule.py", "from .. import store"),
    ("inside a version, imports point down", "v1/routes/__init__.py", "from .. import server"),
    ("inside a version, imports point down", "v1/nowhere.py", "pass"),
    ("inside the worker, imports point down", "worker/clock/ticks.py", "from worker.sources import kraken"),
    ("inside the worker, imports point down", "worker/nowhere.py", "pass"),
    ("a version does not know who feeds it", "v1/server/app.py", "import worker"),
    ("the worker names a version in one place", "worker/sampling/tick.py", "from v1.model import Metric"),
    ("what is pure stays pure", "v1/numbers/moments.py", "import redis"),
    ("what is pure stays pure", "v1/store/keys.py", "import asyncio"),
    ("the clock knows no network", "worker/clock/ticks.py", "import aiohttp"),
    ("only the store speaks Redis", "v1/server/app.py", "from redis.asyncio import Redis"),
    ("only the store speaks Redis", "worker/sampling/tick.py", "import redis"),
    ("only sources and notifiers speak HTTP to the outside", "worker/sampling/tick.py", "import aiohttp"),
    ("only sources and notifiers speak HTTP to the outside", "v1/server/app.py", "from aiohttp import ClientSession"),
    ("one channel knows Apprise", "worker/delivery/notify/webhook.py", "import apprise"),
    ("only the archive speaks SQL", "v1/store/reader.py", "from sqlalchemy import text"),
    ("only routes and the application know FastAPI", "v1/store/reader.py", "from fastapi import Depends"),
    ("inside the worker, imports point down", "worker/sampling/sampler.py", "from worker.archiving import archiver"),
    ("inside the worker, imports point down", "worker/backfill/service.py", "from worker.sampling import sampler"),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in LINTER["root_packages"]:
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


def test_measurements_share_nothing_with_tests_but_their_support():
    modules = [*(ROOT / "bench").rglob("*.py"), *(ROOT / "tests" / "support").rglob("*.py")]

    assert {path.relative_to(ROOT).as_posix(): found for path in modules if (found := imported_tests(path))} == {}


def test_an_import_of_a_test_is_noticed(tmp_path: Path):
    (tmp_path / "bench.py").write_text(
        "from tests import support\nimport tests.conftest\nfrom tests.v1.test_x import y\n"
    )

    assert imported_tests(tmp_path / "bench.py") == ["tests.conftest", "tests.v1.test_x.y"]


def imported_tests(path: Path) -> list[str]:
    """Return what a module imports of `tests` that is not in `tests.support`."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found += [f"{node.module}.{each.name}" for each in node.names]
    return [name for name in found if re.match(r"tests(?!\.support\b)", name)]
