"""Simple requests: what the application is asked and what a client gets is what the parser for all others makes of it."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest
from hypercorn.config import Config
from hypothesis import given, settings
from hypothesis import strategies as some

from v1.server import ConnectionLimits, serve
from v1.server.configuration import make_server_config
from v1.server.simple import RequestReader, requests
from v1.server.simple.heads import ADD_LINES, AnswerHeads

PATIENCE = 20
LIMITS = ConnectionLimits(connections=50, client_connections=50, head=4000, stalled=PATIENCE)
HEAD = b"GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"
LARGE = b"x" * 20_000_000
DATE = re.compile(rb"(?<=\r\n)date: [A-Z][a-z]{2}, [^\r]*\r\n")

ANSWERS: Sequence[tuple[int, Sequence[tuple[bytes, bytes]], Sequence[bytes]]] = [
    (200, [(b"content-length", b"5"), (b"X-Kind", b"counted")], [b"12345"]),
    (200, [(b"Content-Length", b" 5 ")], [b"123", b"", b"45"]),
    (200, [(b"content-type", b"text/plain")], [b"in", b"", b"chunks"]),
    (200, [], [b""]),
    (204, [], [b""]),
    (304, [(b"etag", b'"t"')], [b"not sent"]),
    (200, [(b"content-length", b"5")], [b"too much"]),
    (200, [(b"content-length", b"5")], [b"2"]),
    (200, [(b"content-length", b"1"), (b"connection", b"close")], [b"1"]),
    (200, [(b"Connection", b"keep-alive, x")], [b"1"]),
    (200, [(b"transfer-encoding", b"chunked"), (b"content-length", b"9")], [b"1"]),
    (200, [(b"content-length", b"1"), (b"content-length", b"1")], [b"1"]),
    (200, [(b"content-length", b"1"), (b"host", b"first")], [b"1"]),
    (200, [(b"date", b"its own"), (b"content-length", b"1")], [b"1"]),
    (299, [(b"content-length", b"1")], [b"1"]),
    (404, [(b"content-length", b"0"), (b"x-empty", b"")], [b""]),
    (200, [(b"x-evil", b"a\r\nset-cookie: b")], [b""]),
    (200, [(b"no token", b"a")], [b""]),
    (200, [(b":pseudo", b"a")], [b""]),
    (200, [(b"content-length", b"many")], [b""]),
    (99, [], [b""]),
    (200, [(b"content-length", b"2"), (b"ratelimit", b'"requests";r=9;t=1')], [b"ok"]),
    (200, [(b"ratelimit", b'"requests";r=9;t=1'), (b"content-length", b"2")], [b"ok"]),
    (200, [(b"x-a", b"b"), (b"ratelimit", b"1\r\nx-injected: 1")], [b""]),
    (200, [(b"ratelimit", b"")], [b""]),
]
"""Status, headers and parts of the body; by the first of the path."""
KEEPING = ("0", "1", "2", "3", "4", "5", "9", "13", "14", "15")
"""Those after which the connection stays open."""
BEFORE, AFTER, NOTHING, TWICE = "before", "after", "nothing", "twice"


class Served(NamedTuple):
    """A server, what its application was asked, and what it may do."""

    port: int
    scopes: list[dict[str, Any]]
    received: list[dict[str, Any]]
    finished: list[str]
    """The paths for which the application has done what it does."""
    go_on: asyncio.Event


async def answer_as_told(served: Served, scope: Any, receive: Any, send: Any) -> None:
    """Answer as the path says; `/slow` when it may, `/large` much, `/until-gone` when the client has gone."""
    served.scopes.append(scope)
    served.received.append(await receive())
    kind = scope["path"].strip("/").partition("/")[0]
    if kind == "slow":
        await served.go_on.wait()
    elif kind == "until-gone":
        served.received.append(await receive())
    elif kind == "lines":
        scope["extensions"][ADD_LINES](b"x-left: 7\r\n")
    elif kind == BEFORE:
        raise ValueError("before the answer")
    if kind != NOTHING:
        await send_answer(kind, send)
        served.received.append(await receive())


async def send_answer(kind: str, send: Any) -> None:
    index = int(kind) % len(ANSWERS) if kind.isascii() and kind.isdigit() else 0
    status, headers, parts = ANSWERS[index]
    if kind == "large":
        headers, parts = [(b"content-length", b"%d" % len(LARGE))], [LARGE]
    for _ in range(2 if kind == TWICE else 1):
        await send({"type": "http.response.start", "status": status, "headers": headers})
    for part in parts[:-1]:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    if kind == AFTER:
        raise ValueError("after the answer has begun")
    await send({"type": "http.response.body", "body": parts[-1]})


@asynccontextmanager
async def serving(limits: ConnectionLimits = LIMITS, config: Config | None = None) -> AsyncIterator[Served]:
    listener = socket.create_server(("127.0.0.1", 0))
    served = Served(listener.getsockname()[1], [], [], [], asyncio.Event())

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for each in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{each}.complete"})
            return
        try:
            await answer_as_told(served, scope, receive, send)
        finally:
            served.finished.append(scope["path"])

    stop, config = asyncio.Event(), config or make_server_config()
    config.graceful_timeout = PATIENCE
    server = asyncio.create_task(serve(app, listener, config, limits, stop.wait))
    try:
        yield served
    finally:
        stop.set()
        await server


async def exchange(served: Served, parts: Sequence[bytes], least: int = 0) -> bytes:
    """Send parts one after the other, close the side that sends when `least` requests are here, and return what comes."""
    known = len(served.scopes)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=2**24)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await turn()
    # Who has closed its side is not told of an error any more.
    await until(lambda: len(served.finished) == len(served.scopes) >= known + least)
    await turn()
    with suppress(OSError):  # The server has closed its own side, too.
        writer.write_eof()
    async with asyncio.timeout(PATIENCE):
        answer = await reader.read()
    writer.close()
    return answer


async def turn() -> None:
    """Let the server go on, which runs on the same loop, until it has nothing more to do."""
    for _ in range(12):
        await asyncio.sleep(0)


async def read_head(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return await reader.readuntil(b"\r\n\r\n")


async def until(is_so: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():
            await asyncio.sleep(0.005)


def list_known(scopes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return scopes without what is another object each time."""
    return [
        {
            **scope,
            "client": scope["client"][0],
            "extensions": sorted(scope["extensions"].keys() - {ADD_LINES}),
            "types": [type(value).__name__ for value in scope.values()],
        }
        for scope in scopes
    ]


