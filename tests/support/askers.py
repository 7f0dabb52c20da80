"""Workers of a crew that ask real sources of a loopback provider, each as another client, and share them by leases."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from aiohttp import ClientSession, web
from redis.asyncio import Redis

from tests.support.crew import Crew, Mate, sleep_briefly
from tests.support.loopback import ASKED
from tests.support.loopback.faults import Fault
from tests.support.serving import MINUTE
from v1.store.sharing.source_turns import SourceTurns
from worker.latest import Metric
from worker.latest.market import SourceReading
from worker.sampling.absences import TickAbsences, note_absences
from worker.sampling.collect import collect
from worker.sampling.market_watch import MarketWatch
from worker.sampling.reading_checks import ReadingChecks
from worker.sampling.sharing.shared_source import SharedSource
from worker.sampling.sharing.source_asker import SourceAsker
from worker.sampling.sharing.source_share import SourceShare
from worker.sources.base import Source
from worker.sources.binance import BinanceSource
from worker.sources.budget import RequestBudget
from worker.sources.coinbase import CoinbaseSource
from worker.sources.kraken import KrakenSource
from worker.sources.supervised import SupervisedSource

NAMES = ("kraken", "binance", "coinbase")
WISHES = ("KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "BINANCE:BTCUSDT", "BINANCE:ETHUSDT", "COINBASE:BTCUSD")
PATIENT_SECONDS = 300.0
"""So long a source has for its answer: no test waits for the end of it."""
AGENT = "User-Agent"


def make_real_sources(base: str, budget: RequestBudget | None = None) -> list[Source]:
    """Return real sources; the requests to Binance are claimed in a budget."""
    return [
        KrakenSource(base, WISHES, MINUTE),
        BinanceSource(base, WISHES, MINUTE, budget),
        CoinbaseSource(base, WISHES, MINUTE),
    ]


class Asking:
    """What reads the sources of one worker at ticks, as the sampler does."""

    def __init__(self, sources: Sequence[SupervisedSource], clock: Callable[[], float]) -> None:
        self.sources = sources
        self._watch = MarketWatch(MINUTE, clock)
        self._checks = ReadingChecks()

    async def read(self, at: int) -> tuple[Mapping[Metric, SourceReading], TickAbsences]:
        """Return the readings of a tick, and why others are not there."""
        readings = await collect(self.sources, at, self._watch, self._checks)
        return readings, note_absences(self.sources)

    @property
    def feeds(self) -> Mapping[str, tuple[int, float]]:
        return self._watch.feeds


class AskingMate:
    """A worker of a crew that shares sources. `made` are asked over a session that says who it is."""

    def __init__(
        self, redis: Redis, mate: Mate, made: Sequence[Source], session: ClientSession, clock: Callable[[], float]
    ) -> None:
        self.mate = mate
        self.share = SourceShare(
            name=mate.name,
            sources=[source.name for source in made],
            leases=mate.sources,
            turns=SourceTurns(redis, mate.sources, MINUTE),
            interval=MINUTE,
            list_alive=lambda: mate.membership.alive,
            sleep=sleep_briefly,
        )
        self.is_home = False
        self.share.begin_seconds = PATIENT_SECONDS
        self.share.is_ready = True
        mate.describe = self.share.describe
        look_after = partial(SharedSource, share=self.share, clock=clock)
        self.sources = [look_after(source, session, PATIENT_SECONDS) for source in made]
        self.asker = SourceAsker(self.sources, self.share, lambda: self.is_home, clock, sleep_briefly)
        self.asking = Asking(self.sources, clock)

    def find(self, name: str) -> SharedSource:
        return next(source for source in self.sources if source.name == name)

    async def ask_all(self, at: int) -> None:
        """Ask what is ours at a tick, for another who hands it out."""
        for source in self.sources:
            await self.asker.ask(source, at)


async def renew(crew: Crew) -> None:
    """Have everybody get what it is to have."""
    for _ in range(3):
        await crew.renew()


def find_holder(mates: Sequence[AskingMate], source: str) -> AskingMate:
    return next(mate for mate in mates if mate.share.is_ours(source))


def only_for(name: str, fault: Fault) -> Fault:
    """Let through what other workers ask."""

    async def inject(request: web.Request) -> web.StreamResponse | None:
        return await fault(request) if request.headers.get(AGENT) == name else None

    return inject


def count_asked(app: web.Application) -> Counter[str]:
    """Return how often each address was asked since this was last counted."""
    counted = Counter(request.path_qs for request in app[ASKED])
    app[ASKED].clear()
    return counted
