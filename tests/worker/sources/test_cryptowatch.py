from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from tests.support.loopback import ASKED, FAULTS, providers, serving
from tests.support.loopback.faults import once, page, says
from tests.support.loopback.recordings import cassette
from tests.support.shared import shared
from tests.worker.sources.conftest import MORNING, Clock
from worker.latest import DAY, HOUR, MINUTE, Metric, Reading, decimals
from worker.sources.base import parse_exact_json
from worker.sources.candle_rows import parse_finished
from worker.sources.cryptowatch import (
    COLUMNS,
    CryptowatchSource,
    convert_to_percent,
    is_allowance_spent,
    make_refusal,
    parse_markets,
    parse_summaries,
)
from worker.sources.errors import InvalidResponse, SourceRefused
from worker.sources.pair_names import UnknownPair

BTC = Metric("KRAKEN:BTCUSD")
SUMMARIES, OHLC = "/markets/summaries", "/markets/kraken/btcusd/ohlc"


@cache
def everything(path: Path) -> Any:
    return parse_exact_json(cassette(path)[0])["result"]


def all_summaries() -> Any:
    return everything(shared("recorded", "cryptowatch", "get_all_market_summaries.yml.gz"))


def recorded(name: str) -> Any:
    return parse_exact_json(
        shared("recorded", "cryptowatch", f"MarketsUnauthenticated.{name}Response.json").read_bytes()
    )


def summary(**price: object) -> dict[str, Any]:
    row = all_summaries()["kraken:btcusd"]
    return {**row, "price": {**row["price"], **price}}


def asked(app: web.Application, path: str) -> list[dict[str, str]]:
    return [dict(request.query) for request in app[ASKED] if request.path == path]


async def opened(base: str, session: ClientSession, *wishes: str, api_key: str | None = None) -> CryptowatchSource:
    source = CryptowatchSource(base, wishes or (BTC,), MINUTE, api_key)
    await source.open(session)
    return source


# ---- reading what was recorded ---------------------------------------------------------------------------


def test_all_recorded_markets_are_read_but_the_dead_ones():
    rejects: Counter[str] = Counter()
    names = {key: metric for keys in parse_markets(all_summaries()).values() for metric, key in keys.items()}

    readings = parse_summaries(all_summaries(), names, rejects)

    assert len(all_summaries()) == len(names) == 14_462
    assert len(readings) == 14_462 - 1_041
    assert rejects == {"dead market": 1_041}
    assert all(decimals.is_number(text) for reading in readings.values() for text in reading[:4])


def test_recorded_digits_are_kept_and_the_fraction_becomes_percent():
    readings = parse_summaries(all_summaries(), {"kraken:btcusd": BTC}, Counter())

    assert readings == {BTC: Reading("26115.1", "1143.9408934147432", "0.1910586104898055", "49.79999999999927")}


def test_a_market_whose_price_is_zero_is_dead_and_one_without_a_price_is_not():
    summaries = {f"kraken:{pair}": {"price": {"last": last}} for pair, last in (("a", "0"), ("b", None), ("c", "1"))}
    names = {key: Metric(key.upper()) for key in summaries}
    dead: set[Metric] = set()

    parse_summaries(summaries, names, Counter(), dead)

    assert dead == {"KRAKEN:A"}


def test_exponents_are_kept_as_they_were_sent():
    metric = Metric("BINANCE-US:ADABTC")

    reading = parse_summaries(all_summaries(), {"binance-us:adabtc": metric}, Counter())[metric]

    assert (reading.price, reading.change_absolute) == ("0.00001023", "8.000000000000093e-8")


@pytest.mark.parametrize(
    "fraction, expected",
    [
        ("0.00662", "0.662"),
        ("-0.0018020468532181837", "-0.18020468532181837"),
        ("0", "0"),
        ("8.000000000000093e-8", "0.000008000000000000093"),
        ("12", "1200"),
        ("1.5e-60", None),
        (None, None),
    ],
)
def test_percent_moves_the_point_and_no_digit(fraction: str | None, expected: str | None):
    assert convert_to_percent(fraction) == expected


