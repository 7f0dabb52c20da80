"""The commands of the worker: each reads its settings, opens what it needs, and hands over to a room."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextlib import AbstractContextManager, AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from worker.archiving.archiver import Archiver
from worker.archiving.health import ArchiveCondition
from worker.archiving.late_hours import LateHours
from worker.backfill.exchange_hours import CHECK_SECONDS, ExchangeHourPoller
from worker.backfill.future import drop_future, drop_if_far, drop_lists_if_far, report_clock, wait_until_right
from worker.backfill.service import ArchiveAccess, BackfillService
from worker.backup.backup import back_up
from worker.backup.restore import restore
from worker.cli import api_keys, recordings, rules
from worker.cli.archive_parts import ArchiveParts, open_archiving
from worker.cli.doctor.command import run_doctor
from worker.cli.metrics import follow_archive, follow_roles, follow_sampling, show_lease
from worker.cli.move import move_command
from worker.cli.plan import describe_loads, describe_plan
from worker.cli.process import (
    exit_with,
    hold_feeder_lease,
    read_settings,
    resolve_typed_path,
    run_until_done,
    wait_for_format,
)
from worker.cli.rebuild import rebuild_day
from worker.cli.reset import reset_data
from worker.cli.sharing import find_ticks, open_share, open_shared_sources
from worker.cli.source_list import list_command
from worker.cli.wiring import (
    LONGEST_TIMEOUT,
    list_addresses,
    make_listers,
    open_dispatcher,
    open_heartbeat,
    open_rule_provider,
    open_sessions,
    open_sources,
    open_store,
)
from worker.clock.ticks import ticks
from worker.clock.wall import ClockSetBack, WatchedClock
from worker.delivery.channels import open_channels
from worker.delivery.trial import send_test
from worker.latest import DAY, format_iso
from worker.latest.archive import TopArchiveWriter, connect_archive
from worker.latest.delivery import DeliveryReader
from worker.latest.store import (
    DataFormat,
    FutureLists,
    StoreError,
    Verifier,
    Writer,
    connect,
    read_primary_loads,
)
from worker.latest.toplist import ListStore, QuotaStore, TopWriter
from worker.reporting.metrics import WorkerInstruments, make_instruments, serve_metrics
from worker.reporting.progress import show_progress
from worker.reporting.steps import run_command
from worker.sampling.sampler import Sampler
from worker.sampling.tick_journal import FOLDER as WAITING_TICKS
from worker.sampling.tick_journal import TickJournal, open_journal
from worker.settings import WorkerSettings
from worker.sources import dates
from worker.sources.supervised import SupervisedSource
from worker.sources.wishes import SourceReport
from worker.toplist import roles

log = structlog.get_logger()

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
notify = typer.Typer(help="Try the channels that alerts are sent through, and see what they did not take.")
app.add_typer(notify, name="notify", no_args_is_help=True)
app.add_typer(rules.app, name="rules", no_args_is_help=True)
app.add_typer(api_keys.app, name="keys", no_args_is_help=True)

SAMPLING = "sampling"
ROLES = (SAMPLING, *roles.NAMES)


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    typed_in: Annotated[Path, typer.Option(hidden=True)] = Path(),
) -> None:
    """Sample markets, keep their last day, rank what moves. Without a command: run."""
    context.obj = typed_in
    if context.invoked_subcommand is None:
        run()


@app.command()
def run(
    only: Annotated[
        list[str] | None, typer.Option(help=f"Only this of {', '.join(ROLES)}; several with commas between.")
    ] = None,
) -> None:
    """Sample on every tick, and make the top list every minute, until stopped (Ctrl-C or SIGTERM)."""
    settings, wanted = read_settings(), [role.strip() for each in only or ROLES for role in each.split(",")]
    unknown = next((role for role in wanted if role not in ROLES), None)
    if unknown is not None:
        exit_with(f"--only: {unknown!r} is not accepted; accepted: {', '.join(ROLES)}", 2)
    off = roles.find_obstacle(settings, wanted) if only else None
    if off:
        exit_with(f"--only: {off.reason}", 2)
    run_until_done(_run(settings, wanted))


@app.command()
def plan(
    metrics: Annotated[
        int | None,
        typer.Option(min=1, max=10_000_000, help="How many metrics there will be; else as the settings say."),
    ] = None,
) -> None:
    """Say what the settings come to: calls, credits, bytes, nodes and workers; of a cluster, what each primary has."""
    settings = read_settings()
    print("\n".join(describe_plan(settings, metrics)), flush=True)
    if settings.redis_url:
        run_until_done(_show_loads(settings))


app.command("replay")(recordings.replay_command)
app.command("record")(recordings.record_command)
app.command("doctor")(run_doctor)
app.command("sources")(list_command)


@app.command()
def verify(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what differs, and change nothing.")] = False,
) -> None:
    """Recompute moments, ranks and means from the samples, and repair what differs."""
    settings = read_settings()
    run_until_done(_verify(settings, repair=not dry_run))


@notify.command("test")
def notify_test() -> None:
    """Send a test message through each channel, and print what the provider answers."""
    run_until_done(_notify_test(read_settings()))


@notify.command("dead")
def notify_dead(
    channel: Annotated[str | None, typer.Argument(help="A channel's name; else all that there are.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many of each, the newest.")] = 100,
) -> None:
    """List the messages that are not sent any more, and why."""
    run_until_done(_notify_dead(read_settings(), channel, limit))


@app.command("rebuild")
def rebuild_command() -> None:
    """Fill the past day anew from the providers' candles and the archive, and the archive from both."""
    run_until_done(_rebuild(read_settings()))


