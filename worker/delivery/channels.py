"""Makes the channels that the settings name, with the connections they need. What goes through them is not known here."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from worker.delivery.notify import sessions
from worker.delivery.notify.apprise import AppriseNotifier, InvalidNotifyUrl
from worker.delivery.notify.base import Notifier
from worker.delivery.notify.pushover import PushoverAccount, PushoverNotifier
from worker.delivery.notify.webhook import WebhookNotifier, WebhookTarget
from worker.settings import WEBHOOK, NotifyTarget, WorkerSettings

log = structlog.get_logger()

__all__ = ["InvalidNotifyUrl", "open_channels"]


@asynccontextmanager
async def open_channels(settings: WorkerSettings) -> AsyncIterator[Sequence[Notifier]]:
    """Return the channels, open until the end. Raises `WrongUrl`."""
    async with AsyncExitStack() as stack:
        made: list[Notifier] = []
        if settings.pushover_token and settings.pushover_user:
            made.append(await _open_pushover(settings, stack))
        made += [
            await _open_webhook(way, settings, stack) if way.is_webhook else AppriseNotifier(way.name, way.url)
            for way in settings.notify_targets
        ]
        _tell_of_the_proxy(settings)
        yield made


def _tell_of_the_proxy(settings: WorkerSettings) -> None:
    """Say which channels a proxy is not for: a webhook's guard must see the address that it connects to."""
    for way in settings.notify_targets:
        if way.is_webhook and settings.proxies.find_proxy(way.url.removeprefix(WEBHOOK)):
            log.warning("a webhook is sent without the proxy, directly", channel=way.name)
        elif not way.is_webhook and settings.proxy is not None:
            log.warning("Apprise goes by HTTPS_PROXY, not by TRACKER_PROXY", channel=way.name)


async def _open_pushover(settings: WorkerSettings, stack: AsyncExitStack) -> PushoverNotifier:
    token, user = settings.pushover_token, settings.pushover_user
    account = PushoverAccount(
        str(settings.pushover_url),
        token.get_secret_value() if token else "",
        user.get_secret_value() if user else "",
    )
    return PushoverNotifier(
        await stack.enter_async_context(
            sessions.make_pushover_session(proxy=settings.proxies.find_proxy(str(settings.pushover_url)))
        ),
        account,
        time.time,
        connections=settings.pushover_connections,
        emergency=settings.pushover_emergency,
    )


async def _open_webhook(way: NotifyTarget, settings: WorkerSettings, stack: AsyncExitStack) -> WebhookNotifier:
    secret = settings.webhook_secret
    target = WebhookTarget(
        way.url.removeprefix(WEBHOOK), secret.get_secret_value() if secret else "", settings.webhook_private
    )
    session = await stack.enter_async_context(sessions.make_webhook_session(private=target.private))
    return WebhookNotifier(way.name, session, target, time.time)
