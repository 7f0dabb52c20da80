"""The commands `replay` and `record`: what is typed is checked before anything is opened, played or downloaded."""

import re
import sys
import time
from collections.abc import Mapping, Sequence
from math import floor
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from worker.cli.answer_replays import play_answers, read_answers
from worker.cli.archive_parts import open_archiving
from worker.cli.process import exit_with, hold_feeder_lease, read_settings, resolve_typed_path, run_until_done
from worker.cli.times import parse_instant, shift_recording
from worker.cli.wiring import LONGEST_TIMEOUT, make_sources, open_rule_provider, open_sources, open_store
from worker.clock.wall import WatchedClock
from worker.latest import DAY, HOUR, MINUTE, Metric, decimals, format_iso
from worker.reporting.progress import show_progress
from worker.reporting.steps import CommandRefused, report_file_errors
from worker.sampling.pace import ReplayPace, parse_speed
from worker.sampling.recorder import PairResult, RecordingOrder, record_candles
from worker.sampling.recording import InvalidRecording, Recording, open_recording
from worker.sampling.recording_files import TimeSpan
from worker.sampling.replay import replay
from worker.settings import SOURCES, WorkerSettings
from worker.settings.ccxt_names import PREFIX
from worker.sources.answers.files import has_answers
from worker.sources.answers.lines import InvalidAnswers
from worker.sources.base import Hourly, KeepsLately, Source
from worker.sources.errors import SourceError

LENGTHS: Mapping[str, int] = {"1m": MINUTE, "1h": HOUR}
MOST_DAYS = 3650
CRYPTOWATCH = "cryptowatch"
_FILE_NAME = re.compile(r"[A-Z0-9][A-Z0-9.-]*")
"""Pairs that a file of a recording can be called by."""


def replay_command(
    folder: Annotated[
        Path,
        typer.Argument(
            callback=resolve_typed_path,
            help="A folder of PAIR.csv or PAIR.csv.gz with one-minute candles, or of answers that were kept.",
        ),
    ],
    exchange: Annotated[str | None, typer.Option(help="Name of the exchange; else the folder's first word.")] = None,
    until: Annotated[
        str | None,
        typer.Option(help="Where the recording shall end: now, unix seconds or ISO 8601; else where it ended."),
    ] = None,
    speed: Annotated[
        str | None,
        typer.Option(help="How many recorded seconds go by in one second, 60 for example; else as many as can."),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option("--from", help="Where the speed begins; what lies before is played as fast as it goes."),
    ] = None,
) -> None:
    """Play recorded candles, or providers' answers that were kept, through the tick, as fast as it goes or at a speed."""
    settings = read_settings()
    try:
        pace = _read_pace(speed, begin)
        if has_answers(folder):
            answers = read_answers(folder, {"--exchange": exchange, "--until": until})
            _check_begin(begin, answers.last)
            run_until_done(play_answers(settings, answers, pace))
            return
        recording = open_recording(folder, exchange)
        if until is not None:
            recording = shift_recording(recording, until, settings.interval)
        _check_begin(begin, recording.last)
    except (InvalidRecording, InvalidAnswers, ValueError) as error:
        exit_with(str(error), 2)
    run_until_done(_replay(settings, recording, pace))


def _read_pace(speed: str | None, begin: str | None) -> ReplayPace | None:
    """Return the pace that was typed. Raises `ValueError`."""
    if speed is None:
        if begin is not None:
            raise ValueError(f"--from: {begin!r} is accepted only with --speed, which begins there")
        return None
    return ReplayPace(parse_speed(speed), 0 if begin is None else parse_instant(begin, "--from"))


def _check_begin(begin: str | None, last: int) -> None:
    if begin is not None and parse_instant(begin, "--from") > last:
        raise ValueError(f"--from: {begin!r} is after the recording, which ends at {format_iso(last)}")