@app.command("backup")
def backup_command(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", callback=resolve_typed_path, help="Where to; it must not be there yet, or be empty."
        ),
    ],
) -> None:
    """Back up the embedded database and the SQLite archive, while everything runs or nothing does."""
    now = datetime.fromtimestamp(int(time.time()), UTC)
    raise typer.Exit(run_command(lambda: back_up(folder.resolve(), now)))


@app.command("restore")
def restore_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", callback=resolve_typed_path, help="The backup.")],
) -> None:
    """Restore a backup into a TRACKER_DATA_DIR that holds no database."""
    raise typer.Exit(run_command(lambda: restore(folder.resolve())))


@app.command("reset")
def reset_command(
    yes: Annotated[bool, typer.Option("--yes", help="Delete it; else only say how much there is.")] = False,
) -> None:
    """Delete the kept day, the alerts and the top lists from Redis. The archive, rules and silences are kept."""
    run_until_done(reset_data(read_settings(), is_confirmed=yes))


app.command("move")(move_command)


@app.command("drop-future")
def drop_future_command() -> None:
    """Drop what a clock that was ahead has left in the future: samples, alerts, top lists, hours of the archive."""
    run_until_done(_drop_future(read_settings()))


async def _run(settings: WorkerSettings, wanted: Sequence[str]) -> None:
    instruments = make_instruments()
    async with serve_metrics(settings.worker_metrics_bind, instruments.registry, settings.api_keys):
        while not await _run_once(settings, wanted, instruments):
            pass


async def _run_once(settings: WorkerSettings, wanted: Sequence[str], instruments: WorkerInstruments) -> bool:
    """Run until everything has ended, and return whether it has; not so where the clock was set back."""
    try:
        async with asyncio.TaskGroup() as tasks:
            is_first = asyncio.Event()
            if SAMPLING in wanted:
                tasks.create_task(_sample(settings, WatchedClock(), instruments, is_first))
            if SAMPLING not in wanted or not settings.share:
                is_first.set()
            named = [role for role in roles.NAMES if role in wanted]
            tasks.create_task(_top(settings, named, WatchedClock(), instruments, is_first))
    except* ClockSetBack as errors:
        # Sources, windows and waits have all gone by the wrong time, so everything is made anew.
        log.warning("beginning anew", reason=str(errors.exceptions[0]))
        is_over = False
    else:
        is_over = True
    return is_over


async def _top(
    settings: WorkerSettings,
    wanted: Sequence[str],
    clock: WatchedClock,
    instruments: WorkerInstruments,
    is_first: asyncio.Event,
) -> None:
    # Of several workers that share, one makes the list: what its plans allow is not asked for by each.
    await is_first.wait()
    async with (
        connect(settings.redis_address, "data-tracker-top") as redis,
        connect_archive(settings.archive_address, "data-tracker-top", writes=True) as engine,
        open_sessions(settings.proxies, clock, instruments.record_request) as session_for,
    ):
        await wait_for_format(DataFormat(redis))
        if wanted and roles.find_obstacle(settings, wanted) is None:
            clock.set_askers([dates.make_asker(session_for(address), address) for address in list_addresses(settings)])
        await wait_until_right(clock)
        await drop_lists_if_far(FutureLists(redis), clock)
        stores = roles.TopListStores(ListStore(redis), QuotaStore(redis), TopWriter(redis), TopArchiveWriter(engine))
        await roles.run_roles(
            settings,
            wanted,
            stores,
            make_listers(settings, session_for),
            roles.RoleClock(clock.wall, watch=clock),
            noted=follow_roles(instruments),
        )


