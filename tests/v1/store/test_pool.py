"""Connections that are made while their client is closed, and what all of them send."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as some
from redis.asyncio import Connection
from redis.exceptions import ConnectionError as NoConnection

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
