"""The list of metrics, and what is known of one."""

import json
import math
from fractions import Fraction

import pytest

from tests.support.serving import DAY, HOUR, MINUTE, NOON, every_minute, fill, sample, serving


@pytest.fixture
async def three(writer):
    await fill(
        writer,
        {
            "KRAKEN:ETHUSD": every_minute(["3500.10", "3501"]),
            "KRAKEN:BTCUSD": every_minute([str(46000 + minute) for minute in range(1440)]),
            "BINANCE:OLDUSD": every_minute(["1", "2"], NOON - HOUR),
        },
    )


@pytest.mark.usefixtures("three")
async def test_the_list_is_by_name_and_tells_what_each_has(api):
    answer = await api.get("/v1/metrics")

    assert answer.json == {
        "metrics": [
            {
                "metric": "BINANCE:OLDUSD",
                "measures": ["price"],
                "samples": 2,
                "first": NOON - HOUR - MINUTE,
                "last": NOON - HOUR,
                "state": "stale",
            },
            {
                "metric": "KRAKEN:BTCUSD",
                "measures": ["price"],
                "samples": 1440,
                "first": NOON - DAY + MINUTE,
                "last": NOON,
                "state": "live",
            },
            {
                "metric": "KRAKEN:ETHUSD",
                "measures": ["price"],
                "samples": 2,
                "first": NOON - MINUTE,
                "last": NOON,
                "state": "live",
            },
        ],
        "next": None,
    }


@pytest.mark.usefixtures("three")
async def test_a_list_is_walked_page_by_page_and_ends(api):
    names: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await api.get("/v1/metrics", {"limit": 1, "cursor": cursor})).json
        names += [each["metric"] for each in page["metrics"]]
        cursor = page["next"]

    assert names == ["BINANCE:OLDUSD", "KRAKEN:BTCUSD", "KRAKEN:ETHUSD"]


@pytest.mark.usefixtures("three")
async def test_a_part_of_a_name_finds_it_whatever_its_case(api):
    assert [each["metric"] for each in (await api.get("/v1/metrics", {"q": "kraken:b"})).json["metrics"]] == [
        "KRAKEN:BTCUSD"
    ]
    assert (await api.get("/v1/metrics", {"q": "doge"})).json == {"metrics": [], "next": None}


async def test_before_the_first_tick_there_is_nothing_and_that_is_no_error(api):
    assert (await api.get("/v1/metrics")).json == {"metrics": [], "next": None}


async def test_a_frozen_feed_is_named_so(api, writer):
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(["7"] * 60, interval_volume="1")})

    assert (await api.get("/v1/metrics")).json["metrics"][0]["state"] == "frozen"


async def test_what_is_known_of_a_metric_equals_exact_arithmetic(api, writer, clock):
    prices = [f"0.0000{100 + minute % 13}" for minute in range(1440)]
    await fill(writer, {"KUCOIN:SHIBUSDT": every_minute(prices), "KUCOIN:BTCUSDT": every_minute(["1", "1000"])})
    clock.now = NOON + 17.9

    answer = await api.get("/v1/metrics/kucoin:shibusdt")

    known = answer.json
    price = known["measures"]["price"]
    day, hour = [Fraction(each) for each in prices], [Fraction(each) for each in prices[-61:-1]]
    variance = sum(each**2 for each in day) / 1440 - (sum(day) / 1440) ** 2
    assert json.loads(answer.text, parse_float=str)["measures"]["price"]["value"] == prices[-1]
    assert (price["hour_mean"], price["hour_samples"]) == (float(sum(hour) / 60), 60)
    assert price["stddev"] == pytest.approx(math.sqrt(variance), rel=1e-15)
    assert price["cv"] == pytest.approx(math.sqrt(variance) / float(sum(day) / 1440), rel=1e-15)
    assert (price["rank"], price["of"], price["samples"], price["coverage"]) == (2, 2, 1440, 1.0)
    assert {name: known[name] for name in ("metric", "at", "age", "state", "source", "provider_time")} == {
        "metric": "KUCOIN:SHIBUSDT",
        "at": NOON,
        "age": 17,
        "state": "live",
        "source": "tests",
        "provider_time": None,
    }
    assert known["day"] == {
        "samples": 1440,
        "expected": 1440,
        "coverage": 1.0,
        "first": NOON - DAY + MINUTE,
        "last": NOON,
    }


async def test_a_measure_that_nobody_gave_is_null_all_through(api, writer):
    await fill(writer, {"KRAKEN:BTCUSD": [sample(NOON, "1")]})

    assert (await api.get("/v1/metrics/KRAKEN:BTCUSD")).json["measures"]["volume"] == {
        "value": None,
        "hour_mean": None,
        "hour_samples": 0,
        "hour_coverage": 0.0,
        "stddev": None,
        "cv": None,
        "rank": None,
        "of": None,
        "samples": 0,
        "coverage": 0.0,
    }


