"""The wiring and the commands of the worker: settings, sources, connections, signals. No work is done here."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from math import lcm
from pathlib import Path
from typing import Annotated, Any, NoReturn

import structlog
import typer
import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector

from worker import rules
from worker.archiver import BEATS, Archiver
from worker.archiving import archiving
from worker.beats import beats
from worker.channels import WrongUrl, channels
from worker.dispatch import Dispatch
from worker.heartbeat import Heartbeat
from worker.latest import (
    DAY,
    MINUTE,
    AlertLimits,
    ArchiveError,
    Channels,
    Delivered,
    Listings,
    Plans,
    Shelf,
    StoreError,
    TopWriter,
    Verifier,
    Writer,
    WrongSettings,
    configure_logs,
    connect,
)
from worker.lease import Busy, hold, take_lease, wait_for_lease
from worker.letters import Wording
from worker.live import Live
from worker.notify import sessions
from worker.notify.base import Notifier
from worker.notify.heard import call
from worker.progress import progress
from worker.rebuild import rebuild
from worker.recording import BadRecording, Recording, open_recording
from worker.replay import OtherSamples, TooLate, replay
from worker.rulebook import Rulebook
from worker.settings import WorkerSettings
from worker.sources.base import Source
from worker.sources.binance import Binance
from worker.sources.coinmarketcap import CoinMarketCap
from worker.sources.cryptocompare import CryptoCompare
from worker.sources.cryptowatch import Cryptowatch
from worker.sources.kraken import Kraken
from worker.sources.simulated import Simulated
from worker.sources.simulated.toplists import SimulatedPrices, SimulatedRanks
from worker.sources.watched import Watched
from worker.top import pricing, roles
from worker.top.planning import planned
from worker.trial import trial

log = structlog.get_logger()

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
notify = typer.Typer(help="Try the channels that alerts are sent through, and see what they did not take.")
app.add_typer(notify, name="notify", no_args_is_help=True)
app.add_typer(rules.app, name="rules", no_args_is_help=True)

SAMPLING = "sampling"
ROLES = (SAMPLING, *roles.NAMES)
USER_AGENT = "data-tracker/1.0"
MOST_PATIENCE = 30.0
"""Seconds that a source may take for an answer, however long the interval is."""
LEAVE_SECONDS = 2.0
"""How long giving the lease back may take at the end; it runs out by itself."""
TEN_DIGITS = 10**10
"""Unix seconds have ten digits until 2286; what has more is milliseconds, or a mistake."""
SAID = (StoreError, ArchiveError, WrongUrl, Busy, TooLate, OtherSamples, BadRecording)
"""What can go wrong without being our mistake: a line for people, and no stack trace."""


@app.callback(invoke_without_command=True)
def main(context: typer.Context) -> None:
    """Sample markets, keep their last day, rank what moves. Without a command: run."""
    if context.invoked_subcommand is None:
        run()


@app.command()
def run(
    only: Annotated[
        list[str] | None, typer.Option(help=f"Only this of {', '.join(ROLES)}; several with commas between.")
    ] = None,
) -> None:
    """Sample on every tick, and make the top list every minute, until stopped (Ctrl-C or SIGTERM)."""
    settings, wanted = _settings(), [role.strip() for each in only or ROLES for role in each.split(",")]
    unknown = next((role for role in wanted if role not in ROLES), None)
    if unknown is not None:
        _stop(f"--only: {unknown!r} is not accepted; accepted: {', '.join(ROLES)}", 2)
    off = roles.off(settings, wanted) if only else None
    if off:
        _stop(f"--only: {off.reason}", 2)
    _finish(_run(settings, wanted))


@app.command()
def plan() -> None:
    """Say what the settings come to: calls, credits, and bytes in Redis and in the archive."""
    print("\n".join(planned(_settings())))


@app.command("replay")
def replay_command(
    folder: Annotated[Path, typer.Argument(help="A folder of PAIR.csv or PAIR.csv.gz with one-minute candles.")],
    exchange: Annotated[str | None, typer.Option(help="Name of the exchange; else the folder's first word.")] = None,
    until: Annotated[
        str | None,
        typer.Option(help="Where the recording shall end: now, unix seconds or ISO 8601; else where it ended."),
    ] = None,
) -> None:
    """Play recorded candles through the tick, as fast as it goes."""
    settings = _settings()
    try:
        recording = open_recording(folder, exchange)
        if until is not None:
            recording = _ending(recording, until, settings.interval)
    except (BadRecording, ValueError) as error:
        _stop(str(error), 2)
    _finish(_replay(settings, recording))


@app.command()
def verify(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what differs, and change nothing.")] = False,
) -> None:
    """Recompute moments, ranks and means from the samples, and repair what differs."""
    settings = _settings()
    _finish(_verify(settings, repair=not dry_run))


@notify.command("test")
def notify_test() -> None:
    """Send a test message through each channel, and print what the provider answers."""
    _finish(_notify_test(_settings()))


@notify.command("dead")
def notify_dead(
    channel: Annotated[str | None, typer.Argument(help="A channel's name; else all that there are.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many of each, the newest.")] = 100,
) -> None:
    """List the messages that are not sent any more, and why."""
    _finish(_notify_dead(_settings(), channel, limit))


@app.command("rebuild")
def rebuild_command() -> None:
    """Fill the past day anew from the providers' candles and the archive, and the archive from both."""
    _finish(_rebuild(_settings()))


