"""The top list over HTTP: which list is given, in which form, how old it says it is, and why there is none."""

import csv
import io
import json
from collections.abc import AsyncIterator

import pytest

from tests.support.serving import DAY, HOUR, NOON, Api, Clock, serving
from tests.support.top_made import made
from v1.archive import connect_archive
from v1.archive.toplist import TopArchiveWriter
from v1.store import DataFormat, TopWriter, connect


@pytest.fixture
async def top(server: str) -> AsyncIterator[TopWriter]:
    async with connect(server, "tests") as redis:
        await DataFormat(redis).ensure()
        yield TopWriter(redis)


async def put(top: TopWriter, at: int = NOON, **parts: int) -> None:
    await top.write_snapshot(made(at, **parts))


async def test_the_newest_list_is_given_with_its_parts_and_every_digit(api: Api, top: TopWriter):
    await put(top, prices_at=NOON - 120)

    answer = await api.get("/v1/top")

    assert answer.status == 200
    assert answer.json == {
        "at": NOON,
        "of": 3,
        "unpriced": 1,
        "coins": [
            {
                "rank": 1,
                "id": 1,
                "symbol": "BTC",
                "name": "Bitcoin",
                "price_usd": 56507.38254720854,
                "volume_24h_usd": 68130148004.21379,
                "price_time": NOON - 58,
                "volume_time": NOON,
            },
            {
                "rank": 2,
                "id": 5994,
                "symbol": "SHIB",
                "name": "SHIBA INU",
                "price_usd": 1.1e-05,
                "volume_24h_usd": 1.5e9,
                "price_time": NOON - 60,
                "volume_time": NOON,
            },
            {
                "rank": 3,
                "id": None,
                "symbol": "=2+5",
                "name": "@evil, Inc.",
                "price_usd": None,
                "volume_24h_usd": 7,
                "price_time": None,
                "volume_time": NOON,
            },
        ],
        "prices": {
            "source": "coinmarketcap",
            "at": NOON - 120,
            "provider_time": NOON - 3,
            "age": 125,
            "interval": 300,
            "late": False,
            "left_out": {"dead market": 2},
        },
        "ranks": {
            "source": "cryptocompare",
            "at": NOON,
            "provider_time": None,
            "age": 5,
            "interval": 540,
            "late": False,
            "left_out": {},
        },
    }
    assert '"price_usd":56507.38254720854,"volume_24h_usd":68130148004.21379' in answer.text
    assert '"price_usd":1.1e-05,"volume_24h_usd":1.5E+9' in answer.text


async def test_csv_is_rank_symbol_price_and_safe_in_a_spreadsheet(api: Api, top: TopWriter):
    await put(top)

    answer = await api.get("/v1/top", {"format": "csv"})

    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.text == 'Rank,Symbol,Price USD\n1,"BTC",56507.38254720854\n2,"SHIB",1.1e-05\n3,"\'=2+5",\n'


async def test_other_columns_come_as_they_are_named(api: Api, top: TopWriter):
    await put(top)

    answer = await api.get("/v1/top", {"format": "csv", "columns": "name, volume_24h_usd,id,price_time,rank"})

    assert [*csv.reader(io.StringIO(answer.text))] == [
        ["Name", "Volume 24h USD", "Id", "Price Time", "Rank"],
        ["Bitcoin", "68130148004.21379", "1", str(NOON - 58), "1"],
        ["SHIBA INU", "1.5E+9", "5994", str(NOON - 60), "2"],
        ["'@evil, Inc.", "7", "", "", "3"],
    ]


async def test_csv_has_iso_times_and_a_byte_order_mark_where_they_are_asked_for(api: Api, top: TopWriter):
    await put(top)

    query = {"time": "iso", "bom": "yes", "columns": "rank,price_time"}
    alone, named = await api.get("/v1/top.csv", query), await api.get("/v1/top", query | {"format": "csv"})

    assert alone.text == "\ufeffRank,Price Time\n1,2021-05-17T11:59:02Z\n2,2021-05-17T11:59:00Z\n3,\n"
    assert named.text == alone.text


@pytest.mark.parametrize("query", [{"time": "iso"}, {"bom": "yes"}, {"columns": "rank", "format": "json"}], ids=str)
async def test_how_csv_is_written_is_said_of_csv_alone(api: Api, top: TopWriter, query):
    await put(top)

    answer = await api.get("/v1/top", query)

    (error,) = answer.json["errors"]
    assert (answer.status, error["field"], error["accepted"]) == (422, next(iter(query)), "only with format=csv")


async def test_a_reader_that_prefers_csv_gets_it(api: Api, top: TopWriter):
    await put(top)

    assert (await api.get("/v1/top", Accept="text/csv")).text.startswith("Rank,Symbol")


