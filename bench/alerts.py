"""
Alert rules. Every recorded set, replayed into a store with one literal rule (3 x the hour mean of `interval_volume`,
no cooldown, no step), against an independent exact recount from the files, minute for minute. What ten rules of every
kind cost beside the tick that they judge. And how many messages the rules that are there by default would have sent
to a person through the crash of May 2021, by the backtest that equals the live log.
"""

import csv
import gc
import gzip
import json
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import cast

import uvloop
from redis.asyncio import Redis

from bench import market, recordings, servers
from bench.report import Figure, at_most, beside
from v1.backtest import BacktestInput, make_report, play
from v1.model import DAY, HOUR, MINUTE, Metric
from v1.rules import DEFAULTS, NO_RULES, Rule, RuleEngine, parse_rule
from v1.store import AlertLimits, Writer, keys
from worker.sampling.recording import open_recording, read_candles
from worker.sampling.replay import make_recording_ticks, replay
from worker.sampling.rule_provider import FixedRules
from worker.sampling.tick import commit_tick

SETS = ("binance-spot-20210517", "binance-spot-20230322", "bittrex-20180201", "kucoin-spot-20230322")
CRASH = SETS[0]
IN_ALL = 8_289
"""Minutes beyond the first hour of each pair, as counted once by other means."""
EXACTLY_THREE_TIMES = (Metric("BINANCE:NXSBTC"), 1_621_280_940 + MINUTE)

METRICS = 10_000
PAIRS = 60
ROUNDS = 7

Said = set[tuple[Metric, int]]
"""Metric and tick."""


def _rule(kind: str, **fields: object) -> Rule:
    return parse_rule({"id": kind, "kind": kind} | fields, MINUTE)


LITERAL = _rule("ratio", measure="interval_volume", factor=3, min_samples=1, cooldown=0, step=0)
TEN = [
    *[rule for rule in DEFAULTS if rule.enabled],
    _rule("threshold", measure="change_percentage", below=-20),
    _rule("change", percent=5, window="15m"),
    _rule("deviation", score=6),
    _rule("rank", top=10),
    _rule("frozen"),
    _rule("ratio", id="traded-5x", measure="interval_volume", factor=5, cooldown="4h"),
]


def measure() -> Iterator[Figure]:
    yield from _recounts()
    with servers.one_core() as pinned:
        for binary in servers.binaries():
            yield uvloop.run(_cost(binary, pinned))
    yield from _messages()


# ---- against a recount --------------------------------------------------------------------------------------------------


def _recounts() -> Iterator[Figure]:
    beyond = 0
    for name in SETS:
        folder = recordings.folder(name)
        if folder is None:
            return
        said, files = uvloop.run(_replayed(folder)), open_recording(folder).files
        right = {(metric, at) for metric, path in files.items() for at in exceeding(path)}
        first = {metric: next(read_candles(path)).start + MINUTE for metric, path in files.items()}
        later = sum(at >= first[metric] + HOUR for metric, at in said)
        beyond += later
        how = f"{len(said):,} said, {len(right):,} by the recount; {later:,} beyond the first hour of each pair"
        yield at_most(f"{name}: minutes that differ from the recount", len(said ^ right), 0, "", how)
        if name == CRASH:
            three = f"{EXACTLY_THREE_TIMES[0]} at {EXACTLY_THREE_TIMES[1]}: exactly 3.000 x its hour mean"
            yield at_most(
                "alerts where the value is exactly three times the mean", EXACTLY_THREE_TIMES in said, 0, "", three
            )
    yield at_most(f"difference from {IN_ALL:,} minutes in all", abs(beyond - IN_ALL), 0, "", f"{beyond:,}")


async def _replayed(folder: Path) -> Said:
    recording = open_recording(folder)
    async with servers.running(next(iter(servers.binaries()))) as server:
        store = Writer(server.redis, AlertLimits(send=False))
        await replay(
            recording, store, MINUTE, lambda _done, _of: None, None, FixedRules(RuleEngine([LITERAL], (), MINUTE))
        )
        written = cast("list[str]", await server.redis.zrange(keys.ALERTS, 0, -1))
    return {(alert["metric"], alert["at"]) for alert in map(json.loads, written)}


