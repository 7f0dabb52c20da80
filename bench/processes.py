"""Processes of the tracker as a person would start them, with settings of a measurement's own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from bench.recordings import ROOT

STOP_SECONDS = 30


def command(*words: str) -> list[str]:
    """Return what `python -m` must be called with."""
    return [sys.executable, "-m", *words]


def environment(checkout: Path = ROOT, /, **settings: object) -> dict[str, str]:
    """Return an environment with these settings and nobody else's; processes run outside of the checkout."""
    theirs = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    ours = {f"TRACKER_{name.upper()}": str(value) for name, value in settings.items()}
    return theirs | ours | {"PYTHONPATH": str(checkout)}


def run(folder: Path, *words: str, **settings: object) -> None:
    """Run to the end in `folder`; what it says is shown only where it fails."""
    done = subprocess.run(
        command(*words), cwd=folder, env=environment(**settings), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}")


def started(folder: Path, *words: str, **settings: object) -> AbstractContextManager[subprocess.Popen[str]]:
    """Start in `folder`, with its standard output to be read and its log in `log`; stopped at the end."""
    return _start(folder, words, environment(**settings))


@contextmanager
def _start(folder: Path, words: Sequence[str], variables: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command(*words),
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


@contextmanager
def api(folder: Path, address: str, checkout: Path = ROOT, /, **settings: object) -> Iterator[str]:
    """Serve what the Redis at `address` holds, on a free port; return the base of its URLs."""
    variables = environment(checkout, bind="127.0.0.1:0", redis_url=address, **settings)
    with _start(folder, ["v1"], variables) as process:
        assert process.stdout
        page = process.stdout.readline()
        yield page.partition("http")[1] + page.partition("http")[2].strip().rstrip("/")