async def test_a_limit_cuts_the_list_and_its_length_is_told(api: Api, top: TopWriter):
    await put(top)

    answer = (await api.get("/v1/top", {"limit": 1})).json

    assert ([coin["symbol"] for coin in answer["coins"]], answer["of"]) == (["BTC"], 3)
    assert len((await api.get("/v1/top", {"limit": 5000})).json["coins"]) == 3


@pytest.mark.parametrize("asked", [NOON - HOUR, NOON - HOUR + 59, "2021-05-17T11:00:30Z", "2021-05-17T13:00+02:00"])
async def test_a_minute_of_the_past_is_given_as_it_was(api: Api, top: TopWriter, asked: object):
    for at in (NOON - HOUR - 60, NOON - HOUR, NOON - HOUR + 60, NOON):
        await put(top, at)

    answer = await api.get("/v1/top", {"datetime": asked})

    assert (answer.status, answer.json["at"]) == (200, NOON - HOUR)
    assert answer.json["prices"]["age"] < 60


async def test_a_minute_without_a_list_gets_the_one_before_as_long_as_that_is_good_for_it(api: Api, top: TopWriter):
    await put(top, NOON - HOUR)
    await put(top)

    near = await api.get("/v1/top", {"datetime": NOON - HOUR + 600})
    far = await api.get("/v1/top", {"datetime": NOON - HOUR + 660})

    assert (near.status, near.json["at"], near.json["prices"]["age"]) == (200, NOON - HOUR, 600)
    assert near.json["prices"]["late"]
    assert far.status == 404
    assert far.json["detail"] == (
        f"no top list of {NOON - HOUR + 660}: there are lists of minutes from {NOON - HOUR} to {NOON}; "
        f"nearest: {NOON - HOUR} and {NOON}"
    )
    assert far.json["errors"][0]["field"] == "datetime"


@pytest.mark.parametrize("asked", ["2021-05-16", NOON + DAY, "-2d"])
async def test_a_time_beyond_what_is_kept_is_told_which_times_there_are(api: Api, top: TopWriter, asked: object):
    await put(top)

    answer = await api.get("/v1/top", {"datetime": asked})

    assert answer.status == 404
    assert f"there are lists of minutes from {NOON} to {NOON}" in answer.json["detail"]