names = some.sampled_from([b"Host", b"host", b"HOST", b"Accept", b"X-Y", b"x-y", b"Connection", b"User-Agent"])
values = some.sampled_from(
    [b"x", b"example.org:80", b"", b"a  b\tc", b"\xe4\xff", b"close", b"keep-alive, Close", b"keep-alive", b"upgrade"]
)
blanks = some.sampled_from([b"", b" ", b"\t ", b"  "])
lines = some.builds(lambda *parts: b"%s:%s%s%s\r\n" % parts, names, blanks, values, blanks)
odd_lines = some.sampled_from(
    [
        b"Content-Length: 0\r\n",
        b"Content-Length: 1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Upgrade: h2c\r\n",
        b"X : y\r\n",
        b"X: y\n",
        b" folded\r\n",
        b"\n",
        b"X: \x00\r\n",
        b"nonsense\r\n",
    ]
)
kinds = some.sampled_from([*map(str, range(len(ANSWERS))), BEFORE, AFTER, NOTHING, TWICE])
rests = some.sampled_from(["", "/", "/a%20b?c=d&e", "//x?", "/%FF%00#f", "?" + "y" * 3990, "/\x7f", "/ä"])


@some.composite
def heads(draw: Any) -> bytes:
    """Make the head of a request, of those that are simple most."""
    method = draw(some.sampled_from([b"GET"] * 4 + [b"HEAD"] * 2 + [b"POST", b"get", b"OPTIONS"]))
    version = draw(some.sampled_from([b"1.1"] * 5 + [b"1.0", b"1.0", b"0.9", b"2.0"]))
    simple = some.builds(lambda kind, rest: f"/{kind}{rest}".encode(), kinds, rests)
    target = draw(some.one_of(simple, simple, simple, some.sampled_from([b"*", b"http://x/0", b"x"])))
    sent = [b"Host: x\r\n"] * draw(some.sampled_from([1, 1, 1, 1, 0]))
    sent += draw(some.lists(lines, max_size=3)) + draw(some.lists(odd_lines, max_size=1))
    ending = draw(some.sampled_from([b"\r\n"] * 8 + [b"\n", b""]))
    return b"%s %s HTTP/%s\r\n%s%s" % (method, target, version, b"".join(draw(some.permutations(sent))), ending)


