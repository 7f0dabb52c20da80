"""What a connection may cost, over sockets: how long, how large, how many, and no way out of HTTP/1.1."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import pytest
from structlog.testing import capture_logs

from v1.server import ConnectionLimits, serve
from v1.server.configuration import make_server_config
from v1.server.limits import count_connections, identify_client

SHORT = ConnectionLimits(connections=6, client_connections=6, idle=30, request=30, stalled=30, body=1000)
GET = b"GET /it HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"x" * 20_000_000


class Told(NamedTuple):
    """What the application was asked, and what it may do."""

    scopes: list[dict[str, Any]]
    bodies: list[bytes]
    go_on: asyncio.Event
    port: int


@asynccontextmanager
async def served(limits: ConnectionLimits = SHORT, graceful_seconds: float = 0.2) -> AsyncIterator[Told]:
    """Serve an application that answers with the path; `/slow` waits, `/large` is long."""
    listener = socket.create_server(("127.0.0.1", 0))
    told = Told([], [], asyncio.Event(), listener.getsockname()[1])

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            for each in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{each}.complete"})
            return
        told.scopes.append(scope)
        told.bodies.append((await receive())["body"])
        if scope["path"] == "/slow":
            await told.go_on.wait()
        body = LARGE if scope["path"] == "/large" else scope["path"].encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 422, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    stop = asyncio.Event()
    config = make_server_config()
    config.graceful_timeout = graceful_seconds
    server = asyncio.create_task(serve(app, listener, config, limits, stop.wait))
    try:
        yield told
    finally:
        stop.set()
        await server


async def opened(told: Told, sent: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", told.port, limit=2**26)
    writer.write(sent)
    return reader, writer


async def answer(told: Told, sent: bytes) -> bytes:
    """Send and read until the server closes."""
    reader, writer = await opened(told, sent)
    got = await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return got


async def one(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one answer: its status line and its body."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)
    length = next(int(line.split()[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    return head.split(b"\r\n")[0], await reader.readexactly(length)


def test_the_client_of_an_address_is_itself_and_of_ipv6_its_network():
    assert identify_client("192.0.2.1") == identify_client("::ffff:192.0.2.1") == "192.0.2.1"
    assert (
        identify_client("2001:db8:1:2::9")
        == identify_client("2001:db8:1:2:ffff::1")
        != identify_client("2001:db8:1:3::9")
    )


def test_there_are_never_more_connections_than_file_descriptors_left():
    assert count_connections(10) == 10
    assert 0 < count_connections(10**9) < 10**9


async def test_a_status_comes_with_its_words():
    async with served() as told:
        reader, writer = await opened(told, GET)

        assert await one(reader) == (b"HTTP/1.1 422 Unprocessable Entity", b"/it") or (
            # As Python 3.13 calls it.
            (b"HTTP/1.1 422 Unprocessable Content", b"/it")
        )
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="its preface"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" * 3000, id="and frames"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff", id="and nonsense"),
    ],
)
async def test_http2_in_clear_text_is_refused_in_one_answer(sent):
    async with served() as told:
        got = await answer(told, sent)

    assert got.startswith(b"HTTP/1.1 505 HTTP Version Not Supported\r\n")
    assert b"put a proxy in front" in got
    assert told.scopes == []


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", id="h2c"),
        pytest.param(b"Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n", id="h2c, cut off"),
        pytest.param(
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            id="websocket",
        ),
    ],
)
async def test_an_upgrade_is_not_taken_and_the_request_is_answered(headers):
    async with served() as told:
        reader, writer = await opened(told, b"GET /it HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n" + GET)

        assert [(await one(reader))[1] for _ in range(2)] == [b"/it", b"/it"]
        assert {scope["http_version"] for scope in told.scopes} == {"1.1"}
        writer.close()


@pytest.mark.parametrize(
    "target, host, path, query",
    [
        (b"http://example.org/a?b=c", b"example.org", "/a", b"b=c"),
        (b"HTTPS://me:pw@example.org:81?b", b"example.org:81", "/", b"b"),
        (b"http://example.org", b"example.org", "/", b""),
        (b"/a", b"x", "/a", b""),
    ],
)
async def test_a_target_with_a_host_in_it_is_a_request_for_its_path_there(target, host, path, query):
    async with served() as told:
        await answer(told, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    (scope,) = told.scopes
    assert (scope["path"], scope["query_string"], dict(scope["headers"])[b"host"]) == (path, query, host)


async def test_who_leaves_in_the_middle_of_a_document_asks_nothing_and_no_line_says_so():
    with capture_logs() as lines:
        async with served() as told:
            for sent in (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", b"GET / HT", b""):
                _, writer = await opened(told, sent)
                await writer.drain()
                writer.close()
            await asyncio.sleep(0.05)

    assert (told.scopes, lines) == ([], [])


async def test_a_document_arrives_whole_however_it_is_sent():
    async with served() as told:
        for sent in (
            b"Content-Length: 3\r\n\r\nabc",
            b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        ):
            await answer(told, b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + sent)
        reader, writer = await opened(told, b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n")
        writer.write(b"Content-Length: 3\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(b"abc")
        await one(reader)
        writer.close()

    assert told.bodies == [b"abc"] * 3


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"Content-Length: 1001\r\n\r\n" + b"x" * 1001, id="said before"),
        pytest.param(b"Content-Length: 900000\r\n\r\n" + b"x" * 900_000, id="and sent all the same"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n" + b"3\r\nabc\r\n" * 400, id="in parts"),
        pytest.param(b"Content-Length: 99999\r\nExpect: 100-continue\r\n\r\n", id="asked before it is sent"),
    ],
)
async def test_a_document_that_is_too_large_is_refused_and_who_sent_it_hears_why(sent):
    async with served() as told:
        got = await answer(told, b"POST / HTTP/1.1\r\nHost: x\r\n" + sent)

    assert got.startswith(b"HTTP/1.1 413 ")
    assert json.loads(got.partition(b"\r\n\r\n")[2])["detail"] == "a document has 1000 bytes at most"
    assert told.scopes == []


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 3000, id="a header without an end"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 3000 + b"\r\n\r\n", id="a header, all at once"),
        pytest.param(b"GET /" + b"y" * 3000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", id="a request line, all at once"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 500 + b"\r\n", id="many headers"),
    ],
)
async def test_a_head_that_is_too_long_is_refused(head):
    async with served(SHORT._replace(head=2000)) as told:
        got = await answer(told, head)

    assert told.scopes == []
    assert got.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")


async def test_what_is_no_http_is_refused():
    async with served() as told:
        got = await answer(told, b"\x16\x03\x01\x02\x00\x01\xff\r\n\r\n")

    assert got.startswith(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost:", id="head"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", id="body"),
        pytest.param(GET + b"GET", id="a second head"),
    ],
)
async def test_a_request_that_does_not_arrive_is_answered_so_and_its_connection_closed(sent):
    async with served(SHORT._replace(request=0.2)) as told:
        got = await answer(told, sent)

    status, _, document = got[got.rindex(b"HTTP/1.1 4") :].partition(b"\r\n\r\n")
    assert status.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert json.loads(document)["detail"] == "the request did not arrive in 0.2 seconds"


@pytest.mark.parametrize("sent", [b"", GET])
async def test_a_connection_that_asks_nothing_more_is_closed(sent):
    async with served(SHORT._replace(idle=0.2)) as told:
        got = await answer(told, sent)

    assert got.count(b"HTTP/1.1") == len(told.scopes) == bool(sent)


async def test_an_answer_may_take_longer_than_a_request_may_take_to_arrive():
    async with served(SHORT._replace(request=0.1, idle=0.1)) as told:
        reader, writer = await opened(told, b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n" + GET)
        await asyncio.sleep(0.3)
        told.go_on.set()

        assert [(await one(reader))[1] for _ in range(2)] == [b"/slow", b"/it"]
        writer.close()


async def test_who_asks_and_then_says_that_this_was_all_is_answered():
    async with served() as told:
        reader, writer = await opened(told, GET)
        writer.write_eof()

        assert (await asyncio.wait_for(reader.read(), 60)).endswith(b"/it")
        writer.close()


async def test_an_answer_that_nobody_takes_is_dropped():
    async with served(SHORT._replace(stalled=0.2)) as told:
        with socket.create_connection(("127.0.0.1", told.port)) as lazy:
            lazy.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            while not told.scopes:
                await asyncio.sleep(0.01)
            while any("accept" in repr(task) for task in asyncio.all_tasks()):
                await asyncio.sleep(0.05)
            got = 0
            with suppress(ConnectionResetError):
                while part := await asyncio.to_thread(lazy.recv, 2**20):
                    got += len(part)

    assert got < len(LARGE)


async def test_an_answer_that_is_taken_slowly_is_sent_to_its_end():
    async with served(SHORT._replace(stalled=0.1, slowest=1)) as told:
        reader, writer = await opened(told, b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        got = 0
        while part := await reader.read(2**21):
            got += len(part)
            await asyncio.sleep(0.02)

        assert got > len(LARGE)
        writer.close()


@pytest.mark.parametrize("limits", [SHORT, SHORT._replace(connections=99)], ids=["in all", "of a client"])
async def test_where_there_are_too_many_connections_the_one_that_waited_longest_makes_room(limits):
    with capture_logs() as lines:
        async with served(limits) as told:
            silent = [await opened(told, b"GET / HT" if index % 2 else b"") for index in range(30)]
            reader, writer = await opened(told, GET)

            assert (await one(reader))[1] == b"/it"
            assert await asyncio.wait_for(silent[0][0].read(), 60) == b""
            for _, other in [*silent, (reader, writer)]:
                other.close()

    (line,) = lines
    assert line["log_level"] == "warning"
    assert line["most"] == 6


async def test_where_every_connection_is_being_answered_the_next_is_told_to_come_again():
    async with served() as told:
        busy = [await opened(told, b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(6)]
        while len(told.scopes) < 6:
            await asyncio.sleep(0.01)

        got = await answer(told, b"")

        told.go_on.set()
        assert got.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"retry-after: 1\r\n" in got
        assert [(await one(reader))[1] for reader, _ in busy] == [b"/slow"] * 6
        assert (await answer(told, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))).endswith(b"/it")
        for _, writer in busy:
            writer.close()


async def test_nothing_of_a_connection_stays_when_it_has_ended():
    before = len(asyncio.all_tasks())
    async with served() as told:
        for _ in range(20):
            _, writer = await opened(told, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            while not told.scopes:
                await asyncio.sleep(0)
            writer.transport.abort()
            told.scopes.clear()
        # The server's own: itself, its lifespan, its wait for the end.
        async with asyncio.timeout(60):
            while len(asyncio.all_tasks()) - before > 3:
                await asyncio.sleep(0.01)


async def test_told_to_stop_it_ends_who_waits_at_once_and_lets_an_answer_be_finished():
    async with served(graceful_seconds=60) as told:
        waiting, one_writer = await opened(told)
        slow, other_writer = await opened(told, b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        while not told.scopes:
            await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.05, told.go_on.set)

    assert await waiting.read() == b""
    assert (await slow.read()).endswith(b"/slow")
    one_writer.close()
    other_writer.close()
