"""The outbox: every channel gets everything once it is there, nothing is lost by a restart, and nothing stays for ever."""

import asyncio
import json

import pytest
from redis.asyncio import Redis

from tests.support import units
from tests.support.alerts import TICK, alert, commit, send
from v1.model import DAY
from v1.rules import Evaluation, SubjectResult
from v1.rules.message_text import MessageText
from v1.store import (
    ChannelStore,
    DeliveryAttempt,
    DeliveryReader,
    DeliveryStatus,
    Disposition,
    Outbox,
    OutboxEntry,
    OutgoingMessage,
    QueuedMessage,
    Receipt,
    RetryState,
    StoreAway,
    Writer,
    connect,
    keys,
)

KEEP = 30 * DAY
AT = TICK + 0.5
SENT = Disposition(DeliveryStatus.SENT, "200")


def failed(answer: str, count: int, next_try: float) -> Disposition:
    return Disposition(DeliveryStatus.FAILED, answer, RetryState(count, next_try))


@pytest.fixture
async def outbox(redis: Redis) -> Outbox:
    opened = Outbox(redis, "phone", KEEP)
    await opened.open()
    return opened


async def again(redis: Redis, channel: str = "phone") -> Outbox:
    """Return what a new process has."""
    opened = Outbox(redis, channel, KEEP)
    await opened.open()
    return opened


def queued(*entries: OutboxEntry) -> QueuedMessage:
    alerts = [each.alert for each in entries]
    message = OutgoingMessage(alerts[0].id, MessageText("", "", ""), "info", TICK, "", alerts)
    return QueuedMessage(message, [each.id for each in entries], entries[0].written)


def receipted(receipt: Receipt) -> Disposition:
    return SENT._replace(receipt=receipt)


NO_ENTRIES = QueuedMessage(OutgoingMessage("m", MessageText("", "", ""), "info", TICK, ""))


async def metrics(outbox):
    return [entry.alert.metric for entry in await outbox.read_entries()]


async def test_what_a_tick_says_comes_out_as_it_was_said(redis: Redis, outbox: Outbox):
    said = alert(value="1.08e-05", channels=("phone", "hook"))
    store = Writer(redis)
    await store.open()
    await units.commit(
        store,
        TICK,
        evaluation=Evaluation({}, {"kraken": SubjectResult({}, (said, alert("QUIET:X", suppressed_by="mute hours")))}),
    )

    (entry,) = await outbox.read_entries()

    assert entry.alert == said
    assert await outbox.read_tick() == TICK


async def test_every_channel_gets_everything_and_none_waits_for_another(redis: Redis, outbox: Outbox):
    hook = await again(redis, "hook")
    await commit(redis, [alert("A:B"), alert("C:D")])

    assert await metrics(outbox) == ["A:B", "C:D"]
    assert await metrics(outbox) == []
    assert await metrics(hook) == ["A:B", "C:D"]


async def test_a_new_channel_begins_with_what_comes_from_then_on(redis: Redis):
    await commit(redis, [alert("A:OLD")])

    outbox = await again(redis)
    await commit(redis, [alert("A:NEW")])

    assert await metrics(outbox) == ["A:NEW"]


async def test_what_was_taken_and_not_settled_comes_again_after_a_restart_and_then_what_is_new(
    redis: Redis, outbox: Outbox
):
    await commit(redis, [alert(f"A:{number}") for number in range(3)])
    taken = await outbox.read_entries()
    await outbox.record(queued(taken[1]), SENT, "", AT)
    await commit(redis, [alert("A:3")])

    restarted = await again(redis)

    assert await metrics(restarted) == ["A:0", "A:2"]
    assert await metrics(restarted) == ["A:3"]
    assert await metrics(restarted) == []


async def test_more_than_one_batch_is_taken_in_order_before_and_after_a_restart(redis: Redis, outbox: Outbox):
    await commit(redis, [alert(f"A:{number:04}") for number in range(1203)])

    first = [*await metrics(outbox), *await metrics(outbox), *await metrics(outbox)]
    restarted = await again(redis)
    second = [*await metrics(restarted), *await metrics(restarted), *await metrics(restarted)]

    assert first == second == [f"A:{number:04}" for number in range(1203)]


async def test_waiting_ends_when_something_comes(server: str):
    async with connect(server, "tests") as redis, connect(server, "tests") as other:
        outbox = await again(redis)
        taking = asyncio.create_task(outbox.read_entries(20.0))
        await asyncio.sleep(0.05)
        await commit(other, [alert("A:B")])

        assert [entry.alert.metric for entry in await taking if entry.alert] == ["A:B"]
        assert await outbox.read_entries(0.01) == []