async def _replay(settings: WorkerSettings, recording: Recording, pace: ReplayPace | None) -> None:
    async with (
        open_store(settings, send=False, push=pace is not None) as store,
        hold_feeder_lease(store, wait=False),
        open_archiving(settings, store) as archived,
        open_rule_provider(settings, is_live=False) as rulebook,
    ):
        await archived.archive.open()
        await rulebook.read()
        at = "" if pace is None else f" at {pace.speed} x"
        print(
            f"playing {recording.candles} candles of {len(recording.files)} metrics, "
            f"{format_iso(recording.first)} to {format_iso(recording.last)}{at}",
            file=sys.stderr,
        )
        began = time.monotonic()
        with show_progress(f"replaying{at}") as seen:
            ticks = await replay(recording, store, settings.interval, seen, archived.rollup, rulebook, pace)
        print(f"played {ticks} ticks in {time.monotonic() - began:.1f} s", file=sys.stderr)
    if recording.without:
        print(recording.without, file=sys.stderr)
    metric = next(iter(recording.files))
    print(f"next: scripts/start-api.sh, then curl http://{settings.bind}/v1/metrics/{metric}/history", file=sys.stderr)


# ---- recording -------------------------------------------------------------------------------------------------


class TypedOrder(NamedTuple):
    """What was typed after `record`."""

    metrics: Sequence[str]
    days: str
    to: str
    candles: str


def record_command(  # noqa: PLR0913, PLR0917  # Typer's way to say what is typed
    context: typer.Context,
    metrics: Annotated[list[str], typer.Argument(metavar="METRIC...", help="Of one exchange: KRAKEN:BTCUSD.")],
    days: Annotated[str, typer.Option(help="How many days, 0.5 for example.")],
    to: Annotated[str, typer.Option(help="Where they end: now, unix seconds or ISO 8601.")] = "now",
    into: Annotated[
        Path | None,
        typer.Option(
            callback=resolve_typed_path, help="The folder; else `recordings/<exchange>` in the data directory."
        ),
    ] = None,
    candles: Annotated[str, typer.Option(help="How long each is, 1m or 1h; providers keep hours for longer.")] = "1m",
) -> None:
    """Download a provider's candles into a folder that can be replayed and backtested; what is there is not asked for again."""
    settings = read_settings()
    try:
        order = read_order(TypedOrder(metrics, days, to, candles), time.time())
        settings = settings.model_copy(
            update={"sources": (choose_source(order.metrics, settings),), "metrics": tuple(order.metrics)}
        )
        (source,) = make_sources(settings)
        check_reach(source, order, time.time())
    except ValueError as error:
        exit_with(str(error), 2)
    exchange = order.metrics[0].partition(":")[0]
    typed: Path = context.find_object(Path) or Path()
    folder = into or typed / settings.data_dir / "recordings" / exchange.lower()
    run_until_done(_record(settings, order, folder))


def read_order(typed: TypedOrder, now: float) -> RecordingOrder:
    """Return what is to be recorded. Raises `ValueError`."""
    names = [Metric(each.upper()) for each in dict.fromkeys(typed.metrics)]
    for name in names:
        exchange, _, pair = name.partition(":")
        if not exchange or not _FILE_NAME.fullmatch(pair):
            raise ValueError(f"{name!r} is not accepted; accepted: a metric like KRAKEN:BTCUSD")
    if len({name.partition(":")[0] for name in names}) > 1:
        raise ValueError(f"{', '.join(names)}: a recording is of one exchange; record one after the other")
    if typed.candles not in LENGTHS:
        raise ValueError(f"--candles: {typed.candles!r} is not accepted; accepted: {' or '.join(LENGTHS)}")
    if not decimals.is_number(typed.days) or not 0 < float(typed.days) <= MOST_DAYS:
        raise ValueError(f"--days: {typed.days!r} is not accepted; accepted: a number above 0, up to {MOST_DAYS}")
    length, end = LENGTHS[typed.candles], parse_instant(typed.to, "--to")
    if end > now:
        raise ValueError(f"--to: {typed.to!r} lies in the future; accepted: now, or a time of the past")
    end -= end % length
    start = max(0, end - round(float(typed.days) * DAY))
    return RecordingOrder(names, TimeSpan(start - start % length, end), length)


