"""The role that asks CoinMarketCap for prices, and what its plan comes to."""

from worker.latest.settings import PREFIX
from worker.latest.toplist import ListStore, PricedCoin
from worker.settings import WorkerSettings
from worker.sources.coinmarketcap import CREDIT_ROWS
from worker.sources.list_provider import ListProvider
from worker.toplist.poller import PollerRole
from worker.toplist.quota_plan import QuotaPlan, make_fingerprint

NAME = "pricing"


def count_rows(settings: WorkerSettings) -> int:
    """Return how many coins are asked for: no fewer than a credit pays for, since some that are ranked lack a price."""
    return settings.coinmarketcap_rows or count_credits(settings.top_size) * CREDIT_ROWS


def count_credits(rows: int) -> int:
    """Return what a list of so many coins costs."""
    return -(-rows // CREDIT_ROWS)


def make_plan(settings: WorkerSettings, provider: str) -> QuotaPlan:
    return QuotaPlan(
        provider,
        "credits",
        settings.coinmarketcap_credits,
        count_credits(count_rows(settings)),
        1,
        settings.coinmarketcap_calls_per_minute,
        f"{PREFIX}COINMARKETCAP_CREDITS",
        make_fingerprint(settings.coinmarketcap_api_key),
    )


def make_role(lister: ListProvider[PricedCoin], how_often: QuotaPlan, listings: ListStore) -> PollerRole[PricedCoin]:
    return PollerRole(
        NAME, lister, how_often, listings.add_prices, listings.read_prices, listings.read_ranks, is_dated=True
    )
