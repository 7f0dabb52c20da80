"""
Alerts on their way to a phone, over a Pushover on loopback that is as strict as the real one and notes whoever
breaks its policy. First how long an alert takes from the commit of its tick to the POST, one at a time. Then
10,000 alerts through a Pushover that fails in every way it can, by a sender that is killed -9 100 times.
"""

import asyncio
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import chain, cycle
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

import uvloop
from redis.asyncio import Redis

from bench import servers
from bench.report import Figure, at_most, beside
from tests.support.alerts import alert, commit
from tests.support.loopback import serving
from tests.support.loopback.pushover import Pushover
from v1.model import DAY
from v1.rules import Alert, Evaluation, SubjectResult
from v1.store import ChannelStore, Writer, keys

ROOT = Path(__file__).resolve().parents[1]
ONE_BY_ONE, BETWEEN = 1_000, 0.01
BURST = 100
REAL_PAUSE, SCALED_PAUSE = 5.0, 0.05
"""Seconds that a sender leaves Pushover alone after a failure: for real, and here, where all waiting is shorter by that."""
MANY, KILLS, REFUSED = 10_000, 100, 50
OKS = 30
"""Between two faults."""
FAULTS = ("500", "429", "reset", "hang", "lie")
HANDLED = 0.05
"""Seconds in which what a sender has sent is handled, dead or not."""
LONGEST = 900.0


class Chaos(NamedTuple):
    """What became of many alerts."""

    seconds: float
    pushover: Pushover
    lost: int
    most_twice: int
    """Messages that one kill made come a second time, at most."""
    twice: int
    without_kill: int
    """Messages that came twice although nobody was killed in between."""


def measure() -> Iterable[Figure]:
    return uvloop.run(_measure())


async def _measure() -> list[Figure]:
    async with servers.running(next(servers.binaries())) as server:
        single = await _latencies(server, [[each] for each in _alerts(ONE_BY_ONE)])
        burst = await _latencies(server, [_alerts(BURST)])
    async with servers.running(next(servers.binaries())) as server:
        chaos = await _chaos(server)
    return [*_of_latencies(single, burst, server.name), *_of_chaos(chaos, server.name)]


def _of_latencies(single: Sequence[float], burst: Sequence[float], server: str) -> Iterator[Figure]:
    how = f"{ONE_BY_ONE:,} ticks with an alert each, {BETWEEN * 1000:g} ms apart; sender in a process of its own; {server}"
    yield at_most("commit to POST, p99", quantiles(single, n=100)[98] * 1000, 100, " ms", how)
    yield beside("commit to POST, median", f"{quantiles(single, n=2)[0] * 1000:.3g} ms", "the same")
    yield beside(f"{BURST} alerts of one tick, the last POST", f"{max(burst) * 1000:.3g} ms", "one connection, in turn")


def _of_chaos(chaos: Chaos, server: str) -> Iterator[Figure]:
    pushover = chaos.pushover
    faults = ", ".join(f"{pushover.answers[fault]} x {fault}" for fault in (*FAULTS, "400"))
    how = (
        f"{MANY:,} alerts, {KILLS} kills, {faults}; waiting scaled down to {SCALED_PAUSE / REAL_PAUSE:.0%}; "
        f"{chaos.seconds:.0f} s; {server}"
    )
    repeated = sum("repeated" in each for each in pushover.broken)
    yield at_most("alerts lost", chaos.lost, 0, "", how)
    yield at_most(
        "messages that one kill made come twice, at most", chaos.most_twice, 1, "", f"{chaos.twice} in all, same id"
    )
    yield at_most("messages twice without a kill", chaos.without_kill, 0, "", "as above")
    yield at_most("4xx repeated", repeated, 0, "", f"{pushover.answers['400']} refused messages")
    yield at_most(
        "other breaches of its policy", len(pushover.broken) - repeated, 0, "", "too early, too many connections"
    )
    yield at_most("connections at once", pushover.most_connections, 2, "", "as above")