@some.composite
def first_heads(draw: Any) -> bytes:
    """Make the head of a request after which the connection stays open: after another, nothing may be sent."""
    kind, rest = draw(some.sampled_from(KEEPING)), draw(some.sampled_from(["", "/a%20b?c=d"]))
    others = draw(
        some.lists(lines.filter(lambda line: b"lose" not in line and b"ost:" not in line.lower()), max_size=3)
    )
    sent = draw(some.permutations([b"hOst: x\r\n", *others]))
    return b"%s /%s%s HTTP/1.1\r\n%s\r\n" % (
        draw(some.sampled_from([b"GET", b"HEAD"])),
        kind.encode(),
        rest.encode(),
        b"".join(sent),
    )


@some.composite
def conversations(draw: Any) -> list[bytes]:
    """Make one to three requests, cut anywhere, or sent one by one."""
    sent = [*draw(some.lists(first_heads(), max_size=2)), draw(heads())]
    if draw(some.booleans()):
        return sent
    joined = b"".join(sent)
    cuts = sorted(draw(some.sets(some.integers(1, len(joined) - 1), max_size=3)))
    return [joined[start:end] for start, end in zip([0, *cuts], [*cuts, len(joined)], strict=True)]


@settings(max_examples=100)
@given(conversations())
async def test_scopes_and_bytes_are_those_that_the_parser_makes(parts):
    async with serving() as served:
        answer = await exchange(served, parts)
        scopes, served.scopes[:], served.finished[:] = list_known(served.scopes), [], []
        with patch.object(RequestReader, "read", return_value=None):
            wanted = await exchange(served, parts)

        assert scopes == list_known(served.scopes)
        assert DATE.sub(b"", answer) == DATE.sub(b"", wanted)


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("kind", [*range(len(ANSWERS)), BEFORE, AFTER, NOTHING, TWICE])
async def test_each_kind_of_answer_is_sent_as_by_the_parser(kind, method, version):
    sent = [b"%s /%s HTTP/%s\r\nHost: x\r\n\r\n" % (method, str(kind).encode(), version)]
    sent = sent * 2 if str(kind) in KEEPING and version == b"1.1" else sent
    async with serving() as served:
        with patch.object(RequestReader, "read", autospec=True, side_effect=RequestReader.read) as read:
            answer = await exchange(served, sent, least=1)
        assert read.called
        with patch.object(RequestReader, "read", return_value=None):
            wanted = await exchange(served, sent, least=1)

        assert DATE.sub(b"", answer) == DATE.sub(b"", wanted)
        assert answer.count(b"\r\ndate: ") >= answer.count(b"HTTP/1.1 ") >= 1


@pytest.mark.parametrize("cut", range(1, len(HEAD)))
def test_a_part_of_a_request_and_more_than_one_are_not_simple(cut):
    reader = RequestReader(4000)

    assert reader.read(HEAD) == reader.read(HEAD) is not None
    assert reader.read(HEAD[:cut]) is None
    assert reader.read(HEAD + HEAD[:cut]) is None


def test_a_request_is_simple_up_to_the_bytes_that_a_head_may_have():
    assert RequestReader(len(HEAD)).read(HEAD) is not None
    assert RequestReader(len(HEAD) - 1).read(HEAD) is None


def test_headers_are_remembered_within_a_bound():
    reader = RequestReader(10**6)
    for index in range(3 * requests.MOST_KNOWN):
        reader.read(b"GET / HTTP/1.1\r\nHost: x\r\nX: %d\r\n\r\n" % index)
    reader.read(b"GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n" % (b"y" * requests.MOST_BYTES))

    kept = [block for _, block in reader._known]
    assert 0 < len(kept) <= requests.MOST_KNOWN
    assert max(map(len, kept)) <= requests.MOST_BYTES


