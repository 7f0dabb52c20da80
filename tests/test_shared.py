"""One variable says where the real data lies, to the tests, the measurements and whoever serves the recorded answers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ASK = """
from bench.recordings import HOME
from tests.support.loopback.__main__ import RECORDED
from tests.support.shared import SHARED
print(SHARED, HOME, RECORDED, sep="\\n")
"""


@pytest.mark.parametrize(
    "said, folder",
    [
        pytest.param("/some/where", Path("/some/where"), id="where it is said"),
        pytest.param("some/where", ROOT / "some" / "where", id="from where it is started"),
        pytest.param("", ROOT.parent / "shared", id="else beside the checkout"),
    ],
)
def test_everybody_looks_for_the_real_data_in_one_place(said: str, folder: Path):
    told = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=ROOT,
        env={**os.environ, "DATA_TRACKER_SHARED": said},
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout.splitlines() == [str(folder), str(folder / "market-data"), str(folder / "recorded")]
