"""A sample every five seconds: 17,280 a day, 720 an hour. What holds at one a minute holds here, with the numbers of that."""

from collections.abc import AsyncIterator, Iterator, Sequence
from decimal import Context, Decimal, Inexact, localcontext
from fractions import Fraction
from pathlib import Path
from zlib import crc32

import pytest
from redis.asyncio import Redis

from tests.support import naive
from tests.support.serving import Clock, serving
from v1.model import list_hours
from v1.store import AdminStore, AlertQuery, keys
from worker.archiving.rollup import HourlyRollup, RollupOptions
from worker.latest import DAY, HOUR, MEASURES, Metric, Reading, Sample
from worker.latest.archive import ArchiveWriter, connect_archive
from worker.latest.market import SourceReading
from worker.latest.rules import DEFAULTS, RuleEngine
from worker.latest.store import Verifier, Writer, connect
from worker.sampling.tick import commit_tick

FINE = 5
NOON = 1_621_252_800
BTC = Metric("KRAKEN:BTCUSD")
SPIKE = NOON + 60
LIVE = range(NOON + FINE, NOON + 120 + FINE, FINE)
"""Two minutes of ticks after a day that was filled in."""
NOW = LIVE[-1]


RULES = [rule.model_copy(update={"enabled": True}) for rule in DEFAULTS]
"""Those that are there by default, also what is not switched on."""


def reading(at: int) -> Reading:
    noise = crc32(b"%d" % at)
    traded = "999.5" if at == SPIKE else f"{noise % 40}.{noise % 997:03}"
    return Reading(f"{45_000 + noise % 300}.{noise % 89:02}", interval_volume=traded)


def day() -> Iterator[Sample]:
    for at in range(NOON - DAY + FINE, NOON + FINE, FINE):
        said = reading(at)
        yield Sample(at, tuple([getattr(said, measure, None) for measure in MEASURES]))


def counted(samples: Sequence[Sample]) -> list[naive.Sums]:
    """Count as `naive` does, in decimals of more digits than there are: of so many, fractions would take their time."""
    sums = []
    with localcontext(Context(prec=100, traps=[Inexact])):
        for place, _ in enumerate(MEASURES):
            numbers = [Decimal(value) for sample in samples if (value := sample.values[place]) is not None]
            squares = sum((each * each for each in numbers), Decimal(0))
            sums.append(naive.Sums(len(numbers), Fraction(sum(numbers, Decimal(0))), Fraction(squares)))
    return sums


@pytest.fixture
async def redis(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as client:
        yield client


@pytest.fixture
async def store(redis: Redis) -> Writer:
    """What holds a filled day and the two minutes that were live after it, watched by the default rules."""
    store = Writer(redis)
    await store.open()
    await store.insert_samples(BTC, day(), "tests", NOON)
    await store.update_rankings(NOON)
    for at in LIVE:
        await commit_tick(at, {BTC: SourceReading(reading(at), "tests")}, store, RuleEngine(RULES, (), FINE))
    return store


async def test_a_day_has_17280_samples_and_its_numbers_are_those_of_all_of_them(store: Writer, redis: Redis):
    held = await store.read_samples(BTC, NOW - DAY, NOW)
    (record,) = await store.read_metric_states([BTC])

    assert len(held) == DAY // FINE
    assert naive.held(record.day) == counted(held)
    assert naive.held(record.hour) == counted([sample for sample in held if sample.tick >= NOW - HOUR])
    assert (await Verifier(redis).verify(repair=False)).is_clean


async def test_every_hour_of_it_is_one_packed_list_with_the_configuration_that_is_shipped(store: Writer, redis: Redis):
    hours = [keys.samples(BTC, hour) for hour in list_hours(NOW - DAY, NOW)]

    assert len(await store.read_samples(BTC, NOON - HOUR, NOON)) == 720
    assert {await redis.object("ENCODING", key) for key in hours} == {"listpack"}


@pytest.mark.usefixtures("store")
async def test_a_rule_looks_at_the_720_samples_of_the_hour_before(redis: Redis):
    page = await AdminStore(redis).read_alerts(AlertQuery(limit=10))

    (alert,) = [told.alert for told in page.alerts]
    assert (alert["rule"], alert["at"], alert["samples"]) == ("interval-volume-3x", SPIKE, 720)


@pytest.mark.usefixtures("store")
async def test_the_history_gives_10000_samples_at_most_and_a_whole_day_by_the_minute(server: str):
    clock = Clock()
    clock.now = NOW + 1.0
    async with serving(clock, server, interval=FINE) as api:
        newest = (await api.get(f"/v1/metrics/{BTC}/history")).json["points"]
        whole = (await api.get(f"/v1/metrics/{BTC}/history", {"step": 60})).json["points"]
        refused = await api.get(f"/v1/metrics/{BTC}/history", {"from": NOW - DAY + FINE})

    assert (len(newest), newest[-1][0] - newest[0][0]) == (10_000, 9_999 * FINE)
    assert len(whole) == 1440
    assert refused.status == 422


async def test_an_hour_of_720_samples_becomes_a_candle_that_covers_all_of_it(store: Writer, tmp_path: Path):
    async with connect_archive(f"sqlite+aiosqlite:///{tmp_path}/archive.db", "tests", writes=True) as engine:
        archive = ArchiveWriter(engine)
        await archive.open()
        await HourlyRollup(store, archive, RollupOptions(FINE)).close_hour(NOON - HOUR, NOW)
        (hour,) = await archive.read_hours(BTC, NOON - HOUR, NOON)

    prices = [Decimal(reading(at).price) for at in range(NOON - HOUR + FINE, NOON + FINE, FINE)]
    assert (hour.samples, hour.covered) == (720, HOUR)
    assert [Decimal(each) for each in hour[2:6]] == [prices[0], max(prices), min(prices), prices[-1]]
