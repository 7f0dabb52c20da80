"""The commands about rules: try them on history, and test them. No rule is judged here."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.backtest import Wish, in_words, on_kept_day, on_recording
from worker.latest import (
    LARGEST_FILE,
    NeverOn,
    Reader,
    Rule,
    StoreError,
    Trial,
    WrongFile,
    connect,
    kept_day,
    read_rules_file,
)
from worker.process import read_settings, stop, where_typed
from worker.progress import progress
from worker.recording import BadRecording, open_recording
from worker.rule_tests import read_suite, run
from worker.settings import WorkerSettings
from worker.times import instant

app = typer.Typer(help="Try alert rules on history, and test them.")

File = Annotated[Path, typer.Argument(callback=where_typed, help="A file of rules, in TOML.", show_default=False)]
When = "Unix seconds or ISO 8601."


@app.command()
def backtest(  # noqa: PLR0913, PLR0917  # one for each option
    file: File,
    recording: Annotated[
        Path | None,
        typer.Option(callback=where_typed, help="A folder of recorded candles; else the kept day in Redis is taken."),
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
    with _said():
        rules = _rules(file, settings.interval)
        trial = Trial(rules, (), settings.interval, _instant("--from", start), _instant("--to", end))
        wish = Wish(sweep, limit)
        if recording:
            found = _on_recording(recording, exchange, trial, wish)
        else:
            found = asyncio.run(_on_kept_day(settings, trial, wish))
    _tell(found, rules, as_json=as_json)


@app.command()
def test(
    file: Annotated[Path, typer.Argument(callback=where_typed, help="A file of tests, in TOML.", show_default=False)],
) -> None:
    """Run unit tests of rules: series of samples in, expected alerts out."""
    with _said():
        suite = read_suite(_text(file))
        others = _rules(file.parent / suite.rules_file, suite.interval) if suite.rules_file else ()
        rules = [*others, *suite.own_rules()]
        outcomes = [run(case, rules, suite.interval) for case in suite.tests]
    for outcome in outcomes:
        for line in outcome.in_words():
            typer.echo(line)
    failed = sum(not outcome.is_passed for outcome in outcomes)
    typer.echo(f"{len(outcomes) - failed} passed, {failed} failed")
    if failed:
        raise typer.Exit(1)


def _on_recording(folder: Path, exchange: str | None, trial: Trial, wish: Wish) -> dict[str, Any]:
    recording = open_recording(folder, exchange)
    with progress("trying the rules") as seen:
        return on_recording(
            recording, trial, wish, lambda at: seen(at - recording.first, recording.last - recording.first)
        )


async def _on_kept_day(settings: WorkerSettings, trial: Trial, wish: Wish) -> dict[str, Any]:
    async with connect(settings.redis_address, "data-tracker-backtest") as redis:
        kept = await kept_day(Reader(redis))
    first = min((samples[0].tick for samples in kept.samples.values() if samples), default=kept.until)
    with progress("trying the rules") as seen:
        return on_kept_day(kept, trial, wish, lambda at: seen(at - first, kept.until - first))


def _rules(file: Path, interval: int) -> tuple[Rule, ...]:
    try:
        return read_rules_file(_text(file), interval)
    except WrongFile as error:
        raise WrongFile("\n".join(f"{file}: {line}" for line in str(error).split("\n"))) from error


def _tell(found: dict[str, Any], rules: tuple[Rule, ...], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for line in in_words(found, rules):
        typer.echo(line)


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise WrongFile(f"is larger than {LARGEST_FILE} bytes")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongFile(f"cannot be read: {error}") from error


def _instant(option: str, written: str | None) -> int | None:
    try:
        return None if written is None else instant(written, option)
    except ValueError as error:
        raise WrongFile(str(error)) from error


@contextmanager
def _said() -> Iterator[None]:
    """Say what is wrong with what was given, and with what it was asked of, in words."""
    try:
        yield
    except (WrongFile, BadRecording) as error:
        stop(str(error), 2)
    except NeverOn as error:
        stop(f"--from: {error}", 2)
    except StoreError as error:
        stop(str(error), 1)