async def _sample(
    settings: WorkerSettings, clock: WatchedClock, instruments: WorkerInstruments, is_first: asyncio.Event
) -> None:
    timeout, late_hours = min(LONGEST_TIMEOUT, settings.interval * 0.8), LateHours()
    async with (
        open_channels(settings) as notifiers,
        open_store(settings, late_hours, wait=True, shares=settings.share, observe=instruments.record_redis) as store,
        open_share(settings, store, instruments, is_first.is_set) as shared,
        open_shared_sources(settings, timeout, clock, instruments.record_request, shared) as sources,
        hold_feeder_lease(store, wait=True),
        show_lease(instruments, is_first),
        open_dispatcher(settings, notifiers, clock, instruments) as dispatch,
        open_heartbeat(settings) as heartbeat,
        open_archiving(settings, store, late_hours) as archived,
        open_rule_provider(settings) as rule_provider,
        AsyncExitStack() as parts,
        asyncio.TaskGroup() as tasks,
    ):
        report, health = SourceReport(sources, settings.metrics), ArchiveCondition()
        checks = partial(ticks, CHECK_SECONDS, clock=clock.wall, watch=clock)
        follow_sampling(instruments, report, dispatch, clock)
        follow_archive(instruments, health, archived.rollup, late_hours)
        _start_all(tasks, dispatch.run(), report_clock(store, clock))
        now = await _find_start(settings, clock, archived)
        access = ArchiveAccess(archived.backfill, health)
        backfill = _make_backfill(settings, store, report, access, clock, instruments, sources)
        archiver = _make_archiver(store, archived, late_hours, health, backfill)
        sampler = Sampler(
            sources=sources,
            store=store,
            interval=settings.interval,
            rules=rule_provider,
            report=report,
            backfill=backfill,
            committed=heartbeat.notify_committed,
            clock=clock,
            instruments=instruments,
            jump_limit=settings.jump_limit,
            shared=shared.commit if shared else None,
            journal=parts.enter_context(_open_waiting_ticks(settings, now)),
        )
        await archiver.open(now)
        poller = _make_poller(sources, archived, health, backfill)
        _start_all(tasks, heartbeat.run(), archiver.run(checks()), backfill.run(), poller.run(checks()))
        await sampler.run(*await find_ticks(settings, store, clock, now, shared))


def _open_waiting_ticks(settings: WorkerSettings, now: int) -> AbstractContextManager[TickJournal | None]:
    """Return the files that keep ticks which wait for Redis."""
    return open_journal(settings.data_dir / WAITING_TICKS, settings.interval, settings.journal_bytes, now - DAY)


def _start_all(tasks: asyncio.TaskGroup, *work: Coroutine[Any, Any, None]) -> None:
    for each in work:
        tasks.create_task(each)


async def _find_start(settings: WorkerSettings, clock: WatchedClock, archived: ArchiveParts) -> int:
    """Return the newest tick that is over, once the clock is right and nothing lies in its future."""
    await wait_until_right(clock)
    await drop_if_far(settings, clock, archived.archive)
    log.info("sampling", sources=settings.sources, every=f"{settings.interval} s", next="scripts/start-api.sh")
    return int(clock.wall()) // settings.interval * settings.interval


def _make_backfill(  # noqa: PLR0913, PLR0917  # it joins what was just made
    settings: WorkerSettings,
    store: Writer,
    report: SourceReport,
    archive: ArchiveAccess,
    clock: WatchedClock,
    instruments: WorkerInstruments,
    sources: Sequence[SupervisedSource],
) -> BackfillService:
    return BackfillService(
        sources=sources,
        store=store,
        interval=settings.interval,
        clock=clock.wall,
        report=report,
        archive=archive,
        instruments=instruments,
    )


