"""The rank of a metric through the day over HTTP, as the worker's own ticks kept it."""

import pytest

from tests.support.serving import NOON, Api
from v1.market.metric_state import SourceReading
from v1.model import Metric, Reading
from v1.store import Writer, keys
from worker.sampling.tick import commit_tick

BTC, ETH = Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD")
LTC = Metric("KRAKEN:LTCUSD")
PATH = f"/v1/metrics/{BTC}/rank-history"


async def sample(writer: Writer, minute: int, **prices: str) -> None:
    heard = {Metric(f"KRAKEN:{name}USD"): SourceReading(Reading(price), "kraken") for name, price in prices.items()}
    await commit_tick(NOON - 3600 + 60 * minute, heard, writer)


@pytest.fixture(autouse=True)
async def market(writer: Writer) -> None:
    """Half an hour, of a tick each minute; a third metric comes after a quarter of an hour."""
    await writer.open()
    for minute in range(31):
        late = {"LTC": str(100 * minute)} if minute >= 15 else {}
        await sample(writer, minute, BTC=str(10 + minute % 2), ETH=str(10 + 5 * (minute % 2)), **late)


async def test_the_place_at_one_tick_of_each_quarter_of_an_hour_is_answered(api: Api):
    answer = (await api.get(PATH, {"from": NOON - 7200})).json

    assert answer == {
        "metric": BTC,
        "measure": "price",
        "by": "stddev",
        "from": NOON - 7200,
        "to": NOON,
        "step": 900,
        "places": [
            {"at": NOON - 3600, "rank": 1, "of": 2},
            {"at": NOON - 2700, "rank": 2, "of": 3},
            {"at": NOON - 1800, "rank": 3, "of": 3},
        ],
    }


async def test_a_metric_has_no_place_before_it_was_there_and_is_not_known_without_a_sample(api: Api):
    late = (await api.get(f"/v1/metrics/{LTC}/rank-history")).json["places"]
    unranked = (await api.get(PATH, {"measure": "volume"})).json["places"]
    unknown = await api.get("/v1/metrics/KRAKEN:XBTUSD/rank-history")

    assert [each["rank"] for each in late] == [None, 3, 1]
    assert unranked == []
    assert (unknown.status, "KRAKEN:BTCUSD" in unknown.json["detail"]) == (404, True)


async def test_the_same_as_a_table_within_a_range(api: Api):
    table = await api.get(f"{PATH}.csv", {"from": NOON - 2700, "to": "-45m", "time": "iso"})

    assert table.text.split() == ["at,rank,of", "2021-05-17T11:15:00Z,2,3"]
    assert (await api.get(PATH, {"from": NOON, "to": NOON - 1})).status == 422


async def test_a_worker_that_was_started_again_leaves_the_place_of_its_quarter_of_an_hour(api: Api, writer: Writer):
    again = Writer(writer._redis)
    await again.open()

    for minute in (32, 33, 46):
        await sample(again, minute, BTC="500")

    places = (await api.get(PATH)).json["places"]
    assert [(each["at"] - NOON) // 60 for each in places] == [-60, -45, -30, -14]
    assert [each["rank"] for each in places] == [1, 2, 3, 2]


async def test_what_is_kept_has_an_end_and_a_bound(writer: Writer):
    redis = writer._redis
    for quarter in range(4, 4 * 27):
        await sample(writer, 15 * quarter, BTC=str(quarter), ETH="7", LTC="9")

    frames = [key async for key in redis.scan_iter(match="v1:ranked:1*")]
    assert await redis.zcard(keys.RANKED) == 100
    assert {0 < await redis.ttl(key) <= keys.KEEP_RANKED for key in [keys.RANKED, *frames]} == {True}
    assert {await redis.strlen(key) for key in frames} == {24 * 3, 24 * 4}


async def test_what_is_kept_and_cannot_be_read_is_left_out(api: Api, writer: Writer):
    redis = writer._redis
    await redis.delete(keys.rank_frame(NOON - 3600))
    async for key in redis.scan_iter(match="v1:ranked:names:*"):
        if await redis.strlen(key) < 40:
            await redis.set(key, "not JSON", ex=60)

    assert [each["rank"] for each in (await api.get(PATH)).json["places"]] == [2, 3]
