"""
Every service that Apprise knows. Its own retries are off, and long texts are cut before they reach it.

Apprise asks with blocking calls, so each message has a thread. A thread cannot be stopped: while one outlasts
our patience, the channel takes no other. It is a daemon, so that it does not hold up the end of the process.
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
    OutgoingMessage,
    fingerprint,
    make_error,
    summarize,
)
from worker.latest import MessageText, Severity, fit_body, shorten

_TYPES = {
    Severity.INFO.value: apprise.NotifyType.INFO,
    Severity.WARNING.value: apprise.NotifyType.WARNING,
    Severity.CRITICAL.value: apprise.NotifyType.FAILURE,
}
_STATUS = re.compile(r"\berror=([1-5][0-9]{2})\b")
"""How Apprise's services say which HTTP status they were answered with."""


class InvalidNotifyUrl(Exception):
    """Apprise cannot make anything of a URL. The message does not show it: there are secrets in it."""


class AppriseNotifier:
    """One service, by its URL. Raises `WrongUrl`."""

    connections = 1

    def __init__(self, name: str, url: str, patience: float = ANSWER_SECONDS) -> None:
        self.name = name
        self.kind = url.partition(":")[0].lower()
        self._url = url
        self._patience = patience
        self._busy: threading.Thread | None = None
        # What it says of a failure is in its results; in the log it would stand beside our own lines.
        logger = logging.getLogger("apprise")
        logger.propagate, logger.handlers = False, [logging.NullHandler()]
        # Without a time limit of its own it asks in our thread, and not in a pool that a hanging call would fill.
        asset = apprise.AppriseAsset(service_timeout=0, app_id="data-tracker", app_desc="data-tracker")
        service = apprise.Apprise.instantiate(url, asset=asset)
        if not isinstance(service, apprise.NotifyBase):
            raise InvalidNotifyUrl(f"{name}: Apprise cannot make anything of this {self.kind}:// URL")
        service.retry = 0
        service.overflow_mode = apprise.OverflowMode.TRUNCATE
        self._service = service
        self._apprise = apprise.Apprise(asset=asset)
        self._apprise.add(service)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self._url)

    async def send(self, message: OutgoingMessage) -> NotifyAnswer:
        if self._busy and self._busy.is_alive():
            raise NotifyUnavailable(f"{self.name} is still busy with the message before")
        title, body = self._fit(message.text, message.link)
        kind = _TYPES.get(message.severity, apprise.NotifyType.INFO)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[apprise.AppriseResult] = loop.create_future()

        def tell(result: apprise.AppriseResult) -> None:
            if not done.done():
                done.set_result(result)

        def ask() -> None:
            result = self._apprise.notify(body, title, notify_type=kind, body_format=apprise.NotifyFormat.TEXT)
            with suppress(RuntimeError):  # the loop may have ended without us
                loop.call_soon_threadsafe(tell, result)

        self._busy = threading.Thread(target=ask, name=f"apprise-{self.name}", daemon=True)
        self._busy.start()
        try:
            result = await asyncio.wait_for(done, self._patience)
        except TimeoutError as error:
            raise NotifyUnavailable(f"{self.name} did not answer in {self._patience:g} s") from error
        return self._read_answer(result)

    def _read_answer(self, result: apprise.AppriseResult) -> NotifyAnswer:
        if result:
            return NotifyAnswer("taken")
        said = summarize("; ".join(entry.message for each in result.results for entry in each.logs())) or "not taken"
        status = _STATUS.search(said)
        raise make_error(int(status[1]), said, {}, 0.0) if status else NotifyUnavailable(said)

    def _fit(self, text: MessageText, link: str) -> tuple[str, str]:
        """Cut title and body to what the service takes; one without titles gets them in the body."""
        service = self._service
        title = shorten(text.title, service.title_maxlen) if service.title_maxlen > 0 else text.title
        joined = 0 if service.title_maxlen > 0 else len(title) + 2
        return title, fit_body(text, max(1, service.body_maxlen - joined), link)
