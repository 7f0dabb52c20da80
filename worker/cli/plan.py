"""
What the settings come to, before anybody is asked: calls, credits, and bytes. In words, for people.

Bytes are what was measured with recorded data (`bench`); how many metrics `KRAKEN:*` stands for is known to
Kraken alone, so where there is a star the bytes are those of one metric.
"""

from collections.abc import Iterator, Sequence
from math import ceil, lcm

from worker.latest import DAY, HOUR, MEASURES, MINUTE
from worker.latest.store import PrimaryLoad
from worker.settings import WorkerSettings
from worker.settings.ccxt_names import is_ccxt
from worker.settings.servers import list_servers
from worker.sources import binance_windows, coinbase
from worker.sources.by_ccxt import describe_exchange, plan_groups
from worker.toplist import merger, pricing, ranking, roles
from worker.toplist.quota_plan import LONGEST_MONTH, QuotaPlan

POINT_BYTES = 13
"""A number of a sample in Redis."""
CANDLE_BYTES, EXCHANGE_CANDLE_BYTES = 175, 137
"""An hour of a metric in the archive: what was sampled, and what the exchange tells."""
PRICE_BYTES, RANK_BYTES, COIN_BYTES = 13, 23, 25
"""A coin in a list of prices, in a list of ranks, in a top list."""
SAME_BYTES = 100
"""A minute that says the same as one before it."""
ARCHIVED_BYTES = 87
"""A coin of an hour in the archive."""
NAMES_BYTES = 60
"""The name of a coin, for a day."""
WORKER_MICROS, REDIS_MICROS = 142, 66
"""Processor time of a tick, a metric, day full: of the worker, and of Redis."""
USABLE = 0.5
"""What part of an interval a tick may take of a processor: fills, answers and a slower machine have the rest."""
NODE_BYTES = 16_000_000_000
"""What one node is to keep: a replica is made of it, and its log rewritten, in minutes."""
FEWEST_PRIMARIES = 3
"""Of a cluster that outlives the loss of one."""
STREAMED = ("kraken", "binance")
"""Sources that have streams."""
HOURS_A_YEAR = DAY // HOUR * 365
THOUSAND = 1000


def describe_plan(settings: WorkerSettings, expected: int | None = None) -> Iterator[str]:
    """Return the plan, line by line; `expected` is how many metrics there will be, where the settings do not tell."""
    yield f"sampling, every {settings.interval} s"
    metrics = [wish for wish in settings.metrics if "*" not in wish]
    for server in list_servers(settings):
        calls = _count_calls(server.kind, settings.interval, len(metrics))
        a_minute = f"{calls * MINUTE / settings.interval:g}"
        yield _format_line(
            server.source,
            f"{format_count(calls, 'calls')} a tick: {a_minute} a minute, {calls * DAY // settings.interval:,} a day",
        )
        if settings.source_streams and server.source in STREAMED:
            yield _format_line(
                "", "ticks come by its stream: it is asked once a minute to compare, and so often where that fails"
            )
    count = expected or (len(metrics) if metrics and len(metrics) == len(settings.metrics) else 1)
    of = f"{count:,} metrics" if count > 1 else "each metric"
    points = DAY // settings.interval * len(MEASURES)
    yield _format_line(
        "Redis", f"{of}, {points:,} numbers a day of {POINT_BYTES} bytes: {_format_size(count * points * POINT_BYTES)}"
    )
    yield _format_line(
        "archive",
        f"{of}, 24 hours a day: {_format_size(count * (CANDLE_BYTES + EXCHANGE_CANDLE_BYTES) * HOURS_A_YEAR)} a year",
    )
    if count > 1:
        yield from describe_size(count, settings.interval)
    yield from _describe_top(settings)


def describe_size(count: int, interval: int) -> Iterator[str]:
    """Return how many nodes and workers so many metrics take, line by line."""
    worker, redis = (count * micros / 1e6 for micros in (WORKER_MICROS, REDIS_MICROS))
    kept = count * DAY // interval * len(MEASURES) * POINT_BYTES
    workers = max(1, ceil(worker / (interval * USABLE)))
    nodes = max(1, ceil(redis / (interval * USABLE)), ceil(kept / NODE_BYTES))
    tick = f"a tick takes a worker {worker:.2g} s and Redis {redis:.2g} s of processor time, of {interval} s"
    if nodes == workers == 1:
        yield _format_line("size", f"one node and one worker are enough: {tick}")
        return
    primaries = max(FEWEST_PRIMARIES, nodes)
    yield _format_line("size", f"{tick}; half of it is to stay free, and a node is to keep {_format_size(NODE_BYTES)}")
    yield _format_line(
        "", f"a cluster of {primaries} primaries, each with a replica of {_format_size(kept / primaries)}"
    )
    shared = ", with TRACKER_SHARE=yes" if workers > 1 else ""
    yield _format_line("", f"{format_count(workers, 'workers')}{shared}, and one more that may be lost")


