"""Delivery: at least once, never a refused message again, as often as is polite, and no channel waits for another."""

import asyncio
import json
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import chain, cycle, islice
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.support.alerts import TICK, alert, commit, send
from tests.support.loopback import serving
from tests.support.loopback.pushover import TOKEN, USER
from tests.support.loopback.pushover import Pushover as Server
from v1.store import keys
from worker.delivery import queue
from worker.delivery import sender as sender_module
from worker.delivery.acknowledgements import AcknowledgementPoller
from worker.delivery.backoff import DEFAULT_BACKOFF, BackoffPolicy, compute_delay
from worker.delivery.channel_state import ChannelState, read_channel_state
from worker.delivery.dispatcher import Dispatcher
from worker.delivery.messages import MessageOptions
from worker.delivery.notify import sessions
from worker.delivery.notify.base import (
    MessageQuota,
    NotifyAnswer,
    NotifyLimited,
    NotifyRefused,
    NotifyUnavailable,
    NotSent,
)
from worker.delivery.notify.pushover import PushoverAccount, PushoverNotifier
from worker.delivery.sender import ChannelSender
from worker.latest import DAY, HOUR
from worker.latest.delivery import ChannelStore, DeliveryReader, Outbox, OutgoingMessage
from worker.latest.store import StoreAway, connect

ROOT = Path(__file__).resolve().parents[3]
OPTIONS = MessageOptions("http://127.0.0.1:8000", 60)
KEEP = 30 * DAY
NOW = TICK + 1


class Clock:
    """A clock that a test sets; sleeping moves it."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


class Phone:
    """A channel that keeps what it is sent; a test sets its answers, each a `NotifyAnswer` or what it raises."""

    kind = "phone"
    connections = 1
    fingerprint = "one"

    def __init__(self, clock: Clock, name: str = "phone") -> None:
        self.name = name
        self.clock = clock
        self.says: list[NotifyAnswer | NotSent] = []
        """To the next messages; after that, that they are taken."""
        self.always: Callable[[OutgoingMessage], NotifyAnswer] = lambda _: NotifyAnswer("taken")
        self.asked: list[tuple[float, str]] = []
        self.messages: list[OutgoingMessage] = []
        """Those that it took."""

    async def send(self, message: OutgoingMessage) -> NotifyAnswer:
        self.asked.append((self.clock(), message.id))
        said = self.says.pop(0) if self.says else self.always(message)
        if isinstance(said, NotSent):
            raise said
        self.messages.append(message)
        return said

    @property
    def took(self) -> list[str]:
        return [message.id.split(".")[1] for message in self.messages]


def fails(_: OutgoingMessage) -> NotifyAnswer:
    raise NotifyUnavailable("500")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def phone(clock: Clock) -> Phone:
    return Phone(clock)


@pytest.fixture
async def redis(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as client:
        yield client


async def start_sender(
    redis: Redis, phone: Phone, jitter: float = 0.5, policy: BackoffPolicy = DEFAULT_BACKOFF
) -> ChannelSender:
    """Return what a new process has."""
    channels = ChannelStore(redis, KEEP)
    outbox = channels.open_outbox(phone.name)
    delivery = ChannelSender(
        phone, outbox, OPTIONS, policy=policy, clock=phone.clock, sleep=phone.clock.sleep, jitter=lambda: jitter
    )
    await delivery.open()
    return delivery


@pytest.fixture
async def delivery(redis: Redis, phone: Phone) -> ChannelSender:
    return await start_sender(redis, phone)


async def until_quiet(delivery: ChannelSender, clock: Clock, longest: float = 2 * DAY) -> None:
    """Let time pass until nothing is left to do."""
    end = clock.now + longest
    while len(delivery._queue) and clock.now < end:
        clock.now += max(await delivery.send_due(), 0.001)


@pytest.fixture
def long_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look around less often: a day has many looks in it."""
    monkeypatch.setattr(sender_module, "IDLE_SECONDS", 60.0)


async def read_attempts(redis: Redis, *alerts) -> list[list[tuple[str, str]]]:
    found = await DeliveryReader(redis).read_deliveries([each.id for each in alerts])
    return [[(attempt.status, attempt.answer) for attempt in attempts] for attempts in found]


async def pending(redis: Redis, channel: str = "phone") -> int:
    return int((await redis.xpending(keys.OUTBOX, channel))["pending"])


async def test_an_alert_is_sent_once_and_settled(redis: Redis, phone: Phone, delivery: ChannelSender):
    await commit(redis, [alert("A:B")])

    wait = await delivery.send_due()
    await delivery.send_due()
    await (await start_sender(redis, phone)).send_due()

    assert phone.took == ["A:B"]
    assert wait > 1
    assert await read_attempts(redis, alert("A:B")) == [[("sent", "taken")]]
    assert await pending(redis) == 0


async def test_a_failed_message_is_sent_again_with_growing_pauses_and_the_same_id(
    redis: Redis, phone: Phone, delivery: ChannelSender, clock: Clock
):
    phone.says = [NotifyUnavailable("500"), NotifyUnavailable("no answer"), NotifyUnavailable("502")]
    await commit(redis, [alert("A:B")])
    await delivery.send_due()

    await until_quiet(delivery, clock)

    pauses = [round(later - before, 2) for (before, _), (later, _) in zip(phone.asked, phone.asked[1:], strict=False)]
    assert pauses == [7.5, 10.0, 15.0]
    assert {message for _, message in phone.asked} == {alert("A:B").id}
    assert await read_attempts(redis, alert("A:B")) == [
        [("failed", "500"), ("failed", "no answer"), ("failed", "502"), ("sent", "taken")]
    ]


