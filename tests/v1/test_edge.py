"""The API behind nginx with the files of `deploy/nginx`: what is kept, for whom and how long, and what is passed on."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, WSMsgType, web

from tests.support.certificates import make_certificate
from tests.support.edge import FILES, find_nginx, running_edge, write_configuration
from tests.support.serving import every_minute, fill, serving

ROOT = FILES.parents[1]
SECONDS = 60
"""How long is waited for what must come; a busy machine takes its time."""
HISTORY = "/v1/metrics/KRAKEN:BTCUSD/history"
STATUS = "X-Cache-Status"
KEY = (FILES / "answers.conf").read_text()


class Got(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def cache(self) -> str:
        return self.headers.get(STATUS, "")


class Client:
    """Asks as it is told, and undoes no encoding."""

    def __init__(self, session: ClientSession, base: str) -> None:
        self.session = session
        self.base = base

    async def get(self, path: str, method: str = "GET", data: bytes | None = None, **headers: str) -> Got:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(method, self.base + path, headers=named, data=data) as answer:
            return Got(answer.status, answer.headers, await answer.read())


@asynccontextmanager
async def edge_of(folder: Path, upstream: str) -> AsyncIterator[Client]:
    async with (
        running_edge(folder, upstream.removeprefix("http://")) as base,
        ClientSession(
            auto_decompress=False,
            skip_auto_headers=["Accept-Encoding"],
            timeout=ClientTimeout(total=SECONDS),
            cookie_jar=DummyCookieJar(),
        ) as session,
    ):
        yield Client(session, base)


@pytest.fixture
async def edge(server, clock, archive_address, writer, tmp_path: Path) -> AsyncIterator[Client]:
    """The API with three samples of a metric, behind nginx."""
    await fill(writer, {"KRAKEN:BTCUSD": every_minute([str(number) for number in range(1, 200)])})
    async with serving(clock, server, database_url=archive_address) as api, edge_of(tmp_path, api.url) as client:
        yield client


class Behind:
    """A server behind nginx whose answers and times a test decides."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.cache_control = "public, max-age=3600"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        number = len(self.asked)
        await asyncio.wait_for(self.go_on.wait(), SECONDS)
        return web.Response(text=str(number), headers={"Cache-Control": self.cache_control, "Vary": "Accept-Encoding"})

    async def stream(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await answer.prepare(request)
        await answer.write(b"data: first\n\n")
        await asyncio.wait_for(self.go_on.wait(), SECONDS)
        await answer.write(b"data: second\n\n")
        return answer

    async def socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("first")
        async for message in socket:
            await socket.send_str(f"heard {message.data}")
        return socket


@pytest.fixture
async def behind() -> Behind:
    return Behind()


@asynccontextmanager
async def running_behind(behind: Behind) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/v1/stream", behind.stream)
    app.router.add_get("/team/v1/ws", behind.socket)
    app.router.add_route("*", "/{path:.*}", behind.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def client(behind: Behind, tmp_path: Path) -> AsyncIterator[Client]:
    """nginx in front of `behind`."""
    async with running_behind(behind) as upstream, edge_of(tmp_path, upstream) as client:
        yield client


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not is_so():
            await asyncio.sleep(0.01)


# ---- what is kept ------------------------------------------------------------------------------------------


async def test_an_answer_is_kept_and_who_has_it_already_is_told_so_without_the_api(edge: Client):
    first = await edge.get(HISTORY)
    again = await edge.get(HISTORY)
    known = await edge.get(HISTORY, If_None_Match=first.headers["ETag"])
    head = await edge.get(HISTORY, "HEAD")

    assert (first.status, first.cache, again.cache) == (200, "MISS", "HIT")
    assert (again.body, again.headers["Date"]) == (first.body, first.headers["Date"])
    assert (known.status, known.cache, known.body) == (304, "HIT", b"")
    assert (head.status, head.cache, head.body) == (200, "HIT", b"")


async def test_every_spelling_of_accept_encoding_is_one_of_two(edge: Client):
    spelt = {
        "gzip, deflate, br, zstd": ("MISS", "gzip"),
        "br;q=1.0, gzip;q=0.8, *;q=0.1": ("HIT", "gzip"),
        "GZIP": ("HIT", "gzip"),
        "*": ("HIT", "gzip"),
        "identity": ("MISS", None),
        "deflate": ("HIT", None),
        "gzip;q=0": ("HIT", None),
        "gzip; q=0.000, deflate": ("HIT", None),
    }

    got = {accepted: await edge.get(HISTORY, Accept_Encoding=accepted) for accepted in spelt}

    assert {name: (each.cache, each.headers.get("Content-Encoding")) for name, each in got.items()} == spelt
    assert (await edge.get(HISTORY)).cache == "HIT"
    assert (await edge.get(HISTORY, Accept_Encoding="compress, identity;q=0, *;q=0")).status == 406


async def test_formats_and_origins_are_kept_apart(edge: Client):
    csv = await edge.get(HISTORY, Accept="text/csv")
    json = await edge.get(HISTORY, Accept="application/json")
    elsewhere = await edge.get(HISTORY, Accept="text/csv", Origin="https://example.org")

    assert csv.headers["Content-Type"].startswith("text/csv")
    assert json.headers["Content-Type"] == "application/json"
    assert [each.cache for each in (csv, json, elsewhere)] == ["MISS"] * 3


@pytest.mark.parametrize("path", [HISTORY, "/v1/ranks", "/v1/metrics", "/", "/docs", "/openapi.json"])
async def test_whatever_an_answer_varies_by_is_part_of_the_key(edge: Client, path: str):
    answer = await edge.get(path, Accept_Encoding="gzip", Origin="https://example.org")

    varies = {name.strip().lower() for name in answer.headers.get("Vary", "").split(",")} - {""}
    in_key = {found.replace("_", "-") for found in re.findall(r"\$http_(\w+)", KEY)} | {"accept-encoding"}
    assert answer.status == 200
    assert varies <= in_key


@pytest.mark.parametrize("path", ["/health/ready", "/v1/rules", "/v1/silences", "/v1/metrics/KRAKEN:NOBODY/history"])
async def test_what_is_private_or_not_to_be_stored_is_not_kept(edge: Client, path: str):
    answers = [await edge.get(path) for _ in range(2)]

    assert [each.cache for each in answers] == ["MISS"] * 2
    assert re.search("private|no-store", answers[0].headers["Cache-Control"])


async def test_nothing_is_kept_of_an_api_with_keys_nor_for_who_shows_one(
    server, clock, archive_address, edge: Client, tmp_path: Path
):
    key = "a-key-of-16-or-more"
    folder = tmp_path / "keys"
    folder.mkdir()
    async with (
        serving(clock, server, database_url=archive_address, api_keys=key) as api,
        edge_of(folder, api.url) as guarded,
    ):
        known = [await guarded.get("/v1/ranks", X_API_Key=key) for _ in range(2)]
        unknown = await guarded.get("/v1/ranks")
    open_to_all = [await edge.get("/v1/ranks", Authorization=f"Bearer {key}") for _ in range(2)]

    assert [(each.status, each.cache) for each in known + open_to_all] == [(200, "BYPASS")] * 4
    assert unknown.status == 401


async def test_a_change_is_passed_on_and_a_document_is_as_small_as_the_api_wants_it(edge: Client):
    rule = b'{"id":"high","kind":"threshold","above":1}'

    made = await edge.get("/v1/rules", "POST", rule, Content_Type="application/json")
    large = await edge.get("/v1/rules", "POST", b"x" * 65_537, Content_Type="application/json")

    assert (made.status, made.headers["Location"]) == (201, "/v1/rules/high")
    assert large.status == 413


async def test_below_the_path_of_a_proxy_everything_is_found(server, clock, archive_address, writer, tmp_path: Path):
    await fill(writer, {"KRAKEN:BTCUSD": every_minute(["1", "2", "3"])})
    async with (
        serving(clock, server, database_url=archive_address, root_path="/team/tracker") as api,
        edge_of(tmp_path, api.url) as edge,
    ):
        answers = [await edge.get(f"/team/tracker{path}") for path in (HISTORY, HISTORY, "/", "/page/main.js")]

    assert [(each.status, each.cache) for each in answers[:2]] == [(200, "MISS"), (200, "HIT")]
    assert [each.status for each in answers[2:]] == [200, 200]


# ---- what the API is asked, and when -----------------------------------------------------------------------


async def test_of_many_who_ask_the_same_at_once_one_asks_the_api(behind: Behind, client: Client):
    behind.go_on.clear()

    waiting = [asyncio.create_task(client.get("/v1/ranks")) for _ in range(20)]
    await until(lambda: behind.asked)
    behind.go_on.set()
    answers = await asyncio.gather(*waiting)

    assert len(behind.asked) == 1
    assert {each.body for each in answers} == {b"1"}


async def test_the_api_is_told_who_asks_and_not_what_the_client_says_of_itself(behind: Behind, client: Client):
    await client.get(
        "/v1/ranks",
        Host="tracker.example.org:8443",
        X_Forwarded_For="192.0.2.1",
        X_Forwarded_Proto="https",
        X_Forwarded_Host="evil.example.org",
        Forwarded="for=192.0.2.1",
    )

    (asked,) = behind.asked
    assert asked.headers["Host"] == asked.headers["X-Forwarded-Host"] == "tracker.example.org:8443"
    assert asked.headers["X-Forwarded-For"] == "127.0.0.1"
    assert asked.headers["X-Forwarded-Proto"] == "http"
    assert "Forwarded" not in asked.headers


async def test_an_answer_that_is_over_is_not_sent_unless_its_headers_allow_it(behind: Behind, client: Client):
    behind.cache_control = "public, max-age=1"
    first = await client.get("/v1/ranks")
    async with asyncio.timeout(SECONDS):
        while (later := await client.get("/v1/ranks")).cache == "HIT":
            await asyncio.sleep(0.05)

    assert (first.body, later.body, later.cache) == (b"1", b"2", "EXPIRED")


async def test_an_answer_that_may_be_stale_while_it_is_asked_for_again_is_sent_at_once(behind: Behind, client: Client):
    behind.cache_control = "public, max-age=1, stale-while-revalidate=600"
    await client.get("/v1/ranks")
    behind.go_on.clear()
    async with asyncio.timeout(SECONDS):
        while (later := await client.get("/v1/ranks")).cache == "HIT":
            await asyncio.sleep(0.05)
    behind.go_on.set()
    await until(lambda: len(behind.asked) == 2)

    # It came while the API had not answered.
    assert (later.body, later.cache) == (b"1", "STALE")


@pytest.mark.parametrize("allowed, status, cache", [("", 503, ""), (", stale-if-error=600", 200, "STALE")])
async def test_while_the_api_is_down_what_is_kept_and_allowed_is_sent_and_else_a_problem(
    behind: Behind, tmp_path: Path, allowed: str, status: int, cache: str
):
    behind.cache_control = f"public, max-age=2{allowed}"
    async with running_behind(behind) as upstream:
        edge = edge_of(tmp_path, upstream)
        client = await edge.__aenter__()
        await client.get("/v1/ranks")
    try:
        fresh = await client.get("/v1/ranks")
        async with asyncio.timeout(SECONDS):
            while (later := await client.get("/v1/ranks")).cache == "HIT":
                await asyncio.sleep(0.05)
        other = await client.get("/v1/never.csv")
    finally:
        await edge.__aexit__(None, None, None)

    assert (later.status, later.cache) == (status, cache)
    assert fresh.cache in ("HIT", later.cache)
    assert (other.status, other.headers["Content-Type"]) == (503, "application/problem+json")
    assert (other.headers["Retry-After"], other.headers["Cache-Control"]) == ("5", "no-store")
    assert b'"detail":"the API does not answer; ask again in 5 seconds"' in other.body


async def test_metrics_of_the_process_are_not_for_outside(behind: Behind, client: Client):
    assert (await client.get("/metrics")).status == 404
    assert (await client.get("/v1/metrics")).status == 200
    assert [request.path for request in behind.asked] == ["/v1/metrics"]


# ---- streams -----------------------------------------------------------------------------------------------


async def test_events_of_a_stream_arrive_while_it_goes_on(behind: Behind, client: Client):
    behind.go_on.clear()
    async with client.session.get(f"{client.base}/v1/stream", headers={"Accept-Encoding": "gzip"}) as answer:
        first = await answer.content.readuntil(b"\n\n")
        behind.go_on.set()
        second = await answer.content.readuntil(b"\n\n")

    assert (first, second) == (b"data: first\n\n", b"data: second\n\n")
    assert STATUS not in answer.headers


async def test_a_websocket_is_passed_on_below_a_path_too(client: Client):
    async with client.session.ws_connect(f"{client.base}/team/v1/ws") as socket:
        first = await socket.receive(SECONDS)
        await socket.send_str("it")
        second = await socket.receive(SECONDS)

    assert (first.type, first.data, second.data) == (WSMsgType.TEXT, "first", "heard it")


# ---- the files ---------------------------------------------------------------------------------------------


def test_nginx_takes_the_files_without_a_warning(tmp_path: Path):
    configuration = write_configuration(tmp_path, "127.0.0.1:8000", 8080)

    checked = check_configuration(configuration)

    assert checked.returncode == 0, checked.stderr
    assert "warn" not in checked.stderr


def test_nginx_takes_the_server_that_is_shown_with_the_files(tmp_path: Path):
    files = make_certificate(tmp_path)
    page = (ROOT / "docs" / "how-to" / "behind-a-proxy.md").read_text()
    (shown,) = re.findall(r"```nginx server\n(.*?)```", page, re.DOTALL)
    configuration = write_configuration(tmp_path, "127.0.0.1:8000", 8080)
    text = configuration.read_text()
    configuration.write_text(text.replace("    server {", f"{shown}\n    server {{", 1))

    checked = check_configuration(configuration)

    assert (files.certificate.name, files.key.name) == ("cert.pem", "key.pem")
    assert checked.returncode == 0, checked.stderr


def check_configuration(configuration: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([find_nginx(), "-t", "-c", configuration, "-e", "stderr"], capture_output=True, text=True)
