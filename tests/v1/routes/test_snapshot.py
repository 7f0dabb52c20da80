"""Many metrics in one answer: the numbers of the routes of one metric, page by page, in each format."""

import asyncio
import csv
import io
import json
import sys

import nanoarrow
import pytest

from tests.support.serving import DAY, HOUR, MINUTE, NOON, every_minute, fill, sample, serving
from v1.market.current import divide_by_mean
from v1.model import MEASURES
from v1.numbers.decimals import parse_decimal
from v1.numbers.moments import count_moments
from v1.store import connect, keys, list_reader
from v1.store.round_trip import read_all

PATH = "/v1/snapshot"
NAMES = ["BINANCE:BTCUSDT", "BINANCE:ETHUSDT", "KRAKEN:BTCUSD", "KRAKEN:XBTEUR"]


@pytest.fixture
async def market(writer):
    """Four metrics: two whole days, one of 90 minutes, and one whose newest sample is half an hour old."""
    moving = [f"{46000 + minute % 97}.{minute % 10}0" for minute in range(1440)]
    still = ["2.50"] * 1440
    await fill(
        writer,
        {
            "BINANCE:BTCUSDT": every_minute(moving, volume="10", interval_volume="0.25"),
            "BINANCE:ETHUSDT": every_minute(still, interval_return="-0.5"),
            "KRAKEN:BTCUSD": every_minute([str(minute) for minute in range(1, 91)]),
            "KRAKEN:XBTEUR": every_minute(["7", "8e-1", "9"], NOON - HOUR // 2),
        },
    )
    return moving


async def ask(api, **query):
    answer = await api.get(PATH, query)
    assert answer.status == 200, answer.text
    return json.loads(answer.text, parse_float=str, parse_int=str)


def column(answer, name):
    return [row[name] for row in answer["rows"]]


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize("scores", [0, 30], ids=["counted one by one", "read as a list"])
async def test_every_number_is_that_of_the_routes_of_one_metric(api, monkeypatch, scores):
    monkeypatch.setattr(list_reader, "SCORES_A_COUNT", scores)
    answer = await ask(api, measures=",".join(MEASURES))
    alone = await ask(api, measures="price")

    assert alone["rows"] == answer["rows"][:: len(MEASURES)]

    assert column(answer, "metric")[:: len(MEASURES)] == NAMES
    for row in answer["rows"]:
        one = json.loads((await api.get(f"/v1/metrics/{row['metric']}")).text, parse_float=str, parse_int=str)
        assert {name: row[name] for name in ("at", "age", "state", "source", "provider_time")} == {
            name: one[name] for name in ("at", "age", "state", "source", "provider_time")
        }
        told = one["measures"][row["measure"]]
        assert {name: row[name] for name in told} == told
        rank = await api.get(f"/v1/metrics/{row['metric']}/rank", {"measure": row["measure"], "by": "cv"})
        place = json.loads(rank.text, parse_float=str, parse_int=str)
        expected = (place["rank"], place["of"], place["value"]) if rank.status == 200 else (None, None, None)
        assert (row["cv_rank"], row["cv_of"], row["cv"] if row["cv_rank"] else None) == expected


async def test_changes_say_from_which_number_they_are(api, market):
    (row,) = (await ask(api, metrics="binance:btcusdt"))["rows"]

    assert (row["value"], row["hour_ago"], row["hour_ago_at"]) == (market[-1], market[-61], str(NOON - HOUR))
    assert (row["day_ago"], row["day_ago_at"]) == (market[0], str(NOON - DAY + MINUTE))
    now, hour_ago, day_ago = (float(price) for price in (market[-1], market[-61], market[0]))
    assert row["change_1h"] == f"{(now / hour_ago - 1) * 100:.3f}"
    assert row["change_24h"] == f"{(now / day_ago - 1) * 100:.3f}"


@pytest.mark.usefixtures("market")
async def test_what_is_not_known_of_the_past_is_null(api):
    young, old = (await ask(api, metrics="KRAKEN:*"))["rows"]

    assert (young["hour_ago"], young["change_24h"], young["day_ago"], young["day_ago_at"]) == ("30", None, None, None)
    assert (old["hour_ago"], old["change_1h"], old["state"], old["age"]) == (None, None, "stale", "1805")


async def test_an_hour_ago_is_the_newest_sample_of_the_hour_before_that(api, writer):
    """11:00 lies in another hour's set than 11:01, and 11:01 is missing."""
    samples = [sample(NOON - HOUR, "4.0"), sample(NOON + 60, "5.0")]
    await fill(writer, {"KRAKEN:BTCUSD": samples}, NOON + 60)

    (row,) = (await ask(api))["rows"]

    assert (row["hour_ago"], row["hour_ago_at"], row["change_1h"]) == ("4.0", str(NOON - HOUR), "25.000")


async def test_no_percentage_is_counted_from_zero_or_below(api, writer):
    samples = [sample(NOON - HOUR, "1", change_absolute="-2"), sample(NOON, "1", change_absolute="3")]
    await fill(writer, {"KRAKEN:BTCUSD": samples})

    (row,) = (await ask(api, measures="change_absolute"))["rows"]

    assert (row["value"], row["hour_ago"], row["change_1h"], row["ratio"]) == ("3", "-2", None, None)


async def test_the_ratio_is_that_to_the_hour_mean_rounded_once(api, market):
    (row,) = (await ask(api, metrics="BINANCE:BTCUSDT"))["rows"]
    before = count_moments([parse_decimal(price) for price in market[-61:-1]])

    assert float(row["ratio"]) == divide_by_mean(parse_decimal(market[-1]), before)
    assert float(row["ratio"]) == pytest.approx(float(row["value"]) / float(row["hour_mean"]), rel=1e-15)


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize("limit", [1, 2, 3, 4])
async def test_pages_join_without_a_seam(api, limit):
    whole, pages = await ask(api, measures="volume,price"), []
    cursor: str | None = ""
    while cursor is not None:
        page = await ask(api, measures="volume,price", limit=limit, cursor=cursor)
        pages += page["rows"]
        cursor = page["next"]
        assert page["of"] == "4"

    assert pages == whole["rows"]
    assert whole["next"] is None


@pytest.mark.usefixtures("market")
async def test_who_asks_for_csv_finds_the_next_page_in_a_header(api):
    first = await api.get(f"{PATH}.csv", {"limit": 3, "metrics": "*:*"})
    link = first.headers["Link"]
    last = await api.get(link.partition(">")[0].removeprefix("<"))

    assert link.endswith('>; rel="next"')
    assert [line.split(",")[0] for line in last.text.splitlines()[1:]] == ['"KRAKEN:XBTEUR"']
    assert "Link" not in last.headers


@pytest.mark.usefixtures("market")
async def test_patterns_and_names_select_each_metric_once(api):
    assert column(await ask(api, metrics=" kraken:* , KRAKEN:BTCUSD,BINANCE:ETH????"), "metric") == [
        "BINANCE:ETHUSDT",
        "KRAKEN:BTCUSD",
        "KRAKEN:XBTEUR",
    ]


@pytest.mark.usefixtures("market")
async def test_a_pattern_that_matches_nothing_is_an_empty_list(api):
    answer = await ask(api, metrics="GEMINI:*")

    assert (answer["rows"], answer["next"], answer["of"]) == ([], None, "0")


async def test_before_the_first_sample_there_is_an_empty_list(api):
    answer = await api.get(PATH)

    assert answer.json == {
        "at": None,
        "replay": None,
        "of": 0,
        "measures": ["price"],
        "sparkline_ends": [],
        "rows": [],
        "next": None,
    }
    assert (await api.get(f"{PATH}.csv")).text.count("\n") == 1


@pytest.mark.usefixtures("market")
async def test_each_unknown_name_is_named_with_the_nearest(api):
    answer = await api.get(PATH, {"metrics": "KRAKEN:BTCUSDT,BINANCE:*,BINANCE:ETHUSD"})

    assert answer.status == 404
    assert [(each["field"], each["value"]) for each in answer.json["errors"]] == [
        ("metrics", "BINANCE:ETHUSD"),
        ("metrics", "KRAKEN:BTCUSDT"),
    ]
    assert "BINANCE:ETHUSDT" in answer.json["errors"][0]["accepted"]
    assert "no metric 'BINANCE:ETHUSD' has a sample" in answer.json["detail"]
    assert "KRAKEN:BTCUSDT" in answer.json["detail"]


@pytest.mark.usefixtures("market")
async def test_a_dead_market_is_a_row_of_nulls(api, server):
    state = {"state": "ok", "since": NOON, "metrics": 4, "dead": ["KRAKEN:LUNAUSD", "KRAKEN:XBTEUR"]}
    async with connect(server, "tests") as redis:
        await redis.hset(keys.SOURCES, "kraken", json.dumps(state))

    answer = await ask(api, metrics="KRAKEN:LUNAUSD,KRAKEN:XBTEUR")

    assert column(answer, "state") == ["dead", "dead"]
    assert column(answer, "value") == [None, "9"]
    assert {name for name, cell in answer["rows"][0].items() if cell is not None} == {
        *("metric", "measure", "state", "hour_samples", "hour_coverage", "samples", "coverage")
    }


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize("points, step", [(24, "1h"), (48, "30m")])
async def test_a_sparkline_is_the_history_of_the_day_in_steps(api, writer, clock, points, step):
    """Also at a tick that ends no step."""
    await fill(writer, {"BINANCE:BTCUSDT": [sample(NOON + 60, "1.0")]}, NOON + 60)
    clock.now += 60

    answer = await ask(api, metrics="BINANCE:BTCUSDT,KRAKEN:BTCUSD", sparkline=points)

    for row in answer["rows"]:
        query = {"step": step, "fill": "null", "from": NOON - DAY, "to": NOON + DAY}
        history = await api.get(f"/v1/metrics/{row['metric']}/history", query)
        known = json.loads(history.text, parse_float=str, parse_int=str)["points"]
        assert row["sparkline"] == [price for _, price in known]
        assert answer["sparkline_ends"] == [tick for tick, _ in known]
    assert len(answer["sparkline_ends"]) == points


@pytest.mark.usefixtures("market")
async def test_csv_and_ndjson_have_the_fields_of_json_with_the_same_digits(api):
    query = {"measures": "price,interval_return"}
    rows = [
        {name: cell for name, cell in row.items() if name != "sparkline"} for row in (await ask(api, **query))["rows"]
    ]

    table = [*csv.DictReader(io.StringIO((await api.get(f"{PATH}.csv", query)).text))]
    lines = (await api.get(PATH, query, Accept="application/x-ndjson")).text.splitlines()

    assert [{name: cell or None for name, cell in row.items()} for row in table] == rows
    assert [json.loads(line, parse_float=str, parse_int=str) for line in lines] == rows


METRIC_FIELDS = ["metric", "at", "age", "state", "source", "provider_time"]


async def read_by_metric(api):
    """Return what the rows of price and interval_return say, as one row a metric by the names of its fields."""
    rows = (await ask(api, measures="price,interval_return"))["rows"]
    found = []
    for price, since in zip(rows[::2], rows[1::2], strict=True):
        one = {name: price[name] for name in METRIC_FIELDS}
        for row in (price, since):
            numbers = [name for name in row if name not in (*METRIC_FIELDS, "measure", "sparkline")]
            one |= {f"{row['measure']}.{name}": row[name] for name in numbers}
        found.append(one)
    return found


@pytest.mark.usefixtures("market")
async def test_each_field_alone_has_the_numbers_that_the_rows_of_measures_have(api):
    """Whatever is left out, so that nothing is worked out without something that it needs."""
    whole = await read_by_metric(api)
    names = [*whole[0]]

    for wanted in (*[[name] for name in names], names[::-1], names[3:12], ["interval_return.cv_of", "metric"]):
        query = {"fields": " , ".join(wanted)}
        answer = await ask(api, **query)
        table = await api.get(f"{PATH}.csv", query)

        assert answer["rows"] == [{name: row[name] for name in wanted} for row in whole]
        expected = [[row[name] or "" for name in wanted] for row in whole]
        assert [*csv.reader(io.StringIO(table.text))] == [wanted, *expected]


@pytest.mark.usefixtures("market")
async def test_fields_are_answered_in_every_format_each_once_and_page_by_page(api):
    query = {"fields": "metric,price.value,metric,interval_return.hour_samples", "limit": 3}
    names = ["metric", "price.value", "interval_return.hour_samples"]
    answer = await ask(api, **query)
    lines = (await api.get(PATH, query, Accept="application/x-ndjson")).text.splitlines()
    table = nanoarrow.ArrayStream.from_readable(
        await api.read_bytes(f"{PATH}.arrow?fields={query['fields']}&limit=3")
    ).read_all()
    last = await ask(api, **query, cursor=answer["next"])

    assert [[*row] for row in answer["rows"]] == [names] * 3
    assert answer["measures"] == ["price", "interval_return"]
    assert [json.loads(line, parse_float=str, parse_int=str) for line in lines] == answer["rows"]
    assert table.to_pylist() == [
        {name: row[name] if name == "metric" else float(row[name]) for name in names} for row in answer["rows"]
    ]
    assert [row["metric"] for row in last["rows"]] == NAMES[3:]


@pytest.mark.usefixtures("market")
async def test_a_sparkline_comes_beside_fields_where_it_is_asked_for(api):
    with_line = await ask(api, fields="metric", sparkline=24)
    without = await ask(api, fields="metric")

    assert [[*row] for row in with_line["rows"]] == [["metric", "sparkline"]] * 4
    assert [len(row["sparkline"]) for row in with_line["rows"]] == [24] * 4
    assert without["rows"] == [{"metric": name} for name in NAMES]


@pytest.mark.usefixtures("market")
async def test_a_dead_market_has_the_same_fields(api, server):
    async with connect(server, "tests") as redis:
        await redis.hset(keys.SOURCES, "kraken", json.dumps({"state": "ok", "since": NOON, "dead": ["KRAKEN:LUNAUSD"]}))

    answer = await ask(api, metrics="KRAKEN:LUNAUSD", fields="state,price.value,volume.samples,volume.rank,metric")

    assert answer["rows"] == [
        {
            "state": "dead",
            "price.value": None,
            "volume.samples": "0",
            "volume.rank": None,
            "metric": "KRAKEN:LUNAUSD",
        }
    ]


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize(
    "fields, commands",
    [
        ("metric,price.coverage", "MGET"),
        ("price.stddev,interval_return.cv", "MGET"),
        ("metric,price.value", "MGET"),
        ("price.of", "ZCARD ZRANGE MGET"),
        ("price.cv_rank,price.of,volume.of", "ZCARD ZCARD ZCARD ZRANGE ZRANGE ZRANGE MGET"),
        ("price.change_1h", "MGET" + " ZRANGE" * 5),  # one of the four is looked for in a second hour
        ("price.day_ago", "MGET" + " ZRANGE" * 4),
        ("interval_return.hour_mean", "MGET" + " ZRANGE" * 4),
    ],
)
async def test_what_no_field_needs_is_not_read(api, monkeypatch, fields, commands):
    asked = []

    async def note(redis, commands):
        asked.extend([command[0] for command in commands])
        return await read_all(redis, commands)

    monkeypatch.setattr(list_reader, "read_all", note)
    await api.get(f"{PATH}.csv", {"fields": fields})

    assert " ".join(asked) == commands


@pytest.mark.usefixtures("market")
async def test_without_an_age_the_answer_is_the_same_one_until_the_next_tick(api, clock):
    query = {"fields": "metric,at,price.value"}
    first = await api.get(f"{PATH}.csv", query)
    clock.now += 30
    second = await api.get(f"{PATH}.csv", query, If_None_Match=first.headers["ETag"])

    assert not first.headers["ETag"].startswith("W/")
    assert second.status == 304


@pytest.mark.usefixtures("market")
async def test_without_an_age_nothing_is_read_again_until_the_next_tick(api, clock, monkeypatch):
    asked = []

    async def note(redis, commands):
        asked.extend(commands)
        return await read_all(redis, commands)

    async def count_reads(fields):
        asked.clear()
        assert (await api.get(PATH, {"fields": fields})).status == 200
        return len(asked)

    monkeypatch.setattr(list_reader, "read_all", note)
    async with asyncio.timeout(60):
        while await count_reads("metric,at,price.value"):  # nothing is kept before the subscription to changes is there
            await asyncio.sleep(0)
    clock.now += 30
    later, with_age = await count_reads("metric,at,price.value"), await count_reads("age")
    clock.now += 1

    assert (later, with_age > 0, await count_reads("age") > 0) == (0, True, True)


@pytest.mark.usefixtures("market")
async def test_times_of_csv_are_iso_where_that_is_asked_for(api):
    query = {"metrics": "BINANCE:BTCUSDT", "format": "csv", "time": "iso"}

    (row,) = csv.DictReader(io.StringIO((await api.get(PATH, query)).text))

    assert (row["at"], row["hour_ago_at"]) == ("2021-05-17T12:00:00Z", "2021-05-17T11:00:00Z")


@pytest.mark.usefixtures("market")
async def test_arrow_reads_back_as_the_same_numbers(api):
    rows = (await api.get(PATH)).json["rows"]

    for path, headers in ((f"{PATH}.arrow", {}), (PATH, {"Accept": "application/vnd.apache.arrow.stream"})):
        table = nanoarrow.ArrayStream.from_readable(await api.read_bytes(path, **headers)).read_all()
        assert table.to_pylist() == [{name: row[name] for name in row if name != "sparkline"} for row in rows]
        kinds = {field.name: field.type.name.lower() for field in table.schema.fields}
        assert {name for name, kind in kinds.items() if kind == "string"} == {"metric", "measure", "state", "source"}
        assert {name for name, kind in kinds.items() if kind == "int64"} == {
            *("at", "age", "provider_time", "hour_ago_at", "day_ago_at", "hour_samples"),
            *("rank", "of", "cv_rank", "cv_of", "samples"),
        }


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize("path, query", [(f"{PATH}.arrow", {}), (PATH, {"format": "arrow"}), ("/v1/history.arrow", {})])
async def test_without_the_package_that_writes_arrow_the_answer_says_what_to_install(api, monkeypatch, path, query):
    monkeypatch.setitem(sys.modules, "nanoarrow.ipc", None)

    answer = await api.get(path, query)

    assert answer.status == 406
    assert "nanoarrow is not installed" in answer.json["detail"]
    assert "csv" in answer.json["detail"]


@pytest.mark.usefixtures("market")
async def test_the_ages_alone_do_not_make_another_answer_within_an_interval(api, clock):
    first = await api.get(PATH)
    clock.now += 1
    second = await api.get(PATH)
    unchanged = await api.get(PATH, If_None_Match=first.headers["ETag"])
    clock.now += 60
    later = await api.get(PATH, If_None_Match=first.headers["ETag"])

    assert first.text != second.text
    assert (unchanged.status, later.status) == (304, 200)


@pytest.mark.usefixtures("market")
@pytest.mark.parametrize(
    "query, field, accepted",
    [
        ({"metrics": ""}, "metrics", "EXCHANGE:PAIR"),
        ({"metrics": "KRAKEN:*,,"}, "metrics", "EXCHANGE:PAIR"),
        ({"metrics": "KRAKEN:[AB]*"}, "metrics", "EXCHANGE:PAIR"),
        ({"metrics": ",".join(["A:B"] * 501)}, "metrics", "at most 500"),
        ({"metrics": "A" * 4001}, "metrics", "at most 4000 characters"),
        ({"measures": ""}, "measures", "price, volume"),
        ({"measures": "prize"}, "measures", "price, volume"),
        ({"measures": "price,"}, "measures", "price, volume"),
        ({"limit": 10_001}, "limit", "from 1 to 10000"),
        ({"sparkline": 12}, "sparkline", "0, 24 or 48"),
        ({"sparkline": 24, "limit": 1001}, "limit", "1000 or fewer"),
        ({"sparkline": 24, "format": "csv"}, "sparkline", "only with format=json"),
        ({"time": "iso"}, "time", "only with format=csv"),
        ({"fields": "metric,prize.value"}, "fields", "metric, at, age, state, source, provider_time, or a number of"),
        ({"fields": "price.prize", "format": "csv"}, "fields", "value, change_1h, hour_ago"),
        ({"fields": "value"}, "fields", "as in price.value: price, volume,"),
        ({"fields": "measure"}, "fields", "metric, at, age"),
        ({"fields": "sparkline"}, "fields", "metric, at, age"),
        ({"fields": "price.measure"}, "fields", "metric, at, age"),
        ({"fields": ""}, "fields", "metric, at, age"),
        ({"fields": "metric", "measures": "price"}, "measures", "only without fields"),
        ({"measure": "price"}, "measure", "metrics, measures, limit, cursor, fields, sparkline, format, time, bom"),
    ],
    ids=str,
)
async def test_what_is_not_accepted_is_named_with_what_would_be(api, query, field, accepted):
    answer = await api.get(PATH, query)

    assert answer.status == 422, answer.text
    (error,) = [each for each in answer.json["errors"] if each["field"] == field]
    assert accepted in error["accepted"]


@pytest.mark.usefixtures("market")
async def test_at_another_interval_coverage_is_of_that(clock, server):
    async with serving(clock, server, interval=300) as api:
        (row,) = (await ask(api, metrics="KRAKEN:BTCUSD"))["rows"]

    assert row["coverage"] == str(90 / 288)


@pytest.mark.usefixtures("market")
async def test_connections_that_redis_has_closed_meanwhile_are_made_anew(api, server):
    before = await api.get(PATH)
    async with connect(server, "tests") as redis:
        await redis.client_kill_filter(_type="normal", skipme=True)

    after = await api.get(PATH)

    assert (after.status, after.text) == (200, before.text)


async def test_while_the_store_is_away_the_answer_is_503(clock, tmp_path):
    async with serving(clock, f"unix://{tmp_path}/nobody.sock") as api:
        for path in (PATH, f"{PATH}.csv", "/v1/history", "/v1/history.arrow"):
            assert (await api.get(path)).status == 503