def test_volume_is_in_the_base_currency_also_where_contracts_are_counted():
    key = "binance:aaveusd-perpetual-future-inverse"
    metric = Metric(key.upper())

    reading = parse_summaries(all_summaries(), {key: metric}, Counter())[metric]

    assert (all_summaries()[key]["volume"], reading.volume) == ("57986", "10361.076976619983")


def test_a_single_markets_summary_has_its_volume_under_the_older_name():
    body = {"kraken:btcusd": recorded("BtcUsdKrakenSummary")["result"]}

    assert parse_summaries(body, {"kraken:btcusd": BTC}, Counter())[BTC].volume == "2047.7691799822398"


def test_a_candle_starts_a_minute_before_the_time_it_bears():
    rows = recorded("KrakenBtcUsdOneMinuteOHLCAfter01-01-2023")["result"]["60"]

    candles = parse_finished(rows, COLUMNS, 0, MORNING, Counter())

    assert candles[0] == (1691086380, "29141.6", "29141.7", "29140", "29140", "0.60156626")
    assert len(candles) == len(rows) == 13


def test_the_recorded_candle_that_closes_in_the_future_is_left_out():
    rows = recorded("KrakenBtcUsdOneMinuteOHLCAfter01-01-2023")["result"]["60"]
    closes = int(rows[-1][0])

    candles = parse_finished(rows, COLUMNS, 0, closes - 10, Counter())

    assert len(candles) == len(rows) - 1


# ---- rows that are no readings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "row, reason",
    [
        pytest.param(lambda: summary(last="0"), "dead market", id="zero"),
        pytest.param(lambda: summary(last="0e-8"), "dead market", id="zero with an exponent"),
        pytest.param(lambda: summary(last="-1"), "negative price", id="negative"),
        pytest.param(lambda: summary(last=float("nan")), "unreadable price", id="NaN"),
        pytest.param(lambda: summary(last="1e999"), "unreadable price", id="too far out"),
        pytest.param(lambda: summary(last="1" * 61), "unreadable price", id="too long"),
        pytest.param(lambda: {"price": {}}, "missing price", id="missing"),
        pytest.param(lambda: None, "missing price", id="null"),
        pytest.param(dict, "missing price", id="empty"),
        pytest.param(lambda: [1], "missing price", id="an array"),
    ],
)
def test_a_summary_without_a_price_is_left_out_and_counted(row: Any, reason: str):
    rejects: Counter[str] = Counter()

    assert parse_summaries({"kraken:btcusd": row()}, {"kraken:btcusd": BTC}, rejects) == {}
    assert rejects == {reason: 1}


def test_any_other_number_that_cannot_be_read_costs_only_itself():
    rejects: Counter[str] = Counter()
    broken = summary(change={"percentage": "x"}) | {"volumeBase": "-1"}

    assert parse_summaries({"kraken:btcusd": broken}, {"kraken:btcusd": BTC}, rejects) == {BTC: Reading("26115.1")}
    assert rejects == {"negative volume": 1, "unreadable change_percentage": 1, "missing change_absolute": 1}


def test_a_market_that_is_not_in_the_answer_is_counted():
    rejects: Counter[str] = Counter()

    assert parse_summaries({}, {"kraken:btcusd": BTC}, rejects) == {}
    assert rejects == {"not in the answer": 1}


# ---- wishes ----------------------------------------------------------------------------------------------


async def test_markets_of_any_exchange_are_given(base: str, session: ClientSession):
    wishes = ("KRAKEN:BTCUSD", "BINANCE-US:ADABTC", "BITMEX:BTCUSD-PERPETUAL-FUTURE-INVERSE")

    source = await opened(base, session, *wishes)

    assert set(source.metrics) == set(wishes)
    assert (await source.fetch(session, MORNING)).keys() == set(wishes)


