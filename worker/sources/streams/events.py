"""What the frames of a stream say, in the same words for every provider. Times are unix milliseconds of the provider."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

Symbol = str
"""As the provider's stream writes it."""


class StreamTrade(NamedTuple):
    """One trade. The numbers of a symbol's trades follow each other without a gap."""

    symbol: Symbol
    number: int
    price: str
    amount: str
    """In the base currency."""
    time: int


class TradeList(NamedTuple):
    """The newest trades of a symbol, which are sent when it is subscribed: those of before."""

    trades: Sequence[StreamTrade]


class StreamTicker(NamedTuple):
    """The numbers of the last 24 hours."""

    symbol: Symbol
    price: str
    volume: str | None
    time: int | None
    change_percentage: str | None = None
    change_absolute: str | None = None


class SubscriptionAnswer(NamedTuple):
    """Whether the provider sends what one request asked for."""

    request: str
    """As `SubscriptionRequest.name`."""
    refusal: str | None
    """Why it does not; `None` where it does."""
    time: int | None = None
    """What its clock showed, where it says that."""


class ProviderTime(NamedTuple):
    """The provider answered a ping. `time` is what its clock showed, `None` where it does not say."""

    time: int | None


class StreamHeartbeat(NamedTuple):
    """The connection is alive, and there is nothing else to say."""


class ClosingSoon(NamedTuple):
    """The provider is about to close the connection."""


class UnreadableFrame(NamedTuple):
    """A frame, or a row of one, that is not what the provider documents."""

    text: str


Event = (
    StreamTrade
    | TradeList
    | StreamTicker
    | SubscriptionAnswer
    | ProviderTime
    | StreamHeartbeat
    | ClosingSoon
    | UnreadableFrame
)


class SubscriptionRequest(NamedTuple):
    """One message that subscribes, and the answers that it must have."""

    message: str
    answers: dict[str, Sequence[Symbol]]
    """By the name of each answer: the symbols that it is about."""


class StreamProtocol(Protocol):
    """What is of one provider alone."""

    name: str
    path: str
    """Below the address of the settings."""
    most_symbols: int
    """Of one connection."""
    pause: float
    """Seconds between two messages that subscribe."""
    ping: str | None
    """The message that is answered with `ProviderTime`; `None` where WebSocket's own ping is."""

    def make_requests(self, symbols: Sequence[Symbol]) -> Sequence[SubscriptionRequest]:
        """Return what subscribes `symbols`."""
        ...

    def parse(self, frame: str) -> Sequence[Event]:
        """Return what a text frame says; never raises for what a provider may send."""
        ...
