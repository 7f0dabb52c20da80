"""Routes that are called directly answer as FastAPI's own do, word for word, with encoded hours kept or without."""

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query, Request, Response
from fastapi.routing import iter_route_contexts

from tests.support.serving import DAY, HOUR, MINUTE, NOON, Api, Clock, every_minute, fill, sample, serving, tick
from v1.routes import direct
from v1.routes.context import Context
from v1.routes.params import NoParams
from v1.routes.problems import HttpRefusal, install_problems
from v1.server.answers import AnswerCache, AnswerMemory
from v1.server.app import create_app
from v1.settings import Settings
from v1.store import Writer, connect

BTC, ETH = "KRAKEN:BTCUSD", "KRAKEN:ETHUSD"
HISTORIES = [
    "",
    "measure=volume",
    "measure=interval_return&step=60",
    "step=300&agg=mean",
    "step=1h&agg=max&time=iso",
    "step=2h",
    "step=7m",
    "fill=previous&step=60",
    "fill=null",
    f"from={NOON - 3 * HOUR}&to={NOON - 2 * HOUR}",
    f"from={NOON - 3 * DAY}",
    "from=-90m&to=-30s",
    "from=-90m&fill=linear",
    "to=-25h",
    f"from={NOON - 36 * HOUR}&to={NOON - 30 * HOUR}",
    f"from={NOON + DAY}",
]
METRICS = [
    *[f"/{BTC}/history{suffix}?{query}" for suffix in ("", ".csv", ".ndjson") for query in HISTORIES],
    *[f"/{BTC}/history?format={format_}&{query}" for format_ in ("csv", "ndjson") for query in HISTORIES[:4]],
    f"/{BTC}/history.csv?time=iso&bom=true&from=-2h",
    f"/{BTC}/history?step=300&agg=minmax",
    f"/{BTC}/history?agg=lttb&points=50",
    f"/{BTC}/history?agg=minmax",
    f"/{BTC.lower()}/history",
    f"/{ETH}/history",
    f"/{ETH}/history?step=60",
    "/KRAKEN:NONE/history",
    "/KRAKEN:NONE/history?from=2&to=1",
    f"/{BTC}/history?from=2&to=1",
    f"/{BTC}/history?from=tomorrow",
    f"/{BTC}/history?from=-1h&from=-2h",
    f"/{BTC}/history?fom=-1h",
    f"/{BTC}/history?step=45",
    f"/{BTC}/history?from=1",
    f"/{BTC}/history?bom=1",
    f"/{BTC}/history?measure=",
    f"/{BTC}/history?measure=price&{'&'.join(['to=now'] * 60)}",
    f"/{BTC}/history/",
    f"/{BTC}",
    f"/{BTC}?x=1",
    "/KRAKEN:NONE",
    f"/{BTC}/rank?by=cv",
    f"/{BTC}/rank?measure=change_absolute",
    f"/{BTC}/rank?measure=nothing",
    "/KRAKEN:NONE/rank",
    f"/{BTC}/candles?from=-4h",
    f"/{BTC}/candles.csv?interval=1d",
    f"/{BTC}/candles?interval=2d",
    "?limit=1",
    "?limit=0",
    "?q=btc&cursor=A",
    "?q=%F0%9F%98%80",
]
OTHERS = [
    "/ranks",
    "/ranks?limit=1&offset=1",
    "/ranks?limit=1&offset=7",
    "/ranks?measure=volume&by=cv",
    "/ranks?measure=interval_volume",
    "/ranks.csv?limit=3",
    "/ranks?limit=many",
    "/rules",
    "/rules/nothing",
    "/rules?limit=3",
    "/alerts",
    "/alerts?since=now",
    "/silences",
    "/top",
    "/top?limit=x",
    "/nothing",
]
PATHS = [*[f"/metrics{path}" for path in METRICS], *OTHERS]


@asynccontextmanager
async def serving_plainly(
    clock: Clock, address: str, archive: str, monkeypatch: pytest.MonkeyPatch, interval: int = MINUTE
) -> AsyncIterator[Api]:
    """Serve without what is tested here: every request goes through FastAPI, and every series is made of samples."""

    def install_nothing(_: direct.DirectRoutes, __: FastAPI) -> None: ...

    with monkeypatch.context() as patched:
        patched.setattr(direct.DirectRoutes, "install", install_nothing)
        async with serving(
            clock, address, database_url=archive, piece_bytes=0, interval=interval, cache_bytes=0
        ) as api:
            yield api


