"""A client that is closed leaves no connection behind, also where a command still waits for its answer."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from v1.store import StoreAway, connect
from v1.store.connection import translate_errors


class SilentServer:
    """Greets as Redis does, and answers no command until it is told to."""

    def __init__(self) -> None:
        self.connections = 0
        self.open = 0
        self.asked = asyncio.Semaphore(0)
        self.all_closed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        while said := await reader.read(4096):
            if b"HELLO" in said or b"CLIENT" in said:
                writer.write(b"%1\r\n+proto\r\n:3\r\n" * said.count(b"HELLO") + b"+OK\r\n" * said.count(b"CLIENT\r\n"))
            else:
                self.asked.release()
        writer.close()
        self.open -= 1
        if not self.open:
            self.all_closed.set()


@pytest.fixture
async def silent() -> AsyncIterator[tuple[SilentServer, str]]:
    server = SilentServer()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        yield server, f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def get(redis: Redis) -> None:
    with translate_errors():
        await redis.get("a")


@pytest.mark.parametrize("only_reads", [True, False])
async def test_a_command_that_waits_when_the_client_is_closed_ends_and_asks_no_more(
    silent: tuple[SilentServer, str], only_reads: bool
):
    server, address = silent

    async with connect(address, "tests", 30, only_reads=only_reads) as redis:
        await server.asked.acquire()  # what it is: a cluster or not
        before = server.connections
        waiting = [asyncio.create_task(get(redis)) for _ in range(3)]
        for _ in waiting:
            await server.asked.acquire()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    await server.all_closed.wait()

    assert [type(each) for each in ended] == [StoreAway] * 3
    assert server.connections == before + 3


async def test_a_closed_client_connects_no_more(valkey: str):
    async with connect(valkey, "tests") as redis:
        await redis.get("a")

    with pytest.raises(StoreAway, match="the client is closed"):
        await get(redis)
    assert [each.is_connected for each in redis.connection_pool._get_free_connections()] == [False]
