"""Opens the channels that the settings name, with the connections they need."""

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
    """Return the channels, open until the end. Raises `InvalidNotifyUrl`."""
    async with AsyncExitStack() as stack:
        notifiers: list[Notifier] = []
        if settings.pushover_token and settings.pushover_user:
            notifiers.append(await _open_pushover(settings, stack))
        notifiers += [
            await _open_webhook(target, settings, stack)
            if target.is_webhook
            else AppriseNotifier(target.name, target.url)
            for target in settings.notify_targets
        ]
        _warn_about_proxy(settings)
        yield notifiers


def _warn_about_proxy(settings: WorkerSettings) -> None:
    """Warn of channels that do not use the proxy: a webhook must check the address that it connects to."""
    for target in settings.notify_targets:
        if target.is_webhook and settings.proxies.find_proxy(target.url.removeprefix(WEBHOOK)):
            log.warning("webhook does not use the proxy", channel=target.name)
        elif not target.is_webhook and settings.proxy is not None:
            log.warning("Apprise uses HTTPS_PROXY, not TRACKER_PROXY", channel=target.name)


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


async def _open_webhook(target: NotifyTarget, settings: WorkerSettings, stack: AsyncExitStack) -> WebhookNotifier:
    secret = settings.webhook_secret
    webhook = WebhookTarget(
        target.url.removeprefix(WEBHOOK), secret.get_secret_value() if secret else "", settings.webhook_private
    )
    session = await stack.enter_async_context(sessions.make_webhook_session(private=webhook.private))
    return WebhookNotifier(target.name, session, webhook, time.time)