@pytest.mark.usefixtures("long_looks")
async def test_a_day_after_its_alert_a_message_is_given_up(
    redis: Redis, phone: Phone, delivery: ChannelSender, clock: Clock
):
    phone.always = fails
    await commit(redis, [alert("A:B")])
    await delivery.send_due()

    await until_quiet(delivery, clock)

    (dead,) = await DeliveryReader(redis).read_dead_letters("phone")
    (attempts,) = await read_attempts(redis, alert("A:B"))
    assert len(phone.asked) < 500
    assert all(later - before >= 5 for (before, _), (later, _) in zip(phone.asked, phone.asked[1:], strict=False))
    assert TICK + DAY - 600 < phone.asked[-1][0] < TICK + DAY
    assert dead.alerts == [alert("A:B").id]
    assert dead.reason.startswith("500; given up 2")
    assert attempts[-1] == ("given up", dead.reason)
    assert len(attempts) == len(phone.asked)
    assert await pending(redis) == 0


async def test_while_a_channel_is_away_it_is_asked_once_a_minute_however_many_messages_wait(
    redis: Redis, phone: Phone, delivery: ChannelSender, clock: Clock
):
    phone.always = fails
    await commit(redis, [alert(f"A:{number}") for number in range(50)])

    while clock.now < NOW + HOUR:
        clock.now += max(await delivery.send_due(), 0.001)

    assert 55 < len(phone.asked) < 70


@pytest.mark.usefixtures("long_looks")
async def test_when_a_channel_is_back_everything_is_sent_soon(
    redis: Redis, phone: Phone, delivery: ChannelSender, clock: Clock
):
    phone.always = fails
    await commit(redis, [alert(f"A:{number}") for number in range(50)])
    while clock.now < NOW + 6 * HOUR:
        clock.now += max(await delivery.send_due(), 0.001)
    phone.always = lambda _: NotifyAnswer("taken")

    await until_quiet(delivery, clock)

    assert len(set(phone.took)) == len(phone.took) == 50
    assert clock.now < NOW + 6 * HOUR + 600


async def test_one_message_that_always_fails_does_not_hold_up_the_others(
    redis: Redis, phone: Phone, delivery: ChannelSender, clock: Clock
):
    def poisoned(message: OutgoingMessage) -> NotifyAnswer:
        return fails(message) if "A:7" in message.id else NotifyAnswer("taken")

    phone.always = poisoned
    await commit(redis, [alert(f"A:{number}") for number in range(10)])

    while len(phone.messages) < 9:
        clock.now += max(await delivery.send_due(), 0.001)

    assert clock.now < NOW + 60


async def test_a_refused_message_is_never_sent_again_and_the_next_goes_on(
    redis: Redis, phone: Phone, delivery: ChannelSender, clock: Clock
):
    phone.says = [NotifyRefused("400 message cannot be blank")]
    await commit(redis, [alert("A:B"), alert("C:D")])
    await delivery.send_due()
    await until_quiet(delivery, clock)
    await (await start_sender(redis, phone)).send_due()

    (dead,) = await DeliveryReader(redis).read_dead_letters("phone")
    assert [message for _, message in phone.asked] == [alert("A:B").id, alert("C:D").id]
    assert (dead.message, dead.reason) == (alert("A:B").id, "400 message cannot be blank")
    assert await read_attempts(redis, alert("A:B"), alert("C:D")) == [
        [("refused", "400 message cannot be blank")],
        [("sent", "taken")],
    ]


@pytest.mark.usefixtures("long_looks")
async def test_wrong_credentials_cost_a_message_now_and_then_and_make_no_storm(
    redis: Redis, phone: Phone, delivery: ChannelSender, clock: Clock
):
    def wrong(_: OutgoingMessage) -> NotifyAnswer:
        raise NotifyRefused("400 application token is invalid", for_all=True)

    phone.always = wrong
    await commit(redis, [alert(f"A:{number:03}") for number in range(200)])

    while clock.now < NOW + 12 * HOUR:
        clock.now += max(await delivery.send_due(), 0.001)

    assert len(phone.asked) == len({message for _, message in phone.asked}) < 25
    phone.always = lambda _: NotifyAnswer("taken")
    mended = await start_sender(redis, phone)
    await mended.send_due()
    assert len(phone.messages) == 1


async def test_who_asks_us_to_wait_is_not_asked_before_and_it_is_no_failure_of_the_message(
    redis: Redis, phone: Phone, delivery: ChannelSender, clock: Clock
):
    phone.says = [NotifyLimited("429", wait=900.0)]
    await commit(redis, [alert("A:B"), alert("C:D")])
    await delivery.send_due()
    clock.now += 899
    await delivery.send_due()
    await (await start_sender(redis, phone)).send_due()
    before = len(phone.asked)
    clock.now += 2

    await delivery.send_due()

    tries, _ = await ChannelStore(redis, KEEP).open_outbox("phone").read_retries()
    assert before == 1
    assert phone.took == ["A:B"]
    assert tries == {}
    assert (await read_attempts(redis, alert("A:B")))[0] == [("waiting", "429"), ("sent", "taken")]