async def _run(settings: WorkerSettings, wanted: Sequence[str]) -> None:
    async with asyncio.TaskGroup() as tasks:
        if SAMPLING in wanted:
            tasks.create_task(_sample(settings))
        tasks.create_task(_top(settings, [role for role in roles.NAMES if role in wanted]))


async def _top(settings: WorkerSettings, wanted: Sequence[str]) -> None:
    async with connect(settings.redis_address, "data-tracker-top") as redis, _session() as session:
        stores = roles.Stores(Listings(redis), Plans(redis), TopWriter(redis))
        await roles.run(settings, wanted, stores, _listers(settings, session), roles.Time(time.time))


async def _sample(settings: WorkerSettings) -> None:
    patience = min(MOST_PATIENCE, settings.interval * 0.8)
    async with (
        channels(settings) as notifiers,
        _store(settings) as store,
        _session() as session,
        _feeding(store, wait=True),
        _dispatch(settings, notifiers) as dispatch,
        _heartbeat(settings) as heartbeat,
        archiving(settings, store) as archived,
        _rulebook(settings) as rulebook,
        asyncio.TaskGroup() as tasks,
    ):
        sources = [Watched(source, session, patience) for source in _sources(settings)]
        now = int(time.time()) // settings.interval * settings.interval
        log.info("sampling", sources=settings.sources, every=f"{settings.interval} s", next="scripts/start-api.sh")
        tasks.create_task(dispatch.run())
        tasks.create_task(heartbeat.run())
        live = Live(sources, store, settings.interval, committed=heartbeat.beat)
        live.rules = rulebook
        archiver = Archiver(store, *archived, look_again=live.look_for_holes)
        live.after_fill = archiver.after_fill
        await archiver.open(now)
        tasks.create_task(archiver.run(beats(BEATS)))
        await live.run(now, beats(settings.interval, now))


async def _replay(settings: WorkerSettings, recording: Recording) -> None:
    async with (
        _store(settings, send=False) as store,
        _feeding(store, wait=False),
        archiving(settings, store) as archived,
        _rulebook(settings) as rulebook,
    ):
        await archived.archive.open()
        await rulebook.read()
        print(
            f"playing {recording.candles} candles of {len(recording.files)} metrics, "
            f"{_iso(recording.first)} to {_iso(recording.last)}",
            file=sys.stderr,
        )
        began = time.monotonic()
        with progress("replaying") as seen:
            ticks = await replay(recording, store, settings.interval, seen, archived.closer, rulebook.engine)
        print(f"played {ticks} ticks in {time.monotonic() - began:.1f} s", file=sys.stderr)
    metric = next(iter(recording.files))
    print(f"next: scripts/start-api.sh, then curl http://{settings.bind}/v1/metrics/{metric}/history", file=sys.stderr)


