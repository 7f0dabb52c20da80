"""One WebSocket to a provider: it subscribes, reads frames, answers pings and sends its own, and says why it ended."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, ClientWSTimeout, WSMsgType

from worker.latest.settings import redact

from .connection_state import ConnectionState, ConnectionStep
from .events import (
    ClosingSoon,
    Event,
    ProviderTime,
    StreamProtocol,
    StreamTicker,
    StreamTrade,
    SubscriptionAnswer,
    SubscriptionRequest,
    Symbol,
    TradeList,
    UnreadableFrame,
)
from .pauses import Pauses

CONNECT_SECONDS = 20.0
CLOSE_SECONDS = 1.0
"""So long the other side may take to say goodbye."""
WATCH_SECONDS = 1.0
"""Between two looks at what is to be done."""
CLOCK_MARGIN = 1000
"""Milliseconds that our clock may be behind that of a provider which does not say its time."""
_ENDS = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)

Data = StreamTrade | TradeList | StreamTicker


class Clocks(NamedTuple):
    """Where times come from."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = time.monotonic


class Receiver(Protocol):
    """Takes what a connection brings."""

    def begin(self, connection: "StreamConnection", symbol: Symbol, time: int) -> None:
        """Take in that every trade of `symbol` from `time` on, milliseconds, is delivered."""
        ...

    def refuse(self, symbol: Symbol, reason: str) -> None:
        """Take in that the provider does not send a symbol."""
        ...

    def take(self, data: Data, time: int) -> None:
        """Take data; `time` is what the provider's clock showed last, milliseconds."""
        ...

    def note_unreadable(self, text: str) -> None:
        """Take in that a frame, or a row of it, could not be read."""
        ...