async def test_all_markets_of_one_exchange_or_of_all_are_given(base: str, session: ClientSession):
    one, every = await opened(base, session, "ZONDA:*"), await opened(base, session, "*")

    assert {metric.partition(":")[0] for metric in one.metrics} == {"ZONDA"}
    assert len(every.metrics) == 14_462


async def test_a_wish_that_cannot_be_fulfilled_is_named_with_what_is_near(base: str, session: ClientSession):
    wishes = ("KRAKEN:BTCUSDD", "KRAKN:BTCUSD", "KRAKN:*", "KRAKEN:*", "*")

    missing = await CryptowatchSource(base, wishes, MINUTE, None).open(session)

    assert missing.keys() == {"KRAKEN:BTCUSDD", "KRAKN:BTCUSD", "KRAKN:*"}
    assert "cryptowatch has no pair BTCUSDD; nearest: BTCUSD" in missing[Metric("KRAKEN:BTCUSDD")]
    assert missing[Metric("KRAKN:*")] == "cryptowatch has no exchange KRAKN; nearest: KRAKEN"


@pytest.mark.parametrize("key", ["", "btcusd", "kraken:", ":btcusd", "kraken:btc usd", "kraken:btc{usd}", "a:b:c"])
def test_a_market_without_a_usable_name_is_no_metric(key: str):
    assert not any(parse_markets({key: {}}).values())


# ---- asking ----------------------------------------------------------------------------------------------


async def test_one_call_a_tick(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session, "*")
    app[ASKED].clear()

    readings = await source.fetch(session, MORNING)

    assert len(app[ASKED]) == 1
    assert len(readings) == 14_462 - 1_041
    assert all(reading.interval_volume is None for reading in readings.values())


async def test_further_pages_are_followed(app: web.Application, base: str, session: ClientSession):
    app[FAULTS][SUMMARIES] = once(
        says(recorded("MarketsSummariesWithLimitOf3") | {"cursor": {"hasMore": True, "last": "Mw=="}})
    )

    source = await opened(base, session, "*")

    assert asked(app, SUMMARIES) == [{}, {"cursor": "Mw=="}]
    assert len(source.metrics) > 14_000


async def test_pages_without_an_end_are_nonsense(app: web.Application, base: str, session: ClientSession):
    app[FAULTS][SUMMARIES] = says({"result": {}, "cursor": {"last": "x", "hasMore": True}})

    with pytest.raises(InvalidResponse, match="did not end after 100 pages"):
        await CryptowatchSource(base, (BTC,), MINUTE, None).open(session)


async def test_the_key_travels_in_its_header_and_not_in_messages(
    app: web.Application, base: str, session: ClientSession
):
    source = await opened(base, session, api_key="SECRET")
    app[FAULTS][SUMMARIES] = page()

    with pytest.raises(InvalidResponse, match="cryptowatch sent an unexpected answer") as caught:
        await source.fetch(session, MORNING)

    assert app[ASKED][0].headers["X-CW-API-Key"] == "SECRET"
    assert "SECRET" not in str(caught.value)


# ---- the allowance ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "allowance, expected",
    [
        ({"cost": "0.015", "remaining": "9.695", "upgrade": "..."}, False),
        ({"cost": "0.015", "remaining": "0.015"}, False),
        ({"cost": "0.015", "remaining": "0.0149"}, True),
        ({"cost": "0", "remaining": "0", "remainingPaid": "9999999999"}, False),
        ({"cost": "0.015", "remaining": "0", "remainingPaid": "9999999999"}, False),
        ({"cost": "1234567", "remaining": "3999999999"}, False),
        ({"cost": "1234567", "remaining": "1", "remainingPaid": "0"}, True),
        ({"cost": "x", "remaining": None}, False),
        (None, False),
    ],
)
def test_the_allowance_is_spent_when_another_call_would_not_be_paid(allowance: object, expected: bool):
    assert is_allowance_spent(allowance) is expected


