"""What CoinMarketCap and CryptoCompare say, as recorded, and everything that can go wrong with it."""

import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, ClientTimeout

from tests.support.loopback import FAULTS, TopProviders, serving, top_providers
from tests.support.loopback.coinmarketcap import PATH as LISTINGS
from tests.support.loopback.cryptocompare import PATH as TOP_LIST
from tests.support.loopback.faults import Fault, hang, once, page, reset, says
from tests.support.shared import SHARED, shared
from worker.latest import DAY, HOUR, MINUTE
from worker.latest.toplist import find_month_end
from worker.sources import coinmarketcap, cryptocompare
from worker.sources.base import parse_exact_json
from worker.sources.coinmarketcap import CoinMarketCap
from worker.sources.cryptocompare import CryptoCompare
from worker.sources.errors import InvalidResponse, SourceRefused, SourceUnreachable
from worker.sources.list_provider import CallMeter, HttpReply, ListLimited, TooFewRows

NOON = 1_621_252_800


@pytest.fixture
def providers() -> TopProviders:
    shared("market-data", "toplists")
    return top_providers(SHARED, lambda: NOON)


@pytest.fixture
async def base(providers: TopProviders) -> AsyncIterator[str]:
    async with serving(providers.app) as address:
        yield address


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession(timeout=ClientTimeout(total=60)) as opened:
        yield opened


def cmc(rows: object, **status: object) -> HttpReply:
    """Make an answer of CoinMarketCap's as it is read."""
    known = {"timestamp": "2021-05-17T12:00:01.268Z", "error_code": 0, "error_message": None, "credit_count": 1}
    return HttpReply(parse_exact_json(json.dumps({"status": known | status, "data": rows})))


def row(coin_id: object = 1, price: object = 2.5, time: object = "2021-05-17T11:59:02.000Z") -> dict[str, Any]:
    return {"id": coin_id, "symbol": "A", "quote": {"USD": {"price": price, "last_updated": time}}}


def asset(place: int, alternative: object = None, **fields: object) -> dict[str, Any]:
    known = {"ID": place, "SYMBOL": f"S{place}", "NAME": f"N{place}", "ASSET_TYPE": "TOKEN", cryptocompare.SORT: 10}
    return known | {"ASSET_ALTERNATIVE_IDS": alternative} | fields


def found(rows: object, size: int = 1, total: int | None = None) -> cryptocompare.RankedPages:
    """Read one page of CryptoCompare's."""
    assets = cryptocompare.RankedPages(size)
    body = {"Data": {"STATS": {"TOTAL_ASSETS": total}, "LIST": rows}, "Err": {}}
    assets.add(cryptocompare.parse_page(HttpReply(parse_exact_json(json.dumps(body))), NOON, CallMeter()))
    return assets


# ---- as recorded ------------------------------------------------------------------------------------------


def test_the_recorded_listing_is_read_digit_for_digit():
    body = gzip.decompress(shared("market-data", "toplists", "cmc_listings_20210420.json.gz").read_bytes())
    meter = CallMeter()

    answer = coinmarketcap.parse_listings(HttpReply(parse_exact_json(body)), NOON, meter, 100)

    assert (len(answer.coins), answer.left_out, meter.charged) == (100, {}, 1)
    assert answer.provider_time == 1_618_961_409
    assert answer.coins[0] == (1, "56507.38254720854", 1_618_961_342)
    text = body.decode()
    assert all(f'"price": {coin.price},' in text for coin in answer.coins)
    assert max(len(coin.price.partition(".")[2]) for coin in answer.coins) == 14


@pytest.mark.parametrize("name", ["listings_latest.2019-02-08.DominikZabron.json"])
def test_older_recordings_are_read_too(name: str):
    body = parse_exact_json(shared("recorded", "coinmarketcap", name).read_bytes())

    answer = coinmarketcap.parse_listings(HttpReply(body), NOON, CallMeter(), len(body["data"]))

    assert answer.coins[0] == (1, "3453.70296808", 1_549_628_906)