class StreamConnection:
    """
    Delivers `symbols` to `receiver` for as long as `run` runs.

    That nothing comes of all of them for up to `silence` milliseconds means nothing.
    """

    def __init__(  # noqa: PLR0913  # what a connection is made of, once, by `feed`
        self,
        protocol: StreamProtocol,
        address: str,
        symbols: Sequence[Symbol],
        receiver: Receiver,
        *,
        silence: int,
        clocks: Clocks = Clocks(),  # noqa: B008  # a value that cannot be changed
    ) -> None:
        self.symbols = symbols
        self.live = asyncio.Event()
        """Set once it delivers everything."""
        self.pauses = Pauses(silence)
        """Of all that it delivers together."""
        self.proven_until = 0
        """Up to this moment of the provider's clock, milliseconds, everything has come."""
        self._protocol = protocol
        self._address = f"{address.rstrip('/')}{protocol.path}"
        self._receiver = receiver
        self._clocks = clocks
        self._requests = protocol.make_requests(symbols)
        self._answers = {name: tuple(listed) for request in self._requests for name, listed in request.answers.items()}
        self._missing = _count_answers(self._requests)
        self._state: ConnectionState | None = None
        self._socket: ClientWebSocketResponse | None = None
        self._time = 0
        self._proven = asyncio.Event()
        self._fault: str | None = None

    @property
    def is_ageing(self) -> bool:
        return self._state is not None and self._state.is_ageing(self._clocks.steady())

    @property
    def time(self) -> int:
        """What the provider's clock showed last, milliseconds; 0 where that is not known."""
        return self._time

    async def run(self, session: ClientSession) -> str:
        """Deliver until the connection ends, and return why it did."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await session.ws_connect(
                    self._address, autoping=False, timeout=ClientWSTimeout(ws_close=CLOSE_SECONDS)
                )
        except (ClientError, OSError, TimeoutError) as error:
            return redact(f"{type(error).__name__}: {error}".removesuffix(": "))
        self._state = ConnectionState(self._clocks.steady(), set(self._answers))
        self._socket = socket
        helper = asyncio.create_task(self._subscribe_and_watch(socket))
        try:
            return await self._read(socket)
        finally:
            helper.cancel()
            self._socket = None
            self.live.clear()
            await socket.close()

    async def wait_until(self, at: int) -> None:
        """Wait until everything of before `at`, milliseconds of the provider's clock, has come; for ever where it does not."""
        while self.proven_until < at:
            self._proven.clear()
            await self._ping()
            await self._proven.wait()
            if (ahead := at - self.proven_until) > 0:
                await asyncio.sleep(ahead / 1000)

    async def wait_for_pongs(self) -> None:
        """Wait until everything has come that was sent up to now."""
        self._proven.clear()
        await self._ping()
        await self._proven.wait()

    async def _read(self, socket: ClientWebSocketResponse) -> str:
        while True:
            message = await socket.receive()
            if message.type is WSMsgType.TEXT:
                self._handle_frame(message.data)
            elif message.type is WSMsgType.PING:
                self._hear()
                await socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._hear()
                self._note_pong(message.data)
            elif message.type in _ENDS:
                return self._fault or f"the provider closed it ({socket.close_code})"
            elif message.type is WSMsgType.ERROR:
                return self._fault or redact(f"it broke: {socket.exception()}")
            else:
                self._hear(is_readable=False)
                self._receiver.note_unreadable(f"a frame of type {message.type.name}")

    def _handle_frame(self, frame: str) -> None:
        is_readable = True
        for event in self._protocol.parse(frame):
            if isinstance(event, UnreadableFrame):
                is_readable = False
            self._handle_event(event)
        self._hear(is_readable=is_readable)

    def _hear(self, *, is_readable: bool = True) -> None:
        if self._state is not None:
            self._state.note_frame(self._clocks.steady(), is_readable=is_readable)

    def _handle_event(self, event: Event) -> None:
        match event:
            case StreamTrade() | StreamTicker() | TradeList():
                self._take(event)
            case SubscriptionAnswer():
                self._note_answer(event)
            case ProviderTime():
                self._note_proof(event.time or self._now())
            case ClosingSoon() if self._state is not None:
                self._state.is_closing_soon = True
            case UnreadableFrame():
                self._receiver.note_unreadable(event.text)

    def _take(self, data: Data) -> None:
        if not isinstance(data, TradeList):
            self._time = max(self._time, data.time or 0)
            self.pauses.note(self._time)
        self._receiver.take(data, self._time or self._now())
        self._prove()

    def _note_answer(self, answer: SubscriptionAnswer) -> None:
        if self._state is None:
            return
        began = max(answer.time or 0, self._time) or self._now() + CLOCK_MARGIN
        for name in self._find_answered(answer):
            self._state.note_answer(name)
            for symbol in self._answers[name]:
                self._missing[symbol] -= 1
                if answer.refusal is not None:
                    self._receiver.refuse(symbol, answer.refusal)
                elif self._missing[symbol] == 0:
                    self._receiver.begin(self, symbol, began)

    def _find_answered(self, answer: SubscriptionAnswer) -> Sequence[str]:
        """Return which answers are no longer missing; a refusal may name nothing but the symbol."""
        missing = self._state.unanswered if self._state is not None else set()
        if answer.request in self._answers:
            return [answer.request] if answer.request in missing else []
        return [name for name in missing if answer.refusal is not None and answer.request in self._answers[name]]

    def _note_pong(self, payload: object) -> None:
        """Take the answer to WebSocket's own ping, which repeats what was sent: when it was."""
        text = bytes(payload).decode("ascii", "replace") if isinstance(payload, (bytes, bytearray)) else str(payload)
        self._note_proof(int(text) if text.isascii() and text.isdecimal() else 0)

    def _note_proof(self, until: int) -> None:
        self._time = max(self._time, until)
        self.proven_until = max(self.proven_until, until)
        self._proven.set()
        self._prove()

    def _prove(self) -> None:
        if self._state is not None and not self.live.is_set():
            self._state.note_proof()
            if self._state.is_live:
                self.live.set()

    async def _subscribe_and_watch(self, socket: ClientWebSocketResponse) -> None:
        """Send all that subscribes, and then look after the connection, until it is closed."""
        for request in self._requests:
            await self._send(socket, request.message)
            await asyncio.sleep(self._protocol.pause)
        while not socket.closed and self._state is not None:
            now = self._clocks.steady()
            step = self._state.decide(now)
            if step is ConnectionStep.PING:
                await self._ping()
            elif step is ConnectionStep.DROP:
                self._fault = self._state.find_fault(now)
                await socket.close()
            await asyncio.sleep(WATCH_SECONDS)

    async def _ping(self) -> None:
        if self._socket is None:
            return
        if self._protocol.ping is not None:
            await self._send(self._socket, self._protocol.ping)
            return
        try:
            await self._socket.ping(b"%d" % self._now())
        except (ClientError, OSError):
            return  # Whoever reads sees that it has ended.

    async def _send(self, socket: ClientWebSocketResponse, message: str) -> None:
        try:
            await socket.send_str(message)
        except (ClientError, OSError):
            return  # Whoever reads sees that it has ended.

    def _now(self) -> int:
        return int(self._clocks.wall() * 1000)


def _count_answers(requests: Sequence[SubscriptionRequest]) -> dict[Symbol, int]:
    """Return how many answers each symbol must have."""
    missing: dict[Symbol, int] = {}
    for request in requests:
        for listed in request.answers.values():
            for symbol in listed:
                missing[symbol] = missing.get(symbol, 0) + 1
    return missing


async def find_connection_fault(session: ClientSession, address: str) -> str | None:
    """Return why no stream can be opened at an address; `None` where one could."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            socket = await session.ws_connect(address, timeout=ClientWSTimeout(ws_close=CLOSE_SECONDS))
            await socket.close()
    except (ClientError, OSError, TimeoutError) as error:
        return redact(f"{type(error).__name__}: {error}".removesuffix(": "))
    return None
