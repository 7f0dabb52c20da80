"""Rules in a live run: they are those of this moment, what is filled never alerts, and our own absence is nobody's silence."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis

from tests.support.invented import BTC, ETH, NOON, Invented
from tests.worker.sampling.test_sampler import Sampling, idle
from v1.model import By, Metric
from v1.store import keys
from worker.latest import HOUR, MINUTE, Measure, Sample
from worker.latest.rules import RuleEngine, read_rules
from worker.latest.store import RuleStore, StoreAway, Writer
from worker.sampling.rule_provider import FixedRules, RuleProvider
from worker.sources.errors import SourceUnreachable


def rule(**fields: object) -> RuleEngine:
    return RuleEngine(read_rules([{"id": "r", "cooldown": 0, "step": 0} | fields], MINUTE), (), MINUTE)


async def sampled_once(fake: Redis, session: ClientSession, rules: RuleEngine, *metrics: Metric) -> None:
    """Sample a minute after noon, with a worker that is stopped then."""
    sampling = Sampling(session, Writer(fake), [idle(*metrics)], rules=FixedRules(rules))
    async with sampling.going():
        await sampling.beat(NOON + 60)


async def log(redis: Redis) -> list[tuple[str, str, int]]:
    written = await redis.zrange(keys.ALERTS, 0, -1)
    return [(alert["event"], alert["metric"], alert["at"] - NOON) for alert in map(json.loads, written)]


async def test_a_rule_that_is_made_while_it_samples_speaks_from_the_next_tick_on(fake: Redis, session: ClientSession):
    sampling = Sampling(session, Writer(fake), [idle(BTC)], rules=RuleProvider(RuleStore(fake), MINUTE, None))

    async with sampling.going():
        await sampling.beat(NOON + 60)
        await fake.hset(keys.RULES, "r", '{"id":"r","kind":"threshold","above":0,"cooldown":0}')
        await sampling.beat(NOON + 120, NOON + 180)

    assert await log(fake) == [("firing", BTC, 120), ("firing", BTC, 180)]


async def test_an_alert_and_its_message_are_committed_with_the_sample(fake: Redis, session: ClientSession):
    sampling = Sampling(session, Writer(fake), [idle(BTC, ETH)], rules=FixedRules(rule(kind="threshold", above=0)))

    async with sampling.going():
        await sampling.beat(NOON + 60)

    entries: Any = await fake.xrange(keys.OUTBOX)
    assert [json.loads(fields["alert"])["metric"] for _, fields in entries] == [BTC, ETH]


@pytest.mark.parametrize(
    "asked",
    [{"kind": "threshold", "above": 0}, {"kind": "ratio", "min_samples": 1}, {"kind": "change", "percent": "0.1"}],
    ids=lambda asked: str(asked["kind"]),
)
async def test_what_is_filled_never_alerts(fake: Redis, session: ClientSession, asked: dict[str, object]):
    sampling = Sampling(session, Writer(fake), [Invented(BTC)], rules=FixedRules(rule(**asked)))

    async with sampling.going():
        await sampling.whole(NOON, BTC)
        await sampling.beat(NOON + 60)

    assert {at for _, _, at in await log(fake)} <= {60}


async def test_an_hour_in_which_the_worker_was_down_is_not_the_silence_of_its_sources(
    fake: Redis, session: ClientSession
):
    silent = rule(kind="stale", intervals=5, cooldown="1h", resolved=True)
    await sampled_once(fake, session, silent, BTC)

    after = Sampling(session, Writer(fake), [idle(BTC)], rules=FixedRules(silent))
    async with after.going(NOON + HOUR):
        await after.beat(NOON + HOUR + 60)

    assert await log(fake) == []


async def test_nor_is_a_first_answer_that_fails_after_it_and_only_as_long_a_silence_again_is_told(
    fake: Redis, session: ClientSession
):
    silent = rule(kind="stale", intervals=3, cooldown="1h", resolved=True)
    await sampled_once(fake, session, silent, BTC)

    source = idle(BTC)
    source.trouble = SourceUnreachable("not up yet")
    after = Sampling(session, Writer(fake), [source], rules=FixedRules(silent))
    async with after.going(NOON + HOUR):
        await after.beat(NOON + HOUR + 60, NOON + HOUR + 120)
        said = await log(fake)
        await after.beat(NOON + HOUR + 180)

    assert said == []
    assert await log(fake) == [("firing", "invented:*", HOUR + 180)]


async def test_nor_is_one_metric_that_is_not_heard_at_once_after_it(fake: Redis, session: ClientSession):
    silent = rule(kind="stale", intervals=3, cooldown="1h")
    await sampled_once(fake, session, silent, BTC, ETH)

    after = Sampling(session, Writer(fake), [idle(BTC)], rules=FixedRules(silent))
    async with after.going(NOON + HOUR):
        await after.beat(NOON + HOUR + 60, NOON + HOUR + 120)
        said = await log(fake)
        await after.beat(NOON + HOUR + 180)

    assert said == []
    assert await log(fake) == [("firing", ETH, HOUR + 180)]


async def test_whom_a_fill_moves_to_the_top_is_taken_for_who_is_there(fake: Redis, session: ClientSession):
    sampling = Sampling(
        session, Writer(fake), [idle(BTC, ETH)], rules=FixedRules(rule(kind="rank", top=1, min_samples=1))
    )
    store = sampling.live._store

    async with sampling.going():
        await sampling.beat(*range(NOON + 60, NOON + 300, 60))
        last = [each for each, *_ in (await store.read_ranking(Measure.PRICE, By.STDDEV, 1, 1)).places]
        before = await log(fake)
        late = [Sample(NOON - at * 60, (str(10**at), *[None] * 5)) for at in range(1, 9)]
        await store.insert_samples(last[0], late, "candles", NOON + 240)
        await sampling.beat(NOON + 300)
        top = [each for each, *_ in (await store.read_ranking(Measure.PRICE, By.STDDEV, 0, 1)).places]

    assert top == last
    assert await log(fake) == before


async def test_a_source_that_goes_away_and_comes_back_is_told_twice(fake: Redis, session: ClientSession):
    source = idle(BTC, ETH)
    sampling = Sampling(
        session, Writer(fake), [source], rules=FixedRules(rule(kind="stale", intervals=2, cooldown="1h", resolved=True))
    )

    async with sampling.going():
        await sampling.beat(NOON + 60)
        source.trouble = SourceUnreachable("gone")
        await sampling.beat(*range(NOON + 120, NOON + 360, 60))
        source.trouble = None
        await sampling.beat(NOON + 360)

    assert await log(fake) == [("firing", "invented:*", 180), ("resolved", "invented:*", 360)]


class Missing(FixedRules):
    """Rules that cannot be read at first, as while Redis is away."""

    def __init__(self, engine: RuleEngine, failures: int) -> None:
        super().__init__()
        self._known, self._failures = engine, failures

    async def read(self) -> None:
        if self._failures:
            self._failures -= 1
            raise StoreAway("Redis is away")
        self.engine = self._known


async def test_no_tick_is_committed_before_the_rules_are_known(fake: Redis, session: ClientSession):
    sampling = Sampling(session, Writer(fake), [idle(BTC)], rules=Missing(rule(kind="threshold", above=0), failures=3))

    async with sampling.going():
        await sampling.beat(NOON + 60)

    assert await log(fake) == [("firing", BTC, 60)]


class Slow(FixedRules):
    """Rules that take their time to be read beside the sources."""

    async def refresh(self) -> None:
        await asyncio.sleep(0.05)


async def test_reading_the_rules_goes_on_beside_asking_and_loses_no_tick(fake: Redis, session: ClientSession):
    sampling = Sampling(session, Writer(fake), [idle(BTC)], rules=Slow())

    async with sampling.going():
        await sampling.beat(NOON + 60, NOON + 120)

    assert await sampling.day(end=NOON + 120) == [NOON + 60, NOON + 120]