async def test_a_limit_without_an_end_is_waited_for_all_the_same(
    redis: Redis, phone: Phone, delivery: ChannelSender, clock: Clock
):
    phone.says = [NotifyLimited("429"), NotifyLimited("429", wait=0.0)]
    await commit(redis, [alert("A:B")])
    await delivery.send_due()

    await until_quiet(delivery, clock)

    assert [round(when - NOW) for when, _ in phone.asked] == [0, 60, 65]


async def test_what_is_older_than_a_day_is_not_sent_any_more(redis: Redis, phone: Phone, delivery: ChannelSender):
    await commit(redis, [alert("A:OLD", at=TICK - DAY), alert("A:NEW", at=TICK - DAY + 60)])

    await delivery.send_due()
    await delivery.send_due()

    (dead,) = await DeliveryReader(redis).read_dead_letters("phone")
    assert phone.took == ["A:NEW"]
    assert dead.reason == "too old; given up 24.0 h after its tick, after 0 failures"


async def test_an_entry_that_is_not_an_alert_is_a_dead_letter_and_the_next_are_sent(
    redis: Redis, phone: Phone, delivery: ChannelSender
):
    await send(redis, "{" * 10_000)
    await commit(redis, [alert("A:B")])

    await delivery.send_due()

    (dead,) = await DeliveryReader(redis).read_dead_letters("phone")
    assert phone.took == ["A:B"]
    assert (dead.reason, dead.alerts, dead.written) == ("not a valid alert", [], "{" * 4096)
    assert await pending(redis) == 0


async def test_only_the_channels_that_a_rule_names_get_its_alerts(redis: Redis, phone: Phone, delivery: ChannelSender):
    await commit(
        redis, [alert("A:ALL"), alert("A:MINE", channels=("hook", "phone")), alert("A:NOT", channels=("hook",))]
    )

    for _ in range(3):
        await delivery.send_due()

    assert phone.took == ["A:ALL", "A:MINE"]
    assert await pending(redis) == 0
    assert await read_attempts(redis, alert("A:NOT")) == [[]]


async def test_five_alerts_of_a_rule_at_a_tick_are_five_messages_and_six_are_one(
    redis: Redis, phone: Phone, delivery: ChannelSender
):
    five = [alert(f"A:{number}", rule="five", group_size=5) for number in range(5)]
    six = [alert(f"A:{number}", rule="six", group_size=6) for number in range(6)]
    await commit(redis, five + six, tick=TICK)

    for _ in range(8):
        await delivery.send_due()

    assert [message.id for message in phone.messages] == [
        *[f"five.A:{number}.{TICK}" for number in range(5)],
        f"six.digest.{TICK}",
    ]
    assert phone.messages[-1].text.title.startswith("6 metrics ")
    assert await read_attempts(redis, *six) == [[("sent", "taken")]] * 6
    assert (await DeliveryReader(redis).read_deliveries([six[3].id]))[0][0].message == f"six.digest.{TICK}"
    assert await pending(redis) == 0


async def test_a_digest_waits_until_its_tick_is_committed_and_holds_up_nothing(
    redis: Redis, phone: Phone, delivery: ChannelSender
):
    await commit(redis, [alert(f"A:{number:03}", group_size=700) for number in range(600)], tick=TICK - 60)
    await commit(redis, [alert("B:C", rule="other")])
    wait = await delivery.send_due()
    before = [message.id for message in phone.messages]
    await commit(redis, [alert(f"A:{number:03}", group_size=700) for number in range(600, 700)], tick=TICK)

    await delivery.send_due()

    assert wait <= 0.2
    assert before == [f"other.B:C.{TICK}"]
    assert len(phone.messages[1].alerts) == 700
    assert await pending(redis) == 0


@pytest.mark.parametrize("events, severity", [(["resolved"] * 6, "info"), (["resolved"] * 5 + ["firing"], "critical")])
async def test_a_digest_is_as_urgent_as_what_is_not_over(
    redis: Redis, phone: Phone, delivery: ChannelSender, events: list[str], severity: str
):
    alerts = [alert(f"A:{place}", group_size=6, event=event, severity="critical") for place, event in enumerate(events)]
    await commit(redis, alerts, tick=TICK)

    await delivery.send_due()
    await delivery.send_due()

    assert [message.severity for message in phone.messages] == [severity]


async def test_a_digest_is_the_same_after_a_restart_in_its_middle(
    redis: Redis, phone: Phone, delivery: ChannelSender, clock: Clock
):
    phone.says = [NotifyUnavailable("500")]
    await commit(redis, [alert(f"A:{number}", group_size=9) for number in range(9)], tick=TICK)
    await delivery.send_due()
    clock.now += 60

    restarted = await start_sender(redis, phone)
    await restarted.send_due()

    assert [message for _, message in phone.asked] == [f"spike.digest.{TICK}"] * 2
    assert len(phone.messages[0].alerts) == 9
    assert [attempts[0][0] for attempts in await read_attempts(redis, *phone.messages[0].alerts)] == ["failed"] * 9


