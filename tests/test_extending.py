"""Who adds a source or a version and does what the pages say, step by step, has one: in a copy of the checkout."""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

from .support.documents import ROOT, Reader, blocks_of, copied

HOW_TO = ROOT / "docs" / "how-to"


@pytest.fixture
def reader():
    # Not pytest's own folder: with its long names a socket in there would be too deep.
    with tempfile.TemporaryDirectory() as folder:
        yield Reader(copied(Path(folder, "data-tracker")))


def said(folder: Path, *module: str) -> str:
    """Run one of the tools of the checkout in a copy of it; give what it says, which must be nothing bad."""
    ran = subprocess.run([sys.executable, "-m", *module], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.timeout(900)
def test_a_source_of_ones_own_is_sampled_as_the_page_says(reader: Reader):
    blocks = blocks_of(HOW_TO / "a-source-of-your-own.md")
    written = [block.label for block in blocks if block.language == "python"]

    reader.read(blocks)

    said(reader.checkout, "ruff", "check", "--no-cache", *written)
    said(reader.checkout, "ruff", "format", "--no-cache", "--check", *written)
    said(reader.checkout, "mypy", "--cache-dir", str(reader.checkout / "mypy"), "worker/cli/wiring.py", written[0])


@pytest.mark.timeout(900)
def test_a_copied_version_is_served_beside_the_first_and_fed_as_the_page_says(reader: Reader):
    reader.read(blocks_of(HOW_TO / "a-new-version.md"))

    project = tomllib.loads((reader.checkout / "pyproject.toml").read_text())
    contracts = str(project["tool"]["importlinter"])
    copies = [line for line in (reader.checkout / "Dockerfile").read_text().splitlines() if line.startswith("COPY v")]
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["v1", "v2", "worker"]
    assert contracts.count("'v1") == contracts.count("'v2")
    assert copies == ["COPY v1 v1", "COPY v2 v2"]