def choose_source(metrics: Sequence[Metric], settings: WorkerSettings) -> str:
    """Return the source that has the candles of an exchange. Raises `ValueError`."""
    exchange = metrics[0].partition(":")[0]
    own = exchange.lower()
    if own in SOURCES and own != CRYPTOWATCH:
        return own
    if f"{PREFIX}{own}" in settings.sources:
        return f"{PREFIX}{own}"
    if settings.cryptowatch_url is not None:
        return CRYPTOWATCH
    named = ", ".join(each.upper() for each in SOURCES if each != CRYPTOWATCH)
    raise ValueError(
        f"{metrics[0]}: no source has candles of {exchange}; accepted: metrics of {named}, and others where "
        f"TRACKER_CRYPTOWATCH_URL names a server that has them, or {PREFIX}{own} is in TRACKER_SOURCES"
    )


def check_reach(source: Source, order: RecordingOrder, now: float) -> None:
    """See that a source has candles from so long ago. Raises `ValueError`, which says what it has."""
    if order.length == HOUR and not isinstance(source, Hourly):
        raise ValueError(f"--candles: {source.name} has no candles of an hour; accepted: 1m")
    if not isinstance(source, KeepsLately):
        return
    oldest = _find_oldest(source, order.length, now)
    if order.span.start >= oldest:
        return
    accepted = [f"--days {_format_days(order.span.end - oldest)} or less"] if order.span.end > oldest else []
    hours = order.span.end // HOUR * HOUR - _find_oldest(source, HOUR, now)
    if order.length == MINUTE and isinstance(source, Hourly) and hours > 0:
        accepted.append(f"--candles 1h with --days {_format_days(hours)} or less")
    name = next(name for name, length in LENGTHS.items() if length == order.length)
    raise ValueError(
        f"{order.metrics[0]}: {source.name} keeps candles of {name} for {_format_days(source.kept[order.length])} days, "
        f"and has none from before {format_iso(oldest)}; accepted: {', or '.join(accepted) or 'a later --to'}"
    )


def _find_oldest(source: KeepsLately, length: int, now: float) -> int:
    return int(now) // length * length - source.kept[length]


def _format_days(seconds: int) -> str:
    """Return seconds as days, rounded down to what can be typed again."""
    return f"{floor(seconds / DAY * 1000) / 1000:g}"


async def _record(settings: WorkerSettings, order: RecordingOrder, folder: Path) -> None:
    clock = WatchedClock()
    async with open_sources(settings, LONGEST_TIMEOUT, clock) as (source,):
        if not await clock.is_right():
            raise CommandRefused(f"nothing is recorded: {clock.fault}")
        await source.open(int(clock.wall()))
        if not source.is_known:
            raise CommandRefused(f"nothing is recorded: {source.describe_state()['reason']}")
        for reason in source.missing.values():
            raise CommandRefused(f"nothing is recorded: {reason}")
        try:
            with report_file_errors(folder), show_progress(f"recording from {source.name}") as seen:
                results = await record_candles(source, order, folder, seen)
        except SourceError as error:
            raise CommandRefused(f"{error}; what came before is kept in {folder}: the same command goes on") from error
    _print_results(results, order, folder)


def _print_results(results: Sequence[PairResult], order: RecordingOrder, folder: Path) -> None:
    name = "minutes" if order.length == MINUTE else "hours"
    span = f"{format_iso(order.span.start)} to {format_iso(order.span.end)}"
    for result in results:
        print(f"{result.metric}: {result.candles} of {result.of} {name} have a candle, {span}")
    if not any(result.candles for result in results):
        raise CommandRefused("there is no candle of that time, so there is nothing to replay")
    exchange = order.metrics[0].partition(":")[0]
    is_named = re.split(r"[^A-Za-z0-9]", folder.resolve().name)[0].upper() == exchange
    named = "" if is_named else f" --exchange {exchange}"
    print(f"next: scripts/start-worker.sh replay {folder}{named} --speed 60")
    print(f"  or: scripts/start-worker.sh rules backtest RULES.toml --recording {folder}{named}")