async def test_after_a_restart_a_message_is_not_tried_before_its_time(
    redis: Redis, phone: Phone, delivery: ChannelSender, clock: Clock
):
    phone.says = [NotifyUnavailable("500")] * 4
    await commit(redis, [alert("A:B")])
    await delivery.send_due()
    while len(phone.asked) < 4:
        clock.now += max(await delivery.send_due(), 0.001)

    restarted = await start_sender(redis, phone)
    await until_quiet(restarted, clock) if len(restarted._queue) else await restarted.send_due()
    await until_quiet(restarted, clock)

    assert phone.asked[-1][0] - phone.asked[-2][0] == pytest.approx(25.0)
    assert phone.took == ["A:B"]


async def test_what_is_urgent_is_sent_first_and_then_the_oldest(redis: Redis, phone: Phone, delivery: ChannelSender):
    await commit(
        redis,
        [
            alert("A:NEW"),
            alert("A:OLD", at=TICK - 60),
            alert("A:URGENT", severity="critical"),
            alert("A:OVER", severity="critical", event="resolved", at=TICK - 30),
        ],
    )

    for _ in range(4):
        await delivery.send_due()

    assert phone.took == ["A:URGENT", "A:OLD", "A:OVER", "A:NEW"]


async def test_below_a_tenth_of_the_quota_only_what_is_critical_goes_out_and_one_message_says_so(
    redis: Redis, phone: Phone, delivery: ChannelSender, clock: Clock
):
    low = MessageQuota(10_000, 950, NOW + 5 * HOUR)
    phone.says = [NotifyAnswer("taken", low)]
    await commit(redis, [alert("A:0")])
    await delivery.send_due()
    await commit(redis, [alert("A:1"), alert("A:2", severity="critical"), alert("A:3", severity="info")])
    for _ in range(6):
        await delivery.send_due()
    restarted = await start_sender(redis, phone)
    for _ in range(3):
        await restarted.send_due()
    while_low = list(phone.messages)
    clock.now += 5 * HOUR

    await until_quiet(restarted, clock)

    notice = while_low[2]
    assert [message.id.split(".")[1] for message in while_low] == ["A:0", "A:2", "quota"]
    assert notice.text.title == "phone: 950 of 10000 messages left"
    assert notice.text.body == "Only critical alerts are sent through phone until 2021-05-17 19:05 UTC."
    assert phone.took == ["A:0", "A:2", "quota", "A:1", "A:3"]
    assert await read_attempts(redis, alert("A:1")) == [
        [
            ("waiting", "quota low: 950 of 10000 messages left, only critical alerts are sent"),
            ("sent", "taken"),
        ]
    ]


async def test_what_would_wait_for_the_quota_longer_than_a_day_is_a_dead_letter_at_once(
    redis: Redis, phone: Phone, delivery: ChannelSender
):
    phone.says = [NotifyAnswer("taken", MessageQuota(10_000, 950, NOW + 10 * DAY))]
    await commit(redis, [alert("A:0"), alert("A:1")])

    for _ in range(4):
        await delivery.send_due()

    (dead,) = await DeliveryReader(redis).read_dead_letters("phone")
    assert dead.alerts == [alert("A:1").id]
    assert dead.reason.startswith(
        "quota low: 950 of 10000 messages left, only critical alerts are sent; given up 0.0 h"
    )


async def test_a_used_up_quota_stops_everything_until_it_begins_anew(
    redis: Redis, phone: Phone, delivery: ChannelSender, clock: Clock
):
    phone.says = [NotifyLimited("429", MessageQuota(10_000, 0, NOW + HOUR), wait=HOUR)]
    await commit(redis, [alert("A:0", severity="critical"), alert("A:1", severity="critical")])
    await delivery.send_due()
    restarted = await start_sender(redis, phone)
    await restarted.send_due()
    before = len(phone.asked)

    await until_quiet(restarted, clock)

    assert before == 1
    assert all(when >= NOW + HOUR for when, _ in phone.asked[1:])
    assert phone.took == ["A:0", "A:1"]


MONTH = MessageQuota(10_000, 0, NOW + 20 * DAY)
EXCEEDED = "429 application has exceeded"


async def exhaust_quota(redis: Redis, phone: Phone, *alerts) -> ChannelSender:
    """Return a channel whose quota of the month is used up, after its first message."""
    delivery = await start_sender(redis, phone)
    phone.says = [NotifyLimited(EXCEEDED, MONTH, 20.0 * DAY)]
    await commit(redis, alerts)
    for _ in range(3):
        await delivery.send_due()
    return delivery


async def test_a_message_that_meets_a_used_up_quota_is_held_as_long_as_any_other(
    redis: Redis, phone: Phone, clock: Clock
):
    critical = alert("A:B", severity="critical")
    delivery = await exhaust_quota(redis, phone, critical)
    assert await read_attempts(redis, critical) == [[("waiting", EXCEEDED)]]
    clock.now += DAY - 10
    await delivery.send_due()
    before = await DeliveryReader(redis).read_dead_letters("phone")

    await until_quiet(delivery, clock, HOUR)

    (dead,) = await DeliveryReader(redis).read_dead_letters("phone")
    assert before == []
    assert [message for _, message in phone.asked].count(critical.id) == 1
    assert dead.reason == f"{EXCEEDED}; given up 24.0 h after its tick, after 0 failures"


