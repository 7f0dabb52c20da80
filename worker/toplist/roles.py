"""Which roles of the top list run here, with which providers; and what is said of those that do not."""

import asyncio
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import structlog

from worker.clock.ticks import ticks
from worker.clock.wall import WatchedClock
from worker.latest import MINUTE
from worker.latest.archive import TopArchiveWriter
from worker.latest.settings import PREFIX
from worker.latest.store import StoreError
from worker.latest.toplist import ListStore, PricedCoin, QuotaStore, RankedCoin, TopWriter
from worker.settings import WorkerSettings
from worker.sources import coinmarketcap, cryptocompare
from worker.sources.list_provider import ListProvider
from worker.toplist import merger, pricing, ranking
from worker.toplist.archiver import TopListArchiver
from worker.toplist.merger import TopListMerger
from worker.toplist.poller import NoteState, Poller, PollerRole, Sleep
from worker.toplist.quota_plan import QuotaPlan

log = structlog.get_logger()

NAMES = (pricing.NAME, ranking.NAME, merger.NAME)
SIMULATED = "simulated"
KEYS = {pricing.NAME: f"{PREFIX}COINMARKETCAP_API_KEY", ranking.NAME: f"{PREFIX}CRYPTOCOMPARE_API_KEY"}


class TopListStores(NamedTuple):
    """What the roles read and write."""

    listings: ListStore
    plans: QuotaStore
    top: TopWriter
    archive: TopArchiveWriter


class TopListProviders(NamedTuple):
    """Who is asked."""

    prices: ListProvider[PricedCoin]
    ranks: ListProvider[RankedCoin]


class RoleClock(NamedTuple):
    """What tells the time, and lets it pass."""

    now: Callable[[], float]
    sleep: Sleep = asyncio.sleep
    watch: WatchedClock | None = None
    """Who says whether the time can be relied on."""


class RolesOff(NamedTuple):
    """Why the wanted roles do not run."""

    reason: str
    settings: tuple[str, ...]
    """Those that would turn them on."""


def is_simulated(settings: WorkerSettings) -> bool:
    """Return whether both providers are simulated, as all sources are."""
    return settings.sources == (SIMULATED,)


def make_plans(settings: WorkerSettings) -> dict[str, QuotaPlan]:
    """Return the plan of each role that asks somebody."""
    prefix = f"{SIMULATED}-" if is_simulated(settings) else ""
    return {
        pricing.NAME: pricing.make_plan(settings, prefix + coinmarketcap.NAME),
        ranking.NAME: ranking.make_plan(settings, prefix + cryptocompare.NAME),
    }


def find_obstacle(settings: WorkerSettings, only: Collection[str]) -> RolesOff | None:
    """Return why roles that are wanted together cannot run: none asks where nothing can come of it."""
    given = {pricing.NAME: settings.coinmarketcap_api_key, ranking.NAME: settings.cryptocompare_api_key}
    missing = [KEYS[role] for role, key in given.items() if role in only and key is None and not is_simulated(settings)]
    if missing:
        return RolesOff(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set", tuple(missing))
    for role, plan in make_plans(settings).items():
        if role in only and plan.plan_interval is None:
            too_few = f"{plan.monthly} {plan.unit} a month do not pay for a list of {plan.cost} {plan.unit} a day"
            return RolesOff(f"{plan.setting}: {too_few}", (plan.setting, f"{PREFIX}TOP_SIZE"))
    return None


async def run_roles(  # noqa: PLR0913  # the last by name
    settings: WorkerSettings,
    only: Collection[str],
    stores: TopListStores,
    listers: TopListProviders,
    time: RoleClock,
    *,
    noted: NoteState = lambda *_: None,
) -> None:
    """Run the wanted roles for ever; return at once where they cannot run. `noted` takes the states of those that ask."""
    why = find_obstacle(settings, only)
    if why:
        log.info("no top list is made", reason=why.reason)
        return await _write_off_states(stores.top, only, why)
    now = int(time.now()) // MINUTE * MINUTE
    askers = [
        Poller(role, stores.plans, stores.top, time.sleep, noted)
        for role in _make_roles(settings, only, stores.listings, listers)
    ]
    # Before anything is merged: what a provider knows of the past must be there.
    await asyncio.gather(*[asker.open(now) for asker in askers])
    async with asyncio.TaskGroup() as tasks:
        for asker in askers:
            tasks.create_task(asker.run(now, ticks(MINUTE, now, *time)))
        if merger.NAME in only:
            lists = TopListMerger(stores.listings, stores.top, settings.top_margin, time.now)
            keeper = TopListArchiver(stores.top, stores.archive, settings.top_margin, settings.archive_days)
            tasks.create_task(lists.run(now, ticks(MINUTE, now, *time)))
            tasks.create_task(keeper.run(now, ticks(MINUTE, now, *time)))
    return None


def _make_roles(
    settings: WorkerSettings, only: Collection[str], listings: ListStore, listers: TopListProviders
) -> Iterator[PollerRole[PricedCoin] | PollerRole[RankedCoin]]:
    for name, plan in make_plans(settings).items():
        if name not in only:
            continue
        cost, of = f"{plan.cost} {plan.unit}", f"{plan.monthly} {plan.unit} a month"
        log.info("asking", role=name, every=f"{plan.plan_interval} s", cost=cost, of=of)
        if name == pricing.NAME:
            yield pricing.make_role(listers.prices, plan, listings)
        else:
            yield ranking.make_role(listers.ranks, plan, listings)


async def _write_off_states(top: TopWriter, roles: Collection[str], why: RolesOff) -> None:
    """Say which roles are off, for whoever asks the API."""
    try:
        for role in roles:
            await top.write_role_state(role, {"state": "off", "reason": why.reason, "settings": why.settings})
    except StoreError as error:
        log.warning("Redis is away", reason=str(error))
