"""Sends a test message through each channel, and says what came back. Nothing is kept, and nothing tried again."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from worker.latest import Severity, Text
from worker.notify.base import Message, Notifier, NotSent


class Tried(NamedTuple):
    """What a channel said to the test message."""

    channel: str
    is_sent: bool
    answer: str


async def trial(notifiers: Sequence[Notifier], at: int, page: str) -> list[Tried]:
    """Try all channels at once; give what they said, in order."""
    return await asyncio.gather(*[_try(notifier, at, page) for notifier in notifiers])


async def _try(notifier: Notifier, at: int, page: str) -> Tried:
    message_id = f"test.{notifier.name}.{at}"
    text = Text("data-tracker: a test", f"Alerts reach you through the channel {notifier.name}.", message_id)
    try:
        answer = await notifier.send(Message(message_id, text, Severity.WARNING.value, at, page))
    except NotSent as error:
        return Tried(notifier.name, False, str(error))
    return Tried(notifier.name, True, answer.text)
