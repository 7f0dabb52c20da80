"""`latest` is a link for people and launchers: it, the guard, the seam and every list that names it agree."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from worker.latest.store import Writer

ROOT = Path(__file__).resolve().parents[1]
NEWEST = (ROOT / "latest").resolve().name
VERSIONS = sorted(path.parent.name for path in ROOT.glob("v[0-9]*/model.py"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_latest_is_a_link_to_the_version_with_the_highest_number():
    versions = [path.name for path in ROOT.glob("v[0-9]*") if (path / "__init__.py").exists()]

    assert (ROOT / "latest").readlink() == Path(max(versions, key=lambda name: int(name[1:])))


def test_the_worker_feeds_the_version_that_latest_points_at():
    assert Writer.__module__.split(".")[0] == NEWEST


@pytest.mark.parametrize("module", ["latest", "latest.store", "latest.model"])
def test_importing_latest_is_refused_in_our_words(module: str):
    python = subprocess.run([sys.executable, "-c", f"import {module}"], cwd=ROOT, capture_output=True, text=True)

    assert python.returncode == 1
    assert python.stderr.endswith(f"ImportError: import {NEWEST}, not latest: a symlink is not a second package\n")


def test_the_linter_refuses_it_too():
    ruff = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--no-cache",
            "--output-format=concise",
            "--stdin-filename=v1/x.py",
            "-",
        ],
        cwd=ROOT,
        input="from latest.model import Metric\n",
        capture_output=True,
        text=True,
    )

    assert "TID251 `latest` is banned: `latest` is a symlink" in ruff.stdout


def test_a_copy_of_a_version_stands_on_its_own(tmp_path: Path):
    """Relative imports and `__package__` make `cp -r v1 v2` a version that cannot write into v1's keys."""
    shutil.copytree(ROOT / NEWEST, tmp_path / "v9", ignore=shutil.ignore_patterns("__pycache__"))
    ask = (
        "import sys; from v9.store import keys; print(keys.TICK, sorted(m for m in sys.modules if m.startswith('v1')))"
    )

    python = subprocess.run([sys.executable, "-c", ask], cwd=tmp_path, capture_output=True, text=True)

    assert python.stdout == "v9:tick []\n", python.stderr


def test_no_tool_meets_the_same_files_twice():
    assert "latest" in PYPROJECT["tool"]["pytest"]["ini_options"]["norecursedirs"]
    assert PYPROJECT["tool"]["mypy"]["exclude"] == "^latest/"
    assert PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [*VERSIONS, "worker"]
