"""Load by wrk, from one core at what runs on another, and what is put side by side by it."""

import http.client
import json
import os
import re
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import NamedTuple
from urllib.parse import urlsplit

CONNECTIONS = 16
SECONDS = 2
ROUNDS = 3
WAIT_SECONDS = 30.0
TICK = 1 / os.sysconf("SC_CLK_TCK")
"""Seconds by which the system counts processor time."""
_CORES = sorted(os.sched_getaffinity(0))
SERVING, LOADING = _CORES[0], _CORES[-1]
"""The core that serves and the one that loads; the same where there is only one."""

_RATE = re.compile(r"^Requests/sec:\s+([0-9.]+)", re.MULTILINE)
_FAILED = re.compile(r"^\s*(Non-2xx or 3xx responses|Socket errors): .*", re.MULTILINE)


class LoadTarget(NamedTuple):
    """What is asked for again and again."""

    url: str
    coding: str = "identity"
    """What the client accepts."""
    script: Path | None = None
    """A program of wrk's that makes the requests."""
    connections: int = CONNECTIONS


class AnswerRate(NamedTuple):
    """How many answers came."""

    wall: float
    """A second."""
    processor: float
    """A second of processor time of all servers: what else runs on their core makes it hardly smaller."""
    api: float = 0.0
    """A second of processor time of the processes of the API alone: what Redis takes does not count."""


class FetchedAnswer(NamedTuple):
    """One answer as it was sent."""

    headers: Sequence[tuple[str, str]]
    body: bytes

    @property
    def coding(self) -> str:
        return dict(self.headers).get("content-encoding", "identity")


@contextmanager
def pinned(cores: Collection[int]) -> Iterator[None]:
    """Keep this process, and what it starts meanwhile, on some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def fetch(url: str, coding: str = "identity") -> FetchedAnswer:
    """Return what a server answers. Raises `RuntimeError` where that is not 200."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=WAIT_SECONDS)
    try:
        connection.request(
            "GET", parts.path + (f"?{parts.query}" if parts.query else ""), headers={"Accept-Encoding": coding}
        )
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{url} was answered with {answer.status}: {body[:200]!r}")
        return FetchedAnswer([(name.lower(), value) for name, value in answer.getheaders()], body)
    finally:
        connection.close()


def read_points(url: str) -> list[tuple[int, str]]:
    """Return what a history answers: ticks, and numbers digit for digit."""
    return [(int(at), value) for at, value in json.loads(fetch(url).body, parse_float=str, parse_int=str)["points"]]


def count_answers(target: LoadTarget) -> float:
    """Return the answers a second. Raises `RuntimeError` where one of them is no success."""
    command = ["wrk", "-t1", f"-c{target.connections}", f"-d{SECONDS}s", "-H", f"Accept-Encoding: {target.coding}"]
    if target.script:
        command += ["-s", str(target.script)]
    done = subprocess.run([*command, target.url], capture_output=True, text=True, check=True)
    failed = _FAILED.search(done.stdout)
    if failed:
        raise RuntimeError(f"{target.url}: {failed[0].strip()}")
    found = _RATE.search(done.stdout)
    if not found:
        raise RuntimeError(f"wrk did not say how many answers it got: {done.stdout}{done.stderr}")
    return float(found[1])


def alternate(targets: Mapping[str, LoadTarget]) -> dict[str, AnswerRate]:
    """Return the medians of each, all of them loaded in turn, several rounds."""
    return {
        name: AnswerRate(
            median(one.wall for one in each), median(one.processor for one in each), median(one.api for one in each)
        )
        for name, each in alternate_rounds(targets).items()
    }


def alternate_rounds(targets: Mapping[str, LoadTarget]) -> dict[str, list[AnswerRate]]:
    """Return the rates of each in every round, all of them loaded in turn."""
    rates: dict[str, list[AnswerRate]] = {name: [] for name in targets}
    for _ in range(ROUNDS):
        for name, target in targets.items():
            before, api_before = _read_processor()
            wall = count_answers(target)
            after, api_after = _read_processor()
            answers = wall * SECONDS
            by_all, by_api = answers / max(after - before, TICK), answers / max(api_after - api_before, TICK)
            rates[name].append(AnswerRate(wall, by_all, by_api))
    return rates


def _read_processor() -> tuple[float, float]:
    """Return the seconds of processor time of all processes that this one has started and that still run, and of the API's."""
    parents, used = dict[int, int](), dict[int, int]()
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # of a process that has ended
            words = file.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            pid = int(file.parent.name)
            parents[pid], used[pid] = int(words[1]), int(words[11]) + int(words[12])
    ours = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    ours.remove(os.getpid())
    return sum(used[pid] for pid in ours) * TICK, sum(used[pid] for pid in ours if _is_api(pid)) * TICK


def _is_api(pid: int) -> bool:
    """Return whether a process was started as one of the API, `python -m v1`."""
    with suppress(OSError):  # of a process that has ended
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:3] == [b"-m", b"v1"]
    return False


def write_script(file: Path, paths: Sequence[str]) -> Path:
    """Write the program by which wrk asks for another path each time."""
    listed = ",\n".join(f'"{path}"' for path in paths)
    file.write_text(
        f"local paths = {{{listed}}}\nlocal place = 0\n"
        'request = function()\n  place = place % #paths + 1\n  return wrk.format("GET", paths[place])\nend\n',
        encoding="ascii",
    )
    return file
