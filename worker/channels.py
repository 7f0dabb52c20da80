"""Makes the channels that the settings name, with the connections they need. What goes through them is not known here."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from worker.notify import sessions
from worker.notify.apprise import Apprise, WrongUrl
from worker.notify.base import Notifier
from worker.notify.pushover import Account, Pushover
from worker.notify.webhook import Target, Webhook
from worker.settings import WEBHOOK, Way, WorkerSettings

log = structlog.get_logger()

__all__ = ["WrongUrl", "channels"]


@asynccontextmanager
async def channels(settings: WorkerSettings) -> AsyncIterator[Sequence[Notifier]]:
    """Give the channels, open until the end. Raises `WrongUrl`."""
    async with AsyncExitStack() as stack:
        made: list[Notifier] = []
        if settings.pushover_token and settings.pushover_user:
            made.append(await _pushover(settings, stack))
        made += [
            await _webhook(way, settings, stack) if way.is_webhook else Apprise(way.name, way.url)
            for way in settings.ways
        ]
        _tell_of_the_proxy(settings)
        yield made


def _tell_of_the_proxy(settings: WorkerSettings) -> None:
    """Say which channels a proxy is not for: a webhook's guard must see the address that it connects to."""
    for way in settings.ways:
        if way.is_webhook and settings.proxies.of(way.url.removeprefix(WEBHOOK)):
            log.warning("a webhook is sent without the proxy, directly", channel=way.name)
        elif not way.is_webhook and settings.proxy is not None:
            log.warning("Apprise goes by HTTPS_PROXY, not by TRACKER_PROXY", channel=way.name)


async def _pushover(settings: WorkerSettings, stack: AsyncExitStack) -> Pushover:
    token, user = settings.pushover_token, settings.pushover_user
    account = Account(
        str(settings.pushover_url),
        token.get_secret_value() if token else "",
        user.get_secret_value() if user else "",
    )
    return Pushover(
        await stack.enter_async_context(sessions.for_pushover(proxy=settings.proxies.of(str(settings.pushover_url)))),
        account,
        time.time,
        connections=settings.pushover_connections,
        emergency=settings.pushover_emergency,
    )


async def _webhook(way: Way, settings: WorkerSettings, stack: AsyncExitStack) -> Webhook:
    secret = settings.webhook_secret
    target = Target(
        way.url.removeprefix(WEBHOOK), secret.get_secret_value() if secret else "", settings.webhook_private
    )
    session = await stack.enter_async_context(sessions.for_webhooks(private=target.private))
    return Webhook(way.name, session, target, time.time)
