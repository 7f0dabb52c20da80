"""`python -m tests.support.sender REDIS PUSHOVER SECONDS`: sends the outbox through Pushover until it is killed, `SECONDS`
being what five of them are for real. It prints a line when it begins."""

import asyncio
import sys
import time

from tests.support.loopback.pushover import TOKEN, USER
from worker.delivery.backoff import DEFAULT_BACKOFF, BackoffPolicy
from worker.delivery.dispatcher import Dispatcher
from worker.delivery.messages import MessageOptions
from worker.delivery.notify import sessions
from worker.delivery.notify.pushover import PushoverAccount, PushoverNotifier
from worker.latest import DAY
from worker.latest.delivery import ChannelStore
from worker.latest.store import connect


async def send(address: str, base: str, pause: float) -> None:
    scale = pause / DEFAULT_BACKOFF.min_delay
    policy = BackoffPolicy(
        pause,
        DEFAULT_BACKOFF.max_channel_delay * scale,
        DEFAULT_BACKOFF.max_message_delay * scale,
        DEFAULT_BACKOFF.limited_delay * scale,
    )
    async with connect(address, "sender") as redis, sessions.make_pushover_session(answer_seconds=6 * pause) as session:
        pushover = PushoverNotifier(session, PushoverAccount(base, TOKEN, USER), time.time)
        dispatch = Dispatcher(
            ChannelStore(redis, 30 * DAY), [pushover], MessageOptions("http://127.0.0.1:8000", 60), policy
        )
        await dispatch.open()
        sys.stdout.write("sending\n")
        sys.stdout.flush()
        await dispatch.run()


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1], sys.argv[2], float(sys.argv[3])))
