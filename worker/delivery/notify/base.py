"""
What a channel is, what it answers, and what it raises.

    NotSent
    ├── NotifyRefused       the message is refused: the same request must never be made again
    └── NotifyUnavailable   no answer, or one that is not about the message: it may be sent again
        └── NotifyLimited   rate limited: it may be sent again after a while
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import NamedTuple, Protocol, runtime_checkable

from aiohttp import ClientError, InvalidURL

from worker.latest.delivery import OutgoingMessage
from worker.latest.settings import redact

ANSWER_SECONDS = 30.0
"""How long a channel may take to answer."""
LONGEST_ANSWER = 300
"""Characters of an answer that are kept."""
_CLIENT_ERRORS = range(400, 500)
_TOO_MANY = 429
_ROUNDS, _BYTES = 50_000, 8
"""Of a fingerprint; it is computed once for each channel and start."""
_CHANNEL_STATUSES = frozenset({401, 403, 404, 405, 410})
"""Refusals that are about the channel, not about the message: the next one would be refused, too."""


class MessageQuota(NamedTuple):
    """How many messages a provider accepts."""

    limit: int
    remaining: int
    reset: float
    """When it is reset, unix seconds."""


class NotifyAnswer(NamedTuple):
    """A provider's answer to a message that it accepted."""

    text: str
    quota: MessageQuota | None = None
    receipt: str | None = None
    """Id by which the provider is asked whether somebody has acknowledged the message."""
    until: float = 0.0
    """The provider repeats the message no longer than that, if it does; unix seconds."""


class NotSent(Exception):
    """A message was not sent; the text is the provider's answer, or why there is none."""

    def __init__(self, answer: str, quota: MessageQuota | None = None) -> None:
        super().__init__(redact(answer))
        self.quota = quota


class NotifyRefused(NotSent):
    """The message is refused. `for_all`: it is about the channel (its credentials, its address), not about the message."""

    def __init__(self, answer: str, quota: MessageQuota | None = None, *, for_all: bool = False) -> None:
        super().__init__(answer, quota)
        self.for_all = for_all


class NotifyUnavailable(NotSent):
    """No answer, or none that is about the message."""


class NotifyLimited(NotifyUnavailable):
    """Rate limited. `wait` is how long the provider asks us to wait, in seconds."""

    def __init__(self, answer: str, quota: MessageQuota | None = None, wait: float | None = None) -> None:
        super().__init__(answer, quota)
        self.wait = wait


class Notifier(Protocol):
    """
    One channel. It makes one request for a message; retries, pauses and logs are its caller's.
    """

    name: str
    """As in the field `channels` of rules."""
    kind: str
    """What it is: `pushover`, `webhook`, or the scheme of an Apprise URL."""
    connections: int
    """How many messages may be sent at once."""

    @property
    def fingerprint(self) -> str:
        """Who sends, and where to, as `make_fingerprint` returns it: a provider's quota and pauses hold for that one alone."""
        ...

    async def send(self, message: OutgoingMessage) -> NotifyAnswer:
        """Send a message. Raises `NotSent`."""
        ...


class AcknowledgementState(NamedTuple):
    """How a message stands that somebody must acknowledge."""

    at: int | None
    """When somebody did; `None` where nobody has."""
    by: str
    is_over: bool
    """Whether the provider has stopped repeating it."""


@runtime_checkable
class AcknowledgingNotifier(Protocol):
    """A notifier whose provider repeats urgent messages until somebody acknowledges them."""

    name: str

    async def read_acknowledgement(self, receipt: str) -> AcknowledgementState:
        """Return how a receipt stands. Raises `NotSent`."""
        ...

    async def cancel_receipt(self, receipt: str) -> None:
        """Ask the provider to stop repeating. Raises `NotSent`."""
        ...


@runtime_checkable
class ValidatingNotifier(Protocol):
    """A notifier whose credentials, or whose way, can be checked without a message."""

    name: str

    async def validate(self) -> NotifyAnswer:
        """Ask whether a message would be accepted. Raises `NotSent`."""
        ...


def make_fingerprint(*secrets: str) -> str:
    """Return an id of a sender that does not reveal its secrets: a slow hash, so that weak ones cannot be guessed from it."""
    return hashlib.pbkdf2_hmac("sha256", "\0".join(secrets).encode(), b"data-tracker", _ROUNDS, _BYTES).hex()


def make_error(
    status: int,
    answer: str,
    headers: Mapping[str, str],
    now: float,
    again: Collection[int] = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY),
) -> NotSent:
    """Return what an HTTP status other than success means; `again` are client errors that may be retried."""
    wait = parse_retry_after(headers, now)
    if status == _TOO_MANY:
        return NotifyLimited(answer, wait=wait)
    if status in _CLIENT_ERRORS and status not in again:
        return NotifyRefused(answer, for_all=status in _CHANNEL_STATUSES)
    return NotifyUnavailable(answer) if wait is None else NotifyLimited(answer, wait=wait)


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that an answer asks us to wait (`Retry-After` of RFC 9110: seconds, or a date)."""
    after = headers.get("Retry-After", "").strip()
    if after.isascii() and after.isdecimal():
        return float(after)
    try:
        return max(0.0, parsedate_to_datetime(after).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def summarize(body: str | bytes) -> str:
    """Return the beginning of an answer on one line, printable, without secrets of ours."""
    # Before it is cut: half of a key would not be recognised.
    text = redact(body.decode("utf-8", "replace") if isinstance(body, bytes) else body)
    line = " ".join(
        "".join(character if character.isprintable() else " " for character in text[: 4 * LONGEST_ANSWER]).split()
    )
    return line[:LONGEST_ANSWER]


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    """Translate what aiohttp raises into `NotSent`."""
    try:
        yield
    except InvalidURL as error:
        raise NotifyRefused(f"{name} has an invalid address", for_all=True) from error
    except TimeoutError as error:
        raise NotifyUnavailable(f"{name} did not answer in time") from error
    except (ClientError, OSError) as error:
        # Not `repr`: aiohttp's names the request's headers, and so a key.
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise NotifyUnavailable(f"{name} did not answer: {summarize(reason)}") from error
