"""The role that asks CryptoCompare for the order of coins, and what its plan comes to."""

from worker.latest import PREFIX, Listings, RankedCoin
from worker.settings import WorkerSettings
from worker.sources.cryptocompare import pages
from worker.sources.toplists import Lister
from worker.top.asking import Role
from worker.top.budget import Plan, fingerprint

NAME = "ranking"


def plan(settings: WorkerSettings, provider: str) -> Plan:
    calls = pages(settings.top_size)
    return Plan(
        provider,
        "calls",
        settings.cryptocompare_calls,
        calls,
        calls,
        None,
        f"{PREFIX}CRYPTOCOMPARE_CALLS",
        fingerprint(settings.cryptocompare_api_key),
    )


def role(lister: Lister[RankedCoin], how_often: Plan, listings: Listings) -> Role[RankedCoin]:
    return Role(NAME, lister, how_often, listings.put_ranks, listings.ranks, listings.prices, is_dated=False)
