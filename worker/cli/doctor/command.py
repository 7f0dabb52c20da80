"""Puts the checks together from the settings, runs them, and prints what they found and what to type next."""

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Annotated, Any

import typer

from worker.cli.doctor import files, stored
from worker.cli.doctor.checks import CheckRun, HealthCheck, run_checks, run_in_thread
from worker.cli.doctor.findings import (
    AGAIN,
    START,
    START_API,
    Finding,
    FindingLevel,
    find_worst,
    format_document,
    format_findings,
    make_ok,
    make_problem,
    make_warning,
)
from worker.cli.doctor.providers import make_channel_check, make_heartbeat_check, make_source_check, make_stream_check
from worker.cli.process import read_settings, run_until_done
from worker.cli.wiring import (
    list_addresses,
    list_source_addresses,
    list_stream_addresses,
    make_listers,
    make_sources,
    open_sessions,
)
from worker.clock.wall import DATE_SECONDS, WatchedClock
from worker.delivery.channels import InvalidNotifyUrl, open_channels
from worker.delivery.notify.base import Notifier
from worker.delivery.notify.calls import reach_host
from worker.delivery.notify.sessions import make_heartbeat_session
from worker.reporting.terminal import print_line
from worker.sampling.tick_journal import FOLDER
from worker.settings import WorkerSettings
from worker.settings.servers import list_servers
from worker.sources.base import ReportsAccess
from worker.sources.streams.connection import find_connection_fault
from worker.toplist import roles

CLOCK, TOP_LIST, CHANNELS = "clock", "top list", "channels"
SECONDS = 10.0


def run_doctor(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of lines.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, max=300, help="Seconds that all of it may take.")] = SECONDS,
) -> None:
    """Check network, clock, keys, budgets, Redis, archive, disk and rules file, and say what to do. Changes nothing."""
    settings = read_settings()
    run_until_done(_run(settings, timeout, as_json=as_json))


async def _run(settings: WorkerSettings, seconds: float, *, as_json: bool) -> None:
    found = await check_all(settings, seconds)
    next_command = find_next(found.findings)
    if as_json:
        print_line(format_document(found.findings, next_command))
    else:
        for line in [*format_findings(found.findings), f"next: {next_command}"]:
            print_line(line)
    code = int(find_worst(found.findings) is FindingLevel.PROBLEM)
    if found.unanswered:
        # What did not answer, a disk or a resolver, may hold a thread for minutes, and the end would wait for it.
        sys.stderr.flush()
        os._exit(code)
    if code:
        raise typer.Exit(code)


async def check_all(settings: WorkerSettings, seconds: float) -> CheckRun:
    """Run every check that the settings ask for, for so many seconds at most."""
    clock = WatchedClock()
    async with AsyncExitStack() as stack:
        notifiers, wrong = await _open_notifiers(settings, stack)
        checks = [
            *await _list_provider_checks(settings, clock, stack),
            *map(make_channel_check, notifiers),
            *await _list_local_checks(settings, None if wrong else [each.name for each in notifiers], stack),
        ]
        run = await run_checks(checks, seconds, _show_waiting)
        place = len(list_servers(settings)) + len(list_stream_addresses(settings))
        findings = [
            *run.findings[:place],
            *judge_clock(clock.list_differences(), is_asked=bool(list_source_addresses(settings))),
            *wrong,
            *run.findings[place:],
        ]
        return CheckRun(findings, run.unanswered)


async def _open_notifiers(
    settings: WorkerSettings, stack: AsyncExitStack
) -> tuple[Sequence[Notifier], Sequence[Finding]]:
    """Return the channels, and what is wrong with them where they cannot be opened, or that there are none."""
    try:
        notifiers = await stack.enter_async_context(open_channels(settings))
    except InvalidNotifyUrl as error:
        return [], [make_problem(CHANNELS, str(error), "correct TRACKER_NOTIFY")]
    if notifiers:
        return notifiers, []
    advice = "set TRACKER_PUSHOVER_TOKEN and TRACKER_PUSHOVER_USER, or TRACKER_NOTIFY, to be told"
    return [], [make_warning(CHANNELS, "alerts are sent to nobody", advice)]


