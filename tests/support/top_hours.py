"""Hours that pass as fast as a test can make them: a clock, both askers and the merger, minute after minute."""

from aiohttp import ClientSession

from worker.latest import MINUTE
from worker.latest.toplist import PricedCoin, RankedCoin
from worker.sources.coinmarketcap import CoinMarketCap
from worker.sources.cryptocompare import CryptoCompare
from worker.toplist import pricing, ranking
from worker.toplist.merger import TopListMerger
from worker.toplist.poller import Poller
from worker.toplist.quota_plan import QuotaPlan
from worker.toplist.roles import TopListStores

NOON = 1_621_252_800
"""2021-05-17T12:00:00Z, fourteen days and twelve hours before the month ends."""
MARGIN = 60


class Clock:
    """Says what it was told."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def prices_plan(monthly: int = 10_000, cost: int = 1, per_minute: int = 30) -> QuotaPlan:
    return QuotaPlan("coinmarketcap", "credits", monthly, cost, 1, per_minute, "TRACKER_COINMARKETCAP_CREDITS")


def ranks_plan(monthly: int = 11_000, cost: int = 2) -> QuotaPlan:
    return QuotaPlan("cryptocompare", "calls", monthly, cost, cost, None, "TRACKER_CRYPTOCOMPARE_CALLS")


class Roles:
    """All three roles in one place; `pass_minute` lets them do what they do in a minute."""

    def __init__(
        self, base: str, session: ClientSession, stores: TopListStores, clock: Clock, *plans: QuotaPlan
    ) -> None:
        prices, ranks = plans or (prices_plan(), ranks_plan())
        self._clock = clock
        self.pricing: Poller[PricedCoin] = Poller(
            pricing.make_role(CoinMarketCap(session, base, "key", 200 * prices.cost), prices, stores.listings),
            stores.plans, stores.top, clock.sleep,
        )  # fmt: skip
        self.ranking: Poller[RankedCoin] = Poller(
            ranking.make_role(CryptoCompare(session, base, "key", 100 * ranks.cost, pause=0), ranks, stores.listings),
            stores.plans, stores.top, clock.sleep,
        )  # fmt: skip
        self.merging = TopListMerger(stores.listings, stores.top, MARGIN, clock)

    async def pass_minute(self) -> int:
        """Do the work of the clock's minute, let it pass, and return which one it was."""
        at = int(self._clock.now) // MINUTE * MINUTE
        await self.pricing.poll(at)
        await self.ranking.poll(at)
        # Nobody waits here: what has not come yet will not come within the margin.
        self._clock.now = at + MARGIN
        await self.merging.merge_until(at)
        self._clock.now = at + MINUTE
        return at