async def test_a_gap_shows_in_the_coverage(api, writer):
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(["1"] * 360)})

    known = (await api.get("/v1/metrics/KRAKEN:BTCUSD")).json
    assert known["day"] == {
        "samples": 360,
        "expected": 1440,
        "coverage": 0.25,
        "first": NOON - 359 * MINUTE,
        "last": NOON,
    }


async def test_the_expected_samples_follow_the_interval(server, writer, clock):
    await fill(writer, {"KRAKEN:BTCUSD": [sample(NOON, "1")]})

    async with serving(clock, server, interval=5) as api:
        assert (await api.get("/v1/metrics/KRAKEN:BTCUSD")).json["day"]["expected"] == 17280


async def test_an_unknown_metric_is_answered_with_the_three_nearest_names(api, writer):
    names = ["KRAKEN:BTCUSD", "KRAKEN:BTCEUR", "BINANCE:BTCUSDT", "KRAKEN:DOGEXBT", "KUCOIN:LUNCUSDT"]
    await fill(writer, {name: [sample(NOON, "1")] for name in names})

    for path in ("", "/history", "/rank"):
        answer = await api.get(f"/v1/metrics/kraken:btcusx{path}")

        assert answer.status == 404
        assert answer.headers["Content-Type"] == "application/problem+json"
        (error,) = answer.json["errors"]
        nearest = error["accepted"].split(", ")
        assert (error["field"], error["value"]) == ("metric", "KRAKEN:BTCUSX")
        assert nearest[0] == "KRAKEN:BTCUSD"
        assert len(nearest) == 3


async def test_where_there_is_no_metric_at_all_the_answer_says_so(api):
    answer = await api.get("/v1/metrics/KRAKEN:BTCUSD")

    assert (answer.status, "there is no metric at all" in answer.json["detail"]) == (404, True)


@pytest.mark.usefixtures("three")
async def test_a_name_without_end_costs_nothing_and_is_not_sent_back_whole(api):
    answer = await api.get(f"/v1/metrics/{'A' * 10_000}")

    assert answer.status == 404
    assert len(answer.json["errors"][0]["value"]) < 200


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    "path, query, field, accepted",
    [
        pytest.param("/v1/metrics", {"limit": 0}, "limit", "a whole number from 1 to 1000", id="no limit"),
        pytest.param("/v1/metrics", {"limit": 1001}, "limit", "a whole number from 1 to 1000", id="too much"),
        pytest.param("/v1/metrics", {"limit": "ten"}, "limit", "a whole number from 1 to 1000", id="no number"),
        pytest.param("/v1/metrics", {"page": 2}, "page", "the parameters q, limit, cursor", id="unknown parameter"),
        pytest.param("/v1/metrics", {"q": "x" * 101}, "q", "at most 100 characters", id="a long text"),
        pytest.param("/v1/metrics/KRAKEN:BTCUSD", {"x": 1}, "x", "no parameters", id="no parameters"),
    ],
)
async def test_what_is_not_accepted_is_named_with_what_would_be(api, path, query, field, accepted):
    answer = await api.get(path, query)

    assert answer.status == 422
    (error,) = answer.json["errors"]
    assert (error["field"], accepted in error["accepted"]) == (field, True)


@pytest.mark.usefixtures("three")
async def test_a_dead_market_is_listed_as_dead_and_answered_with_the_source_that_says_so(api, writer):
    dead = ["BINANCE:OLDUSD", "KRAKEN:GONEUSD"]
    await writer.write_source_states({"cryptowatch": {"state": "ok", "metrics": 2, "dead": dead}})

    listed = {each["metric"]: each for each in (await api.get("/v1/metrics")).json["metrics"]}
    died = await api.get("/v1/metrics/BINANCE:OLDUSD")
    answers = [await api.get(f"/v1/metrics/KRAKEN:GONEUSD{path}") for path in ("", "/history", "/candles", "/rank")]

    assert list(listed) == ["BINANCE:OLDUSD", "KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "KRAKEN:GONEUSD"]
    assert [each["state"] for each in listed.values()] == ["dead", "live", "live", "dead"]
    assert listed["KRAKEN:GONEUSD"] == {
        "metric": "KRAKEN:GONEUSD",
        "measures": [],
        "samples": 0,
        "first": None,
        "last": None,
        "state": "dead",
    }
    assert died.json["state"] == "dead"
    for answer in answers:
        assert answer.status == 404
        assert answer.json["detail"].startswith(
            "the market 'KRAKEN:GONEUSD' is dead: cryptowatch lists it and has no price of it, so no metric "
        )


@pytest.mark.usefixtures("three")
async def test_what_is_wished_for_and_nobody_gives_is_answered_with_the_reason(api, writer):
    await writer.write_source_states({}, {"KRAKEN:XBTUSD": "kraken's XBTUSD is called KRAKEN:BTCUSD here"})

    answer = await api.get("/v1/metrics/KRAKEN:XBTUSD")

    assert answer.status == 404
    assert "although it is wished for: kraken's XBTUSD is called KRAKEN:BTCUSD here; nearest: " in answer.json["detail"]
