"""Pushover: what it is sent is as it wants it, whatever the alert; each of its answers is recognised."""

import asyncio
import json
from typing import cast

import pytest
from aiohttp import ClientSession, web

from tests.support.loopback import serving
from tests.support.loopback.pushover import TOKEN, USER
from tests.support.loopback.pushover import Pushover as Server
from tests.support.shared import shared
from tests.worker.delivery.notify.conftest import End, message, says
from worker.delivery.notify import sessions
from worker.delivery.notify.base import (
    MessageQuota,
    NotifyAnswer,
    NotifyLimited,
    NotifyRefused,
    NotifyUnavailable,
    NotSent,
)
from worker.delivery.notify.pushover import EXPIRE_SECONDS, PushoverAccount, PushoverNotifier
from worker.latest.delivery import OutgoingMessage
from worker.latest.messages import MessageText

NOW = 1_393_653_000
RESET = 1_393_653_600


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def pushover(server: Server):
    async with serving(server.application()) as base, sessions.make_pushover_session() as session:
        yield PushoverNotifier(session, PushoverAccount(base, TOKEN, USER), lambda: NOW)


@pytest.fixture
async def client(base: str):
    """A client of the server whose answers a test sets."""
    async with sessions.make_pushover_session() as session:
        yield PushoverNotifier(session, PushoverAccount(f"{base}/", TOKEN, USER), lambda: NOW)


@pytest.fixture
async def impatient(base: str):
    """A client that waits for an answer as long as a test can."""
    async with sessions.make_pushover_session(answer_seconds=0.2) as session:
        yield PushoverNotifier(session, PushoverAccount(f"{base}/", TOKEN, USER), lambda: NOW)


def with_priority(pushover, severity, **said):
    return pushover.send(message(severity=severity, **said))


async def test_a_message_has_all_that_a_person_needs(server: Server, pushover: PushoverNotifier):
    answer = await pushover.send(message())

    (form,) = server.taken
    assert form == {
        "token": TOKEN,
        "user": USER,
        "title": "KRAKEN:BTCUSD price is 3.4 x its hour mean",
        "message": "421.0 = 3.4 x the mean 123.8 of 58 samples 13:05-14:04 UTC; price rank 3 of 310\n"
        "price is more than 3 x its hour mean (warning), 2021-05-17 14:05 UTC\n"
        "spike.KRAKEN:BTCUSD.1621260300",
        "timestamp": "1621260300",
        "priority": "0",
        "url": "http://127.0.0.1:8000/m/KRAKEN:BTCUSD?measure=price",
        "url_title": "Show it",
    }
    assert answer.text.startswith("200 request ")
    assert answer.text.endswith(", 7495 of 10000 messages left")
    assert answer.quota == MessageQuota(10_000, 7495, server.reset)
    assert answer.receipt is None


async def test_the_priority_follows_the_severity(server: Server, pushover: PushoverNotifier):
    for severity in ("info", "warning", "critical"):
        await with_priority(pushover, severity)

    assert [form["priority"] for form in server.taken] == ["-1", "0", "1"]


async def test_an_emergency_is_repeated_and_its_receipt_kept_and_asked_for(server: Server, pushover: PushoverNotifier):
    pushover._emergency = True

    answer = await with_priority(pushover, "critical")
    before = await pushover.read_acknowledgement(answer.receipt)
    server.acknowledge(answer.receipt, NOW - 5, "uSomebody", "phone")
    after = await pushover.read_acknowledgement(answer.receipt)
    await pushover.cancel_receipt(answer.receipt)

    assert server.taken[0]["priority"] == "2"
    assert answer.until == NOW + EXPIRE_SECONDS
    assert before == (None, "", False)
    assert after == (NOW - 5, "uSomebody on phone", False)
    assert server.cancelled == [answer.receipt]