def exceeding(path: Path) -> Iterator[int]:
    """Return the ticks at which a pair traded more than three times its mean of the hour before; from the file alone."""
    hour: deque[tuple[int, Fraction]] = deque()
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            at, traded = int(row["timestamp"]) + MINUTE, Fraction(row["volume"])
            while hour and hour[0][0] < at - HOUR:
                hour.popleft()
            total = sum(volume for _, volume in hour)
            if total > 0 and traded > 3 * total / len(hour):
                yield at
            hour.append((at, traded))


# ---- what it costs ------------------------------------------------------------------------------------------------------


async def _cost(binary: Path, pinned: str) -> Figure:
    """Let ticks with and without rules take turns, a full day in the store."""
    names, days = market.metrics(METRICS), market.days(PAIRS, market.START, MINUTE, 2 * ROUNDS + 4)
    engines: Mapping[bool, RuleEngine] = {False: NO_RULES, True: RuleEngine(TEN, (), MINUTE)}
    took: dict[bool, list[float]] = {False: [], True: []}
    async with servers.running(binary) as server:
        await market.fill(server.redis, names, days, market.START)
        store = Writer(server.redis, AlertLimits(send=False))
        await store.open()
        for number in range(2 * ROUNDS + 2):
            is_judged = bool(number % 2)
            at, heard = market.START + (number + 1) * MINUTE, market.heard(names, days, number)
            took[is_judged].append(await _cpu(server.redis, partial(commit_tick, at, heard, store, engines[is_judged])))
        alerts = await server.redis.zcard(keys.ALERTS)
    plain, judged = (median(took[is_judged][1:]) for is_judged in (False, True))
    how = (
        f"{server.name}, {pinned}, {ROUNDS} rounds in turns, day full, processor time of client and server: "
        f"{judged:.2f} s beside {plain:.2f} s; {', '.join(sorted({rule.kind for rule in TEN}))}; {alerts} alerts"
    )
    return at_most(
        f"{len(TEN)} rules over {METRICS:,} metrics, on top of the tick", (judged / plain - 1) * 100, 30, " %", how
    )


async def _cpu(redis: Redis, work: Callable[[], Awaitable[object]]) -> float:
    gc.collect()
    before = process_time() + await _server_cpu(redis)
    await work()
    return process_time() + await _server_cpu(redis) - before


async def _server_cpu(redis: Redis) -> float:
    used = await redis.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


# ---- what a person would have got ------------------------------------------------------------------------------------------


def _messages() -> Iterator[Figure]:
    folder = recordings.folder(CRASH)
    if folder is None:
        return
    trial = BacktestInput(DEFAULTS, (), MINUTE)
    recording = open_recording(folder)
    played = play(make_recording_ticks(recording, MINUTE), trial)
    sent = make_report(played, trial, most_listed=1_000_000)["messages"]
    days = (recording.last - recording.first + MINUTE) / DAY
    severities = {rule.id: rule.severity.value for rule in DEFAULTS}
    by_severity = Counter(severities[message["rule"]] for message in sent)
    for severity in ("critical", "warning", "info"):
        rules = ", ".join(rule.id for rule in DEFAULTS if rule.severity.value == severity)
        how = f"{len(recording.files)} pairs, {days:.0f} days with the crash of 19 May 2021; {rules}"
        yield beside(f"messages a day of severity {severity}", f"{by_severity[severity] / days:.1f}", how)
    yield beside(
        "the day with most messages", f"{max(_by_day(sent).values())}", f"of {dict(sorted(_by_day(sent).items()))}"
    )
    pairs = len(recording.files)
    yield beside("messages a pair and day", f"{len(sent) / days / pairs:.1f}", "of all severities")


def _by_day(sent: Sequence[Mapping[str, int]]) -> Counter[int]:
    return Counter((message["at"] - 1) // DAY * DAY for message in sent)