async def test_what_was_learnt_of_one_token_does_not_hold_for_another(redis: Redis, phone: Phone, clock: Clock):
    await exhaust_quota(redis, phone, alert("A:0", severity="critical"), alert("A:1"))
    clock.now += 5
    phone.fingerprint = "another"

    mended = await start_sender(redis, phone)
    for _ in range(4):
        await mended.send_due()

    assert phone.took == ["A:0", "A:1"]
    assert not mended._state.is_low(clock())


async def test_after_a_restart_a_used_up_quota_is_tried_once_more_for_it_may_be_a_larger_one(
    redis: Redis, phone: Phone, clock: Clock
):
    await exhaust_quota(redis, phone, alert("A:0", severity="critical"), alert("A:1"))
    phone.says = [NotifyLimited(EXCEEDED, MONTH, 20.0 * DAY)]
    asked = []
    for pause in (5, 60, 5, 60):
        clock.now += pause
        restarted = await start_sender(redis, phone)
        for _ in range(4):
            await restarted.send_due()
        asked.append(len(phone.asked))

    # Not within a minute of the answer, however often it is restarted; and then all that waits.
    assert asked == [1, 2, 2, 4]
    assert phone.took == ["A:0", "A:1"]


@pytest.mark.parametrize(
    "answer, reason, until",
    [
        pytest.param(NotifyLimited(EXCEEDED, MONTH, 20.0 * DAY), EXCEEDED, NOW + DAY, id="used up"),
        pytest.param(
            NotifyRefused("400 token is invalid", for_all=True), "400 token is invalid", NOW + 90, id="refused"
        ),
        pytest.param(NotifyUnavailable("500"), "500", NOW + 7.5, id="failed"),
    ],
)
async def test_it_is_kept_that_a_channel_rests_and_until_when_and_whose_rest_it_is(
    redis: Redis, phone: Phone, delivery: ChannelSender, answer: NotSent, reason: str, until: float
):
    phone.says = [answer]
    await commit(redis, [alert("A:B")])

    await delivery.send_due()

    _, noted = await ChannelStore(redis, KEEP).open_outbox("phone").read_retries()
    failures, rests_until, *_ = json.loads(noted or "")
    kept = read_channel_state(noted)
    assert (failures, rests_until) == (int(reason == "500"), until)
    assert (kept.sender, kept.reason, kept.answered_at) == ("one", reason, NOW)
    assert read_channel_state(noted).refused_until == 0, "a restart is when people mend what was refused"


async def test_a_start_notes_at_once_that_the_channel_does_not_rest_any_more(redis: Redis, phone: Phone, clock: Clock):
    await exhaust_quota(redis, phone, alert("A:0"))
    clock.now += 100

    await start_sender(redis, phone)

    _, noted = await ChannelStore(redis, KEEP).open_outbox("phone").read_retries()
    assert json.loads(noted or "")[1] < clock.now


@pytest.mark.parametrize("answers", [True, False])
async def test_who_is_stopped_lets_a_message_that_is_on_its_way_arrive(
    redis: Redis, phone: Phone, delivery: ChannelSender, answers: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sender_module, "LAST_SECONDS", 0.05)
    gate, send_now = asyncio.Event(), phone.send

    async def slow(message: OutgoingMessage) -> NotifyAnswer:
        phone.asked.append((0.0, "begun"))
        await gate.wait()
        return await send_now(message)

    monkeypatch.setattr(phone, "send", slow)
    await commit(redis, [alert("A:B")])
    running = asyncio.create_task(delivery.run())
    await until(lambda: bool(phone.asked))

    running.cancel()
    await asyncio.sleep(0)
    if answers:
        gate.set()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert phone.took == (["A:B"] if answers else [])
    assert await pending(redis) == (0 if answers else 1)


async def test_what_was_sent_while_redis_went_away_is_not_sent_again(
    redis: Redis, phone: Phone, delivery: ChannelSender, monkeypatch: pytest.MonkeyPatch
):
    record, tries = Outbox.record, []

    async def away(*arguments):
        tries.append(arguments)
        if len(tries) < 4:
            raise StoreAway("Redis is away")
        await record(*arguments)

    monkeypatch.setattr(Outbox, "record", away)
    await commit(redis, [alert("A:B")])

    await delivery.send_due()

    assert len(tries) == 4
    assert phone.took == ["A:B"]
    assert await pending(redis) == 0


async def test_a_redis_that_is_away_while_the_outbox_is_read_is_waited_for_and_logged_once(
    redis: Redis, phone: Phone, delivery: ChannelSender, monkeypatch: pytest.MonkeyPatch
):
    read, errors = Outbox.read_entries, [StoreAway("Redis is away")] * 3

    async def away(*arguments):
        if errors:
            raise errors.pop()
        return await read(*arguments)

    monkeypatch.setattr(Outbox, "read_entries", away)
    await commit(redis, [alert("A:B")])

    with capture_logs() as logs:
        await delivery.send_due()

    assert phone.took == ["A:B"]
    assert [each["event"] for each in logs] == ["Redis is away, messages wait"]