def describe_loads(loads: Sequence[PrimaryLoad]) -> Iterator[str]:
    """Return what each primary of a cluster has, line by line, and how evenly the partitions lie."""
    yield f"cluster of {len(loads)} primaries"
    for load in loads:
        limit = f" of {_format_size(load.limit_bytes)}" if load.limit_bytes else ""
        yield _format_line(
            load.name,
            f"{format_count(load.partitions, 'partitions')}, {format_count(load.keys, 'keys')}, "
            f"{_format_size(load.used_bytes)}{limit}",
        )
    counts = [load.partitions for load in loads]
    if max(counts) > min(counts) + max(1, min(counts) // 4):
        yield _format_line(
            "uneven", f"{min(counts)} to {max(counts)} partitions: move slots, with the tools that come with the engine"
        )


def _describe_top(settings: WorkerSettings) -> Iterator[str]:
    size, rows = settings.top_size, pricing.count_rows(settings)
    yield f"top list of {size} coins, every 60 s"
    how_often = roles.make_plans(settings)
    yield from _describe_role(pricing.NAME, how_often[pricing.NAME], rows)
    yield from _describe_role(ranking.NAME, how_often[ranking.NAME], size)
    yield _format_line(merger.NAME, f"waits {settings.top_margin} s for lists that are due")
    every = [plan.plan_interval for plan in how_often.values()]
    if None not in every:
        yield _format_line("Redis", _describe_redis(size, rows, *[seconds or DAY for seconds in every]))
        yield _format_line(
            "archive", f"{size} coins, 24 hours a day: {_format_size(size * ARCHIVED_BYTES * HOURS_A_YEAR)} a year"
        )
    why = roles.find_obstacle(settings, roles.NAMES)
    if why:
        yield _format_line("off", why.reason)


def _describe_role(name: str, plan: QuotaPlan, rows: int) -> Iterator[str]:
    asked = f"{plan.provider}, {rows} coins for {format_count(plan.cost, plan.unit)}"
    if plan.plan_interval is None:
        yield _format_line(name, f"{asked}: more than {plan.monthly:,} a month pay for ({plan.setting})")
        return
    used = LONGEST_MONTH // plan.plan_interval * plan.cost
    part = f"{used:,} of {plan.monthly:,} {plan.unit} in a month of 31 days ({100 * used // plan.monthly} %)"
    yield _format_line(name, f"{asked}, every {plan.plan_interval // MINUTE} min: {part}")


def _describe_redis(size: int, rows: int, prices_every: int, ranks_every: int) -> str:
    """Say what a day takes: both lists, each snapshot that differs from the one before, and names."""
    prices, ranks, both = (DAY // every for every in (prices_every, ranks_every, lcm(prices_every, ranks_every)))
    whole = max(prices + ranks - both, DAY // HOUR)
    kept = whole * size * COIN_BYTES + (DAY // MINUTE - whole) * SAME_BYTES
    lists = min(prices, 300) * rows * PRICE_BYTES + min(ranks, 300) * size * RANK_BYTES
    total = kept + lists + 2 * size * NAMES_BYTES
    return f"{whole:,} lists a day that differ, {_format_size(kept)}; with what they are made of: {_format_size(total)}"


def _count_calls(source: str, interval: int, metrics: int) -> int:
    """Return how many calls a tick takes."""
    if source == roles.SIMULATED:
        return 0
    if is_ccxt(source):
        return _count_ccxt_calls(source, interval, metrics)
    if source == coinbase.NAME:
        return min(coinbase.count_markets(interval), max(1, metrics))
    if source == "binance" and binance_windows.format_window(interval):
        return 1 + min(binance_windows.MOST_CALLS, -(-max(1, metrics) // binance_windows.MOST_SYMBOLS))
    return 1


def _count_ccxt_calls(source: str, interval: int, metrics: int) -> int:
    facts = describe_exchange(source)
    if facts.has_tickers:
        return 1
    groups = plan_groups(facts.spacing, interval)
    return min(groups.size * groups.most, max(1, metrics))


def format_count(count: int, unit: str) -> str:
    """Return a number of things, of which there may be one."""
    return f"{count:,} {unit.removesuffix('s') if count == 1 else unit}"


def _format_size(count: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if count < THOUSAND:
            return f"{count:.3g} {unit}"
        count /= THOUSAND
    return f"{count:.3g} GB"


def _format_line(name: str, text: str) -> str:
    return f"  {name:<12} {text}"