async def test_only_what_is_critical_is_an_emergency(server: Server, pushover: PushoverNotifier):
    pushover._emergency = True

    answer = await with_priority(pushover, "warning")

    assert server.taken[0]["priority"] == "0"
    assert answer.receipt is None


async def test_what_is_too_long_is_cut_by_characters_and_keeps_its_id(server: Server, pushover: PushoverNotifier):
    text = MessageText("\N{ROCKET}" * 300, "\N{ROCKET} to the moon " * 200, "the rule\nthe.id")
    await pushover.send(OutgoingMessage("the.id", text, "warning", NOW, "https://x.org/?" + "x" * 600))

    (form,) = server.taken
    assert len(form["title"]) == 250
    assert 1000 < len(form["message"]) <= 1024
    assert form["message"].endswith("…\nthe rule\nthe.id")
    assert "url" not in form
    assert server.broken == []


@pytest.mark.parametrize(
    "wrong, words", [("token", "application token is invalid"), ("user", "user identifier is not")]
)
async def test_wrong_credentials_are_told_in_its_words_and_concern_every_message(
    server: Server, pushover: PushoverNotifier, wrong: str, words: str
):
    pushover._account = pushover._account._replace(**{wrong: "x" * 30})

    with pytest.raises(NotifyRefused, match=f"400 {words}") as error:
        await pushover.send(message())

    assert error.value.for_all
    assert error.value.quota == MessageQuota(10_000, 7496, server.reset)


async def test_a_message_that_it_cannot_take_concerns_itself_alone(pushover: PushoverNotifier):
    with pytest.raises(NotifyRefused, match="400 message cannot be blank") as error:
        await pushover.send(OutgoingMessage("", MessageText("title", "", ""), "warning", NOW, ""))

    assert not error.value.for_all


@pytest.mark.parametrize("place", range(9))
async def test_recorded_answers_are_understood(end: End, client: PushoverNotifier, place: int):
    recorded = json.loads(shared("recorded", "pushover", "bodies.json").read_text())[place]
    end.says = says(recorded["http"] or 400, json.dumps(recorded["body"]))

    answer: BaseException | NotifyAnswer
    (answer,) = await asyncio.gather(client.send(message()), return_exceptions=True)

    if recorded["body"]["status"] == 1:
        assert answer.text == f"200 request {recorded['body']['request']}"
    else:
        assert isinstance(answer, NotifyRefused)
        assert str(answer) == f"400 {recorded['body']['errors'][0]}"
        assert answer.for_all


async def test_a_used_up_quota_says_until_when(end: End, client: PushoverNotifier):
    quota = {"X_Limit_App_Limit": "10000", "X_Limit_App_Remaining": "0", "X_Limit_App_Reset": str(RESET)}
    end.says = says(429, '{"status": 0, "errors": ["application reached monthly message limit"]}', **quota)

    with pytest.raises(NotifyLimited, match="429 application reached monthly message limit") as error:
        await client.send(message())

    assert error.value.wait == RESET - NOW
    assert error.value.quota == MessageQuota(10_000, 0, RESET)


@pytest.mark.parametrize(
    "header, wait",
    [
        ({"Retry_After": "7"}, 7.0),
        ({"Retry_After": "Sat, 01 Mar 2014 05:51:00 GMT"}, 60.0),
        ({"Retry_After": "Sat, 01 Mar 2014 05:00:00 GMT"}, 0.0),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "-5"}, None),
        ({}, None),
    ],
)
async def test_retry_after_is_read_as_seconds_or_a_date(end: End, client: PushoverNotifier, header, wait):
    end.says = says(429, **header)

    with pytest.raises(NotifyLimited) as error:
        await client.send(message())

    assert error.value.wait == wait


