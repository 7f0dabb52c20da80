"""A tick that is cut off after any of its commands and begun again: no alert is lost, and none is said or sent twice."""

from collections.abc import Mapping
from typing import Any

import pytest
from redis.asyncio import Redis

from tests.support.cutting import CutOff
from tests.support.serving import MINUTE, NOON
from v1.market.metric_state import SourceReading
from v1.model import Metric, Reading
from v1.rules import RuleEngine, parse_rule
from v1.store import StoreAway, Writer, keys
from worker.sampling.tick import commit_tick

METRICS = [Metric(f"KRAKEN:C{number}USD") for number in range(7)]
OTHERS = [Metric(f"BINANCE:C{number}USDT") for number in range(2)]
RULES = [
    parse_rule({"id": name, "kind": kind} | more)
    for name, kind, more in [
        ("above", "threshold", {"above": 5, "cooldown": 0, "resolved": True}),
        ("held", "threshold", {"above": 5, "for": 60, "cooldown": 120}),
        ("stale", "stale", {"intervals": 2, "cooldown": 0, "resolved": True}),
        ("top", "rank", {"top": 2, "min_samples": 1, "cooldown": 0}),
    ]
]
MANY = 1000


def heard(prices: Mapping[Metric, str]) -> dict[Metric, SourceReading]:
    return {metric: SourceReading(Reading(price), metric.partition(":")[0].lower()) for metric, price in prices.items()}


def script() -> list[dict[Metric, SourceReading]]:
    """Seven metrics jump together, which is a digest; the other source falls silent, and comes back at the end."""
    calm, wild = dict.fromkeys(METRICS, "1"), dict.fromkeys(METRICS, "9")
    there = dict.fromkeys(OTHERS, "1")
    some = wild | {METRICS[0]: "1", METRICS[1]: "20"}
    return [heard(each) for each in (calm | there, calm, wild, some, calm | there)]


async def log(redis: Redis) -> tuple[Any, Any, Any]:
    """Return the alerts, the messages in no order, and where the rules stand at sources."""
    sent: Any = await redis.xrange(keys.OUTBOX)
    return (
        await redis.zrange(keys.ALERTS, 0, -1),
        sorted(fields["alert"] for _, fields in sent),
        await redis.get(keys.OUTAGES),
    )


async def played(redis: Redis, cut_tick: int | None = None, after: int = 0) -> bool:
    """Play the script; cut one tick off, and go on as a new process would. Tell whether there was something to cut."""
    await redis.flushall()
    engine, cut = RuleEngine(RULES, (), MINUTE), False
    for number, readings in enumerate(script()):
        at = NOON + number * MINUTE
        if number == cut_tick:
            broken = CutOff(redis)
            await broken.open()
            broken.after = after
            with pytest.raises(StoreAway):
                await commit_tick(at, readings, broken, engine)
            cut = await redis.get(keys.TICK) != str(at)
        store = Writer(redis)
        await store.open()
        if await store.read_tick() != at:
            await commit_tick(at, readings, store, engine)
    return cut


async def test_a_tick_cut_off_anywhere_and_begun_again_leaves_the_same_log_and_the_same_messages(fake: Redis):
    await played(fake)
    whole = await log(fake)

    for number in range(len(script())):
        for after in range(0, MANY, 7):
            if not await played(fake, number, after):
                break
            assert await log(fake) == whole, (number, after)
        else:
            pytest.fail("a tick has no so many commands")

    assert {alert.partition(".")[0] for alert in whole[0]} >= {'{"id":"above', '{"id":"stale', '{"id":"top'}