async def test_it_stops_asking_before_the_allowance_is_used_up(clock: Clock, session: ClientSession):
    app = providers(shared("recorded"), clock, allowance=0.04)
    async with serving(app) as base:
        source = await opened(base, session)
        await source.fetch(session, MORNING)

        with pytest.raises(SourceRefused, match="allowance") as of_a_candle:
            await source.fetch_candles(session, BTC, MORNING - HOUR, MORNING)
        with pytest.raises(SourceRefused, match="allowance") as of_a_tick:
            await source.fetch(session, MORNING + MINUTE)

    assert of_a_candle.value.wait == of_a_tick.value.wait == HOUR
    assert len(app[ASKED]) == 2


async def test_after_the_wait_it_asks_again(app: web.Application, base: str, session: ClientSession):
    app[FAULTS][SUMMARIES] = once(
        says({"result": {"kraken:btcusd": {}}, "allowance": {"cost": 0.015, "remaining": 0.01}})
    )
    source = await opened(base, session)
    with pytest.raises(SourceRefused):
        await source.fetch(session, MORNING)

    assert (await source.fetch(session, MORNING + HOUR)).keys() == {BTC}


async def test_out_of_allowance_is_a_refusal_for_an_hour(clock: Clock, session: ClientSession):
    async with serving(providers(shared("recorded"), clock, allowance=0.01)) as base:
        with pytest.raises(SourceRefused, match="Out of allowance") as caught:
            await CryptowatchSource(base, (BTC,), MINUTE, None).open(session)

    assert caught.value.wait == HOUR


# ---- when Cryptowatch says no ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status, said, after, wait",
    [
        (429, "Out of allowance", None, HOUR),
        (429, None, 5, 5),
        (200, "Out of allowance", None, HOUR),
        (401, "Invalid key", None, None),
        (502, None, None, None),
    ],
)
def test_a_refusal_says_how_long_to_stay_away(status: int, said: str | None, after: int | None, wait: float | None):
    refused = make_refusal(status, said, after, "markets/summaries")

    assert refused.wait == wait
    assert (said or str(status)) in str(refused)


async def test_a_market_that_cryptowatch_does_not_know_is_named(
    app: web.Application, base: str, session: ClientSession
):
    source = await opened(base, session)
    app[FAULTS][OHLC] = says({"error": "Instrument not found", "allowance": {"cost": 0.015, "remaining": 9}}, 404)

    with pytest.raises(UnknownPair, match="kraken/btcusd/ohlc: Instrument not found"):
        await source.fetch_candles(session, BTC, MORNING - HOUR, MORNING)
    with pytest.raises(UnknownPair, match="KRAKEN:FOO"):
        await source.fetch_candles(session, Metric("KRAKEN:FOO"), MORNING - HOUR, MORNING)


async def test_an_error_inside_a_200_is_a_refusal(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session)
    app[FAULTS][SUMMARIES] = says({"error": "Internal"})

    with pytest.raises(SourceRefused, match="Internal"):
        await source.fetch(session, MORNING)


# ---- candles ---------------------------------------------------------------------------------------------


async def test_a_day_of_candles_lacks_only_minutes_without_a_trade(
    app: web.Application, base: str, session: ClientSession
):
    source = await opened(base, session)

    candles = await source.fetch_candles(session, BTC, MORNING - DAY, MORNING)

    starts = [candle.start for candle in candles]
    assert starts == sorted(set(starts))
    assert MORNING - DAY <= starts[0] < starts[-1] == MORNING - MINUTE
    assert len(starts) > 1000
    assert all(candle.volume != "0" for candle in candles)
    assert len(asked(app, OHLC)) == 2


async def test_the_candle_that_is_still_running_is_left_out(clock: Clock, base: str, session: ClientSession):
    source = await opened(base, session)
    clock.now = MORNING + 30

    candles = await source.fetch_candles(session, BTC, MORNING - HOUR, MORNING + 30)

    assert candles[-1].start == MORNING - MINUTE


async def test_a_market_without_candles_has_none(app: web.Application, base: str, session: ClientSession):
    source = await opened(base, session)
    app[FAULTS][OHLC] = says({"result": {"60": None}})

    assert await source.fetch_candles(session, BTC, MORNING - HOUR, MORNING) == []