async def test_what_was_handed_out_in_an_answer_that_never_came_is_handed_out_again(
    redis: Redis, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
):
    await commit(redis, [alert("A:B")])
    await outbox.read_entries()
    await commit(redis, [alert("C:D")])
    with monkeypatch.context() as broken:
        broken.setattr(outbox, "_group_read", lost_answers(outbox))
        with pytest.raises(StoreAway):
            await outbox.read_entries()
    await commit(redis, [alert("E:F")])

    assert await metrics(outbox) == ["C:D"]
    assert await metrics(outbox) == ["E:F"]


def lost_answers(outbox):
    read = outbox._group_read

    async def lost(after, block):
        await read(after, block)
        raise ConnectionResetError("in the middle")

    return lost


async def test_a_stream_that_was_lost_is_begun_anew_and_nothing_after_that_is_missed(redis: Redis, outbox: Outbox):
    await commit(redis, [alert("A:OLD")])
    await outbox.read_entries()
    await redis.flushall()
    await commit(redis, [alert("A:NEW")])

    assert await outbox.read_entries() == []
    assert await metrics(outbox) == ["A:NEW"]


@pytest.mark.parametrize(
    "written",
    [
        "",
        "not json",
        "[]",
        "{}",
        '{"id": 3}',
        json.dumps(alert()._asdict() | {"at": "noon"}),
        json.dumps(alert()._asdict() | {"at": 10**12}),
        json.dumps(alert()._asdict() | {"value": "a lot"}),
        json.dumps(alert()._asdict() | {"ratio": float("nan")}),
        "\ud83d".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
)
async def test_what_is_no_alert_is_handed_out_as_that_and_holds_up_nothing(redis: Redis, outbox: Outbox, written: str):
    await send(redis, written)
    await commit(redis, [alert("A:B")])

    odd, good = await outbox.read_entries()

    assert odd.alert is None
    assert odd.written == written
    assert good.alert == alert("A:B")


async def test_an_entry_that_was_trimmed_before_it_was_settled_is_handed_out_without_anything(
    redis: Redis, outbox: Outbox
):
    await commit(redis, [alert("A:B"), alert("C:D")])
    await outbox.read_entries()
    await redis.xtrim(keys.OUTBOX, maxlen=1, approximate=False)

    gone, left = await (await again(redis)).read_entries()

    assert (gone.alert, gone.written) == (None, "")
    assert left.alert == alert("C:D")


async def test_every_attempt_is_kept_with_each_alert_in_order(redis: Redis, outbox: Outbox):
    await commit(redis, [alert("A:B"), alert("C:D")])
    entries = await outbox.read_entries()
    await outbox.record(queued(*entries), failed("500 größer", 1, TICK + 9.5), "", AT)
    await outbox.record(queued(*entries), SENT, "", AT)

    attempts = [
        DeliveryAttempt(AT, "phone", "failed", "500 größer", "spike.A:B.1621260300"),
        DeliveryAttempt(AT, "phone", "sent", "200", "spike.A:B.1621260300"),
    ]
    assert await DeliveryReader(redis).read_deliveries(["spike.A:B.1621260300", "nobody"]) == [attempts, []]
    assert await redis.ttl(keys.deliveries(alert("C:D").id)) > KEEP - 60


async def test_only_so_many_attempts_are_kept_of_an_alert(
    redis: Redis, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keys, "MOST_ATTEMPTS", 2)
    await commit(redis, [alert()])
    entries = await outbox.read_entries()
    for number in range(4):
        await outbox.record(queued(*entries), failed(str(number), number, 0.0), "", AT)

    (kept,) = await DeliveryReader(redis).read_deliveries([alert().id])

    assert [each.answer for each in kept] == ["2", "3"]


async def test_how_often_a_message_was_tried_and_when_it_is_again_outlives_the_process(redis: Redis, outbox: Outbox):
    await commit(redis, [alert("A:B"), alert("C:D")])
    one, two = await outbox.read_entries()
    await outbox.record(queued(one), failed("500", 3, TICK + 60.5), '{"mine": 1}', AT)
    await outbox.record(queued(two), failed("500", 1, TICK + 5.0), '{"mine": 2}', AT)
    await outbox.record(queued(two), SENT, '{"mine": 3}', AT)

    tries, itself = await (await again(redis)).read_retries()

    assert tries == {one.alert.id: RetryState(3, TICK + 60.5)}
    assert itself == '{"mine": 3}'


async def test_a_dead_letter_says_what_why_and_when_and_is_not_handed_out_again(redis: Redis, outbox: Outbox):
    await commit(redis, [alert("A:B")])
    (entry,) = await outbox.read_entries()
    await outbox.record(queued(entry), Disposition(DeliveryStatus.REFUSED, "400 no"), "", AT)

    (dead,) = await DeliveryReader(redis).read_dead_letters("phone")

    assert dead[1:] == (TICK + 0.5, entry.alert.id, [entry.alert.id], "400 no", entry.written)
    assert await metrics(await again(redis)) == []
    (attempts,) = await DeliveryReader(redis).read_deliveries([entry.alert.id])
    assert attempts == [DeliveryAttempt(AT, "phone", "refused", "400 no", entry.alert.id)]


async def test_the_channels_that_there_are_can_be_asked_for(redis: Redis):
    channels = ChannelStore(redis, KEEP)

    assert await channels.set_channels({"phone": "pushover", "hook": "webhook"}) == []
    assert await DeliveryReader(redis).read_channels() == {"phone": "pushover", "hook": "webhook"}
    assert await channels.set_channels({}) == []
    assert await DeliveryReader(redis).read_channels() == {}


async def test_a_channel_that_there_is_no_more_is_named_until_it_is_dropped(redis: Redis, outbox: Outbox):
    channels = ChannelStore(redis, KEEP)
    await outbox.record(NO_ENTRIES, failed("500", 1, 0.0), "", AT)

    assert await channels.set_channels({"hook": "webhook"}) == ["phone"]
    await channels.drop_channel("phone")

    assert await channels.set_channels({"hook": "webhook"}) == []
    assert await redis.exists(keys.sending("phone")) == 0


async def test_only_what_every_channel_has_settled_is_trimmed(redis: Redis, outbox: Outbox):
    channels, hook = ChannelStore(redis, KEEP), await again(redis, "hook")
    await commit(redis, [alert(f"A:{number}") for number in range(5)])
    taken = await outbox.read_entries()
    for entry in taken[:4]:
        await outbox.record(queued(entry), SENT, "", AT)
    await channels.trim_outbox()
    untouched = await redis.xlen(keys.OUTBOX)
    taken = await hook.read_entries()
    await hook.skip_entries([entry.id for entry in (taken[0], taken[1], taken[3], taken[4])])
    await channels.trim_outbox()

    assert untouched == 5
    assert await redis.xlen(keys.OUTBOX) == 3
    assert await metrics(await again(redis, "hook")) == ["A:2"]
    assert await metrics(await again(redis)) == ["A:4"]


async def test_trimming_what_is_not_there_does_nothing(redis: Redis):
    await ChannelStore(redis, KEEP).trim_outbox()

    assert await redis.exists(keys.OUTBOX) == 0


async def test_who_acknowledges_first_is_kept_and_the_receipt_is_not_asked_for_again(redis: Redis, outbox: Outbox):
    receipts = ChannelStore(redis, KEEP).open_receipts("phone")
    receipt, other = Receipt("r1", ["a", "b"], TICK + 3600.0), Receipt("r2", ["a"], TICK + 60.0)
    await outbox.record(NO_ENTRIES, receipted(receipt), "", AT)
    await outbox.record(NO_ENTRIES, receipted(other), "", AT)

    before = await receipts.read_open(), await receipts.filter_settled([other, receipt])
    await receipts.acknowledge(receipt, TICK + 30, "somebody")
    await receipts.acknowledge(other, TICK + 40, "somebody else")

    assert before == ([other, receipt], [])
    assert await receipts.read_open() == []
    assert await receipts.filter_settled([other, receipt]) == [other, receipt]
    assert await redis.hgetall(keys.alert("a")) == {"acknowledged": str(TICK + 30), "by": "somebody"}


async def test_a_receipt_is_settled_when_each_of_its_alerts_is_over_or_acknowledged(redis: Redis):
    receipts = ChannelStore(redis, KEEP).open_receipts("phone")
    both, one, none = (Receipt(name, list(name), TICK + 60.0) for name in ("ab", "a", "c"))

    seen = []
    for name, field in (("b", "ended_at"), ("c", "by"), ("a", "acknowledged")):
        await redis.hset(keys.alert(name), field, TICK)
        await redis.expire(keys.alert(name), 60)
        seen.append(await receipts.filter_settled([both, one, none]))

    assert seen == [[], [], [both, one]]