def test_the_documented_asset_is_read_with_its_id():
    name = "asset_v1_top_list.doc-example.2025-06-06.json"
    body = parse_exact_json(shared("recorded", "cryptocompare", name).read_bytes())
    assets = cryptocompare.RankedPages(1)

    is_last = assets.add(cryptocompare.parse_page(HttpReply(body), NOON, CallMeter()))

    assert is_last
    assert assets.finish().coins == [(1, "BTC", "Bitcoin", "26913933943.9413")]
    assert assets.finish().provider_time == 1_749_180_973


@pytest.mark.parametrize(
    "path",
    [
        ("market-data", "toplists", "cryptocompare_top_totalvolfull_20200504.json.gz"),
        ("recorded", "cryptocompare", "top_mktcap.2019-02-08.DominikZabron.json"),
    ],
    ids=["full", "plain"],
)
def test_the_older_api_is_not_taken_for_this_one_because_it_names_no_id(path: tuple[str, ...]):
    content = shared(*path).read_bytes()
    body = parse_exact_json(gzip.decompress(content) if path[-1].endswith("gz") else content)

    with pytest.raises(InvalidResponse):
        cryptocompare.RankedPages(10).add(cryptocompare.parse_page(HttpReply(body), NOON, CallMeter()))


async def test_whole_lists_are_asked_for_and_their_price_is_known(
    providers: TopProviders, base: str, session: ClientSession
):
    prices, ranks = CallMeter(), CallMeter()

    priced = await CoinMarketCap(session, f"{base}/", "key", 200).fetch_list(NOON, prices)
    ranked = await CryptoCompare(session, f"{base}/", "key", 200, pause=0).fetch_list(NOON, ranks)

    assert {coin.id: coin.price for coin in priced.coins} == {coin.id: coin.price for coin in providers.coins.all}
    assert any("e-" in coin.price for coin in priced.coins)
    assert [coin.symbol for coin in ranked.coins] == [coin.symbol for coin in providers.coins.by_volume(NOON)]
    assert sum(coin.id is None for coin in ranked.coins) == 5
    assert (prices, ranks) == (CallMeter(1, 1), CallMeter(2, 2, 10_998))


async def test_no_more_is_asked_for_than_there_is(base: str, session: ClientSession):
    meter = CallMeter()

    answer = await CryptoCompare(session, base, "key", 1000, pause=0).fetch_list(NOON, meter)

    assert (len(answer.coins), meter.calls) == (200, 2)
    assert len((await CryptoCompare(session, base, "key", 10).fetch_list(NOON, CallMeter())).coins) == 10


# ---- rows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad, reason",
    [
        pytest.param(row(price=None), "missing price", id="no price"),
        pytest.param(row(price=0), "dead market", id="a price of nothing"),
        pytest.param(row(price=-1), "negative price", id="a negative price"),
        pytest.param(row(price="n/a"), "unreadable price", id="no number"),
        pytest.param(row(coin_id=None), "unreadable id", id="no id"),
        pytest.param(row(coin_id="bitcoin"), "unreadable id", id="a name for an id"),
        pytest.param({"id": 1}, "missing price", id="no quote"),
        pytest.param(None, "missing price", id="no row"),
    ],
)
def test_a_row_without_a_usable_price_is_left_out_and_counted(bad: object, reason: str):
    rows = [row(coin_id) for coin_id in range(1, 20)]

    answer = coinmarketcap.parse_listings(cmc([*rows, bad]), NOON, CallMeter(), 20)

    assert len(answer.coins) == 19
    assert answer.left_out[reason] == 1


def test_numbers_may_be_texts_and_times_may_be_missing():
    answer = coinmarketcap.parse_listings(
        cmc([row("1", "2.50", None), row("2", "1.1E-05", "soon")]), NOON, CallMeter(), 2
    )

    assert answer.coins == [(1, "2.50", None), (2, "1.1E-05", None)]


