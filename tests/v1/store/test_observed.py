"""What an observer of a connection is told: how long each exchange with Redis took, and which got no answer."""

import pytest
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ResponseError

from v1.store import connect


class Seen:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.failed: list[bool] = []

    def __call__(self, seconds: float, *, is_failed: bool) -> None:
        assert 0 <= seconds < 60
        self.failed.append(is_failed)


@pytest.fixture
def seen() -> Seen:
    return Seen()


async def test_a_command_is_an_exchange_and_so_is_a_pipeline(server: str, seen: Seen):
    async with connect(server, "tests", observe=seen) as redis:
        await redis.get("a")
        async with redis.pipeline(transaction=True) as pipeline:
            for name in ("a", "b", "c"):
                pipeline.get(name)
            await pipeline.execute()

    assert seen.failed == [False, False]


async def test_an_error_is_an_answer(server: str, seen: Seen):
    async with connect(server, "tests", observe=seen) as redis:
        with pytest.raises(ResponseError):
            await redis.execute_command("NOTHING")

    assert seen.failed == [False]


async def test_no_connection_is_a_failure(seen: Seen):
    async with connect("redis://127.0.0.1:1/0", "tests", observe=seen) as redis:
        with pytest.raises(NoConnection):
            await redis.get("a")

    assert seen.failed == [True]


async def test_waiting_for_what_others_publish_is_no_exchange(server: str, seen: Seen):
    async with connect(server, "tests", observe=seen) as redis, redis.pubsub() as subscription:
        await subscription.subscribe("channel")
        await redis.publish("channel", "word")
        while await subscription.get_message(timeout=5) is not None:
            if seen.failed:
                break

    assert seen.failed == [False], "the publishing alone"
