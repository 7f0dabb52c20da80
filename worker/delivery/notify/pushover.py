"""
Sends through Pushover, by its policy (https://pushover.net/api#friendly): a request that was answered with 4xx is never
repeated, at most two connections are open, and receipts are polled every five seconds at most.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aiohttp import ClientResponse, ClientSession

from worker.delivery.notify.base import (
    AcknowledgementState,
    MessageQuota,
    NotifyAnswer,
    NotifyLimited,
    NotifyRefused,
    NotifyUnavailable,
    NotSent,
    make_error,
    make_fingerprint,
    summarize,
    translate_errors,
)
from worker.latest.delivery import OutgoingMessage
from worker.latest.messages import fit_body, shorten
from worker.latest.rules import Severity

TITLE, BODY, LINK = 250, 1024, 512
"""Limits of Pushover, in characters, not bytes."""
REPEAT_SECONDS = 60
"""Seconds between two repeats of an emergency."""
EXPIRE_SECONDS = 3600
MOST_CONNECTIONS = 2
_PRIORITIES = {Severity.INFO.value: -1, Severity.WARNING.value: 0, Severity.CRITICAL.value: 1}
_EMERGENCY = 2
_ACCEPTED = 200
_LONGEST_NUMBER = 15
"""Digits of a quota's numbers: `int` refuses more than 4,300."""
_MILLISECONDS = 10**11
"""No time in seconds is so large; it may be one in milliseconds."""


class PushoverAccount(NamedTuple):
    """The application that sends, and the user it sends to."""

    base: str
    """URL of the API."""
    token: str
    """The application's."""
    user: str
    """A user's key, or a group's."""


class PushoverNotifier:
    """
    One user, or group, of one application.

    `session` must not open more than `MOST_CONNECTIONS` to Pushover; its owner closes it.
    `emergency`: Pushover repeats critical messages until somebody acknowledges them.
    """

    name = kind = "pushover"

    def __init__(
        self,
        session: ClientSession,
        account: PushoverAccount,
        clock: Callable[[], float],
        *,
        connections: int = 1,
        emergency: bool = False,
    ) -> None:
        self.connections = connections
        self._session = session
        self._base = account.base.rstrip("/")
        self._account = account
        self._clock = clock
        self._emergency = emergency

    @property
    def fingerprint(self) -> str:
        return make_fingerprint(self._base, self._account.token)

    async def send(self, message: OutgoingMessage) -> NotifyAnswer:
        form = self._form(message)
        with translate_errors("Pushover"):
            async with self._session.post(
                f"{self._base}/1/messages.json", data=form, allow_redirects=False
            ) as response:
                body, quota = await self._read_answer(response), _read_quota(response.headers)
        left = f", {quota.remaining} of {quota.limit} messages left" if quota else ""
        receipt = body.get("receipt")
        return NotifyAnswer(
            f"200 request {summarize(str(body.get('request', '')))}{left}",
            quota,
            receipt if isinstance(receipt, str) and receipt.isalnum() else None,
            self._clock() + EXPIRE_SECONDS,
        )

    async def read_acknowledgement(self, receipt: str) -> AcknowledgementState:
        address = f"{self._base}/1/receipts/{receipt}.json"
        with translate_errors("Pushover"):
            async with self._session.get(
                address, params={"token": self._account.token}, allow_redirects=False
            ) as response:
                body = await self._read_answer(response)
        at, by = body.get("acknowledged_at"), body.get("acknowledged_by")
        device = body.get("acknowledged_by_device")
        who = " on ".join(summarize(str(part)) for part in (by, device) if part)
        return AcknowledgementState(
            at if body.get("acknowledged") == 1 and isinstance(at, int) else None, who, body.get("expired") == 1
        )

    async def cancel_receipt(self, receipt: str) -> None:
        address = f"{self._base}/1/receipts/{receipt}/cancel.json"
        with translate_errors("Pushover"):
            async with self._session.post(
                address, data={"token": self._account.token}, allow_redirects=False
            ) as response:
                await self._read_answer(response)

    async def validate(self) -> NotifyAnswer:
        """Return what Pushover says of the user and the application, and how many of its messages are left."""
        form = {"token": self._account.token, "user": self._account.user}
        with translate_errors("Pushover"):
            async with self._session.post(
                f"{self._base}/1/users/validate.json", data=form, allow_redirects=False
            ) as response:
                account = await self._read_answer(response)
            async with self._session.get(
                f"{self._base}/1/apps/limits.json", params={"token": self._account.token}, allow_redirects=False
            ) as response:
                quota = _read_limits(await self._read_answer(response))
        devices = account.get("devices")
        count = len(devices) if isinstance(devices, list) else 0
        kind = "group" if account.get("group") == 1 else "user"
        left = f", {quota.remaining:,} of {quota.limit:,} messages left" if quota else ""
        return NotifyAnswer(f"token and {kind} are valid, {count} {'device' if count == 1 else 'devices'}{left}", quota)

    def _form(self, message: OutgoingMessage) -> dict[str, str]:
        form = {
            "token": self._account.token,
            "user": self._account.user,
            "title": shorten(message.text.title, TITLE),
            "message": fit_body(message.text, BODY),
            "timestamp": str(message.at),
            "priority": str(_PRIORITIES.get(message.severity, 0)),
        }
        # A link that was cut would not work.
        if 0 < len(message.link) <= LINK:
            form |= {"url": message.link, "url_title": "Show it"}
        if message.is_urgent and self._emergency:
            form |= {"priority": str(_EMERGENCY), "retry": str(REPEAT_SECONDS), "expire": str(EXPIRE_SECONDS)}
        return form

    async def _read_answer(self, response: ClientResponse) -> Mapping[str, Any]:
        """Return the document of a success; raises what any other answer means."""
        raw = await response.read()
        body = _parse_object(raw)
        if response.status == _ACCEPTED and body.get("status") == 1:
            return body
        errors = body.get("errors")
        text = "; ".join(map(str, errors)) if isinstance(errors, list) and errors else raw
        answer, quota = f"{response.status} {summarize(text)}".strip(), _read_quota(response.headers)
        if response.status == _ACCEPTED:  # a success without its document: a gateway's page, or their fault
            raise NotifyUnavailable(answer, quota)
        # By its policy no 4xx is repeated.
        error = make_error(response.status, answer, response.headers, self._clock(), again=())
        error.quota = quota
        raise self._add_details(error, body)

    def _add_details(self, error: NotSent, body: Mapping[str, Any]) -> NotSent:
        """Add to an error what the document says: whether it is about the account, and how long a quota is used up."""
        if isinstance(error, NotifyRefused) and "invalid" in (body.get("token"), body.get("user")):
            error.for_all = True
        if isinstance(error, NotifyLimited) and error.wait is None and error.quota:
            error.wait = max(0.0, error.quota.reset - self._clock())
        return error


def _parse_object(raw: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _read_limits(body: Mapping[str, Any]) -> MessageQuota | None:
    """Return the quota of a document; the same numbers come with a message as headers."""
    return _read_quota({f"X-Limit-App-{name.title()}": str(body.get(name)) for name in ("limit", "remaining", "reset")})


def _read_quota(headers: Mapping[str, str]) -> MessageQuota | None:
    numbers = [headers.get(f"X-Limit-App-{part}", "") for part in ("Limit", "Remaining", "Reset")]
    if not all(number.isascii() and number.isdecimal() and len(number) <= _LONGEST_NUMBER for number in numbers):
        return None
    limit, remaining, reset = map(int, numbers)
    return MessageQuota(limit, remaining, reset) if reset < _MILLISECONDS else None