async def _list_provider_checks(
    settings: WorkerSettings, clock: WatchedClock, stack: AsyncExitStack
) -> Sequence[HealthCheck]:
    session_for = await stack.enter_async_context(open_sessions(settings.proxies, clock))
    known = list_source_addresses(settings)
    checks = [
        _make_access_check(source.name, source, session_for(known.get(source.name, "")))
        for source in make_sources(settings)
    ]
    for name, address in list_stream_addresses(settings).items():
        session = session_for(address.replace("ws", "http", 1))
        checks.append(make_stream_check(name, partial(find_connection_fault, session, address)))
    if roles.is_simulated(settings):
        return [*checks, _make_fixed_check(make_ok(TOP_LIST, "it is made up here, too"))]
    obstacle = roles.find_obstacle(settings, roles.NAMES)
    if obstacle is not None:
        return [*checks, _make_fixed_check(make_ok(TOP_LIST, f"it is not made: {obstacle.reason}"))]
    listers = make_listers(settings, session_for)
    addresses = list_addresses(settings) or ["", ""]
    return [
        *checks,
        _make_access_check(listers.prices.name, listers.prices, session_for(addresses[0])),
        _make_access_check(listers.ranks.name, listers.ranks, session_for(addresses[1])),
    ]


def _make_access_check(name: str, provider: object, session: Any) -> HealthCheck:
    return make_source_check(
        name, partial(provider.read_access, session) if isinstance(provider, ReportsAccess) else None
    )


async def _list_local_checks(
    settings: WorkerSettings, channels: Sequence[str] | None, stack: AsyncExitStack
) -> Sequence[HealthCheck]:
    checks = []
    if settings.heartbeat_url is not None:
        address = str(settings.heartbeat_url)
        session = await stack.enter_async_context(make_heartbeat_session(settings.proxies.find_proxy(address)))
        checks.append(make_heartbeat_check(partial(reach_host, session, address)))
    disk = partial(files.check_disk, settings, settings.data_dir / FOLDER)
    rules = partial(files.check_rules_file, settings.rules_file, settings.interval, channels)
    return [
        *checks,
        HealthCheck(stored.REDIS, partial(stored.check_redis, settings)),
        HealthCheck(stored.ARCHIVE, partial(stored.check_archive, settings)),
        HealthCheck(files.DISK, partial(run_in_thread, disk)),
        HealthCheck(files.RULES, partial(run_in_thread, rules)),
    ]


def _make_fixed_check(finding: Finding) -> HealthCheck:
    async def run() -> Sequence[Finding]:
        return [finding]

    return HealthCheck(finding.name, run)


def judge_clock(differences: Mapping[str, float], *, is_asked: bool) -> Sequence[Finding]:
    """Return how this machine's clock is beside those of the hosts that said the time; the nearest one counts."""
    if not differences:
        if not is_asked:
            return [make_ok(CLOCK, "there is no provider whose time it could be compared with")]
        return [make_warning(CLOCK, "no provider said what time it is", "see why they do not answer")]
    host, seconds = min(differences.items(), key=lambda each: abs(each[1]))
    text = f"{stored.format_difference(seconds)} {host}" if round(abs(seconds)) else f"as that of {host}"
    if abs(seconds) > DATE_SECONDS:
        return [make_problem(CLOCK, f"{text}: nothing is sampled", "set the clock by NTP")]
    if abs(seconds) > stored.CLOCK_SECONDS:
        return [make_warning(CLOCK, text, "set the clock by NTP: ticks are that much off the provider's minutes")]
    return [make_ok(CLOCK, text)]


def find_next(findings: Sequence[Finding]) -> str:
    """Return what to type next: what mends the worst, or what goes on where nothing is wrong."""
    worst = find_worst(findings)
    mending = [each for each in findings if each.level is worst and each.level is not FindingLevel.OK]
    known = next((each.next_command for each in mending if each.next_command), None)
    if worst is FindingLevel.PROBLEM:
        return known or AGAIN
    is_fed = any(each.name == stored.TICKS and "no worker" not in each.text for each in findings)
    return known or (START_API if is_fed else START)


def _show_waiting(names: Sequence[str], seconds: float) -> None:
    typer.echo(f"  {seconds:.0f} s: no answer yet of {', '.join(names)}", err=True)
