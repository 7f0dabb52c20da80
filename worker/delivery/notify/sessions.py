"""HTTP sessions as channels need them: no cookies, no proxy that was not named, no more connections than are welcome."""

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from worker.delivery.notify.addresses import PublicResolver
from worker.delivery.notify.base import ANSWER_SECONDS
from worker.delivery.notify.pushover import MOST_CONNECTIONS
from worker.latest import __version__

USER_AGENT = f"data-tracker/{__version__}"
CONNECT_SECONDS = 10.0


def make_pushover_session(answer_seconds: float = ANSWER_SECONDS, proxy: str | None = None) -> ClientSession:
    return _make_session(TCPConnector(limit=MOST_CONNECTIONS), answer_seconds, proxy)


def make_webhook_session(*, private: bool, answer_seconds: float = ANSWER_SECONDS) -> ClientSession:
    """Make a session that goes only to addresses of the internet, unless `private` ones are allowed: never by a proxy, which nobody could keep inside."""
    if private:
        return _make_session(TCPConnector(), answer_seconds)
    # Resolved anew for each connection, by a resolver that checks: no answer is used that was not checked.
    return _make_session(TCPConnector(resolver=PublicResolver(), use_dns_cache=False), answer_seconds)


def make_heartbeat_session(proxy: str | None = None) -> ClientSession:
    return _make_session(TCPConnector(limit=1), CONNECT_SECONDS, proxy)


def _make_session(connector: TCPConnector, answer_seconds: float, proxy: str | None = None) -> ClientSession:
    timeout = ClientTimeout(total=answer_seconds, connect=CONNECT_SECONDS)
    headers = {"User-Agent": USER_AGENT}
    return ClientSession(
        connector=connector, timeout=timeout, headers=headers, cookie_jar=DummyCookieJar(), proxy=proxy
    )
