"""`python -m tests.worker.sender REDIS PUSHOVER SECONDS`: sends the outbox through Pushover until it is killed, `SECONDS`
being what five of them are for real. It prints a line when it begins."""

import asyncio
import sys
import time

from tests.loopback.pushover import TOKEN, USER
from worker.backoff import PACE, Pace
from worker.dispatch import Dispatch
from worker.latest import DAY, Channels, connect
from worker.letters import Wording
from worker.notify import sessions
from worker.notify.pushover import Account, Pushover


async def send(address: str, base: str, pause: float) -> None:
    scale = pause / PACE.pause
    pace = Pace(pause, PACE.rest * scale, PACE.longest * scale, PACE.limited * scale)
    async with connect(address, "sender") as redis, sessions.for_pushover(answer_seconds=6 * pause) as session:
        pushover = Pushover(session, Account(base, TOKEN, USER), time.time)
        dispatch = Dispatch(Channels(redis, 30 * DAY), [pushover], Wording("http://127.0.0.1:8000", 60), pace)
        await dispatch.open()
        sys.stdout.write("sending\n")
        sys.stdout.flush()
        await dispatch.run()


if __name__ == "__main__":
    asyncio.run(send(sys.argv[1], sys.argv[2], float(sys.argv[3])))
