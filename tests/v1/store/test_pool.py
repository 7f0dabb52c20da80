"""Connections that are made while their client is closed."""

import asyncio

from redis.exceptions import ConnectionError as NoConnection

from v1.store import connect


async def test_a_question_on_its_way_while_the_client_is_closed_leaves_no_connection_open(server):
    async with connect(server, "closing") as redis:
        asked: asyncio.Task[object] = asyncio.create_task(redis.get("nothing"))
        await asyncio.sleep(0)

    (came,) = await asyncio.gather(asked, return_exceptions=True)

    async with connect(server, "looking") as other:
        names = [each["name"] for each in await other.client_list()]
    assert isinstance(came, NoConnection)
    assert "closing" not in names
