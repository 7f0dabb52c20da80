"""A change that follows from what a key holds: read, decided, and written only if nobody was quicker. One loop for all."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import TimeoutError as NoAnswer
from redis.exceptions import WatchError

from .connection import translate_errors

T = TypeVar("T")


async def change_watched(redis: Redis, key: str, decide: Callable[[Pipeline], Awaitable[T]]) -> T:
    """
    Have `decide` read, and put what is to be written behind `multi()`; write it, and return what `decide` returned.

    Whoever else changes `key` in between is noticed, and `decide` is asked again. All of it is translated, also what
    goes wrong while the watch is taken back. Raises `StoreAway` where the connection breaks.
    """
    while True:
        with translate_errors():
            try:
                async with redis.pipeline(transaction=True) as pipe:
                    await pipe.watch(key)
                    answer = await decide(pipe)
                    if len(pipe):
                        await pipe.execute()
                    return answer
            except WatchError as error:
                # redis-py raises the same where the connection broke; then nobody knows what was done.
                broken = error.__context__
                if isinstance(broken, NoConnection | NoAnswer):
                    raise broken from error