async def _rebuild(settings: WorkerSettings) -> None:
    now = int(time.time()) // settings.interval * settings.interval
    async with (
        _store(settings) as store,
        _session() as session,
        _feeding(store, wait=False),
        archiving(settings, store) as archived,
    ):
        await archived.archive.open()
        sources = [Watched(source, session, MOST_PATIENCE) for source in _sources(settings)]
        filled = await rebuild(sources, store, archived, settings.interval, now)
    print(f"the day has {filled.samples} samples more, the archive {filled.hours} hours more or better")
    print("next: scripts/start-worker.sh")


async def _verify(settings: WorkerSettings, *, repair: bool) -> None:
    async with connect(settings.redis_address, "data-tracker-verify") as redis:
        store = Verifier(redis)
        async with _feeding(store, wait=False):
            with progress("verifying") as seen:
                report = await store.verify(repair=repair, seen=seen)
    print(f"checked {report.metrics} metrics with {report.samples} samples")
    for name in [*report.moments, *report.lists]:
        print(f"{'repaired' if repair else 'differs'}: {name}")
    if report.is_clean:
        print("everything follows from the samples")
    elif not repair:
        raise typer.Exit(1)


async def _notify_test(settings: WorkerSettings) -> None:
    async with channels(settings) as notifiers:
        tried = await trial(notifiers, int(time.time()), settings.page)
    for channel, is_sent, answer in tried:
        print(f"{channel}: {'sent' if is_sent else 'not sent'}: {answer}")
    if not tried:
        print("there is no channel: set TRACKER_PUSHOVER_TOKEN and TRACKER_PUSHOVER_USER, or TRACKER_NOTIFY")
    if not tried or not all(each.is_sent for each in tried):
        raise typer.Exit(1)


async def _notify_dead(settings: WorkerSettings, channel: str | None, limit: int) -> None:
    async with connect(settings.redis_address, "data-tracker-notify") as redis:
        delivered = Delivered(redis)
        names = [channel] if channel else sorted(await delivered.channels())
        letters = [(name, dead) for name in names for dead in await delivered.dead(name, limit)]
    for name, dead in letters:
        print(f"{_iso(int(dead.at))} {name} {dead.message}: {dead.reason}")
    if not letters:
        print("none: every message was sent, or is still tried")


@asynccontextmanager
async def _store(settings: WorkerSettings, *, send: bool = True) -> AsyncIterator[Writer]:
    """Give the store; without `send`, alerts are history only."""
    async with connect(settings.redis_address, "data-tracker-worker") as redis:
        yield Writer(redis, AlertLimits(keep=settings.alert_days * DAY, send=send))


@asynccontextmanager
async def _rulebook(settings: WorkerSettings) -> AsyncIterator[Rulebook]:
    async with connect(settings.redis_address, "data-tracker-rules") as redis:
        yield Rulebook(Shelf(redis), settings.interval, settings.rules_file)


@asynccontextmanager
async def _dispatch(settings: WorkerSettings, notifiers: Sequence[Notifier]) -> AsyncIterator[Dispatch]:
    """Give what sends alerts, over connections of its own, ready before the first tick is committed."""
    async with connect(settings.redis_address, "data-tracker-deliver") as redis:
        wording = Wording(settings.page, settings.interval)
        dispatch = Dispatch(Channels(redis, settings.alert_days * DAY), notifiers, wording)
        await dispatch.open()
        yield dispatch


@asynccontextmanager
async def _heartbeat(settings: WorkerSettings) -> AsyncIterator[Heartbeat]:
    async with sessions.for_heartbeats() as session:
        address = settings.heartbeat_url
        yield Heartbeat(partial(call, session, str(address)) if address else None)


@asynccontextmanager
async def _session() -> AsyncIterator[ClientSession]:
    timeout = ClientTimeout(total=MOST_PATIENCE, connect=10)
    async with ClientSession(
        timeout=timeout, headers={"User-Agent": USER_AGENT}, connector=TCPConnector(limit_per_host=4)
    ) as session:
        yield session


