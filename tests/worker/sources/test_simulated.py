from collections.abc import AsyncIterator, Mapping
from fractions import Fraction
from itertools import pairwise
from statistics import correlation

import pytest
from aiohttp import ClientSession

from worker.latest import DAY, HOUR, MINUTE, Measure, Metric, Reading, decimals
from worker.sources.base import Source
from worker.sources.from_candles import derive_readings, derive_samples
from worker.sources.pair_names import UnknownPair
from worker.sources.simulated import SimulatedSource
from worker.sources.simulated.assets import SimulatedAssets
from worker.sources.simulated.catalogue import CYCLE, LIFE

NOON = 1763640000
MIDNIGHT = 1763683200
BTC, ETH, DOGE = (Metric(f"SIMULATED:{pair}") for pair in ("BTCUSD", "ETHUSD", "DOGEUSD"))


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as unused:
        yield unused


async def opened(session: ClientSession, *wishes: str, interval: int = MINUTE, seed: int = 1) -> SimulatedSource:
    source = SimulatedSource(wishes or ("SIMULATED:*",), interval, seed)
    await source.open(session)
    return source


async def heard(source: SimulatedSource, session: ClientSession, ticks: range) -> dict[int, Mapping[Metric, Reading]]:
    return {tick: await source.fetch(session, tick) for tick in ticks}


def mayflies(source: SimulatedSource) -> dict[Metric, int]:
    """Return the pairs that come and go, and when each was listed last before noon."""
    return {
        metric: NOON - (NOON - pair.listed) % CYCLE
        for metric, pair in source._market.all.items()
        if pair.listed is not None
    }


