"""The role that asks CoinMarketCap for prices, and what its plan comes to."""

from worker.latest import PREFIX, Listings, PricedCoin
from worker.settings import WorkerSettings
from worker.sources.coinmarketcap import CREDIT_ROWS
from worker.sources.toplists import Lister
from worker.top.asking import Role
from worker.top.budget import Plan, fingerprint

NAME = "pricing"


def size(settings: WorkerSettings) -> int:
    """Give how many coins are asked for: no fewer than a credit pays for, since some that are ranked lack a price."""
    return settings.coinmarketcap_rows or credits_for(settings.top_size) * CREDIT_ROWS


def credits_for(rows: int) -> int:
    """Give what a list of so many coins costs."""
    return -(-rows // CREDIT_ROWS)


def plan(settings: WorkerSettings, provider: str) -> Plan:
    return Plan(
        provider,
        "credits",
        settings.coinmarketcap_credits,
        credits_for(size(settings)),
        1,
        settings.coinmarketcap_calls_per_minute,
        f"{PREFIX}COINMARKETCAP_CREDITS",
        fingerprint(settings.coinmarketcap_api_key),
    )


def role(lister: Lister[PricedCoin], how_often: Plan, listings: Listings) -> Role[PricedCoin]:
    return Role(NAME, lister, how_often, listings.put_prices, listings.prices, listings.ranks, is_dated=True)