@pytest.mark.parametrize(
    "alternative, expected",
    [
        pytest.param([{"NAME": "CMC", "ID": "1"}], 1, id="a text"),
        pytest.param([{"NAME": "CMC", "ID": 1}], 1, id="a number"),
        pytest.param([None, {"NAME": "CG", "ID": "btc"}, None, {"NAME": "CMC", "ID": "1"}], 1, id="among empty places"),
        pytest.param([{"NAME": "CMC", "ID": ""}, {"NAME": "CMC", "ID": "7"}], 7, id="the first that is one"),
        pytest.param(None, None, id="null"),
        pytest.param([], None, id="none"),
        pytest.param([{"NAME": "CMC", "ID": None}], None, id="null inside"),
        pytest.param([{"NAME": "CMC", "ID": "-1"}], None, id="negative"),
        pytest.param([{"NAME": "CMC"}, 5, "CMC"], None, id="something else"),
        pytest.param({"CMC": "1"}, None, id="no array"),
    ],
)
def test_the_id_is_found_wherever_it_may_be(alternative: object, expected: int | None):
    assert [coin.id for coin in found([asset(1, alternative)]).finish().coins] == [expected]


@pytest.mark.parametrize(
    "bad, reason",
    [
        pytest.param(asset(20, SYMBOL=None), "missing symbol", id="no symbol"),
        pytest.param(asset(20, SYMBOL="\x1b[31m"), "missing symbol", id="a symbol that nobody can print"),
        pytest.param(asset(1), "twice in the list", id="an asset that slid onto the next page"),
        pytest.param(asset(20, **{cryptocompare.SORT: None}), "missing volume", id="no volume"),
        pytest.param(asset(20, **{cryptocompare.SORT: "?"}), "unreadable volume", id="no number"),
        pytest.param(asset(20, ASSET_TYPE="FIAT"), "not a cryptocurrency", id="money"),
        pytest.param(7, "missing symbol", id="no row"),
    ],
)
def test_an_asset_that_cannot_be_ranked_is_left_out_and_counted(bad: object, reason: str):
    answer = found([asset(place) for place in range(1, 20)] + [bad], 20).finish()

    assert len(answer.coins) == 19
    assert answer.left_out == {reason: 1}


def test_volumes_may_be_texts_and_a_name_may_be_missing():
    answer = found([asset(1, NAME=None, **{cryptocompare.SORT: "10.50"})]).finish()

    assert answer.coins == [(None, "S1", "S1", "10.50")]


def test_money_in_the_list_does_not_make_it_too_short():
    rows = [asset(place, ASSET_TYPE="FIAT" if place % 2 else "TOKEN") for place in range(10)]

    assert len(found(rows, 10).finish().coins) == 5


# ---- lists that are not worth taking ----------------------------------------------------------------------


def test_a_list_that_is_half_empty_is_not_taken():
    rows = [row(coin_id, 2 if coin_id % 2 else None) for coin_id in range(1, 21)]

    with pytest.raises(TooFewRows, match="sent 20 rows, of which 10 can be used: 10 missing price"):
        coinmarketcap.parse_listings(cmc(rows), NOON, CallMeter(), 20)
    with pytest.raises(TooFewRows, match="sent 20 rows, of which 10 can be used: 10 missing volume"):
        found([asset(place, **({} if place % 2 else {cryptocompare.SORT: None})) for place in range(20)], 20).finish()


def test_a_list_that_is_shorter_than_asked_is_not_taken_unless_there_is_no_more():
    rows = [row(coin_id) for coin_id in range(1, 11)]

    with pytest.raises(TooFewRows, match="sent 10 rows of 200"):
        coinmarketcap.parse_listings(cmc(rows), NOON, CallMeter(), 200)
    assert len(coinmarketcap.parse_listings(cmc(rows, total_count=10), NOON, CallMeter(), 200).coins) == 10
    with pytest.raises(TooFewRows, match="sent 10 rows of 100"):
        found([asset(place) for place in range(10)], 100, 3396).finish()
    assert len(found([asset(place) for place in range(10)], 100, 10).finish().coins) == 10