async def compare(quick: Api, plain: Api, paths: list[str], **headers: str) -> None:
    for path in paths:
        one, other = await quick.get(path, **headers), await plain.get(path, **headers)

        assert (one.status, one.text) == (other.status, other.text), path
        assert {**one.headers, "Date": ""} == {**other.headers, "Date": ""}, path


async def compare_gzip(quick: Api, plain: Api, paths: list[str]) -> None:
    """Compare what is sent in gzip, twice, with the text of who does not compress."""
    for path in paths:
        other = await plain.get(path, Accept_Encoding="identity")
        for _ in range(2):
            one = await quick.get(path, Accept_Encoding="gzip")

            assert (one.status, one.text) == (other.status, other.text), path
            assert one.headers.get("ETag", "").removeprefix("W/") == other.headers.get("ETag", ""), path


async def put_days(writer: Writer) -> None:
    prices = [f"{46000 + minute % 97}.{minute % 10}0" for minute in range(1440)]
    day = every_minute(prices, volume="3.10", interval_return="-0.5")
    gone = {*range(NOON - 600, NOON - 300), *range(NOON - 7 * HOUR, NOON - 5 * HOUR - 60)}
    lone = [sample(NOON - 3 * HOUR, "5"), sample(NOON - HOUR, "1e-8", volume="3")]
    await fill(writer, {BTC: [each for each in day if each.tick not in gone], ETH: lone})


async def test_every_answer_is_the_same_while_the_day_moves_on(
    server: str, clock: Clock, archive_address: str, writer: Writer, monkeypatch: pytest.MonkeyPatch
):
    await put_days(writer)
    async with (
        serving_plainly(clock, server, archive_address, monkeypatch) as plain,
        serving(clock, server, database_url=archive_address, cache_bytes=0) as quick,
    ):
        await compare(quick, plain, [f"/v1{path}" for path in PATHS])
        await compare(quick, plain, [f"/latest{path}" for path in PATHS[::7]], Accept="text/csv")
        late = [sample(NOON - 6 * HOUR, "7.00"), sample(NOON - DAY + 30, "8"), sample(NOON - 400, "9", volume="1")]
        await writer.insert_samples(BTC, late, "tests", NOON)
        await compare(quick, plain, [f"/v1{path}" for path in PATHS[:20]])
        for at in (NOON + MINUTE, NOON + 2 * MINUTE, NOON + HOUR):
            clock.now = at + 5.0
            await tick(writer, at, {BTC: f"{at}.10"})
            await compare(quick, plain, [f"/v1/metrics{path}" for path in METRICS[: len(HISTORIES) + 4]])


async def test_in_gzip_every_history_is_the_same_while_the_day_moves_on(
    server: str, clock: Clock, archive_address: str, writer: Writer, monkeypatch: pytest.MonkeyPatch
):
    await put_days(writer)
    paths = [f"/v1/metrics{path}" for path in METRICS[: 2 * len(HISTORIES)]]
    async with (
        serving_plainly(clock, server, archive_address, monkeypatch) as plain,
        serving(clock, server, database_url=archive_address, cache_bytes=0) as quick,
    ):
        await compare_gzip(quick, plain, paths)
        await writer.insert_samples(BTC, [sample(NOON - 6 * HOUR, "7.00")], "tests", NOON)
        await compare_gzip(quick, plain, paths[:2])
        for at in (NOON + MINUTE, NOON + HOUR):
            clock.now = at + 5.0
            await tick(writer, at, {BTC: f"{at}.10"})
            await compare_gzip(quick, plain, paths[:12])


async def test_a_function_that_fails_is_called_once_and_answered_for_as_all_are(clock: Clock):
    called = []
    app, routes, memory = FastAPI(), direct.DirectRoutes(), AnswerMemory(0)

    @app.get("/v1/metrics")
    async def refuse(params: Annotated[NoParams, Query()], request: Request, context: Context) -> Response:
        called.append((params, request.url.path, context))
        raise HttpRefusal(HTTPStatus.CONFLICT, "not now")

    install_problems(app, clock)
    routes.install(app)
    cache = AnswerCache(app, memory, clock, direct=routes)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/v1/metrics", "query_string": b"", "headers": [], "state": {}}
    await cache({**scope, "app": app}, None, send)

    assert len(called) == 1
    assert (sent[0]["status"], json.loads(sent[1]["body"])["detail"]) == (HTTPStatus.CONFLICT, "not now")