def outages(source: SimulatedSource) -> dict[Metric, range]:
    """Return the pairs that are not heard of for some minutes of the day of noon, and which minutes."""
    found = {metric: source._market.day(metric, NOON // DAY).outage for metric in source.metrics}
    return {metric: minutes for metric, minutes in found.items() if minutes}


async def test_three_hundred_metrics_have_prices_from_a_billionth_to_tens_of_thousands(session):
    source: Source = await opened(session)

    readings = await source.fetch(session, NOON)

    prices = sorted(Fraction(reading.price) for reading in readings.values())
    assert len(source.metrics) >= 300
    assert len(readings) > 0.9 * len(source.metrics)
    assert Fraction(1, 10**10) < prices[0] < Fraction(1, 10**8)
    assert 20_000 < prices[-1] < 200_000


async def test_every_number_is_decimal_text_with_the_same_places_all_day(session):
    source = await opened(session)

    readings = await source.fetch(session, NOON)
    later = await source.fetch(session, NOON + 6 * HOUR)

    for metric in readings.keys() & later.keys():
        for one, other in zip(readings[metric][:5], later[metric][:5], strict=True):
            assert one is None or decimals.is_number(one)
            assert one is None or other is None or decimals.parse_decimal(one)[1] == decimals.parse_decimal(other)[1]


async def test_wishes_choose_and_a_wish_for_nothing_is_named_with_the_nearest(session):
    source = SimulatedSource(["SIMULATED:DOGEUSD", "SIMULATED:DOGEUSB", "KRAKEN:BTCUSD", "KRAKEN:*"])

    missing = await source.open(session)

    assert list(source.metrics) == [DOGE]
    assert list(missing) == ["SIMULATED:DOGEUSB"]
    assert missing[Metric("SIMULATED:DOGEUSB")].startswith("simulated has no pair DOGEUSB; nearest: DOGEUSD")


async def test_before_it_is_opened_it_gives_nothing(session):
    source = SimulatedSource(["*"])

    readings = await source.fetch(session, NOON)

    assert (list(source.metrics), dict(readings)) == ([], {})


async def test_a_restart_agrees_with_what_was_said_before_in_whatever_order_it_is_asked(session):
    ticks = range(MIDNIGHT - 600, MIDNIGHT + 601, MINUTE)
    first = await heard(await opened(session), session, ticks)
    again = await opened(session, "SIMULATED:ETHUSD", BTC, "*")
    await again.fetch_candles(session, ETH, NOON, NOON + DAY)

    backwards = await heard(again, session, ticks[::-1])

    assert backwards == first


async def test_what_was_said_once_is_said_for_ever(session):
    source = await opened(session, BTC)

    readings = await source.fetch(session, NOON)

    # Written down from a run; another number would make yesterday's samples disagree with today's program.
    assert readings[BTC] == ("72670.86", "142055.25805582", "-0.739", "-540.70", "72.11078701", NOON)


async def test_another_seed_is_another_market(session):
    one, other = [await opened(session, ETH, seed=seed) for seed in (1, 2)]

    prices = [(await source.fetch(session, NOON))[ETH].price for source in (one, other)]

    assert prices[0] != prices[1]


@pytest.mark.parametrize("interval", [60, 300, 3600])
async def test_live_readings_are_what_the_candles_say(session, interval):
    source = await opened(session, interval=interval)
    ticks = range(MIDNIGHT - HOUR, MIDNIGHT + HOUR + 1, interval)
    some = {*list(source.metrics)[::25], *mayflies(source)}

    live = await heard(source, session, ticks)

    for metric in some:
        told = await source.fetch_candles(session, metric, ticks[0] - interval - source.lead, ticks[-1])
        filled = {tick: reading for tick, reading in derive_readings(told, interval) if tick in ticks}
        assert filled == {tick: said[metric] for tick, said in live.items() if metric in said}


@pytest.mark.parametrize("interval", [60, 300])
async def test_live_readings_are_what_the_candles_say_also_when_listed_and_delisted(session, interval):
    source = await opened(session, interval=interval)
    for metric, listed in mayflies(source).items():
        for moment in (listed, listed + DAY, listed + LIFE):
            near = moment // interval * interval
            ticks = range(near - 2 * interval, near + 3 * interval, interval)
            told = await source.fetch_candles(session, metric, ticks[0] - interval - source.lead, ticks[-1])
            filled = {tick: reading for tick, reading in derive_readings(told, interval) if tick in ticks}
            pair = source._market.all[metric]
            said = {tick: source._market.make_reading(pair, tick, interval) for tick in ticks}
            assert filled == {tick: reading for tick, reading in said.items() if reading}


async def test_live_readings_are_what_the_candles_say_also_through_outages(session):
    source = await opened(session)
    for metric, outage in outages(source).items():
        midnight = NOON // DAY * DAY
        ticks = range(midnight + outage.start * 60 - 300, midnight + outage.stop * 60 + 300, 60)
        # As of a day later the outage is where the change starts from.
        for moment in (ticks, range(ticks.start + DAY, ticks.stop + DAY, 60)):
            told = await source.fetch_candles(session, metric, moment[0] - MINUTE - source.lead, moment[-1])
            filled = {tick: reading for tick, reading in derive_readings(told) if tick in moment}
            pair = source._market.all[metric]
            said = {tick: source._market.make_reading(pair, tick, MINUTE) for tick in moment}
            assert filled == {tick: reading for tick, reading in said.items() if reading}

    assert len(outages(source)) > 3


async def test_an_outage_costs_a_metric_its_readings_and_is_counted(session):
    source = await opened(session)
    metric, outage = next(iter(outages(source).items()))
    start = NOON // DAY * DAY + outage.start * MINUTE

    before, first = [await source.fetch(session, tick) for tick in (start, start + MINUTE)]
    told = await source.fetch_candles(session, metric, start, start + len(outage) * MINUTE)

    assert (metric in before, metric in first, told) == (True, False, [])
    assert source.rejects["not trading"] > 0


async def test_a_metric_is_listed_trades_and_is_delisted(session):
    metric, listed = next(iter(mayflies(SimulatedSource(())).items()))
    source = await opened(session, metric)

    first = await source.fetch_candles(session, metric, listed - DAY, listed + 600)
    last = await source.fetch_candles(session, metric, listed + LIFE - 600, listed + LIFE + DAY)
    said = [
        (await source.fetch(session, tick)).get(metric)
        for tick in (listed, listed + MINUTE, listed + MINUTE + DAY, listed + LIFE + MINUTE)
    ]

    assert (first[0].start, last[-1].start) == (listed, listed + LIFE - MINUTE)
    assert said[0] is None
    assert said[1] is not None
    assert (said[1].volume, said[1].change_absolute) == (None, None)
    assert said[2] is not None
    assert said[2].volume is not None
    assert said[3] is None
    assert metric in source.metrics


async def test_on_any_day_something_is_listed_and_something_delisted_nearby(session):
    source = await opened(session)

    ages = [NOON - listed for listed in mayflies(source).values()]

    assert len(ages) > 8
    assert any(age < LIFE for age in ages)
    assert any(age >= LIFE for age in ages)


async def test_candles_hang_together(session):
    source = await opened(session)

    for metric in list(source.metrics)[::20]:
        told = await source.fetch_candles(session, metric, MIDNIGHT - 6 * HOUR, MIDNIGHT + 6 * HOUR)
        for before, candle in pairwise(told):
            opened_at, high, low, close, volume = map(Fraction, candle[1:])
            assert candle.open == before.close
            assert low <= min(opened_at, close) <= max(opened_at, close) <= high
            assert low > 0
            assert volume > 0 or low == high


async def test_candles_are_those_that_start_in_the_span_that_is_asked_for(session):
    source = await opened(session)

    told = await source.fetch_candles(session, BTC, MIDNIGHT - 121, MIDNIGHT + 61)
    none = await source.fetch_candles(session, BTC, MIDNIGHT, MIDNIGHT)

    assert [candle.start for candle in told] == [MIDNIGHT + 60 * minute for minute in (-2, -1, 0, 1)]
    assert none == []


async def test_candles_of_a_metric_that_it_does_not_give_are_refused(session):
    source = await opened(session, BTC)

    with pytest.raises(UnknownPair, match="simulated does not give SIMULATED:ETHUSD"):
        await source.fetch_candles(session, ETH, NOON, NOON + HOUR)


@pytest.mark.parametrize("asset", ["market", "BTC", "EUR", "DOGE"])
def test_a_day_starts_exactly_where_the_day_before_ended(asset):
    assets = SimulatedAssets(seed=1)

    walks = [assets.walk(asset, day) for day in range(20000, 20030)]

    assert [before.logs[-1] for before in walks[:-1]] == [after.logs[0] for after in walks[1:]]


@pytest.mark.parametrize("interval", [1, 5, 30])
async def test_below_a_minute_prices_lie_between_and_volumes_add_up_to_the_candle(session, interval):
    source = await opened(session, BTC, DOGE, interval=interval)
    minute_source = await opened(session, BTC, DOGE)

    live = await heard(source, session, range(MIDNIGHT - 60 + interval, MIDNIGHT + 61, interval))

    for metric in (BTC, DOGE):
        for candle in await source.fetch_candles(session, metric, MIDNIGHT - 60, MIDNIGHT + 60):
            inside = [live[tick][metric] for tick in range(candle.start + interval, candle.start + 61, interval)]
            at_end = (await minute_source.fetch(session, candle.start + 60))[metric]
            assert sum(Fraction(str(each.interval_volume)) for each in inside) == Fraction(candle.volume)
            assert all(Fraction(candle.low) <= Fraction(each.price) <= Fraction(candle.high) for each in inside)
            assert inside[-1]._replace(interval_volume=candle.volume) == at_end


async def test_markets_move_together_and_are_not_the_same(session):
    source = await opened(session)
    told = {metric: await source.fetch_candles(session, metric, NOON - 4 * DAY, NOON) for metric in (BTC, ETH, DOGE)}
    closes = {metric: {each.start: float(each.close) for each in candles} for metric, candles in told.items()}
    # Every half hour, where none of them had an outage.
    starts = sorted(set.intersection(*map(set, closes.values())) & {*range(NOON - 4 * DAY, NOON, 1800)})
    returns = {
        metric: [known[after] / known[before] for before, after in pairwise(starts)] for metric, known in closes.items()
    }

    alike = [correlation(returns[one], returns[other]) for one, other in ((BTC, ETH), (BTC, DOGE), (ETH, DOGE))]

    assert all(0.1 < each < 0.95 for each in alike)


async def test_a_day_moves_and_bursts_like_a_recorded_one(session):
    source = await opened(session)

    for metric in (BTC, ETH, DOGE):
        day = derive_samples(await source.fetch_candles(session, metric, NOON - DAY, NOON))
        moves = [abs(float(sample.value(Measure.INTERVAL_RETURN) or 0)) for sample in day]
        volumes = [float(sample.value(Measure.INTERVAL_VOLUME) or 0) for sample in day]
        bursts = [volumes[at] > 3 * sum(volumes[at - 60 : at]) / 60 for at in range(60, len(volumes))]
        assert 0.01 < sum(moves) / len(moves) < 1
        assert 0.005 < sum(bursts) / len(bursts) < 0.15


async def test_prices_stay_near_their_level_for_years(session):
    source = await opened(session, BTC, DOGE)

    years = [await source.fetch(session, NOON + 100 * DAY * number) for number in range(40)]

    for metric, level in ((BTC, 74300), (DOGE, 0.334)):
        assert all(level / 30 < float(said[metric].price) < level * 30 for said in years)


async def test_tomorrow_is_made_before_midnight_so_that_no_tick_is_long(session):
    source = await opened(session, "SIMULATED:*")
    for tick in range(MIDNIGHT - HOUR, MIDNIGHT + 1, MINUTE):
        await source.fetch(session, tick)
    made = source._market.day.cache_info().misses

    await source.fetch(session, MIDNIGHT + MINUTE)

    assert source._market.day.cache_info().misses == made


async def test_memory_is_bounded_however_far_one_looks(session):
    source = await opened(session)

    day = source._market.day(BTC, NOON // DAY)

    size = sum(memoryview(kept).nbytes for kept in (day.closes, day.traded, day.wicks))
    assert size * (source._market.day.cache_info().maxsize or 0) < 30_000_000
