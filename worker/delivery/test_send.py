"""Sends a test message through each channel, and says what came back. Nothing is kept, and nothing tried again."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from worker.delivery.notify.base import Notifier, NotSent, OutgoingMessage
from worker.latest import MessageText, Severity


class SendResult(NamedTuple):
    """What a channel said to the test message."""

    channel: str
    is_sent: bool
    answer: str


async def send_test(notifiers: Sequence[Notifier], at: int, page: str) -> list[SendResult]:
    """Try all channels at once; return what they said, in order."""
    return await asyncio.gather(*[_send_test(notifier, at, page) for notifier in notifiers])


async def _send_test(notifier: Notifier, at: int, page: str) -> SendResult:
    message_id = f"test.{notifier.name}.{at}"
    text = MessageText("data-tracker: a test", f"Alerts reach you through the channel {notifier.name}.", message_id)
    try:
        answer = await notifier.send(OutgoingMessage(message_id, text, Severity.WARNING.value, at, page))
    except NotSent as error:
        return SendResult(notifier.name, False, str(error))
    return SendResult(notifier.name, True, answer.text)
