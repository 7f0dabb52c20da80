"""Which proxy an address is reached through, that it really is, and that nobody reads its password."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from tests.support.loopback import serving
from worker.cli.wiring import open_heartbeat, open_sources
from worker.clock.wall import WatchedClock
from worker.delivery.channels import open_channels
from worker.delivery.notify.webhook import WebhookNotifier
from worker.latest import Metric
from worker.latest.settings import InvalidSettings
from worker.settings import WorkerSettings
from worker.settings.proxies import ProxySettings, show_proxy

BTC = Metric("KRAKEN:BTCUSD")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PASSWORD = "correct-horse"


@pytest.mark.parametrize(
    "given, environment, address, expected",
    [
        (None, {}, "https://api.kraken.com", None),
        ("http://p:1", {}, "https://api.kraken.com", "http://p:1"),
        ("http://p:1", {"https": "http://q:2"}, "https://api.kraken.com", "http://p:1"),
        (None, {"https": "http://q:2"}, "https://api.kraken.com", "http://q:2"),
        (None, {"https": "q:2"}, "https://api.kraken.com", "http://q:2"),
        (None, {"http": "http://q:2"}, "https://api.kraken.com", None),
        (None, {"all": "http://q:2"}, "https://api.kraken.com", "http://q:2"),
        (None, {"all": "socks5://q:2"}, "https://api.kraken.com", None),
        ("http://p:1", {"no": "kraken.com"}, "https://api.kraken.com", None),
        ("http://p:1", {"no": ".kraken.com, example.org"}, "https://api.kraken.com", None),
        ("http://p:1", {"no": "api.kraken.com:8443"}, "https://api.kraken.com:8443", None),
        ("http://p:1", {"no": "raken.com"}, "https://api.kraken.com", "http://p:1"),
        ("http://p:1", {"no": "*"}, "https://api.kraken.com", None),
        ("http://p:1", {}, "http://127.0.0.1:8000", None),
        ("http://p:1", {}, "http://[::1]:8000", None),
        ("http://p:1", {}, "", None),
    ],
)
def test_an_address_is_reached_through_the_proxy_that_is_meant_for_it(given, environment, address, expected):
    assert ProxySettings(given, environment).find_proxy(address) == expected


def test_a_proxy_of_the_environment_that_cannot_be_used_is_named():
    assert ProxySettings(None, {"all": "socks5://q:2", "https": "http://q:2", "no": "a"}).unusable == ["ALL_PROXY"]


def test_what_is_shown_of_a_proxy_is_no_secret():
    assert show_proxy(f"http://user:{PASSWORD}@proxy:3128") == "proxy:3128"


@pytest.mark.parametrize(
    "wrong",
    [f"socks5://user:{PASSWORD}@proxy:1080", f"user:{PASSWORD}@proxy:3128", f"http://user:{PASSWORD}@", "proxy"],
)
def test_a_proxy_that_cannot_be_one_is_refused_and_its_password_is_not_shown(wrong: str):
    with pytest.raises(InvalidSettings) as caught:
        WorkerSettings.load(proxy=wrong)

    assert "TRACKER_PROXY must be http://host:port" in str(caught.value)
    assert PASSWORD not in str(caught.value)


class Proxy(NamedTuple):
    """Answers whatever it is asked for another host, as Kraken."""

    base: str
    asked: list[tuple[str, str | None]]

    @property
    def named(self) -> str:
        return self.base.replace("http://", f"http://user:{PASSWORD}@")


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    asked: list[tuple[str, str | None]] = []

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:  # noqa: ARG001  # whatever the path
        asked.append((f"{request.method} {request.raw_path}", request.headers.get("Proxy-Authorization")))
        if request.method == "CONNECT":
            return web.Response(status=407)
        body = {"error": [], "result": {"XXBTZUSD": {"wsname": "XBT/USD", "altname": "XBTUSD"}}}
        return web.json_response(body)

    app = web.Application(middlewares=[answer])
    async with serving(app) as base:
        yield Proxy(base, asked)


def settings(**given: object) -> WorkerSettings:
    return WorkerSettings.load(metrics=(BTC,), **given)


async def test_a_source_is_asked_through_the_proxy_of_the_settings_and_its_password_is_not_logged(proxy: Proxy):
    known = settings(kraken_url="http://kraken.invalid", proxy=proxy.named)

    with capture_logs() as logs:
        async with open_sources(known, 5, WatchedClock()) as (source,):
            await source.open(0)

    assert source.metrics == (BTC,)
    expected = f"Basic {base64.b64encode(f'user:{PASSWORD}'.encode()).decode()}"
    assert proxy.asked == [("GET http://kraken.invalid/0/public/AssetPairs", expected)]
    assert {"proxy": show_proxy(proxy.base), "event": "asking through a proxy", "log_level": "info"} in logs
    assert PASSWORD not in repr(logs)


async def test_a_source_is_asked_through_the_proxy_of_the_environment(proxy: Proxy, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", proxy.named)

    async with open_sources(settings(kraken_url="http://kraken.invalid"), 5, WatchedClock()) as (source,):
        await source.open(0)

    assert source.metrics == (BTC,)


async def test_a_proxy_that_says_no_is_told_as_that_and_not_as_the_providers_word(proxy: Proxy):
    known = settings(kraken_url="https://kraken.invalid", proxy=proxy.named)

    with capture_logs() as logs:
        async with open_sources(known, 5, WatchedClock()) as (source,):
            await source.open(0)

    assert source.describe_state()["reason"] == "kraken was not reached: the proxy answered 407"
    assert PASSWORD not in repr((logs, source.describe_state()))


async def test_a_proxy_that_is_not_there_is_told_without_its_password(unused_tcp_port: int):
    address = f"http://user:{PASSWORD}@127.0.0.1:{unused_tcp_port}"
    known = settings(kraken_url="http://kraken.invalid", proxy=address)

    with capture_logs() as logs:
        async with open_sources(known, 5, WatchedClock()) as (source,):
            await source.open(0)

    assert source.describe_state()["state"] == "failing"
    assert PASSWORD not in repr((logs, source.describe_state()))


async def test_the_heartbeat_goes_through_the_proxy(proxy: Proxy):
    known = settings(proxy=proxy.named, heartbeat_url="http://heartbeat.invalid/me")

    async with open_heartbeat(known) as heartbeat:
        assert heartbeat._call is not None
        assert await heartbeat._call() is None

    assert [asked for asked, _ in proxy.asked] == ["GET http://heartbeat.invalid/me"]


async def test_a_webhook_does_not_and_that_is_said(proxy: Proxy):
    known = settings(
        proxy=proxy.named,
        notify="webhook+https://hooks.example.org/x,ntfy=json://example.org",
        webhook_secret="x" * 16,
    )

    with capture_logs() as logs:
        async with open_channels(known) as (webhook, _):
            assert isinstance(webhook, WebhookNotifier)
            assert webhook._session._default_proxy is None

    assert [(each["event"], each["channel"]) for each in logs] == [
        ("webhook does not use the proxy", "webhook"),
        ("Apprise uses HTTPS_PROXY, not TRACKER_PROXY", "ntfy"),
    ]
    assert proxy.asked == []
