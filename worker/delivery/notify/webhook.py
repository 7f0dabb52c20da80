"""
Sends a signed JSON document to a URL of the user's, in a private network only where that is allowed.

The receiver checks that `X-Tracker-Signature` is `sha256=` and the hexadecimal HMAC-SHA256, with the secret, of
`X-Tracker-Timestamp`, a full stop, and the body as received; that the timestamp is recent; and, as a message may be
delivered twice, whether it has seen the `id` before.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from aiohttp import ClientConnectorError, ClientResponse, ClientSession
from yarl import URL

from worker.delivery.notify.addresses import PrivateAddress, check_literal
from worker.delivery.notify.base import (
    NotifyAnswer,
    NotifyRefused,
    NotSent,
    make_error,
    make_fingerprint,
    summarize,
    translate_errors,
)
from worker.latest import exact_json
from worker.latest.delivery import OutgoingMessage
from worker.latest.rules import Alert

MOST_ALERTS = 100
"""Alerts of a digest that the document describes, the strongest."""
_MOST_HOPS = 3
_SUCCESS = range(200, 300)
_SAME_REQUEST = frozenset({307, 308})
"""Redirects that keep the method and the body; the others would change it to GET."""


class WebhookTarget(NamedTuple):
    """Where a webhook is sent, and how it is signed."""

    address: str
    secret: str
    """The key of the signature."""
    private: bool = False
    """Whether the address may be in a private network."""


class WebhookNotifier:
    """
    One address. `session` must resolve names with `PublicResolver`, unless private addresses are allowed; its owner
    closes it.
    """

    kind = "webhook"
    connections = 1

    def __init__(self, name: str, session: ClientSession, target: WebhookTarget, clock: Callable[[], float]) -> None:
        self.name = name
        self._session = session
        self._address = URL(target.address)
        self._secret = target.secret.encode()
        self._private = target.private
        self._clock = clock

    @property
    def fingerprint(self) -> str:
        return make_fingerprint(str(self._address), self._secret.decode())

    async def send(self, message: OutgoingMessage) -> NotifyAnswer:
        body = exact_json.dumps(make_document(message)).encode()
        headers = self._headers(body)
        address = self._address
        for _ in range(_MOST_HOPS + 1):
            with translate_errors(self.name), _translate_private():
                if not self._private:
                    check_literal(address.host or "")
                async with self._session.post(address, data=body, headers=headers, allow_redirects=False) as response:
                    if response.status not in _SAME_REQUEST:
                        return await self._read_answer(response)
                    address = self._follow(address, response)
        raise NotifyRefused(f"{self.name} redirects more than {_MOST_HOPS} times", for_all=True)

    async def validate(self) -> NotifyAnswer:
        """Return whether the host answers. Its root is asked, so nobody takes it for an alert and no secret is sent."""
        root = self._address.origin()
        with translate_errors(self.name), _translate_private():
            if not self._private:
                check_literal(root.host or "")
            async with self._session.head(root, allow_redirects=False):
                return NotifyAnswer("its host answers")

    def _headers(self, body: bytes) -> dict[str, str]:
        timestamp = str(int(self._clock()))
        return {
            "Content-Type": "application/json",
            "X-Tracker-Timestamp": timestamp,
            "X-Tracker-Signature": sign(self._secret, timestamp, body),
        }

    async def _read_answer(self, response: ClientResponse) -> NotifyAnswer:
        answer = f"{response.status} {summarize(await response.content.read(4096))}".strip()
        if response.status in _SUCCESS:
            return NotifyAnswer(answer)
        raise self._make_error(response, answer)

    def _make_error(self, response: ClientResponse, answer: str) -> NotSent:
        if 300 <= response.status < 400:  # noqa: PLR2004  # all redirects
            return NotifyRefused(f"{answer}: redirects with a status that drops the body", for_all=True)
        return make_error(response.status, answer, response.headers, self._clock())

    def _follow(self, address: URL, response: ClientResponse) -> URL:
        try:
            target = address.join(URL(response.headers.get("Location", "")))
        except ValueError as error:
            raise NotifyRefused(f"{self.name} redirects to an invalid address", for_all=True) from error
        if target.scheme not in ("http", "https") or (address.scheme == "https" and target.scheme == "http"):
            raise NotifyRefused(f"{self.name} redirects from {address.scheme} to {target.scheme}", for_all=True)
        return target


@contextmanager
def _translate_private() -> Iterator[None]:
    """Translate `PrivateAddress`, which aiohttp may have wrapped, into `NotifyRefused`."""
    try:
        yield
    except (PrivateAddress, ClientConnectorError) as error:
        cause = error.os_error if isinstance(error, ClientConnectorError) else error
        if not isinstance(cause, PrivateAddress):
            raise
        raise NotifyRefused(f"{cause}; TRACKER_WEBHOOK_PRIVATE=yes allows it", for_all=True) from error


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """Return the signature of a body and the time it is sent at."""
    return f"sha256={hmac.new(secret, timestamp.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def make_document(message: OutgoingMessage) -> Mapping[str, Any]:
    """Return the document. Keys may be added, never removed; `alert` is null in a digest and in a test, `digest` otherwise."""
    alerts = [_describe_alert(alert) for alert in message.alerts[:MOST_ALERTS]]
    is_digest = len(message.alerts) > 1
    return {
        "id": message.id,
        "at": message.at,
        "severity": message.severity,
        "title": message.text.title,
        "text": f"{message.text.body}\n{message.text.footer}",
        "url": message.link,
        "alert": None if is_digest or not alerts else alerts[0],
        "digest": {"count": len(message.alerts), "alerts": alerts} if is_digest else None,
    }


def _describe_alert(alert: Alert) -> Mapping[str, Any]:
    identity = ("id", "rule", "name", "kind", "severity", "event", "metric", "measure", "at", "value", "mean", "ratio")
    numbers = ("samples", "since", "rank", "of", "reference", "reference_kind")
    document = {field: getattr(alert, field) for field in (*identity, *numbers)}
    # As JSON numbers, with the digits that were received, as in the answers of the API.
    return document | {name: exact_json.digits(document[name]) for name in ("value", "reference")}
