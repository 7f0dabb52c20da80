"""The same events by WebSocket, to clients that keep to the protocol and to others."""

import asyncio
import base64
import json

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from tests.support.serving import MINUTE, NOON, Api, every_minute, fill, serving, tick
from tests.support.streams import PATIENCE, StreamClient, streaming

BTC = "KRAKEN:BTCUSD"
KEY = base64.b64encode(b"sixteen letters!").decode()
OFFER = {
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec_WebSocket_Version": "13",
    "Sec_WebSocket_Key": KEY,
}


@pytest.fixture(autouse=True)
async def _market(writer):
    await fill(writer, {BTC: every_minute(["1", "2", "3.50"])})


async def received(socket: ClientWebSocketResponse) -> dict[str, object]:
    return dict(await socket.receive_json(timeout=PATIENCE))


async def frame(client: StreamClient) -> tuple[int, bytes]:
    """Return the first byte and the content of a frame, which is short and not masked."""
    async with asyncio.timeout(PATIENCE):
        first, length = await client.reader.readexactly(2)
        if length == 126:
            length = int.from_bytes(await client.reader.readexactly(2))
        return first, await client.reader.readexactly(length)


def masked(first: int, content: bytes) -> bytes:
    return bytes([first, 0x80 | len(content), 0, 0, 0, 0]) + content


async def test_a_socket_is_told_what_a_stream_is_told(api, writer):
    async with (
        ClientSession() as session,
        session.ws_connect(f"{api.url}/v1/ws?metrics=KRAKEN:*", compress=15) as socket,
    ):
        async with streaming(api.url, "/v1/stream?metrics=KRAKEN:*") as client:
            told = await client.read()
            messages = [await received(socket) for _ in told]
            await tick(writer, NOON + MINUTE, {BTC: "4"})
            told += await client.read()
            messages += [await received(socket) for _ in range(2)]
        assert not socket.compress
        assert await socket.close()

    assert [(each["event"], each["id"], each["data"]) for each in messages] == [
        (event.name, event.id, event.data) for event in told
    ]
    assert socket.close_code == 1000


async def test_digits_stay_as_they_were_received(api):
    async with ClientSession() as session, session.ws_connect(f"{api.url}/v1/ws?events=tick") as socket:
        assert '"price":3.50,' in await socket.receive_str(timeout=PATIENCE)


async def test_a_ping_is_answered_and_a_message_closes(api):
    async with streaming(api.url, "/v1/ws?events=alert", **OFFER) as client:
        assert client.status == 101
        client.writer.write(masked(0x89, b"are you there"))
        frames = [await frame(client), await frame(client)]
        client.writer.write(masked(0x81, b"subscribe"))
        code, closed = await frame(client)
        assert await client.reader.read() == b""

    assert (0x8A, b"are you there") in frames
    assert code == 0x88
    assert int.from_bytes(closed[:2]) == 1003
    assert closed[2:] == b"nothing is taken here; the address says what is sent"


@pytest.mark.parametrize(
    "sent", [b"\xff" * 20, b"\x81\x02no", masked(0x83, b"")], ids=["no frame", "not masked", "no opcode"]
)
async def test_what_is_no_websocket_closes_with_a_reason(api, sent):
    async with streaming(api.url, "/v1/ws?events=alert", **OFFER) as client:
        await frame(client)
        client.writer.write(sent)
        first, content = await frame(client)
        assert await client.reader.read() == b""

    assert (first, int.from_bytes(content[:2])) == (0x88, 1002)


async def test_frames_that_come_with_the_request_are_read(api):
    reader, writer = await asyncio.open_connection("127.0.0.1", int(api.url.rpartition(":")[2]))
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in OFFER.items())
    writer.write(f"GET /v1/ws?events=alert HTTP/1.1\r\nHost: localhost\r\n{head}\r\n".encode() + masked(0x89, b"early"))
    early = StreamClient(reader, writer)
    await early.read_head()

    assert await frame(early) == (0x8A, b"early")
    writer.close()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upgrade": "h2c"},
        {"Connection": "keep-alive"},
        {"Sec_WebSocket_Version": "8"},
        {"Sec_WebSocket_Key": "short"},
        {"Sec_WebSocket_Key": "no base64 at all!!!!!!!"},
    ],
    ids=str,
)
async def test_whoever_does_not_speak_websocket_is_told_what_is_spoken(api, headers: dict[str, str]):
    answer = await api.get("/v1/ws", **(OFFER | headers if headers else {}))

    assert answer.status == 426
    assert answer.headers["Upgrade"] == "websocket"
    assert answer.headers["Sec-WebSocket-Version"] == "13"
    assert "Sec-WebSocket-Key" in answer.json["detail"]


@pytest.mark.parametrize(
    "origin, is_accepted",
    [
        (None, True),
        ("http://localhost", True),
        ("https://app.example.org", True),
        ("https://tracker.example.org:8443", True),
        ("http://tracker.example.net", True),
        ("https://evil.example", False),
        ("https://app.example.org.evil.example", False),
        ("http://app.example.org", False),
        ("http://localhost:1", False),
        ("null", False),
    ],
)
async def test_a_page_of_a_stranger_may_not_open_a_socket(clock, server, origin, is_accepted):
    known = {
        "cors_origins": "https://app.example.org",
        "public_url": "https://tracker.example.org:8443/below",
        "hosts": "tracker.example.net",
    }
    headers = OFFER | ({"Origin": origin} if origin else {})
    async with (
        serving(clock, server, **known) as api,
        streaming(api.url, "/v1/ws?events=tick", **headers) as client,
    ):
        assert client.status == (101 if is_accepted else 403)
        if not is_accepted:
            problem = json.loads(await client.reader.readexactly(int(client.headers["content-length"])))
            assert f"origin: {origin!r} is not accepted" in problem["detail"]


async def test_other_paths_do_not_change_to_websocket(api: Api):
    answer = await api.get("/v1/ranks", **OFFER)

    assert answer.status == 200


async def test_a_socket_is_closed_as_going_away_when_the_process_stops(clock, server):
    stop = asyncio.Event()
    async with (
        serving(clock, server, stop) as api,
        ClientSession() as session,
        session.ws_connect(f"{api.url}/v1/ws?events=tick") as socket,
    ):
        await received(socket)
        stop.set()
        closed = await socket.receive(timeout=PATIENCE)

    assert (closed.type, closed.data) == (WSMsgType.CLOSE, 1001)


async def test_a_socket_that_is_asked_for_once_is_closed_after_what_there_is(api):
    async with ClientSession() as session, session.ws_connect(f"{api.url}/v1/ws?once=true") as socket:
        names = [message.json()["event"] async for message in socket]

    assert names == ["rank", "tick"]