async def test_a_receipt_is_recorded_in_the_transaction_that_settles_its_message(
    redis: Redis, phone: Phone, delivery: ChannelSender
):
    phone.says = [NotifyAnswer("taken", receipt="r1", until=NOW + 3600.0)]
    await commit(redis, [alert("A:B")])
    async with redis.monitor() as monitor:
        await delivery.send_due()
        await redis.ping()
        seen = [(await monitor.next_command())["command"].split()[0]]
        while seen[-1] != "PING":
            seen.append((await monitor.next_command())["command"].split()[0])

    assert seen.count("MULTI") == seen.count("EXEC") == 1
    assert {"XACK", "HDEL", "HSET", "RPUSH"} <= {*seen[seen.index("MULTI") : seen.index("EXEC")]}
    assert await ChannelStore(redis, KEEP).open_receipts("phone").read_open() != []


async def test_no_more_messages_are_held_than_there_is_room_for_and_none_is_forgotten(
    redis: Redis, phone: Phone, delivery: ChannelSender, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(queue, "MOST_HELD", 3)
    monkeypatch.setattr("v1.store.delivery.outbox._BATCH", 2)
    phone.says = [NotifyUnavailable("500")]
    await commit(redis, [alert(f"A:{number}") for number in range(20)])
    most = 0

    for _ in range(60):
        clock.now += max(await delivery.send_due(), 0.001)
        most = max(most, len(delivery._queue))

    assert sorted(phone.took) == sorted(f"A:{number}" for number in range(20))
    assert most <= 4


async def test_an_alert_that_is_in_the_outbox_twice_is_one_message(redis: Redis, phone: Phone, delivery: ChannelSender):
    await commit(redis, [alert("A:B"), alert("A:B")])

    for _ in range(3):
        await delivery.send_due()

    assert phone.took == ["A:B"]
    assert await pending(redis) == 0


async def test_two_connections_carry_two_messages_at_once(redis: Redis, phone: Phone, delivery: ChannelSender):
    phone.connections = 2
    await commit(redis, [alert(f"A:{number}") for number in range(3)])

    await delivery.send_due()

    assert phone.took == ["A:0", "A:1"]


@pytest.mark.parametrize("failures", [0, 1, 5, 40, 5000])
@pytest.mark.parametrize("jitter", [0.0, 0.999])
def test_a_delay_is_never_less_than_the_least_nor_more_than_the_most(failures: int, jitter: float):
    assert 5.0 <= compute_delay(failures, 5.0, 300.0, jitter) <= 300.0


@pytest.mark.parametrize(
    "noted", [ChannelState(), ChannelState(3, 17.5, MessageQuota(10_000, 3, 99.0), 99.0, "one", 12.5, "500")]
)
def test_how_a_channel_stands_is_read_back_as_it_was_written(noted: ChannelState):
    assert read_channel_state(noted.write()) == noted


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_channel_that_noted_nothing_stands_as_a_new_one(nothing: str | None):
    assert read_channel_state(nothing) == ChannelState()


# ---- all channels together


class Hanging(Phone):
    """A channel that never answers."""

    async def send(self, message: OutgoingMessage) -> NotifyAnswer:
        self.asked.append((self.clock(), message.id))
        await asyncio.Event().wait()
        return NotifyAnswer("")


@asynccontextmanager
async def dispatching(redis: Redis, notifiers: Sequence[Phone], clock: Clock) -> AsyncIterator[Dispatcher]:
    dispatch = Dispatcher(ChannelStore(redis, KEEP), notifiers, OPTIONS, clock=clock)
    await dispatch.open()
    running = asyncio.create_task(dispatch.run())
    try:
        yield dispatch
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def until(happens: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it does not happen"
        await asyncio.sleep(0.005)


async def test_a_channel_that_hangs_delays_no_other(redis: Redis, phone: Phone, clock: Clock):
    hanging = Hanging(clock, "hanging")
    async with dispatching(redis, [hanging, phone], clock):
        for number in range(3):
            await commit(redis, [alert(f"A:{number}")])
            await until(lambda number=number: len(phone.messages) == number + 1)

        assert len(hanging.asked) == 1
        assert await pending(redis, "hanging") > 0


async def test_the_configured_channels_are_recorded(redis: Redis, phone: Phone, clock: Clock):
    async with dispatching(redis, [phone, Phone(clock, "hook")], clock):
        assert await DeliveryReader(redis).read_channels() == {"phone": "phone", "hook": "phone"}


async def test_without_channels_alerts_are_history_and_nobody_reads_the_outbox(redis: Redis, clock: Clock):
    await commit(redis, [alert()])
    dispatch = Dispatcher(ChannelStore(redis, KEEP), [], OPTIONS, clock=clock)
    await dispatch.open()

    await dispatch.run()

    assert await redis.xinfo_groups(keys.OUTBOX) == []


async def test_what_a_channel_leaves_behind_when_it_is_taken_away_is_dead_letters(
    redis: Redis, phone: Phone, delivery: ChannelSender, clock: Clock
):
    phone.says = [NotifyUnavailable("500")]
    await commit(redis, [alert("A:B"), alert("C:D"), alert("E:F", channels=("hook",))])
    await delivery.send_due()

    await Dispatcher(ChannelStore(redis, KEEP), [], OPTIONS, clock=clock).open()

    dead = await DeliveryReader(redis).read_dead_letters("phone")
    assert [each.alerts for each in dead] == [[alert("C:D").id], [alert("A:B").id]]
    assert {each.reason for each in dead} == {"the channel is not configured any more"}
    assert await redis.xinfo_groups(keys.OUTBOX) == []
    assert (await read_attempts(redis, alert("A:B")))[0][-1][0] == "given up"


# ---- receipts


@pytest.fixture
async def pushover() -> AsyncIterator[tuple[Server, PushoverNotifier]]:
    answering = Server()
    async with serving(answering.application()) as base, sessions.make_pushover_session() as session:
        yield answering, PushoverNotifier(session, PushoverAccount(base, TOKEN, USER), time.time, emergency=True)


async def send_as_emergency(redis: Redis, sender: PushoverNotifier, *alerts) -> AcknowledgementPoller:
    channels = ChannelStore(redis, KEEP)
    delivery = ChannelSender(sender, channels.open_outbox("pushover"), OPTIONS, clock=lambda: NOW)
    await delivery.open()
    await commit(redis, alerts)
    for _ in alerts:
        await delivery.send_due()
    return AcknowledgementPoller(sender, channels.open_receipts("pushover"))


async def test_who_acknowledges_on_the_phone_is_written_down(redis: Redis, pushover: tuple[Server, PushoverNotifier]):
    answering, sender = pushover
    asking = await send_as_emergency(redis, sender, alert("A:B", severity="critical"))
    await asking.poll_next()
    answering.acknowledge(next(iter(answering.receipts)), NOW + 60, "uSomebody", "phone")

    await asking.poll_next()
    await asking.poll_next()

    assert await redis.hgetall(keys.alert(alert("A:B").id)) == {
        "acknowledged": str(NOW + 60),
        "by": "pushover: uSomebody on phone",
    }
    assert len(answering.polled) == 2


async def test_what_is_acknowledged_elsewhere_is_not_repeated_any_more(
    redis: Redis, pushover: tuple[Server, PushoverNotifier]
):
    answering, sender = pushover
    asking = await send_as_emergency(redis, sender, alert("A:B", severity="critical"))
    await redis.hset(keys.alert(alert("A:B").id), mapping={"acknowledged": NOW, "by": "the page"})
    await redis.expire(keys.alert(alert("A:B").id), 60)

    await asking.poll_next()
    await asking.poll_next()

    assert answering.cancelled == [*answering.receipts]
    assert answering.polled == []


def end_alerts(redis: Redis, *alerts):
    async def put() -> None:
        for each in alerts:
            await redis.hset(keys.alert(each.id), "ended_at", NOW + 60)
            await redis.expire(keys.alert(each.id), 60)

    return put()


async def test_what_is_over_is_not_repeated_any_more(redis: Redis, pushover: tuple[Server, PushoverNotifier]):
    answering, sender = pushover
    alerts = [alert(f"A:{number}", severity="critical") for number in range(3)]
    await send_as_emergency(redis, sender, *alerts)
    await end_alerts(redis, alerts[0], alerts[2])

    asking = AcknowledgementPoller(sender, ChannelStore(redis, KEEP).open_receipts("pushover"))
    await asking.poll_next()
    await asking.poll_next()

    one, two, three = answering.receipts
    assert sorted(answering.cancelled) == sorted([one, three])
    assert [receipt.id for receipt in await ChannelStore(redis, KEEP).open_receipts("pushover").read_open()] == [two]
    assert len(answering.polled) == 2


async def test_a_digest_is_repeated_until_the_last_of_its_alerts_is_over(
    redis: Redis, pushover: tuple[Server, PushoverNotifier]
):
    answering, sender = pushover
    alerts = [alert(f"A:{number}", severity="critical", group_size=6) for number in range(6)]
    channels = ChannelStore(redis, KEEP)
    delivery = ChannelSender(sender, channels.open_outbox("pushover"), OPTIONS, clock=lambda: NOW)
    await delivery.open()
    await commit(redis, alerts, TICK)
    await delivery.send_due()
    asking = AcknowledgementPoller(sender, channels.open_receipts("pushover"))
    await end_alerts(redis, *alerts[1:])
    await asking.poll_next()
    before = list(answering.cancelled)
    await end_alerts(redis, alerts[0])

    await asking.poll_next()

    assert (before, answering.cancelled) == ([], [*answering.receipts])


async def test_a_receipt_that_could_not_be_cancelled_is_cancelled_later_also_after_a_restart(
    redis: Redis, phone: Phone
):
    class Failing:
        name = "phone"

        def __init__(self) -> None:
            self.says: list[NotSent] = [NotifyUnavailable("500"), NotifyUnavailable("502")]
            self.cancelled: list[str] = []

        async def read_acknowledgement(self, _: str):
            raise NotifyUnavailable("500")

        async def cancel_receipt(self, receipt: str) -> None:
            if self.says:
                raise self.says.pop(0)
            self.cancelled.append(receipt)

    receipts, failing = ChannelStore(redis, KEEP).open_receipts("phone"), Failing()
    delivery = await start_sender(redis, phone)
    phone.says = [
        NotifyAnswer("taken", receipt="r1", until=NOW + 3600.0),
        NotifyAnswer("taken", receipt="r2", until=NOW + 3600.0),
    ]
    await commit(redis, [alert("A:B"), alert("C:D")])
    await delivery.send_due()
    await delivery.send_due()
    await end_alerts(redis, alert("A:B"), alert("C:D"))

    for _ in range(3):
        await AcknowledgementPoller(failing, receipts, phone.clock).poll_next()

    assert sorted(failing.cancelled) == ["r1", "r2"]
    assert await receipts.read_open() == []


async def test_receipts_take_turns_and_those_that_are_over_are_not_asked_for(
    redis: Redis, pushover: tuple[Server, PushoverNotifier]
):
    answering, sender = pushover
    asking = await send_as_emergency(redis, sender, *[alert(f"A:{number}", severity="critical") for number in range(3)])
    one, two, _ = answering.receipts
    answering.receipts[one]["expired"] = 1
    del answering.receipts[two]

    for _ in range(8):
        await asking.poll_next()

    assert len(answering.polled) == 8
    assert len(await ChannelStore(redis, KEEP).open_receipts("pushover").read_open()) == 1


async def test_a_receipt_without_an_answer_is_closed_after_its_end(redis: Redis, phone: Phone):
    class Away:
        name = "phone"

        async def read_acknowledgement(self, _: str):
            raise NotifyUnavailable("500")

        async def cancel_receipt(self, _: str) -> None:
            raise NotifyUnavailable("500")

    receipts = ChannelStore(redis, KEEP).open_receipts("phone")
    phone.says = [NotifyAnswer("taken", receipt="r1", until=NOW + 3600.0)]
    await commit(redis, [alert("A:B")])
    delivery = await start_sender(redis, phone)
    await commit(redis, [alert("C:D")])
    await delivery.send_due()
    asking = AcknowledgementPoller(Away(), receipts, phone.clock)
    await asking.poll_next()
    kept = len(await receipts.read_open())
    phone.clock.now += 3700

    await asking.poll_next()

    assert kept == 1
    assert await receipts.read_open() == []


# ---- killed


@asynccontextmanager
async def sender(address: str, base: str, pause: float):
    arguments = ("-m", "tests.support.sender", address, base, str(pause))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        assert await process.stdout.readline() == b"sending\n"
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def test_killed_again_and_again_nothing_is_lost_and_no_more_comes_twice_than_was_killed(
    server: str, redis: Redis
):
    """Of a Pushover that fails in every way, by a sender that is killed -9 twice at any moment."""
    faults = cycle(["500", "reset", "hang", "lie"])
    script = chain.from_iterable(["ok"] * 7 + [next(faults)] for _ in iter(int, 1))
    answering, random_pause = Server(script, pause=0.02), random.Random(7)
    at = int(time.time())
    alerts = [alert(f"A:{number:03}", at=at) for number in range(100)]
    await ChannelStore(redis, KEEP).open_outbox("pushover").open()
    await commit(redis, alerts)
    async with serving(answering.application()) as base:
        for _ in range(2):
            async with sender(server, base, 0.02):
                await asyncio.sleep(random_pause.uniform(0.02, 0.15))
            answering.killed()
        async with sender(server, base, 0.02):
            await until(lambda: len({*answering.ids}) == 100, 30)
            while await pending(redis, "pushover"):
                await asyncio.sleep(0.01)

    assert {*answering.ids} == {each.id for each in alerts}
    assert len(answering.ids) - 100 <= 2
    assert answering.broken == []
    assert {"500", "reset", "hang", "lie"} <= answering.answers.keys()
    assert [attempts[-1][0] for attempts in await read_attempts(redis, *alerts)] == ["sent"] * 100


async def test_pushover_with_every_fault_gets_every_message_in_the_end(redis: Redis):
    words = islice(cycle(["ok", "500", "reset", "lie", "ok", "429"]), 40)
    answering = Server(words, pause=0.01, wait=0.01)
    policy = BackoffPolicy(0.01, 0.02, 0.05, 0.02)
    at = int(time.time())
    async with serving(answering.application()) as base, sessions.make_pushover_session() as session:
        channels = ChannelStore(redis, KEEP)
        phone = PushoverNotifier(session, PushoverAccount(base, TOKEN, USER), time.time)
        delivery = ChannelSender(phone, channels.open_outbox("pushover"), OPTIONS, policy=policy)
        await delivery.open()
        await commit(redis, [alert(f"A:{number}", at=at) for number in range(30)])
        while len(answering.taken) < 30:
            await asyncio.sleep(min(await delivery.send_due(), 0.01))

    assert len(answering.ids) == len({*answering.ids}) == 30
    assert answering.broken == []


async def test_a_wait_that_was_noted_by_a_clock_that_was_ahead_is_not_waited_for(
    redis: Redis, phone: Phone, clock: Clock
):
    before = await start_sender(redis, phone, policy=DEFAULT_BACKOFF._replace(give_up_after=9 * DAY))
    await commit(redis, [alert("A:B")])
    phone.says = [NotifyLimited("429", wait=3600)]
    clock.now += 3 * DAY
    await before.send_due()
    clock.now -= 3 * DAY

    again = await start_sender(redis, phone)
    await again.send_due()

    assert [message.alerts for message in phone.messages] == [(alert("A:B"),)]