@asynccontextmanager
async def _feeding(store: Writer, *, wait: bool) -> AsyncIterator[None]:
    """Take the right to feed the store, `wait` for it or else raise `Busy`, and hold it until the end."""
    who = f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"
    await (wait_for_lease if wait else take_lease)(store, who, _is_gone)
    try:
        async with asyncio.TaskGroup() as tasks:
            holding = tasks.create_task(hold(store, who))
            yield
            holding.cancel()
    finally:
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await store.release(who)
        except (StoreError, TimeoutError) as error:
            log.warning("the lease runs out by itself", reason=str(error))


def _is_gone(holder: str) -> bool:
    """Tell whether a lease is held by a process of this machine that does not run any more."""
    host, pid, *_ = [*holder.rsplit(":", 2), ""]
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    if int(pid) == os.getpid():
        return True  # a container's worker always has the same number: that was this one's life before
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _sources(settings: WorkerSettings) -> list[Source]:
    wishes, interval = settings.metrics, settings.interval
    key = settings.cryptowatch_api_key
    makers: dict[str, Callable[[], Source]] = {
        "kraken": lambda: Kraken(str(settings.kraken_url), wishes, interval),
        "binance": lambda: Binance(str(settings.binance_url), wishes, interval),
        "cryptowatch": lambda: Cryptowatch(
            str(settings.cryptowatch_url), wishes, interval, key.get_secret_value() if key else None
        ),
        "simulated": lambda: Simulated(wishes, interval),
    }
    return [makers[name]() for name in settings.sources]


def _listers(settings: WorkerSettings, session: ClientSession) -> roles.Listers:
    size, rows = settings.top_size, pricing.size(settings)
    prices, ranks = settings.coinmarketcap_api_key, settings.cryptocompare_api_key
    if roles.is_simulated(settings):
        return roles.Listers(SimulatedPrices(rows), SimulatedRanks(size))
    return roles.Listers(
        CoinMarketCap(session, str(settings.coinmarketcap_url), prices.get_secret_value() if prices else "", rows),
        CryptoCompare(session, str(settings.cryptocompare_url), ranks.get_secret_value() if ranks else "", size),
    )


def _settings() -> WorkerSettings:
    try:
        settings = WorkerSettings.load()
        configure_logs(settings)
    except WrongSettings as error:
        _stop(str(error), 2)
    except OSError as error:
        _stop(f"TRACKER_LOG_FILE: {error}", 2)
    return settings


def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end, or until a signal, and give the process its exit code."""
    said: list[str] = []
    try:
        uvloop.run(_until_signalled(work))
    except* SAID as errors:
        said += [str(error) for error in _leaves(errors)]
    if said:
        _stop("\n".join(dict.fromkeys(said)), 1)


def _leaves(errors: BaseExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


async def _until_signalled(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    stopped = False

    def stop() -> None:
        nonlocal stopped
        stopped = True
        task.cancel()

    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop)
    try:
        await task
    except asyncio.CancelledError:
        if not stopped:
            raise
        log.info("stopped")


def _ending(recording: Recording, until: str, interval: int) -> Recording:
    """Move a recording as `--until` says; raises `ValueError`."""
    moved = recording.ending_by(_instant(until), lcm(interval, MINUTE))
    if moved.first <= 0:
        raise ValueError(f"--until: {until!r} is too early: the recording would begin before 1970")
    return moved


def _instant(text: str) -> int:
    """Read `now`, unix seconds or ISO 8601 (UTC where it names no zone); raises `ValueError`."""
    if text == "now":
        return int(time.time())
    try:
        instant = int(text) if text.isdecimal() else _timestamp(text)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"--until: {text!r} is not a time: now, unix seconds or ISO 8601 are") from error
    if not 0 < instant < TEN_DIGITS:
        raise ValueError(f"--until: {text!r} is not a time from 1970 to 2286")
    return instant


def _timestamp(text: str) -> int:
    when = datetime.fromisoformat(text)
    return int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())


def _iso(tick: int) -> str:
    return datetime.fromtimestamp(tick, UTC).isoformat()


def _stop(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(code)


if __name__ == "__main__":
    app()