def test_an_empty_list_is_not_taken_whatever_it_says():
    with pytest.raises(TooFewRows):
        coinmarketcap.parse_listings(cmc([], total_count=0), NOON, CallMeter(), 200)
    with pytest.raises(TooFewRows):
        found([], 100, 0).finish()


# ---- errors -----------------------------------------------------------------------------------------------


def refused(code: int, said: str = "no") -> dict[str, Any]:
    return {"status": {"error_code": code, "error_message": said, "credit_count": 0}}


@pytest.mark.parametrize("status", [200, None], ids=["with 200", "with its own status"])
@pytest.mark.parametrize(
    "code, own_status, kind, wait",
    [
        pytest.param(1008, 429, ListLimited, MINUTE, id="too often in a minute"),
        pytest.param(1009, 429, ListLimited, DAY - NOON % DAY, id="too much in a day"),
        pytest.param(1010, 429, ListLimited, find_month_end(NOON) - NOON, id="too much in a month"),
        pytest.param(1011, 429, ListLimited, MINUTE, id="too often from here"),
        pytest.param(1001, 401, SourceRefused, HOUR, id="a wrong key"),
        pytest.param(1006, 403, SourceRefused, HOUR, id="not in the plan"),
        pytest.param(500, 500, SourceRefused, None, id="broken"),
    ],
)
async def test_what_coinmarketcap_refuses_says_how_long_to_stay_away(
    providers: TopProviders,
    base: str,
    session: ClientSession,
    status: int | None,
    code: int,
    own_status: int,
    kind: type[SourceRefused],
    wait: float | None,
):
    providers.app[FAULTS][LISTINGS] = says(refused(code), status or own_status)
    meter = CallMeter()

    with pytest.raises(SourceRefused, match=f"coinmarketcap answered {status or own_status} {code}: no") as caught:
        await CoinMarketCap(session, base, "key", 200).fetch_list(NOON, meter)

    assert (type(caught.value), caught.value.wait) == (kind, wait)
    assert meter.charged == 0


@pytest.mark.parametrize(
    "fault, kind, wait",
    [
        pytest.param(
            says({"Response": "Error", "Message": "You are over your rate limit please upgrade your account!", "Type": 99, "RateLimit": {"calls_made": {"minute": 5, "day": 9, "month": 11000}, "max_calls": {"minute": 300, "day": 7500, "month": 11000}}, "Data": {}}),
            ListLimited, find_month_end(NOON) - NOON, id="the older shape, with 200, the month is used up",
        ),
        pytest.param(says({"Response": "Error", "Type": 99, "RateLimit": {"calls_made": {"hour": 3000}, "max_calls": {"hour": 3000}}}), ListLimited, HOUR, id="the hour is used up"),
        pytest.param(says({"Data": [], "Err": {"type": 99, "message": "over"}}, 429), ListLimited, MINUTE, id="nothing said"),
        pytest.param(says({"Data": [], "Err": {"type": 99}}, 429, Retry_After="90"), ListLimited, 90, id="a header says it"),
        pytest.param(
            says({"Data": [], "Err": {"type": 99}}, 429, X_RateLimit_Remaining_All="0, 0;window=1, 0;window=86400, 7;window=2592000", X_RateLimit_Reset_All="1, 1;window=1, 777;window=86400, 9;window=2592000"),
            ListLimited, 777, id="headers say it",
        ),
        pytest.param(says({"Response": "Error", "Message": "You need a valid auth key or api key to access this endpoint", "Type": 1}), SourceRefused, HOUR, id="no key"),
        pytest.param(says({"Data": [], "Err": {"type": 1, "message": "Invalid"}}, 404), SourceRefused, None, id="404"),
        pytest.param(says({"Data": {"LIST": []}, "Err": {"type": 2, "message": "Invalid"}}), SourceRefused, None, id="an error with 200"),
    ],
)  # fmt: skip
async def test_what_cryptocompare_refuses_says_how_long_to_stay_away(
    providers: TopProviders,
    base: str,
    session: ClientSession,
    fault: Fault,
    kind: type[SourceRefused],
    wait: float | None,
):
    providers.app[FAULTS][TOP_LIST] = fault
    meter = CallMeter()

    with pytest.raises(SourceRefused, match="cryptocompare answered") as caught:
        await CryptoCompare(session, base, "key", 200, pause=0).fetch_list(NOON, meter)

    assert (type(caught.value), caught.value.wait) == (kind, wait)
    assert (meter.calls, meter.charged) == (1, 1)


