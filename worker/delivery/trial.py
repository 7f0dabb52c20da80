"""Sends a test message through each channel, once, and returns the answers. Nothing is recorded."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from worker.delivery.notify.base import Notifier, NotSent
from worker.latest.delivery import OutgoingMessage
from worker.latest.messages import MessageText
from worker.latest.rules import Severity


class SendResult(NamedTuple):
    """A channel's answer to the test message."""

    channel: str
    is_sent: bool
    answer: str


async def send_test(notifiers: Sequence[Notifier], at: int, page: str) -> list[SendResult]:
    """Send through all channels at once; return the results in their order."""
    return await asyncio.gather(*[_send_test(notifier, at, page) for notifier in notifiers])


async def _send_test(notifier: Notifier, at: int, page: str) -> SendResult:
    message_id = f"test.{notifier.name}.{at}"
    text = MessageText("data-tracker: a test", f"Alerts reach you through the channel {notifier.name}.", message_id)
    try:
        answer = await notifier.send(OutgoingMessage(message_id, text, Severity.WARNING.value, at, page))
    except NotSent as error:
        return SendResult(notifier.name, False, str(error))
    return SendResult(notifier.name, True, answer.text)
