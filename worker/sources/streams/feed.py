"""All streams of one provider: which connection delivers which symbol, and the state of every market."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial

from aiohttp import ClientSession

from worker.latest import Metric
from worker.sources.rejects import note_reject

from .connection import Clocks, Data, StreamConnection
from .events import StreamProtocol, StreamTicker, StreamTrade, Symbol
from .slot import StreamSlot
from .streamed_market import StreamedMarket

MOVE_SECONDS = 30.0
"""So long the connections for another set of symbols may take to deliver, before those that they replace are closed."""

UNREADABLE = "unreadable frame"
REFUSED = "subscription refused"


class StreamFeed:
    """The markets of a provider as its streams tell them, at `interval` seconds a tick."""

    def __init__(  # noqa: PLR0913  # all but the first three by name
        self,
        protocol: StreamProtocol,
        address: str,
        session: ClientSession,
        *,
        interval: int,
        rejects: Counter[str],
        clocks: Clocks = Clocks(),  # noqa: B008  # a value that cannot be changed
    ) -> None:
        self.name = protocol.name
        self._protocol = protocol
        self._address = address
        self._session = session
        self._interval = interval
        self._rejects = rejects
        self._clocks = clocks
        self._metrics: dict[Metric, Symbol] = {}
        self._markets: dict[Symbol, StreamedMarket] = {}
        self._deliverers: dict[Symbol, set[StreamConnection]] = {}
        self._slots: dict[StreamSlot, asyncio.Task[None]] = {}
        self._moving: asyncio.Task[None] | None = None

    def follow(self, symbols: Mapping[Metric, Symbol]) -> None:
        """Have these markets delivered, and no others."""
        if symbols == self._metrics:
            return
        self._metrics = dict(symbols)
        before = self._markets
        self._markets = {
            symbol: before.get(symbol) or StreamedMarket(metric, self._interval) for metric, symbol in symbols.items()
        }
        old = dict(self._slots)
        size = self._protocol.most_symbols
        listed = sorted(self._markets)
        new = [self._make_slot(listed[first : first + size]) for first in range(0, len(listed), size)]
        self._slots |= {slot: asyncio.create_task(slot.run()) for slot in new}
        if old:
            self._moving = asyncio.create_task(self._close_when_replaced(old, new))

    def stop(self) -> None:
        """Close every connection."""
        for task in [*self._slots.values(), *([self._moving] if self._moving else [])]:
            task.cancel()

    def find_market(self, metric: Metric) -> StreamedMarket | None:
        return self._markets.get(self._metrics.get(metric, ""))

    def find_proof(self, metric: Metric) -> int:
        """
        Return up to when everything of a market has come, milliseconds of the provider's clock.

        A connection that answers pings, but has been silent for longer than so many symbols ever are, proves nothing.
        """
        delivering = self._deliverers.get(self._metrics.get(metric, ""), ())
        return max(
            (each.proven_until for each in delivering if not each.pauses.is_overdue(each.proven_until)), default=0
        )

    async def wait_until(self, at: int, seconds: float) -> None:
        """Wait for no more than `seconds` until everything of before `at`, unix seconds, has come."""
        await self._wait_for_all(lambda connection: connection.wait_until(at * 1000), seconds)

    async def wait_for_pongs(self, seconds: float) -> set[Metric]:
        """Wait for no more than `seconds` until everything has come that was sent up to now; return of which metrics it has."""
        answered = await self._wait_for_all(StreamConnection.wait_for_pongs, seconds)
        return {
            metric
            for metric, symbol in self._metrics.items()
            if not answered.isdisjoint(self._deliverers.get(symbol, ()))
        }

    async def _wait_for_all(
        self, ask: Callable[[StreamConnection], Coroutine[None, None, None]], seconds: float
    ) -> set[StreamConnection]:
        """Return those connections of which `ask` was done in time."""
        asked = {
            asyncio.create_task(ask(slot.current)): slot.current for slot in self._slots if slot.current.live.is_set()
        }
        if not asked:
            return set()
        try:
            done, _ = await asyncio.wait(asked, timeout=seconds)
            return {asked[task] for task in done}
        finally:
            for task in asked:
                task.cancel()

    def renew(self, metrics: Iterable[Metric]) -> None:
        """Replace the connections that should deliver these markets, and do not."""
        symbols = {self._metrics[metric] for metric in metrics if metric in self._metrics}
        for slot in self._slots:
            if not symbols.isdisjoint(slot.current.symbols):
                slot.renew()

    def begin(self, connection: StreamConnection, symbol: Symbol, time: int) -> None:
        self._deliverers.setdefault(symbol, set()).add(connection)
        if market := self._markets.get(symbol):
            market.begin(time)

    def refuse(self, symbol: Symbol, reason: str) -> None:
        market = self._markets.get(symbol)
        if market is not None and market.refusal != reason:
            market.refusal = reason
            note_reject(self._rejects, REFUSED, reason, market.metric)

    def take(self, data: Data, time: int) -> None:
        if isinstance(data, StreamTrade):
            if market := self._markets.get(data.symbol):
                market.take_trade(data)
        elif isinstance(data, StreamTicker):
            if market := self._markets.get(data.symbol):
                market.take_ticker(data, time)
        elif market := self._markets.get(data.trades[0].symbol):
            market.take_list(data)

    def note_unreadable(self, text: str) -> None:
        note_reject(self._rejects, UNREADABLE, text)

    def count_trades(self) -> tuple[int, int]:
        """Return how many gaps there were in the trades, and how many trades came too late."""
        counts = [market.trades.counts for market in self._markets.values()]
        return sum(each.lost for each in counts), sum(each.late for each in counts)

    def _make_slot(self, symbols: Sequence[Symbol]) -> StreamSlot:
        connect = partial(
            StreamConnection,
            self._protocol,
            self._address,
            symbols,
            self,
            silence=self._interval * 1000,
            clocks=self._clocks,
        )
        return StreamSlot(self._protocol.name, self._session, connect, self._end)

    def _end(self, connection: StreamConnection) -> None:
        for symbol in connection.symbols:
            delivering = self._deliverers.get(symbol)
            if delivering is None or connection not in delivering:
                continue
            delivering.discard(connection)
            if not delivering and (market := self._markets.get(symbol)):
                market.end()

    async def _close_when_replaced(
        self, old: Mapping[StreamSlot, asyncio.Task[None]], new: Sequence[StreamSlot]
    ) -> None:
        waits = [asyncio.create_task(slot.current.live.wait()) for slot in new]
        if waits:
            await asyncio.wait(waits, timeout=MOVE_SECONDS)
        for wait in waits:
            wait.cancel()
        for slot, task in old.items():
            task.cancel()
            self._slots.pop(slot, None)