@pytest.mark.parametrize(
    "status, text, words",
    [
        (500, "<html><h1>Internal  Server\x1b Error</h1></html>", "500 <html><h1>Internal Server Error</h1></html>"),
        (502, "", "502"),
        (200, '{"status": 0, "errors": ["try again"]}', "200 try again"),
        (200, "<html>Just a moment...</html>", "200 <html>Just a moment...</html>"),
        (200, "[1]", "200 [1]"),
        (302, "", "302"),
        (503, "x" * 1000, "503 " + "x" * 300),
    ],
)
async def test_what_is_not_about_the_message_may_be_sent_again(
    end: End, client: PushoverNotifier, status: int, text: str, words: str
):
    end.says = says(status, text, Location="http://127.0.0.1:1/")

    with pytest.raises(NotifyUnavailable) as error:
        await client.send(message())

    assert str(error.value) == words
    assert not isinstance(error.value, NotifyLimited)
    assert len(end.asked) == 1


async def test_a_busy_gateway_that_says_how_long_is_left_alone_for_that_long(end: End, client: PushoverNotifier):
    end.says = says(503, "", Retry_After="30")

    with pytest.raises(NotifyLimited) as error:
        await client.send(message())

    assert error.value.wait == 30


async def test_silence_and_broken_connections_are_no_answer(
    end: End, client: PushoverNotifier, impatient: PushoverNotifier
):
    async def hangs(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async def breaks(request: web.BaseRequest) -> web.StreamResponse:
        request.transport.abort()
        return web.Response()

    end.says = hangs
    with pytest.raises(NotifyUnavailable, match=r"^Pushover did not answer in time$"):
        await impatient.send(message())
    end.says = breaks
    with pytest.raises(NotifyUnavailable, match=r"^Pushover did not answer: "):
        await client.send(message())


async def test_nobody_there_is_no_answer_and_names_no_secret():
    async with sessions.make_pushover_session() as session:
        pushover = PushoverNotifier(session, PushoverAccount("http://127.0.0.1:1", TOKEN, USER), lambda: NOW)

        with pytest.raises(NotSent) as error:
            await pushover.read_acknowledgement("r")

    assert isinstance(error.value, NotifyUnavailable)
    assert TOKEN not in str(error.value)


async def test_it_never_has_more_than_two_connections(server: Server, pushover: PushoverNotifier):
    await asyncio.gather(*[pushover.send(message(at=NOW + number * 60)) for number in range(20)])

    assert len(server.taken) == 20
    assert server.most_connections == 2
    assert server.broken == []


async def test_a_quota_that_begins_anew_in_milliseconds_is_none(end: End, client: PushoverNotifier):
    quota = {"X_Limit_App_Limit": "10000", "X_Limit_App_Remaining": "5", "X_Limit_App_Reset": str(RESET * 1000)}
    end.says = says(200, '{"status": 1}', **quota)

    assert (await client.send(message())).quota is None


async def test_a_quota_of_5000_digits_is_none(end: End, client: PushoverNotifier):
    quota = {"X_Limit_App_Limit": "10000", "X_Limit_App_Remaining": "9" * 5000, "X_Limit_App_Reset": str(RESET)}
    end.says = says(200, '{"status": 1}', **quota)

    assert (await client.send(message())).quota is None


@pytest.mark.parametrize("text", ["[" * 100_000, f'{{"status": {"9" * 5000}}}'], ids=["too deep", "too long"])
async def test_a_document_that_python_does_not_read_is_no_answer(end: End, client: PushoverNotifier, text: str):
    end.says = says(200, text)

    with pytest.raises(NotifyUnavailable):
        await client.send(message())


def test_another_token_is_another_sender_and_neither_is_betrayed():
    session = cast("ClientSession", None)
    one, same, group, other = (
        PushoverNotifier(session, PushoverAccount("https://api.pushover.net", token, user), lambda: NOW).fingerprint
        for token, user in ((TOKEN, USER), (TOKEN, USER), (TOKEN, "g" * 30), ("b" * 30, USER))
    )

    assert one == same == group
    assert other != one
    assert TOKEN not in one