@pytest.mark.parametrize(
    "fault, kind",
    [
        pytest.param(page(200), InvalidResponse, id="a web page"),
        pytest.param(says("{"), InvalidResponse, id="half an answer"),
        pytest.param(says("[" * 100_000), InvalidResponse, id="brackets without an end"),
        pytest.param(says("null"), InvalidResponse, id="null"),
        pytest.param(says({}), InvalidResponse, id="an empty object"),
        pytest.param(says({"data": "moved", "Data": {"LIST": "moved"}}), InvalidResponse, id="a text"),
        pytest.param(page(503), SourceRefused, id="503 with a web page"),
        pytest.param(says({}, 520), SourceRefused, id="a status of a gateway's own"),
        pytest.param(reset(), SourceUnreachable, id="broken off"),
        pytest.param(hang(), SourceUnreachable, id="no answer in time"),
    ],
)
async def test_a_failure_is_of_one_of_three_kinds_and_names_who_failed(
    providers: TopProviders, base: str, fault: Fault, kind: type[Exception]
):
    providers.app[FAULTS].update({LISTINGS: fault, TOP_LIST: fault})
    async with ClientSession(timeout=ClientTimeout(total=0.3 if kind is SourceUnreachable else 60)) as session:
        with pytest.raises(kind, match="coinmarketcap"):
            await CoinMarketCap(session, base, "key", 200).fetch_list(NOON, CallMeter())
        with pytest.raises(kind, match="cryptocompare"):
            await CryptoCompare(session, base, "key", 200, pause=0).fetch_list(NOON, CallMeter())


async def test_a_key_that_is_not_good_names_its_setting(base: str, session: ClientSession):
    with pytest.raises(SourceRefused, match="TRACKER_COINMARKETCAP_API_KEY"):
        await CoinMarketCap(session, base, "wrong", 200).fetch_list(NOON, CallMeter())
    with pytest.raises(SourceRefused, match="TRACKER_CRYPTOCOMPARE_API_KEY"):
        await CryptoCompare(session, base, "wrong", 200).fetch_list(NOON, CallMeter())


async def test_no_error_shows_a_key(providers: TopProviders, base: str, session: ClientSession):
    for fault in (reset(), says({}, 500), says("{"), page(200)):
        providers.app[FAULTS].update({LISTINGS: fault, TOP_LIST: fault})
        for lister in (CoinMarketCap(session, base, "s3cret", 200), CryptoCompare(session, base, "s3cret", 200)):
            with pytest.raises((SourceRefused, SourceUnreachable, InvalidResponse)) as caught:
                await lister.fetch_list(NOON, CallMeter())
            assert "s3cret" not in str(caught.value)


async def test_a_page_that_fails_costs_the_list_and_what_was_called_is_known(
    providers: TopProviders, base: str, session: ClientSession
):
    meter = CallMeter()
    asked: list[None] = []

    async def second(_: object) -> None:
        asked.append(None)
        if len(asked) == 2:
            raise ConnectionResetError

    providers.app[FAULTS][TOP_LIST] = second

    with pytest.raises(SourceRefused):
        await CryptoCompare(session, base, "key", 200, pause=0).fetch_list(NOON, meter)

    assert (meter.calls, meter.charged) == (2, 2)


async def test_it_is_well_again_at_the_next_call(providers: TopProviders, base: str, session: ClientSession):
    lister = CryptoCompare(session, base, "key", 200, pause=0)
    providers.app[FAULTS][TOP_LIST] = once(reset())
    meter = CallMeter()
    with pytest.raises(SourceUnreachable):
        await lister.fetch_list(NOON, meter)

    assert meter.calls == 1
    assert len((await lister.fetch_list(NOON, CallMeter())).coins) == 200