async def test_a_list_whose_parts_do_not_come_any_more_says_how_old_they_are(api: Api, top: TopWriter, clock: Clock):
    for minute in range(0, 1200, 60):
        await put(top, NOON + minute, prices_at=NOON, ranks_at=NOON + minute // 540 * 540)
    clock.now = NOON + 1145

    answer = (await api.get("/v1/top")).json

    assert (answer["at"], answer["prices"]["age"], answer["prices"]["late"]) == (NOON + 1140, 1145, True)
    assert (answer["ranks"]["age"], answer["ranks"]["late"]) == (65, False)


async def test_without_keys_the_settings_are_named(api: Api, top: TopWriter):
    nothing = await api.get("/v1/top")
    off = {"state": "off", "reason": "TRACKER_CRYPTOCOMPARE_API_KEY is not set", "settings": []}
    await top.write_role_state("ranking", off)
    told = await api.get("/v1/top")

    assert (nothing.status, told.status) == (503, 503)
    assert "TRACKER_COINMARKETCAP_API_KEY and TRACKER_CRYPTOCOMPARE_API_KEY" in nothing.json["detail"]
    assert told.json["detail"] == "there is no top list: TRACKER_CRYPTOCOMPARE_API_KEY is not set"


async def test_before_the_first_list_it_is_said_what_it_waits_for(api: Api, top: TopWriter):
    await top.write_role_state("pricing", {"state": "failing", "reason": "coinmarketcap said 500", "at": NOON})
    await top.write_role_state("ranking", {"state": "ok", "reason": None, "at": NOON})

    answer = await api.get("/v1/top")

    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert "not there yet (pricing: coinmarketcap said 500; ranking: ok)" in answer.json["detail"]


async def test_an_answer_is_good_until_the_next_minute_and_its_ages_do_not_make_it_another(
    api: Api, top: TopWriter, clock: Clock
):
    await put(top)
    first = await api.get("/v1/top")
    clock.now = NOON + 25.0

    again = await api.get("/v1/top", **{"If-None-Match": first.headers["ETag"]})

    assert first.headers["Cache-Control"] == "public, max-age=55"
    assert (again.status, again.headers["Cache-Control"]) == (304, "public, max-age=35")
    assert (await api.get("/v1/top")).json["prices"]["age"] == 25


async def test_a_part_that_becomes_late_makes_it_another_answer(api: Api, top: TopWriter, clock: Clock):
    await put(top, prices_at=NOON - 355)
    first = await api.get("/v1/top")
    clock.now = NOON + 6.0

    again = await api.get("/v1/top", **{"If-None-Match": first.headers["ETag"]})

    assert (first.json["prices"]["late"], again.json["prices"]["late"]) == (False, True)


@pytest.mark.parametrize(
    "query, field, accepted",
    [
        pytest.param({"limit": 0}, "limit", "a whole number from 1 to 5000", id="none"),
        pytest.param({"limit": 5001}, "limit", "a whole number from 1 to 5000", id="too many"),
        pytest.param({"datetime": "noon"}, "datetime", "ISO 8601", id="no time"),
        pytest.param({"datetime": NOON * 1000}, "datetime", "milliseconds", id="milliseconds"),
        pytest.param({"format": "xml"}, "format", "json or csv", id="unknown format"),
        pytest.param({"format": "csv", "columns": "rank,prize"}, "columns", "price_usd", id="unknown column"),
        pytest.param({"format": "csv", "columns": ""}, "columns", "any of rank", id="no column"),
        pytest.param({"columns": "rank"}, "columns", "only with format=csv", id="columns of JSON"),
        pytest.param({"top": 5}, "top", "limit, datetime, format, time, bom, columns", id="unknown parameter"),
    ],
)
async def test_what_is_not_accepted_is_named_with_what_would_be(api: Api, query, field, accepted):
    answer = await api.get("/v1/top", query)

    assert answer.status == 422
    (error,) = answer.json["errors"]
    assert (error["field"], error["value"]) == (field, str(query[field]))
    assert accepted in error["accepted"]


async def test_how_the_roles_do_is_told_with_the_health(api: Api, top: TopWriter):
    plan = {"interval": 600, "planned": 300, "unit": "credits", "used": 9000, "limit": 10_000, "resets": NOON + DAY}
    slowed = {"state": "slowed", "reason": "9000 of 10000 credits are used", "at": NOON, "list_at": NOON - 60}
    await top.write_role_state(
        "pricing", slowed | plan | {"source": "coinmarketcap", "until": None, "faults": {"no answer": 2}}
    )
    await top.write_role_state("ranking", {"state": "off", "reason": "TRACKER_CRYPTOCOMPARE_API_KEY is not set"})
    await top.write_role_state("given up", {"state": "ok", "reason": None, "at": NOON - 2 * DAY})
    await top.write_role_state(
        "merging", {"state": "ok", "reason": None, "at": NOON - 600, "margin": 60, "of": 3, "unpriced": 1}
    )

    answer = (await api.get("/health/ready")).json

    assert answer["top"]["pricing"] == slowed | plan | {
        "source": "coinmarketcap",
        "until": None,
        "faults": {"no answer": 2},
        "budget": None,
        "age": 65,
        "of": None,
        "unpriced": None,
    }
    assert "top list: pricing is slowed: 9000 of 10000 credits are used" in answer["reasons"]
    assert "top list: merging has said nothing for 605 s: is it running?" in answer["reasons"]
    assert not any("ranking" in reason or "given up" in reason for reason in answer["reasons"])


async def test_it_is_served_under_latest_too(api: Api, top: TopWriter):
    await put(top)

    assert json.loads((await api.get("/latest/top")).text) == (await api.get("/v1/top")).json


async def test_where_lists_stop_coming_no_older_one_is_given_in_place_of_the_newest(
    top: TopWriter, tmp_path, server, clock: Clock
):
    async with connect_archive(f"sqlite+aiosqlite:///{tmp_path}/archive.db", "tests", writes=True) as engine:
        archive = TopArchiveWriter(engine)
        await archive.open()
        await archive.write(NOON, made(NOON))
    for minutes in (0, 30):
        await put(top, NOON + minutes * 60)

    async with serving(clock, server, database_url=f"sqlite:///{tmp_path}/archive.db") as api:
        soon = await api.get("/v1/top", {"datetime": NOON + 2400})
        later = await api.get("/v1/top", {"datetime": NOON + 2460})

    assert (soon.status, soon.json["at"]) == (200, NOON + 1800)
    assert later.status == 404
    assert f"nearest: {NOON + 1800}" in later.json["detail"]


async def test_beyond_the_day_the_list_of_the_full_hour_is_given(top: TopWriter, tmp_path, server, clock):
    async with connect_archive(f"sqlite+aiosqlite:///{tmp_path}/archive.db", "tests", writes=True) as engine:
        archive = TopArchiveWriter(engine)
        await archive.open()
        await archive.write(NOON - 3 * DAY, made(NOON - 3 * DAY))
    await put(top)

    async with serving(clock, server, database_url=f"sqlite:///{tmp_path}/archive.db") as api:
        kept = await api.get("/v1/top", {"datetime": NOON - 3 * DAY + 3599, "format": "json"})
        gone = await api.get("/v1/top", {"datetime": NOON - 3 * DAY + 3600})

    assert (kept.status, kept.json["at"], kept.json["prices"]["age"]) == (200, NOON - 3 * DAY, 3599)
    assert '"price_usd":56507.38254720854' in kept.text
    assert gone.status == 404
    assert f"minutes from {NOON} to {NOON} and full hours from {NOON - 3 * DAY} to {NOON - 3 * DAY}" in gone.text