def test_a_head_is_remembered_without_what_is_another_one_in_each_answer():
    heads, request = AnswerHeads(Config()), RequestReader(1000).read(HEAD)
    for left in range(1000):
        head = heads.find(request, 200, ((b"content-length", b"0"),), is_last=False)
        assert b"ratelimit: r=%d\r\n" % left in heads.write(head, b"ratelimit: r=%d\r\n" % left)

    assert len(heads._known) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_lines_that_are_added_stand_in_the_head_of_their_own_answer_alone(method: str):
    async with serving() as served:
        parts = [f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in ("/0", "/lines", "/0")]
        answers = (await exchange(served, parts)).split(b"HTTP/1.1 200 OK\r\n")[1:]

    assert [b"\r\nx-left: 7\r\n" in answer.partition(b"\r\n\r\n")[0] for answer in answers] == [False, True, False]


async def test_a_client_that_goes_while_its_answer_is_made_is_told_to_the_application():
    async with serving() as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /until-gone HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: served.scopes)
        writer.transport.abort()
        await until(lambda: len(served.received) > 1)

    assert served.received[0] == {"type": "http.request", "body": b"", "more_body": False}
    assert served.received[1] == {"type": "http.disconnect"}


async def test_an_answer_that_is_sent_is_the_end_of_the_request_for_the_application():
    async with serving() as served:
        await exchange(served, [HEAD])
        await until(lambda: len(served.received) > 1)

    assert served.received[1] == {"type": "http.disconnect"}


async def test_what_is_asked_while_an_answer_is_made_is_answered_after_it_and_in_order():
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        await until(lambda: served.scopes)
        for kind in (b"15", b"2"):
            writer.write(b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % kind)
            await writer.drain()
        await turn()
        assert len(served.scopes) == 1
        served.go_on.set()

        assert b"counted" in await read_head(reader)
        assert await reader.readexactly(5) == b"12345"
        assert (await read_head(reader)).startswith(b"HTTP/1.1 404 ")
        assert b"chunked" in await read_head(reader)
        assert await reader.readuntil(b"0\r\n\r\n") == b"2\r\nin\r\n6\r\nchunks\r\n0\r\n\r\n"
        writer.close()
    assert [scope["path"] for scope in served.scopes] == ["/slow", "/15", "/2"]


async def test_after_the_last_request_of_a_connection_nothing_more_is_asked():
    async with serving() as served:
        asked = b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(asked)
        await until(lambda: served.scopes)
        writer.write(HEAD)
        await writer.drain()
        await turn()
        served.go_on.set()

        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        writer.close()

    assert answer.count(b"HTTP/1.1 ") == len(served.scopes) == 1


async def test_a_connection_takes_as_many_requests_as_are_set():
    config = make_server_config()
    config.keep_alive_max_requests = 3
    async with serving(config=config) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        for is_last in (False, False, True):
            writer.write(HEAD)
            assert (b"\r\nconnection: close\r\n" in await read_head(reader)) == is_last
            await reader.readexactly(5)

        assert await reader.read() == b""
        writer.close()


async def test_a_large_answer_waits_for_its_client_and_comes_whole():
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=2**16)
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await read_head(reader)
        assert len(served.received) == 1

        async with asyncio.timeout(PATIENCE):
            assert await reader.readexactly(len(LARGE)) == LARGE
        await until(lambda: len(served.received) == 2)
        writer.close()


async def test_a_connection_that_asks_again_and_again_waits_no_longer_than_others():
    config = make_server_config()
    config.keep_alive_max_requests = 10**6
    async with serving(LIMITS._replace(idle=0.3), config) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        loop = asyncio.get_running_loop()
        began = loop.time()
        while loop.time() - began < 0.5:
            writer.write(HEAD)
            await read_head(reader)
            await reader.readexactly(5)
        last = loop.time()

        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
        assert loop.time() - last > 0.2
        writer.close()
