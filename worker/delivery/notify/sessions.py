"""
Makes HTTP sessions for channels: without cookies, without a proxy unless one is set, with few connections. Names of hosts
are looked up as this machine does it, whether or not aiodns is there.
"""

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, ThreadedResolver

from worker.delivery.notify.addresses import PublicResolver
from worker.delivery.notify.base import ANSWER_SECONDS
from worker.delivery.notify.pushover import MOST_CONNECTIONS
from worker.latest import __version__

USER_AGENT = f"data-tracker/{__version__}"
CONNECT_SECONDS = 10.0


def make_pushover_session(answer_seconds: float = ANSWER_SECONDS, proxy: str | None = None) -> ClientSession:
    return _make_session(TCPConnector(limit=MOST_CONNECTIONS, resolver=ThreadedResolver()), answer_seconds, proxy)


def make_webhook_session(*, private: bool, answer_seconds: float = ANSWER_SECONDS) -> ClientSession:
    """Return a session that connects to public addresses only, unless `private` ones are allowed. It uses no proxy, which could connect anywhere."""
    if private:
        return _make_session(TCPConnector(resolver=ThreadedResolver()), answer_seconds)
    # Without the cache every connection is resolved, and so checked.
    return _make_session(TCPConnector(resolver=PublicResolver(), use_dns_cache=False), answer_seconds)


def make_heartbeat_session(proxy: str | None = None) -> ClientSession:
    return _make_session(TCPConnector(limit=1, resolver=ThreadedResolver()), CONNECT_SECONDS, proxy)


def _make_session(connector: TCPConnector, answer_seconds: float, proxy: str | None = None) -> ClientSession:
    timeout = ClientTimeout(total=answer_seconds, connect=CONNECT_SECONDS)
    headers = {"User-Agent": USER_AGENT}
    return ClientSession(
        connector=connector, timeout=timeout, headers=headers, cookie_jar=DummyCookieJar(), proxy=proxy
    )
