"""Apprise: its own JSON channel against a real server, without its retries, and never longer than it takes."""

import asyncio
import json
import time

import pytest
from aiohttp import web

from tests.worker.delivery.notify.conftest import End, message, says
from worker.delivery.notify.apprise import AppriseNotifier, InvalidNotifyUrl
from worker.delivery.notify.base import NotifyLimited, NotifyRefused, NotifyUnavailable
from worker.latest.delivery import OutgoingMessage
from worker.latest.messages import MessageText


def to(base: str, query: str = "", timeout: float = 10.0) -> AppriseNotifier:
    return AppriseNotifier("json", base.replace("http://", "json://") + f"/in{query}", timeout)


async def test_a_message_arrives_with_its_text_link_and_id(end: End, base: str):
    channel = to(base)

    answer = await channel.send(message(severity="critical"))

    document = json.loads(end.asked[0][1])
    assert (channel.kind, channel.connections) == ("json", 1)
    assert answer.text == "accepted"
    assert document["title"] == "KRAKEN:BTCUSD price is 3.4 x its hour mean"
    assert document["message"].splitlines() == [
        "421.0 = 3.4 x the mean 123.8 of 58 samples 13:05-14:04 UTC; price rank 3 of 310",
        "http://127.0.0.1:8000/m/KRAKEN:BTCUSD?measure=price",
        "price is more than 3 x its hour mean (critical), 2021-05-17 14:05 UTC",
        "spike.KRAKEN:BTCUSD.1621260300",
    ]
    assert document["type"] == "failure"


@pytest.mark.parametrize(
    "status, kind",
    [
        (400, NotifyRefused),
        (401, NotifyRefused),
        (408, NotifyUnavailable),
        (429, NotifyLimited),
        (500, NotifyUnavailable),
    ],
)
async def test_each_status_raises_its_own_error_and_nothing_is_sent_twice(end: End, base: str, status: int, kind: type):
    end.says = says(status)

    with pytest.raises(kind, match=f"error={status}") as error:
        await to(base, "?retry=3&wait=0").send(message())

    assert type(error.value) is kind
    assert len(end.asked) == 1


async def test_nobody_there_is_no_answer():
    with pytest.raises(NotifyUnavailable, match="Connection error"):
        await to("http://127.0.0.1:1").send(message())


async def test_while_it_hangs_the_loop_goes_on_and_no_second_message_is_begun(end: End, base: str):
    over = asyncio.Event()

    async def hangs(_: web.BaseRequest) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    end.says = hangs
    channel = to(base, timeout=0.1)

    with pytest.raises(NotifyUnavailable, match=r"json did not answer in 0\.1 s"):
        await channel.send(message())
    with pytest.raises(NotifyUnavailable, match="json is still sending the message before"):
        await channel.send(message())
    over.set()
    while channel._busy.is_alive():
        await asyncio.sleep(0.01)
    end.says = end.taken
    channel._timeout = 30
    await channel.send(message())

    assert len(end.asked) == 2


async def test_what_is_too_long_for_a_service_is_cut_before_it_gets_it(end: End, base: str):
    channel = to(base)
    channel._service.body_maxlen, channel._service.title_maxlen = 100, 20

    await channel.send(
        OutgoingMessage("the.id", MessageText("a title that is long", "words " * 100, "f\nthe.id"), "info", 0, "")
    )

    document = json.loads(end.asked[0][1])
    assert len(end.asked) == 1
    assert document["title"] == "a title that is long"
    assert len(document["message"]) <= 100
    assert document["message"].endswith("words…\nf\nthe.id")


async def test_a_service_without_titles_gets_it_in_the_body(end: End, base: str):
    channel = to(base)
    channel._service.title_maxlen = 0

    await channel.send(message())

    document = json.loads(end.asked[0][1])
    assert document["title"] == ""
    assert document["message"].startswith("KRAKEN:BTCUSD price is 3.4 x its hour mean")
    assert document["message"].endswith("spike.KRAKEN:BTCUSD.1621260300")


@pytest.mark.parametrize("url", ["nonsense://secret", "tgram://", "json://"])
def test_the_error_about_an_unknown_url_does_not_contain_its_secrets(url: str):
    with pytest.raises(InvalidNotifyUrl, match=r"^chat: Apprise does not accept this \w+:// URL$") as error:
        AppriseNotifier("chat", url)

    assert "secret" not in str(error.value)


def test_what_apprise_says_does_not_reach_our_log(caplog: pytest.LogCaptureFixture):
    with pytest.raises(InvalidNotifyUrl):
        AppriseNotifier("chat", "nonsense://secret")

    assert caplog.records == []


async def test_a_thread_that_outlives_its_loop_does_no_harm(base: str):
    """The end of the process is not held up: the thread is a daemon, and whom it would tell may be gone."""
    channel = to(base)

    await channel.send(message())
    thread = channel._busy
    deadline = time.monotonic() + 5
    while thread.is_alive() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)

    assert thread.daemon
    assert not thread.is_alive()