def _make_archiver(
    store: Writer, archived: ArchiveParts, late_hours: LateHours, health: ArchiveCondition, backfill: BackfillService
) -> Archiver:
    return Archiver(
        store=store,
        archive=archived.archive,
        rollup=archived.rollup,
        late_hours=late_hours,
        health=health,
        ordering=archived.ordering,
        request_backfill=backfill.request,
    )


def _make_poller(
    sources: Sequence[SupervisedSource], archived: ArchiveParts, health: ArchiveCondition, backfill: BackfillService
) -> ExchangeHourPoller:
    return ExchangeHourPoller(
        sources=sources,
        fetcher=archived.backfill.fetcher,
        is_usable=lambda: health.is_usable,
        record_failure=health.record_failure,
        is_busy=backfill.is_busy,
    )


async def _show_loads(settings: WorkerSettings) -> None:
    try:
        loads = await read_primary_loads(settings.redis_address)
    except StoreError as error:
        print(f"what the Redis of the settings has is not known: {error}")
        return
    print("\n".join(describe_loads(loads) if loads else ["one Redis, not a cluster"]))


async def _drop_future(settings: WorkerSettings) -> None:
    clock = WatchedClock()
    async with (
        open_store(settings) as store,
        open_sources(settings, LONGEST_TIMEOUT, clock),
        hold_feeder_lease(store, wait=False),
        open_archiving(settings, store) as archived,
    ):
        if not await clock.is_right():
            exit_with(f"nothing is dropped: {clock.fault}", 1)
        await archived.archive.open()
        print(await drop_future(settings, int(clock.wall()), archived.archive))
    print("next: scripts/start-worker.sh, which fills the day again")


async def _rebuild(settings: WorkerSettings) -> None:
    clock, late_hours = WatchedClock(), LateHours()
    now = int(time.time()) // settings.interval * settings.interval
    async with (
        open_store(settings, late_hours) as store,
        open_sources(settings, LONGEST_TIMEOUT, clock) as sources,
        hold_feeder_lease(store, wait=False),
        open_archiving(settings, store, late_hours) as archived,
    ):
        if not await clock.is_right():
            exit_with(f"nothing is rebuilt: {clock.fault}", 1)
        await archived.archive.open()
        await drop_if_far(settings, clock, archived.archive)
        filled = await rebuild_day(sources, store, archived, settings.interval, now)
    print(f"the day has {filled.samples} samples more, the archive {filled.hours} hours more or better")
    print("next: scripts/start-worker.sh")


async def _verify(settings: WorkerSettings, *, repair: bool) -> None:
    async with connect(settings.redis_address, "data-tracker-verify") as redis:
        await DataFormat(redis).check()
        async with hold_feeder_lease(Writer(redis), wait=False):
            with show_progress("verifying") as seen:
                report = await Verifier(redis, settings.min_coverage).verify(repair=repair, seen=seen)
    print(f"checked {report.metrics} metrics with {report.samples} samples")
    for name in [*report.moments, *report.lists]:
        print(f"{'repaired' if repair else 'differs'}: {name}")
    if report.is_clean:
        print("everything follows from the samples")
    elif not repair:
        raise typer.Exit(1)


async def _notify_test(settings: WorkerSettings) -> None:
    async with open_channels(settings) as notifiers:
        tried = await send_test(notifiers, int(time.time()), settings.public_page)
    for channel, is_sent, answer in tried:
        print(f"{channel}: {'sent' if is_sent else 'not sent'}: {answer}")
    if not tried:
        print("there is no channel: set TRACKER_PUSHOVER_TOKEN and TRACKER_PUSHOVER_USER, or TRACKER_NOTIFY")
    if not tried or not all(each.is_sent for each in tried):
        raise typer.Exit(1)


async def _notify_dead(settings: WorkerSettings, channel: str | None, limit: int) -> None:
    async with connect(settings.redis_address, "data-tracker-notify") as redis:
        delivered = DeliveryReader(redis)
        names = [channel] if channel else sorted(await delivered.read_channels())
        unsent = [(name, dead) for name in names for dead in await delivered.read_dead_letters(name, limit)]
    for name, dead in unsent:
        print(f"{format_iso(int(dead.at))} {name} {dead.message}: {dead.reason}")
    if not unsent:
        print("none: every message was sent, or is still tried")
