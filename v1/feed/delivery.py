"""Alerts on their way to people, in Redis: what is to send, what was tried, and who must acknowledge."""

from ..store import (
    NEVER_TRIED,
    ChannelStore,
    DeliveryReader,
    DeliveryStatus,
    Disposition,
    Outbox,
    OutboxEntry,
    OutgoingMessage,
    QueuedMessage,
    Receipt,
    ReceiptStore,
    RetryState,
)

__all__ = [
    "NEVER_TRIED",
    "ChannelStore",
    "DeliveryReader",
    "DeliveryStatus",
    "Disposition",
    "Outbox",
    "OutboxEntry",
    "OutgoingMessage",
    "QueuedMessage",
    "Receipt",
    "ReceiptStore",
    "RetryState",
]
