"""Serves the worker's metrics at `GET /metrics` of an address of its own. It wants a key where there are API keys."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from hmac import compare_digest
from http import HTTPStatus

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

PATH = "/metrics"
STOP_SECONDS = 1.0
"""How long a scrape that is under way may take when the worker is stopped."""
NO_STORE = {"Cache-Control": "no-store"}

_BEARER = re.compile(r"bearer +(.+)", re.IGNORECASE)
_CREATED = re.compile(r"^# HELP (\w+_created) .*\n# TYPE \1 gauge\n(?:\1[{ ].*\n)*", re.MULTILINE)

log = structlog.get_logger()


class CannotListen(Exception):
    """The address is not free, or not of this machine; the message says why."""


@asynccontextmanager
async def serve_metrics(
    bind: str | None, registry: CollectorRegistry, keys: Sequence[str] = ()
) -> AsyncIterator[str | None]:
    """
    Serve what `registry` holds at `bind`, `host:port`, and yield the address; where it is `None`, serve nothing.

    With `keys`, whoever asks must show one, as `Authorization: Bearer KEY`. Raises `CannotListen`.
    """
    if bind is None:
        yield None
        return
    app = web.Application()
    app.router.add_get(PATH, _make_handler(registry, keys))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
    await runner.setup()
    host, _, port = bind.rpartition(":")
    try:
        site = web.TCPSite(runner, host.strip("[]"), int(port))
        await _start(site, bind)
        address = f"http://{host}:{runner.addresses[0][1]}{PATH}"
        log.info("serving metrics", at=address)
        yield address
    finally:
        await runner.cleanup()


async def _start(site: web.TCPSite, bind: str) -> None:
    try:
        await site.start()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CannotListen(
            f"TRACKER_WORKER_METRICS_BIND: cannot listen on {bind!r}: {reason}; name another host:port"
        ) from error


def _make_handler(registry: CollectorRegistry, keys: Sequence[str]) -> Callable[[web.Request], Awaitable[web.Response]]:
    known = [key.encode() for key in keys]

    async def show_metrics(request: web.Request) -> web.Response:
        if known and not _is_known(request.headers.get("Authorization", ""), known):
            status = HTTPStatus.UNAUTHORIZED
            text = "a key is wanted: Authorization: Bearer KEY, with one of TRACKER_API_KEYS\n"
            return web.Response(status=status, text=text, headers={"WWW-Authenticate": "Bearer", **NO_STORE})
        return web.Response(
            body=write_registry(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4, **NO_STORE}
        )

    return show_metrics


def _is_known(authorization: str, known: Sequence[bytes]) -> bool:
    found = _BEARER.fullmatch(authorization.strip())
    given = found[1].encode(errors="surrogateescape") if found else b""
    # Every key is compared, so that the time taken does not tell which of them came near.
    return sum(compare_digest(key, given) for key in known) > 0


def write_registry(registry: CollectorRegistry) -> bytes:
    """Return what a registry holds, in the text format of Prometheus."""
    # When a counter was made is in no query of ours, and would be every third line.
    return _CREATED.sub("", generate_latest(registry).decode()).encode()
