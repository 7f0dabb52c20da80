"""Changes a key depending on what it holds, and tries again where another client changed it meanwhile (WATCH)."""

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
    Have `decide` read the key and put commands behind `multi()`; run them, and return what `decide` returned.

    Where another client changes `key` in between, `decide` is called again. Every error is translated, also one
    that comes while the watch is removed. Raises `StoreAway` where the connection breaks.
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
                # redis-py raises the same where the connection broke; then it is unknown what was done.
                broken = error.__context__
                if isinstance(broken, NoConnection | NoAnswer):
                    raise broken from error
