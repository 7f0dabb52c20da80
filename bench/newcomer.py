"""
A newcomer's first minute: a fresh clone, `scripts/start.sh --demo`, and how long until the API answers a
full day; and the same again in the same clone. The packages are installed without pip's cache.
"""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from bench.processes import STOP_SECONDS
from bench.recordings import ROOT
from bench.report import Figure, at_most
from tests.support.servers import free_port

METRICS = ("SIMULATED:BTCUSD", "SIMULATED:ETHUSD", "SIMULATED:XRPUSD")
"""An exchange has outages; not all of these on one day."""
SAMPLES = 1440
UP_SECONDS = 300
NOT_THEIRS = ("TRACKER_", "PYTHON", "VENV", "VIRTUAL_ENV")
"""How variables begin that a newcomer does not have."""


def measure() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as here:
        clone = Path(here) / "data-tracker"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=clone, capture_output=True, check=True)
        how = f"`scripts/start.sh --demo` in a clone of {commit.stdout.decode().strip()}"
        what = "to a full day on `/v1/metrics/{metric}/history`"
        yield at_most(f"from a fresh clone {what}", _until_full_day(clone), 90, " s", f"{how}, with installation")
        yield at_most(f"the second time {what}", _until_full_day(clone), 6, " s", how)


def _until_full_day(clone: Path) -> float:
    port = free_port()
    began = time.monotonic()
    with _started(clone, port) as (process, log):
        while not any(_samples(port, metric) >= SAMPLES for metric in METRICS):
            if process.poll() is not None or time.monotonic() - began > UP_SECONDS:
                raise RuntimeError(f"no full day: {log.read_text()}")
            time.sleep(0.05)
        return time.monotonic() - began


@contextmanager
def _started(clone: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    log = clone.with_name("log")
    theirs = {name: value for name, value in os.environ.items() if not name.startswith(NOT_THEIRS)}
    with log.open("wb") as words:
        process = subprocess.Popen(
            ["scripts/start.sh", "--demo"],
            cwd=clone,
            env=theirs | {"TRACKER_BIND": f"127.0.0.1:{port}", "PIP_NO_CACHE_DIR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
        )
    try:
        yield process, log
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_SECONDS)


def _samples(port: int, metric: str) -> int:
    """Return how many samples the API gives; 0 where it gives no answer."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/v1/metrics/{metric}/history", timeout=5) as answer:
            return len(json.load(answer)["points"])
    except (OSError, HTTPException):
        return 0
