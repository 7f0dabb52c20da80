"""What a backtest process does: it reads the kept day of the store, plays it, and writes the answer as JSON."""

import time
from collections.abc import Callable

from ...model import Metric
from ...numbers import exact_json
from ...rules import InvalidDocument, Kind, Rule, parse_rule
from ...rules.rule_set import read_rule_set
from ...store import KeptDay, Reader, RuleStore, TooManySamples, connect, read_kept_day
from .. import (
    CLOCK_UNKNOWN,
    RANK_OF_PART,
    BacktestInput,
    RulesNeverActive,
    make_report,
    make_ticks,
    make_variants,
    play,
)
from .job import Job, accept_less


class BacktestTooLong(Exception):
    """It takes longer than anybody waits."""


async def run_backtest(job: Job) -> str:
    """Return the answer. Raises `InvalidDocument` where it is too much, and `StoreAway`."""
    rules = [parse_rule(document, job.interval) for document in job.rules]
    check = _deadline(job.most_seconds)
    try:
        async with connect(job.redis, "backtest") as redis:
            kept, is_whole = await _read_day(Reader(redis), rules, job.most_samples)
            silences = [*read_rule_set((await RuleStore(redis).read_rules()).written, job.interval).silences.values()]
        trial = BacktestInput(rules, silences, job.interval, job.start, job.end, is_whole, job.min_coverage)
        return _play(trial, kept, job, check)
    except RulesNeverActive as error:
        accepted = f"a tick that is played: {error.last} or before"
        raise InvalidDocument([("from", error.start, accepted)]) from error
    except BacktestTooLong as error:
        raise _too_much(f"{len(rules)} rules", f"{job.most_seconds:g} seconds") from error


async def _read_day(reader: Reader, rules: list[Rule], most: int) -> tuple[KeptDay, bool]:
    """Read the day of all metrics, or where those are too many, of those that the rules watch; tell which."""

    def is_watched(metric: Metric) -> bool:
        return any(rule.matches(metric) for rule in rules)

    try:
        return await read_kept_day(reader, most=most), True
    except TooManySamples as error:
        if any(rule.kind is Kind.RANK for rule in rules):
            accepted = f"{accept_less(f'{most:,} samples')}; a rank rule needs all metrics"
            raise InvalidDocument([("rules", str(error), accepted)]) from error
    try:
        return await read_kept_day(reader, is_watched, most), False
    except TooManySamples as error:
        raise _too_much(str(error), f"{most:,} samples") from error


def _too_much(asked: str, most: str) -> InvalidDocument:
    return InvalidDocument([("rules", asked, accept_less(most))])


def _deadline(most: float) -> Callable[[int], None]:
    """Return what raises `BacktestTooLong` when it is called later than `most` seconds from now."""
    end = time.monotonic() + most

    def check(_: int) -> None:
        if time.monotonic() > end:
            raise BacktestTooLong

    return check


def _play(trial: BacktestInput, kept: KeptDay, job: Job, check: Callable[[int], None]) -> str:
    others = make_variants(trial.rules, trial.interval) if job.sweep else []
    ticks = make_ticks(kept.samples, kept.sources, trial.interval, kept.until)
    played = play(ticks, trial, [other.rule for other in others], check)
    notes = [] if trial.is_whole else [RANK_OF_PART]
    if any(rule.kind is Kind.FROZEN for rule in trial.rules):
        notes.append(CLOCK_UNKNOWN)
    found = make_report(played, trial, others, [*notes, *job.notes], job.limit)
    for cell in [cell for rule in found["rules"] if rule["sweep"] for cell in rule["sweep"]["cells"]]:
        cell.update({name: exact_json.digits(str(number)) for name, number in cell.items()})
    alerts = [
        alert | {name: exact_json.digits(alert[name]) for name in ("value", "reference")} for alert in found["alerts"]
    ]
    return exact_json.dumps(found | {"alerts": alerts})
