"""
Sends through any service that Apprise supports. Its own retries are off, and long texts are cut before they reach it.

Apprise makes blocking calls, so each message has a thread. A thread cannot be stopped: while one runs on after the
timeout, the channel sends no other message. It is a daemon, so that it does not delay the end of the process.
"""

import asyncio
import logging
import re
import threading
from contextlib import suppress

import apprise

from worker.delivery.notify.base import (
    ANSWER_SECONDS,
    NotifyAnswer,
    NotifyUnavailable,
    make_error,
    make_fingerprint,
    summarize,
)
from worker.latest.delivery import OutgoingMessage
from worker.latest.messages import MessageText, fit_body, shorten
from worker.latest.rules import Severity

_TYPES = {
    Severity.INFO.value: apprise.NotifyType.INFO,
    Severity.WARNING.value: apprise.NotifyType.WARNING,
    Severity.CRITICAL.value: apprise.NotifyType.FAILURE,
}
_STATUS = re.compile(r"\berror=([1-5][0-9]{2})\b")
"""The HTTP status in the log lines of Apprise's services."""


class InvalidNotifyUrl(Exception):
    """Apprise does not accept a URL. The message does not show the URL, for there are secrets in it."""


class AppriseNotifier:
    """One service, by its URL. Raises `InvalidNotifyUrl`."""

    connections = 1

    def __init__(self, name: str, url: str, timeout: float = ANSWER_SECONDS) -> None:
        self.name = name
        self.kind = url.partition(":")[0].lower()
        self._url = url
        self._timeout = timeout
        self._busy: threading.Thread | None = None
        # Failures are in its results; its log lines would be mixed with ours.
        logger = logging.getLogger("apprise")
        logger.propagate, logger.handlers = False, [logging.NullHandler()]
        # Without a timeout of its own it makes calls in our thread, not in a pool that hanging calls would fill.
        asset = apprise.AppriseAsset(service_timeout=0, app_id="data-tracker", app_desc="data-tracker")
        service = apprise.Apprise.instantiate(url, asset=asset)
        if not isinstance(service, apprise.NotifyBase):
            raise InvalidNotifyUrl(f"{name}: Apprise does not accept this {self.kind}:// URL")
        service.retry = 0
        service.overflow_mode = apprise.OverflowMode.TRUNCATE
        self._service = service
        self._apprise = apprise.Apprise(asset=asset)
        self._apprise.add(service)

    @property
    def fingerprint(self) -> str:
        return make_fingerprint(self._url)

    async def send(self, message: OutgoingMessage) -> NotifyAnswer:
        if self._busy and self._busy.is_alive():
            raise NotifyUnavailable(f"{self.name} is still sending the message before")
        title, body = self._fit(message.text, message.link)
        kind = _TYPES.get(message.severity, apprise.NotifyType.INFO)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[apprise.AppriseResult] = loop.create_future()

        def set_result(result: apprise.AppriseResult) -> None:
            if not done.done():
                done.set_result(result)

        def notify() -> None:
            result = self._apprise.notify(body, title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
            with suppress(RuntimeError):  # the loop may be closed
                loop.call_soon_threadsafe(set_result, result)

        self._busy = threading.Thread(target=notify, name=f"apprise-{self.name}", daemon=True)
        self._busy.start()
        try:
            result = await asyncio.wait_for(done, self._timeout)
        except TimeoutError as error:
            raise NotifyUnavailable(f"{self.name} did not answer in {self._timeout:g} s") from error
        return self._read_answer(result)

    def _read_answer(self, result: apprise.AppriseResult) -> NotifyAnswer:
        if result:
            return NotifyAnswer("accepted")
        answer = (
            summarize("; ".join(entry.message for each in result.results for entry in each.logs())) or "not accepted"
        )
        status = _STATUS.search(answer)
        raise make_error(int(status[1]), answer, {}, 0.0) if status else NotifyUnavailable(answer)

    def _fit(self, text: MessageText, link: str) -> tuple[str, str]:
        """Return title and body cut to the service's limits, where a title may have to go in the body."""
        service = self._service
        title = shorten(text.title, service.title_maxlen) if service.title_maxlen > 0 else text.title
        joined = 0 if service.title_maxlen > 0 else len(title) + 2
        return title, fit_body(text, max(1, service.body_maxlen - joined), link)
