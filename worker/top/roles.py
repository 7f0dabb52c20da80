"""Which roles of the top list run here, with which providers; and what is said of those that do not."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import structlog

from worker.beats import beats
from worker.clock import Clock
from worker.latest import (
    MINUTE,
    PREFIX,
    Listings,
    Plans,
    PricedCoin,
    RankedCoin,
    StoreError,
    TopArchiveWriter,
    TopWriter,
)
from worker.settings import WorkerSettings
from worker.sources import coinmarketcap, cryptocompare
from worker.sources.toplists import Lister
from worker.top import merging, pricing, ranking
from worker.top.asking import Asker, Role, Sleep
from worker.top.budget import Plan
from worker.top.keeping import Keeping
from worker.top.merging import Merging

log = structlog.get_logger()

NAMES = (pricing.NAME, ranking.NAME, merging.NAME)
SIMULATED = "simulated"
KEYS = {pricing.NAME: f"{PREFIX}COINMARKETCAP_API_KEY", ranking.NAME: f"{PREFIX}CRYPTOCOMPARE_API_KEY"}


class Stores(NamedTuple):
    """What the roles read and write."""

    listings: Listings
    plans: Plans
    top: TopWriter
    archive: TopArchiveWriter


class Listers(NamedTuple):
    """Who is asked."""

    prices: Lister[PricedCoin]
    ranks: Lister[RankedCoin]


class Time(NamedTuple):
    """What tells the time, and lets it pass."""

    now: Callable[[], float]
    sleep: Sleep = asyncio.sleep
    watch: Clock | None = None
    """Who says whether the time can be relied on."""


class Off(NamedTuple):
    """Why the wanted roles do not run."""

    reason: str
    settings: tuple[str, ...]
    """Those that would turn them on."""


def is_simulated(settings: WorkerSettings) -> bool:
    """Tell whether both providers are simulated, as all sources are."""
    return settings.sources == (SIMULATED,)


def plans(settings: WorkerSettings) -> dict[str, Plan]:
    """Give the plan of each role that asks somebody."""
    prefix = f"{SIMULATED}-" if is_simulated(settings) else ""
    return {
        pricing.NAME: pricing.plan(settings, prefix + coinmarketcap.NAME),
        ranking.NAME: ranking.plan(settings, prefix + cryptocompare.NAME),
    }


def off(settings: WorkerSettings, only: Collection[str]) -> Off | None:
    """Give why roles that are wanted together cannot run: none asks where nothing can come of it."""
    given = {pricing.NAME: settings.coinmarketcap_api_key, ranking.NAME: settings.cryptocompare_api_key}
    missing = [KEYS[role] for role, key in given.items() if role in only and key is None and not is_simulated(settings)]
    if missing:
        return Off(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set", tuple(missing))
    for role, plan in plans(settings).items():
        if role in only and plan.interval is None:
            too_few = f"{plan.monthly} {plan.unit} a month do not pay for a list of {plan.cost} {plan.unit} a day"
            return Off(f"{plan.setting}: {too_few}", (plan.setting, f"{PREFIX}TOP_SIZE"))
    return None


async def run(settings: WorkerSettings, only: Collection[str], stores: Stores, listers: Listers, time: Time) -> None:
    """Run the wanted roles for ever; return at once where they cannot run."""
    why = off(settings, only)
    if why:
        log.info("no top list is made", reason=why.reason)
        return await _tell(stores.top, only, why)
    now = int(time.now()) // MINUTE * MINUTE
    askers = [
        Asker(role, stores.plans, stores.top, time.sleep) for role in _asking(settings, only, stores.listings, listers)
    ]
    # Before anything is merged: what a provider knows of the past must be there.
    await asyncio.gather(*[asker.open(now) for asker in askers])
    async with asyncio.TaskGroup() as tasks:
        for asker in askers:
            tasks.create_task(asker.run(now, beats(MINUTE, now, *time)))
        if merging.NAME in only:
            merger = Merging(stores.listings, stores.top, settings.top_margin, time.now)
            keeper = Keeping(stores.top, stores.archive, settings.top_margin, settings.archive_days)
            tasks.create_task(merger.run(now, beats(MINUTE, now, *time)))
            tasks.create_task(keeper.run(now, beats(MINUTE, now, *time)))
    return None


def _asking(
    settings: WorkerSettings, only: Collection[str], listings: Listings, listers: Listers
) -> Iterator[Role[PricedCoin] | Role[RankedCoin]]:
    for name, plan in plans(settings).items():
        if name not in only:
            continue
        cost, of = f"{plan.cost} {plan.unit}", f"{plan.monthly} {plan.unit} a month"
        log.info("asking", role=name, every=f"{plan.interval} s", cost=cost, of=of)
        if name == pricing.NAME:
            yield pricing.role(listers.prices, plan, listings)
        else:
            yield ranking.role(listers.ranks, plan, listings)


async def _tell(top: TopWriter, roles: Collection[str], why: Off) -> None:
    """Say which roles are off, for whoever asks the API."""
    try:
        for role in roles:
            await top.note(role, {"state": "off", "reason": why.reason, "settings": why.settings})
    except StoreError as error:
        log.warning("Redis is away", reason=str(error))
