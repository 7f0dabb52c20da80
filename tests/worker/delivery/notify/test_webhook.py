"""Webhooks: a document that stays as it is, a signature that anybody can check, and no way into a private network."""

import base64
import hashlib
import hmac
import json

import pytest

from tests.worker.delivery.notify.conftest import End, many, message, says
from v1.routes.alert_view import AlertTold
from v1.routes.webhook import WebhookMessage
from worker.delivery.notify import sessions
from worker.delivery.notify.base import NotifyLimited, NotifyRefused, NotifyUnavailable
from worker.delivery.notify.webhook import WebhookNotifier, WebhookTarget

SECRET = "a secret of both ends"
NOW = 1_621_260_301.7


@pytest.fixture
async def webhook(base: str):
    async with sessions.make_webhook_session(private=True) as session:
        yield WebhookNotifier("hook", session, WebhookTarget(f"{base}/in?x=1", SECRET, private=True), lambda: NOW)


async def outwards(address: str):
    """Send to an address where only those of the internet are allowed."""
    async with sessions.make_webhook_session(private=False) as session:
        return await WebhookNotifier("hook", session, WebhookTarget(address, SECRET), lambda: NOW).send(message())


async def test_the_document_has_the_alert_whole_and_in_words(end: End, webhook: WebhookNotifier):
    answer = await webhook.send(message(value="1.08e-05", channels=("hook",)))

    ((request, body),) = end.asked
    assert answer.text == "200 fine"
    assert (request.method, request.path_qs, request.content_type) == ("POST", "/in?x=1", "application/json")
    assert b'"value":1.08e-05,' in body
    assert json.loads(body) == {
        "id": "spike.KRAKEN:BTCUSD.1621260300",
        "at": 1621260300,
        "severity": "warning",
        "title": "KRAKEN:BTCUSD price is 3.4 x its hour mean",
        "text": "0.0000108 = 3.4 x the mean 123.8 of 58 samples 13:05-14:04 UTC; price rank 3 of 310\n"
        "price is more than 3 x its hour mean (warning), 2021-05-17 14:05 UTC\n"
        "spike.KRAKEN:BTCUSD.1621260300",
        "url": "http://127.0.0.1:8000/m/KRAKEN:BTCUSD?measure=price",
        "alert": {
            "id": "spike.KRAKEN:BTCUSD.1621260300",
            "rule": "spike",
            "name": "price is more than 3 x its hour mean",
            "kind": "ratio",
            "severity": "warning",
            "event": "firing",
            "metric": "KRAKEN:BTCUSD",
            "measure": "price",
            "at": 1621260300,
            "value": 1.08e-05,
            "mean": 123.8,
            "ratio": 3.4006,
            "samples": 58,
            "since": 1621256700,
            "rank": 3,
            "of": 310,
            "reference": None,
            "reference_kind": None,
        },
        "digest": None,
    }


async def test_every_message_keeps_to_what_the_document_of_the_api_says(end: End, webhook: WebhookNotifier):
    test = message()._replace(alerts=())
    for each in (message(), message(value=None, mean=None), many(310), test):
        await webhook.send(each)

    for _, body in end.asked:
        WebhookMessage.model_validate_json(body, strict=True)
        assert set(json.loads(body)) == set(WebhookMessage.model_fields)
    alert = json.loads(end.asked[0][1])["alert"]
    assert set(alert) == set(AlertTold.model_fields)


async def test_a_digest_has_its_strongest_alerts_and_their_number(end: End, webhook: WebhookNotifier):
    await webhook.send(many(310))

    document = json.loads(end.asked[0][1])
    assert document["alert"] is None
    assert document["digest"]["count"] == 310
    assert len(document["digest"]["alerts"]) == 100


