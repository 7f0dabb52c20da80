"""A test of a rule from the API to the phone: it arrives as an alert would, what became of it is told, and it ends."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from tests.support import loopback
from tests.support.loopback.pushover import TOKEN, USER, Pushover, message_id
from tests.support.serving import Api, Clock, serving
from v1.rules import parse_rule
from v1.store import AdminStore, connect, keys
from worker.delivery.acknowledgements import AcknowledgementPoller
from worker.delivery.messages import MessageOptions
from worker.delivery.notify import sessions
from worker.delivery.notify.pushover import PushoverAccount, PushoverNotifier
from worker.delivery.sender import ChannelSender
from worker.latest import DAY
from worker.latest.delivery import ChannelStore

OPTIONS = MessageOptions("http://127.0.0.1:8000", 60)
PATH = "/v1/rules/mine/test"


@pytest.fixture
async def redis(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as client:
        yield client


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def api(server: str, clock: Clock, redis: Redis) -> AsyncIterator[Api]:
    """The API, with an urgent rule and a worker that gives signs of life."""
    await AdminStore(redis).put_rule(parse_rule({"id": "mine", "kind": "ratio", "severity": "critical"}))
    await redis.set(keys.LEASE, "worker", ex=600)
    async with serving(clock, server) as served:
        yield served


@asynccontextmanager
async def sending(
    redis: Redis, clock: Clock, script: Iterable[str] = ()
) -> AsyncIterator[tuple[Pushover, ChannelSender, AcknowledgementPoller]]:
    """Yield a provider, what sends to it, and what asks it who has acknowledged."""
    answering, channels = Pushover(script), ChannelStore(redis, 30 * DAY)
    async with loopback.serving(answering.application()) as base, sessions.make_pushover_session() as session:
        notifier = PushoverNotifier(session, PushoverAccount(base, TOKEN, USER), clock, emergency=True)
        await channels.set_channels({"pushover": "pushover"})
        sender = ChannelSender(notifier, channels.open_outbox("pushover"), OPTIONS, clock=clock)
        await sender.open()
        yield answering, sender, AcknowledgementPoller(notifier, channels.open_receipts("pushover"), clock)


async def test_a_test_arrives_as_urgent_as_an_alert_and_is_over_at_once(api: Api, redis: Redis, clock: Clock):
    async with sending(redis, clock) as (answering, sender, poller):
        asked = (await api.send("POST", PATH)).json
        await sender.send_due()
        await poller.poll_next()

    (form,) = answering.taken
    assert (form["title"], form["priority"]) == ("TEST: EXAMPLE:BTCUSD price is 3.3 x its hour mean", "2")
    assert "nothing has happened" in form["message"]
    assert message_id(form) == asked["id"]
    assert answering.cancelled == [*answering.receipts]
    (delivery,) = (await api.get(PATH)).json["deliveries"]
    assert (delivery["channel"], delivery["status"]) == ("pushover", "sent")
    assert delivery["answer"].startswith("200 request")
    assert (await redis.xpending(keys.OUTBOX, "pushover"))["pending"] == 0
    assert (await api.get("/v1/alerts")).json["alerts"] == []


async def test_a_test_that_is_refused_says_so_and_one_that_fails_is_tried_again(api: Api, redis: Redis, clock: Clock):
    async def read_status() -> str:
        clock.now += 1
        return str((await api.get(PATH)).json["deliveries"][0]["status"])

    async with sending(redis, clock, ["500"]) as (answering, sender, _):
        await api.send("POST", PATH)
        await sender.send_due()
        failed = await read_status()
        clock.now += 120
        await sender.send_due()
        sent = await read_status()
        answering.refuses = "Only a test"
        await api.send("POST", PATH)
        await sender.send_due()
        refused = await read_status()

    assert [failed, sent, refused] == ["failed", "sent", "refused"]
    assert answering.broken == []
