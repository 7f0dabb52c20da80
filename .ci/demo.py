"""Starts the demo as a stranger would, waits for a full day on its history, and stops it. Says how long that took."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

SECONDS = 90
POINTS = 1400
"""Of 1440: some of the demo's markets are silent for minutes."""


def main(log: Path) -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bind = f"127.0.0.1:{listener.getsockname()[1]}"
    began = time.monotonic()
    with (
        log.open("wb") as out,
        subprocess.Popen(
            ["scripts/start.sh", "--demo"], env={**os.environ, "TRACKER_BIND": bind}, stdout=out, stderr=out
        ) as demo,
    ):
        points = 0
        while points < POINTS and demo.poll() is None and time.monotonic() - began < SECONDS:
            time.sleep(0.2)
            points = points_of(log.read_text())
        took = time.monotonic() - began
        demo.terminate()
        code = demo.wait()
    print(f"{log.read_text()}\n{points} points after {took:.1f} s, ended with code {code}")
    return 0 if points >= POINTS and code == 0 else 1


def points_of(said: str) -> int:
    """Return how many points the example has that the demo shows; none before it shows one."""
    for question in re.findall(r"ask it +curl '(.+)'", said):
        with urllib.request.urlopen(question) as answer:
            return len(json.load(answer).get("points", ()))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
