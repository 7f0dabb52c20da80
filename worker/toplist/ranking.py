"""The role that asks CryptoCompare for the order of coins, and what its plan comes to."""

from worker.latest.settings import PREFIX
from worker.latest.toplist import ListStore, RankedCoin
from worker.settings import WorkerSettings
from worker.sources.cryptocompare import count_pages
from worker.sources.list_provider import ListProvider
from worker.toplist.poller import PollerRole
from worker.toplist.quota_plan import QuotaPlan, make_fingerprint

NAME = "ranking"


def make_plan(settings: WorkerSettings, provider: str) -> QuotaPlan:
    calls = count_pages(settings.top_size)
    return QuotaPlan(
        provider,
        "calls",
        settings.cryptocompare_calls,
        calls,
        calls,
        None,
        f"{PREFIX}CRYPTOCOMPARE_CALLS",
        make_fingerprint(settings.cryptocompare_api_key),
    )


def make_role(lister: ListProvider[RankedCoin], how_often: QuotaPlan, listings: ListStore) -> PollerRole[RankedCoin]:
    return PollerRole(
        NAME, lister, how_often, listings.add_ranks, listings.read_ranks, listings.read_prices, is_dated=False
    )
