"""
What a channel is, what it is handed, and what it raises. No provider here.

    NotSent
    ├── Refused       the answer is no: the same request must never be made again
    └── Unavailable   no answer, or one that is not about the message: it may be sent again
        └── Limited   too much for now: it may be sent again after a while
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import NamedTuple, Protocol, runtime_checkable

from aiohttp import ClientError, InvalidURL

from worker.latest import Alert, MessageText, Severity, redact

ANSWER_SECONDS = 30.0
"""How long a channel may take to answer."""
LONGEST_ANSWER = 300
"""Characters of an answer that are kept."""
_CLIENT_ERRORS = range(400, 500)
_TOO_MANY = 429
_ROUNDS, _BYTES = 50_000, 8
"""Of a fingerprint; it is made once a channel and start."""
_WRONG_PLACE = frozenset({401, 403, 404, 405, 410})
"""Refusals that are about the channel, and not about the message: the next one would fare no better."""


class OutgoingMessage(NamedTuple):
    """What is sent: the same, with the same id, however often it is."""

    id: str
    text: MessageText
    severity: str
    at: int
    """The tick that it is about, unix seconds."""
    link: str
    """Where the live page shows it."""
    alerts: Sequence[Alert] = ()
    """What it is about; more than one in a digest, none in a message about the channel itself."""

    @property
    def is_urgent(self) -> bool:
        return self.severity == Severity.CRITICAL


class MessageQuota(NamedTuple):
    """What a provider lets us send."""

    limit: int
    remaining: int
    reset: float
    """When it begins anew, unix seconds."""


class NotifyAnswer(NamedTuple):
    """What a provider said to a message that it took."""

    text: str
    quota: MessageQuota | None = None
    receipt: str | None = None
    """Where the provider says whether somebody has acknowledged the message."""
    until: float = 0.0
    """The provider repeats the message no longer than that, if it does; unix seconds."""


class NotSent(Exception):
    """A message was not sent; the text is the provider's answer, or why there is none."""

    def __init__(self, answer: str, quota: MessageQuota | None = None) -> None:
        super().__init__(redact(answer))
        self.quota = quota


class NotifyRefused(NotSent):
    """The answer is no. `for_all`: it is about the channel (its credentials, its address), not about the message."""

    def __init__(self, answer: str, quota: MessageQuota | None = None, *, for_all: bool = False) -> None:
        super().__init__(answer, quota)
        self.for_all = for_all


class NotifyUnavailable(NotSent):
    """No answer, or none that is about the message."""


class NotifyLimited(NotifyUnavailable):
    """The provider takes no more for now. `wait` is how long it asks us to stay away, in seconds."""

    def __init__(self, answer: str, quota: MessageQuota | None = None, wait: float | None = None) -> None:
        super().__init__(answer, quota)
        self.wait = wait


class Notifier(Protocol):
    """
    A way to a person. It asks a provider once; it never retries, sleeps or logs: its caller knows what a
    failure costs.
    """

    name: str
    """As rules name it in `channels`."""
    kind: str
    """What it is: `pushover`, `webhook`, or the scheme of an Apprise URL."""
    connections: int
    """How many messages may be on their way at once."""

    @property
    def fingerprint(self) -> str:
        """Who sends, and where to, as `fingerprint` writes it: what a provider says holds for that one alone."""
        ...

    async def send(self, message: OutgoingMessage) -> NotifyAnswer:
        """Send a message. Raises `NotSent`."""
        ...


class AcknowledgementState(NamedTuple):
    """What a provider says of a message that somebody must acknowledge."""

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
        """Ask about a receipt. Raises `NotSent`."""
        ...

    async def cancel_receipt(self, receipt: str) -> None:
        """Ask the provider to stop repeating. Raises `NotSent`."""
        ...


def fingerprint(*secrets: str) -> str:
    """Return what tells senders apart and betrays none, also where a secret is weak: it is slow to make."""
    return hashlib.pbkdf2_hmac("sha256", "\0".join(secrets).encode(), b"data-tracker", _ROUNDS, _BYTES).hex()


def make_error(
    status: int,
    answer: str,
    headers: Mapping[str, str],
    now: float,
    again: Collection[int] = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY),
) -> NotSent:
    """Tell what an HTTP status means that is not a yes; `again` are client errors that ask for another try."""
    wait = parse_retry_after(headers, now)
    if status == _TOO_MANY:
        return NotifyLimited(answer, wait=wait)
    if status in _CLIENT_ERRORS and status not in again:
        return NotifyRefused(answer, for_all=status in _WRONG_PLACE)
    return NotifyUnavailable(answer) if wait is None else NotifyLimited(answer, wait=wait)


def parse_retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that an answer asks us to stay away (RFC 9110: seconds, or a date)."""
    after = headers.get("Retry-After", "").strip()
    if after.isascii() and after.isdecimal():
        return float(after)
    try:
        return max(0.0, parsedate_to_datetime(after).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def summarize(body: str | bytes) -> str:
    """Return the beginning of an answer on one line, fit for a terminal and a log, without secrets of ours."""
    # Before it is cut: half of a key would not be known for one.
    text = redact(body.decode("utf-8", "replace") if isinstance(body, bytes) else body)
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 4 * LONGEST_ANSWER]).split())
    return line[:LONGEST_ANSWER]


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    """Translate what aiohttp raises, once, here."""
    try:
        yield
    except InvalidURL as error:
        raise NotifyRefused(f"{name} has an address that is none", for_all=True) from error
    except TimeoutError as error:
        raise NotifyUnavailable(f"{name} did not answer in time") from error
    except (ClientError, OSError) as error:
        # Not `repr`: aiohttp's names the request's headers, and so a key.
        said = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise NotifyUnavailable(f"{name} did not answer: {summarize(said)}") from error
