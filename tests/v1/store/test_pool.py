"""Connections that are made while their client is closed, and what all of them send."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as some
from redis.asyncio import Connection
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ResponseError

from v1.store import connect
from v1.store.pool import WatchedConnection

names = some.sampled_from(["SET", "CLIENT CACHING", "ZADD", b"GET"])
numbers = some.one_of(some.integers(), some.floats())
arguments = some.one_of(some.text(some.characters(codec="utf-8")), some.binary(), numbers)
commands = some.lists(some.builds(lambda name, rest: (name, *rest), names, some.lists(arguments)), max_size=250)


class Packing(WatchedConnection, Connection):
    """A connection that is never made."""


@given(commands)
def test_commands_are_packed_byte_for_byte_as_redis_py_packs_them(asked):
    ours, theirs = Packing(decode_responses=True), Connection(decode_responses=True)

    assert b"".join(ours.pack_commands(asked)) == b"".join(theirs.pack_commands(asked))


@pytest.mark.parametrize("value", [None, True, ["x"]])
def test_what_is_no_text_and_no_number_is_not_sent(value: object):
    with pytest.raises(TypeError):
        Packing().pack_commands([("SET", "key", value)])


async def test_a_question_on_its_way_while_the_client_is_closed_leaves_no_connection_open(server):
    async with connect(server, "closing") as redis:
        asked: asyncio.Task[object] = asyncio.create_task(redis.get("nothing"))
        await asyncio.sleep(0)

    (came,) = await asyncio.gather(asked, return_exceptions=True)

    async with connect(server, "looking") as other:
        names = [each["name"] for each in await other.client_list()]
    assert isinstance(came, NoConnection)
    assert "closing" not in names


async def test_many_answers_come_in_order_and_an_error_is_the_one_to_its_own_command(server):
    """More than arrive at once, with a large one among them."""
    asked: list[tuple[object, ...]] = [
        ("SET", "text", "x" * 100_000, "EX", 60),
        ("ZADD", "set", 1, "one", 2.5, "two"),
        *[("ECHO", f"{number} ü") for number in range(3000)],
        ("GET", "text"),
        ("GET", "nothing"),
        ("ZRANGE", "set", 0, -1, "WITHSCORES"),
        ("GET", "set"),
        ("DEL", "set"),
        ("ECHO", "last"),
    ]
    async with connect(server, "many") as redis:
        connection = await redis.connection_pool.get_connection()
        assert isinstance(connection, WatchedConnection)

        answers = await connection.ask_all(asked)
        again = await connection.ask_all([("ECHO", "still there")])
        await redis.connection_pool.release(connection)

    refused = answers[-3]
    assert isinstance(refused, ResponseError)
    assert refused.status_code == "WRONGTYPE"
    assert answers[:2] == ["OK", 2]
    assert answers[2:3002] == [f"{number} ü" for number in range(3000)]
    assert answers[3002:-3] == ["x" * 100_000, None, [["one", 1.0], ["two", 2.5]]]
    assert answers[-2:] == [1, "last"]
    assert again == ["still there"]


async def test_a_server_that_goes_in_the_middle_of_answers_leaves_no_connection_that_is_used_again():
    async def answer_half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"ECHO")
        writer.write(b"$1\r\na\r\n")
        writer.close()

    async with await asyncio.start_server(answer_half, "127.0.0.1", 0) as half:
        connection = Half(host="127.0.0.1", port=half.sockets[0].getsockname()[1], decode_responses=True)
        await connection.connect()

        with pytest.raises(NoConnection):
            await connection.ask_all([("ECHO", "a"), ("ECHO", "b")])

    assert not connection.is_usable


class Half(WatchedConnection, Connection):
    """A connection that says nothing of itself at first."""

    async def on_connect_check_health(self, check_health: bool = True) -> None:  # noqa: ARG002  # as redis-py has it
        self._parser.on_connect(self)