def _alerts(count: int, exchange: str = "BENCH") -> list[Alert]:
    at = int(time.time()) // 60 * 60
    return [alert(f"{exchange}:C{number:05}USD", at=at) for number in range(count)]


async def _latencies(server: servers.Server, ticks: Sequence[Sequence[Alert]]) -> list[float]:
    """Return the seconds from before the commit of each alert to its POST."""
    pushover = Pushover()
    committed: dict[str, float] = {}
    await server.redis.flushall()
    store = Writer(server.redis)
    async with serving(pushover.application()) as base, _sender(server.address, base, REAL_PAUSE):
        for alerts in ticks:
            began = time.monotonic()
            committed |= {each.id: began for each in alerts}
            async with store.open_tick(alerts[0].at) as unit:
                await unit.commit([], evaluation=Evaluation({}, {"bench": SubjectResult({}, tuple(alerts))}))
            await asyncio.sleep(BETWEEN)
        await _until_taken(pushover, len(committed))
    return [pushover.arrived[message] - began for message, began in committed.items()]


async def _chaos(server: servers.Server) -> Chaos:
    faults = cycle(FAULTS)
    script = chain.from_iterable(chain(["ok"] * OKS, [next(faults)]) for _ in iter(int, 1))
    pushover, rng = Pushover(script, pause=SCALED_PAUSE, wait=1.0), random.Random(1)
    pushover.refuses = "REFUSED:"
    pushover.remaining = pushover.limit = 10 * MANY
    await ChannelStore(server.redis, 30 * DAY).open_outbox("pushover").open()
    alerts = [*_alerts(MANY - REFUSED), *_alerts(REFUSED, "REFUSED")]
    rng.shuffle(alerts)
    await commit(server.redis, alerts)
    began, lives = time.monotonic(), []
    async with serving(pushover.application()) as base:
        for _ in range(KILLS):
            async with _sender(server.address, base, SCALED_PAUSE):
                await asyncio.sleep(rng.uniform(0.1, 2.5))
            await asyncio.sleep(HANDLED)
            pushover.killed()
            lives.append(len(pushover.taken))
        async with _sender(server.address, base, SCALED_PAUSE):
            await _until_settled(server.redis)
    wanted = {each.id for each in alerts if pushover.refuses not in each.id}
    return _counted(time.monotonic() - began, pushover, lives, wanted)


def _counted(seconds: float, pushover: Pushover, lives: Sequence[int], wanted: set[str]) -> Chaos:
    spans = zip([0, *lives], [*lives, len(pushover.taken)], strict=True)
    taken_in: dict[str, int] = {}
    caused: Counter[int] = Counter()
    without_kill = 0
    for life, (start, end) in enumerate(spans):
        for message in pushover.ids[start:end]:
            before = taken_in.get(message)
            if before == life:
                without_kill += 1
            elif before is not None:  # it came, and that it had come was lost at the end of that life
                caused[before] += 1
            taken_in[message] = life
    lost = len(wanted - taken_in.keys())
    return Chaos(seconds, pushover, lost, max(caused.values(), default=0), sum(caused.values()), without_kill)


@asynccontextmanager
async def _sender(address: str, base: str, pause: float) -> AsyncIterator[None]:
    """Run a sender, and kill it at the end as hard as it goes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.sender", address, base, str(pause)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        if process.stdout is None or await process.stdout.readline() != b"sending\n":
            raise RuntimeError("the sender does not begin")
        yield
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def _until_taken(pushover: Pushover, count: int) -> None:
    async with asyncio.timeout(LONGEST):
        while len(pushover.taken) < count:  # noqa: ASYNC110  # it is a measured thing, and tells nobody
            await asyncio.sleep(0.05)


async def _until_settled(redis: Redis) -> None:
    async with asyncio.timeout(LONGEST):
        while True:
            (group,) = await redis.xinfo_groups(keys.OUTBOX)
            if not group["pending"] and not group["lag"]:
                return
            await asyncio.sleep(0.5)
