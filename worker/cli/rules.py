"""The commands about rules: try them on history, and test them. No rule is judged here."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.cli.backtest import ReportOptions, backtest_kept_day, backtest_recording, describe_report
from worker.cli.process import exit_with, read_settings, resolve_typed_path
from worker.cli.rule_tests import read_suite, run_test
from worker.cli.times import parse_instant
from worker.latest.backtest import BacktestInput, RulesNeverActive
from worker.latest.rules import LARGEST_FILE, InvalidFile, Rule, read_rules_file
from worker.latest.store import Reader, StoreError, connect, read_kept_day
from worker.reporting.progress import show_progress
from worker.sampling.recording import InvalidRecording, open_recording
from worker.settings import WorkerSettings

app = typer.Typer(help="Try alert rules on history, and test them.")

File = Annotated[
    Path, typer.Argument(callback=resolve_typed_path, help="A file of rules, in TOML.", show_default=False)
]
When = "Unix seconds or ISO 8601."


@app.command("backtest")
def backtest_command(  # noqa: PLR0913, PLR0917  # one for each option
    file: File,
    recording: Annotated[
        Path | None,
        typer.Option(
            callback=resolve_typed_path, help="A folder of recorded candles; else the kept day in Redis is taken."
        ),
    ] = None,
    exchange: Annotated[str | None, typer.Option(help="Name of the exchange; else the folder's first word.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help=f"The first tick at which the rules are on. {When}")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help=f"The last tick. {When}")] = None,
    sweep: Annotated[bool, typer.Option(help="Count also with other factors and cooldowns.")] = True,
    limit: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="How many messages are listed, the first ones.")
    ] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON.")] = False,
) -> None:
    """Say what rules would have said, without telling anybody."""
    settings = read_settings()
    with _report_errors():
        rules = _read_rules(file, settings.interval)
        first, last = _parse_instant("--from", start), _parse_instant("--to", end)
        trial = BacktestInput(rules, (), settings.interval, first, last, min_coverage=settings.min_coverage)
        wish = ReportOptions(sweep, limit)
        if recording:
            found = _on_recording(recording, exchange, trial, wish)
        else:
            found = asyncio.run(_on_kept_day(settings, trial, wish))
    _print_report(found, rules, as_json=as_json)


@app.command("test")
def test_command(
    file: Annotated[
        Path, typer.Argument(callback=resolve_typed_path, help="A file of tests, in TOML.", show_default=False)
    ],
) -> None:
    """Run unit tests of rules: series of samples in, expected alerts out."""
    with _report_errors():
        suite = read_suite(_read_text(file))
        others = _read_rules(file.parent / suite.rules_file, suite.interval) if suite.rules_file else ()
        rules = [*others, *suite.parse_rules()]
        outcomes = [run_test(case, rules, suite.interval) for case in suite.tests]
    for outcome in outcomes:
        for line in outcome.describe():
            typer.echo(line)
    failed = sum(not outcome.is_passed for outcome in outcomes)
    typer.echo(f"{len(outcomes) - failed} passed, {failed} failed")
    if failed:
        raise typer.Exit(1)


def _on_recording(folder: Path, exchange: str | None, trial: BacktestInput, wish: ReportOptions) -> dict[str, Any]:
    recording = open_recording(folder, exchange)
    with show_progress("trying the rules") as seen:
        return backtest_recording(
            recording, trial, wish, lambda at: seen(at - recording.first, recording.last - recording.first)
        )


async def _on_kept_day(settings: WorkerSettings, trial: BacktestInput, wish: ReportOptions) -> dict[str, Any]:
    async with connect(settings.redis_address, "data-tracker-backtest") as redis:
        kept = await read_kept_day(Reader(redis))
    first = min((samples[0].tick for samples in kept.samples.values() if samples), default=kept.until)
    with show_progress("trying the rules") as seen:
        return backtest_kept_day(kept, trial, wish, lambda at: seen(at - first, kept.until - first))


def _read_rules(file: Path, interval: int) -> tuple[Rule, ...]:
    try:
        return read_rules_file(_read_text(file), interval)
    except InvalidFile as error:
        raise InvalidFile("\n".join(f"{file}: {line}" for line in str(error).split("\n"))) from error


def _print_report(found: dict[str, Any], rules: tuple[Rule, ...], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for line in describe_report(found, rules):
        typer.echo(line)


def _read_text(file: Path) -> str:
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise InvalidFile(f"is larger than {LARGEST_FILE} bytes")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(f"cannot be read: {error}") from error


def _parse_instant(option: str, written: str | None) -> int | None:
    try:
        return None if written is None else parse_instant(written, option)
    except ValueError as error:
        raise InvalidFile(str(error)) from error


@contextmanager
def _report_errors() -> Iterator[None]:
    """Say what is wrong with what was given, and with what it was asked of, in words."""
    try:
        yield
    except (InvalidFile, InvalidRecording) as error:
        exit_with(str(error), 2)
    except RulesNeverActive as error:
        exit_with(f"--from: {error}", 2)
    except StoreError as error:
        exit_with(str(error), 1)