async def test_the_signature_covers_the_body_and_the_time_it_is_sent_at(end: End, webhook: WebhookNotifier):
    await webhook.send(message())

    ((request, body),) = end.asked
    timestamp = request.headers["X-Tracker-Timestamp"]
    expected = hmac.new(SECRET.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    assert timestamp == "1621260301"
    assert request.headers["X-Tracker-Signature"] == f"sha256={expected}"


async def test_the_same_message_is_the_same_document_each_time(end: End, webhook: WebhookNotifier):
    await webhook.send(message())
    await webhook.send(message())

    assert end.asked[0][1] == end.asked[1][1]


@pytest.mark.parametrize(
    "status, kind, for_all",
    [
        (400, NotifyRefused, False),
        (408, NotifyUnavailable, None),
        (425, NotifyUnavailable, None),
        (404, NotifyRefused, True),
        (401, NotifyRefused, True),
        (410, NotifyRefused, True),
        (422, NotifyRefused, False),
        (301, NotifyRefused, True),
        (303, NotifyRefused, True),
        (429, NotifyLimited, None),
        (500, NotifyUnavailable, None),
        (502, NotifyUnavailable, None),
    ],
)
async def test_answers_are_told_apart(
    end: End, webhook: WebhookNotifier, status: int, kind: type, for_all: bool | None
):
    end.says = says(status, "its words", Location="http://127.0.0.1:1/")

    with pytest.raises(kind, match=f"^{status} its words") as error:
        await webhook.send(message())

    assert type(error.value) is kind
    assert getattr(error.value, "for_all", None) == for_all
    assert len(end.asked) == 1


async def test_a_redirect_that_keeps_the_message_is_followed(end: End, webhook: WebhookNotifier):
    async def moved(request):
        return await (end.taken if request.path == "/there" else says(308, Location="/there"))(request)

    end.says = moved
    await webhook.send(message())

    assert [request.path for request, _ in end.asked] == ["/in", "/there"]
    assert end.asked[0][1] == end.asked[1][1]


@pytest.mark.parametrize("location", ["/in", "ftp://x.org/", "http://[", ""])
async def test_redirects_that_lead_nowhere_are_refused(end: End, webhook: WebhookNotifier, location: str):
    end.says = says(307, Location=location)

    with pytest.raises(NotifyRefused, match="hook redirects ") as error:
        await webhook.send(message())

    assert error.value.for_all
    assert len(end.asked) <= 4


async def test_credentials_in_the_address_are_sent_as_such(end: End, base: str):
    async with sessions.make_webhook_session(private=True) as session:
        address = base.replace("://", "://me:pass@")
        await WebhookNotifier("hook", session, WebhookTarget(address, SECRET, private=True), lambda: NOW).send(
            message()
        )

    assert end.asked[0][0].headers["Authorization"] == "Basic " + base64.b64encode(b"me:pass").decode()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1"])
async def test_a_private_address_is_refused_however_it_is_written(end: End, base: str, host: str):
    port = base.rpartition(":")[2]

    with pytest.raises(NotifyRefused, match="is not on the internet; TRACKER_WEBHOOK_PRIVATE=yes allows it") as error:
        await outwards(f"http://{host}:{port}/")

    assert error.value.for_all
    assert end.asked == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1"])
async def test_an_address_in_disguise_is_refused(end: End, base: str, host: str):
    port = base.rpartition(":")[2]

    with pytest.raises(NotifyRefused) as error:
        await outwards(f"http://{host}:{port}/")

    assert error.value.for_all
    assert end.asked == []


async def test_a_redirect_into_a_private_network_is_refused(end: End, base: str, monkeypatch: pytest.MonkeyPatch):
    port = base.rpartition(":")[2]
    monkeypatch.setattr("worker.delivery.notify.addresses.is_public", lambda address: address == "127.0.0.1")
    end.says = says(307, Location=f"http://127.0.0.2:{port}/")

    with pytest.raises(NotifyRefused, match=r"127\.0\.0\.2 is not on the internet"):
        await outwards(f"http://127.0.0.1:{port}/")

    assert len(end.asked) == 1


async def test_a_name_that_does_not_exist_is_no_answer():
    with pytest.raises(NotifyUnavailable, match="hook did not answer"):
        await outwards("http://nobody.invalid/")