async def test_at_a_tick_that_the_clock_of_the_api_has_not_seen_yet_nothing_is_missing(
    server: str, clock: Clock, archive_address: str, writer: Writer, monkeypatch: pytest.MonkeyPatch
):
    await put_days(writer)
    clock.now = NOON - 3 * MINUTE
    async with (
        serving_plainly(clock, server, archive_address, monkeypatch) as plain,
        serving(clock, server, database_url=archive_address, cache_bytes=0) as quick,
    ):
        await compare(quick, plain, [f"/v1/metrics{path}" for path in METRICS[:12]])


async def test_at_a_sample_every_five_seconds_every_answer_is_the_same(
    server: str, clock: Clock, archive_address: str, writer: Writer, monkeypatch: pytest.MonkeyPatch
):
    ticks = itertools.chain(range(NOON - DAY - 20, NOON - DAY + 60, 5), range(NOON - 2 * HOUR + 5, NOON + 5, 5))
    await fill(writer, {BTC: [sample(each, f"{each % 777}.5") for each in ticks]})
    queries = ("", "step=15&agg=min", "step=50", "step=10", "from=-70m", "from=-24h&to=-23h", f"from={NOON - DAY}")
    paths = [f"/v1/metrics/{BTC}/history{suffix}?{query}" for suffix in ("", ".csv") for query in queries]
    async with (
        serving_plainly(clock, server, archive_address, monkeypatch, interval=5) as plain,
        serving(clock, server, database_url=archive_address, interval=5, cache_bytes=0) as quick,
        serving(clock, server, database_url=archive_address, interval=5, piece_bytes=1, cache_bytes=0) as forgetful,
    ):
        await compare(quick, plain, paths)
        await compare(forgetful, plain, paths)
        clock.now = NOON + 10.0
        await tick(writer, NOON + 10, {BTC: "3.30"})
        await compare(quick, plain, paths)


async def test_a_sample_that_comes_late_is_in_the_next_answer(
    server: str, clock: Clock, archive_address: str, writer: Writer
):
    await put_days(writer)
    async with serving(clock, server, database_url=archive_address, cache_bytes=0) as api:
        for index in range(20):
            at = NOON - 9 * HOUR + 60 * index + 30
            await api.get(f"/v1/metrics/{BTC}/history")
            await writer.insert_samples(BTC, [sample(at, f"{index}.25")], "tests", NOON)

            assert f"[{at},{index}.25]" in (await api.get(f"/v1/metrics/{BTC}/history")).text


async def test_who_closes_the_connection_to_redis_is_answered_all_the_same(
    server: str, clock: Clock, archive_address: str, writer: Writer
):
    await put_days(writer)
    async with (
        serving(clock, server, database_url=archive_address, cache_bytes=0) as api,
        connect(server, "tests") as redis,
    ):
        before = await api.get(f"/v1/metrics/{BTC}/history")
        for _ in range(3):
            await redis.execute_command("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES")
            await redis.zadd(
                f"v1:samples:{{{BTC}}}:{NOON - 2 * HOUR}", {"[1,4.2,null,null,null,null,null]": NOON - 7199}
            )

            after = await api.get(f"/v1/metrics/{BTC}/history")
            assert (after.status, f"[{NOON - 7199},4.2]" in after.text) == (200, True)
    assert before.status == 200


def test_every_reading_route_of_the_version_is_called_directly_but_those_with_more_to_depend_on():
    app = create_app(Settings.load(data_dir="/tmp"))
    reading = {
        route.path
        for route in iter_route_contexts(app.routes)
        if str(route.path).startswith("/v1/") and "GET" in (route.methods or ())
    }
    routes = next(route for route in app.router.routes if isinstance(route, direct.DirectRoutes))
    directly = {operation.path.pattern.replace("\\", "") for operation in routes.operations}

    assert {path for path in reading if f"^{path.replace('{metric}', '(?P<metric>[^/]+)')}$" in directly} >= {
        "/v1/metrics",
        "/v1/metrics/{metric}",
        "/v1/metrics/{metric}/history",
        "/v1/metrics/{metric}/history.csv",
        "/v1/metrics/{metric}/history.ndjson",
        "/v1/metrics/{metric}/candles",
        "/v1/metrics/{metric}/rank",
        "/v1/ranks",
        "/v1/top",
    }
