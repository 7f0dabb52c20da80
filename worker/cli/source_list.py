"""The command `sources`: what each source can give, which are sampled, and the markets that a provider has."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer

from worker.cli.process import exit_with, read_settings, run_until_done
from worker.cli.wiring import LONGEST_TIMEOUT, list_source_addresses, make_sources, open_sources
from worker.clock.wall import WatchedClock
from worker.latest import DAY, HOUR, Metric
from worker.reporting.steps import CommandRefused
from worker.reporting.terminal import print_line
from worker.settings import CCXT_SOURCE, SOURCES, WorkerSettings
from worker.settings.ccxt_names import EXTRA, PREFIX, find_exchange_ids, is_ccxt, split_source
from worker.settings.servers import find_kind
from worker.sources.base import DescribesItself, Source, SourceProfile, make_wish_filter
from worker.sources.pair_names import find_pair, suggest_nearest

CRYPTOWATCH = "cryptowatch"


def list_command(
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="One of them: its markets are listed.", show_default=False)
    ] = None,
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="Only markets with this in their name.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of lines.")] = False,
) -> None:
    """List what each source can give, or the markets of one, from its provider; TEXT chooses among them."""
    settings = read_settings()
    if source is None:
        for line in [_format_json(settings)] if as_json else _describe_all(settings):
            print_line(line)
        return
    if not is_source(source):
        exit_with(explain_unknown(source), 2)
    if source == CRYPTOWATCH and settings.cryptowatch_url is None:
        exit_with(
            "TRACKER_CRYPTOWATCH_URL is not set: Cryptowatch closed in 2023, name a server that answers like it", 2
        )
    run_until_done(_list_markets(settings, source, text or "", as_json=as_json))


def is_source(name: str) -> bool:
    return name in SOURCES or (is_ccxt(name) and split_source(name) in find_exchange_ids())


def explain_unknown(name: str) -> str:
    """Say what is accepted instead of a name that is no source."""
    ids = find_exchange_ids()
    if is_ccxt(name) and not ids:
        return f"{name!r} needs the package ccxt, which is not installed; type: {EXTRA}"
    known = [*SOURCES, *(f"{PREFIX}{each}" for each in ids)]
    near = suggest_nearest(name, known) or suggest_nearest(f"{PREFIX}{name}", known)
    return f"{name!r} is not a source; accepted: {', '.join(SOURCES)}, {CCXT_SOURCE}{near}"


# ---- what each can give ------------------------------------------------------------------------------------------


def _make_all(settings: WorkerSettings) -> list[Source]:
    """Return every source there is, also those that are not sampled; of ccxt's those that are. Nobody is asked."""
    kinds = tuple(dict.fromkeys([*SOURCES, *settings.sources]))
    made = make_sources(settings.model_copy(update={"sources": kinds}))
    return [source for source in made if find_kind(source.name) == source.name]


def _describe_all(settings: WorkerSettings) -> Iterator[str]:
    for source in _make_all(settings):
        yield from _describe_source(source, settings)
    yield from _describe_ccxt()
    yield "next: scripts/start-worker.sh sources SOURCE [TEXT] lists the markets of one"


def _describe_ccxt() -> Iterator[str]:
    """Say which exchanges ccxt has beside these."""
    ids = find_exchange_ids()
    yield f"{CCXT_SOURCE}: {f'any of {len(ids)} exchanges of ccxt' if ids else 'ccxt is not installed'}"
    yield _format_line("markets" if ids else "next", ", ".join(ids) or EXTRA)


def _describe_source(source: Source, settings: WorkerSettings) -> Iterator[str]:
    wishes = _list_wishes(source, settings)
    yield f"{source.name}: {f'sampled: {chr(44).join(wishes)}' if wishes else 'not sampled'}"
    if not isinstance(source, DescribesItself):
        yield _format_line("about", "it does not say what it can give")
        return
    profile, address = source.profile, _find_address(source.name, settings)
    if address:
        yield _format_line("address", address)
    yield _format_line(
        "markets", "of every exchange that the server has" if profile.exchange == "*" else f"{profile.exchange}:*"
    )
    yield _format_line("measures", ", ".join(profile.measures))
    yield _format_line("history", _format_history(profile))
    yield _format_line("requests", profile.requests)
    yield _format_line("limits", profile.limits)
    yield _format_line("stream", profile.stream)


def _format_json(settings: WorkerSettings) -> str:
    described = []
    for source in _make_all(settings):
        wishes = _list_wishes(source, settings)
        known: dict[str, Any] = {
            "source": source.name,
            "sampled": wishes,
            "address": _find_address(source.name, settings),
        }
        if isinstance(source, DescribesItself):
            profile = source.profile
            known |= {"exchange": profile.exchange, "measures": [*profile.measures]}
            known |= {"minutes_seconds": profile.minutes, "hours_seconds": profile.hours}
            known |= {"history": profile.history} if profile.history is not None else {}
            known |= {"requests": profile.requests, "limits": profile.limits, "stream": profile.stream}
        described.append(known)
    return json.dumps(described, ensure_ascii=False, indent=1)


def _list_wishes(source: Source, settings: WorkerSettings) -> list[str]:
    """Return what the settings sample of a source; nothing where it is not among those that are asked."""
    if source.name not in settings.sources:
        return []
    exchange = source.profile.exchange if isinstance(source, DescribesItself) else source.name.upper()
    return [wish for wish in settings.metrics if "*" in (exchange, wish) or wish.partition(":")[0] == exchange]


def _find_address(name: str, settings: WorkerSettings) -> str | None:
    """Return where a source is asked; of several servers all, commas between."""
    return ", ".join(list_source_addresses(settings.model_copy(update={"sources": (name,)})).values()) or None


def _format_history(profile: SourceProfile) -> str:
    if profile.history is not None:
        return profile.history
    minutes = f"candles of a minute {_format_reach(profile.minutes)}"
    return f"{minutes}, {'none of an hour' if profile.hours == 0 else f'of an hour {_format_reach(profile.hours)}'}"


def _format_reach(seconds: int | None) -> str:
    if seconds is None:
        return "from a market's first day on"
    days = seconds >= 2 * DAY
    return f"for {seconds / (DAY if days else HOUR):.3g} {'days' if days else 'hours'}"


def _format_line(name: str, text: str) -> str:
    return f"  {name:<9} {text}"


# ---- the markets of one ------------------------------------------------------------------------------------------


async def _list_markets(settings: WorkerSettings, name: str, text: str, *, as_json: bool) -> None:
    everything = settings.model_copy(update={"sources": (name,), "metrics": ("*",)})
    async with open_sources(everything, LONGEST_TIMEOUT, WatchedClock()) as (source, *_):
        await source.open(int(time.time()))
        if not source.is_known:
            state = source.describe_state()
            raise CommandRefused(f"{state['reason']}; {state['advice']}")
        # Of everything nothing is missing but what there is no room for at this interval.
        known = sorted({*source.metrics, *source.missing})
    found = choose_markets(known, text)
    if not found:
        pairs = [find_pair(metric) for metric in known]
        raise CommandRefused(f"{name} has no market with {text!r} in its name{suggest_nearest(text.upper(), pairs)}")
    sampled = _choose_sampled(found, name, settings)
    if as_json:
        print_line(
            json.dumps([{"metric": each, "sampled": each in sampled} for each in found], ensure_ascii=False, indent=1)
        )
        return
    for each in found:
        print_line(f"{each}  sampled" if each in sampled else each)
    print(f"{len(found):,} of {len(known):,} markets of {name}, {len(sampled):,} sampled", file=sys.stderr)
    print(f"next: TRACKER_SOURCES={name} TRACKER_METRICS={found[0]} scripts/start.sh", file=sys.stderr)


def choose_markets(known: Sequence[Metric], text: str) -> list[Metric]:
    """Return those with every word of `text` in their name, in whatever case."""
    words = text.upper().split()
    return [metric for metric in known if all(word in metric for word in words)]


def _choose_sampled(metrics: Sequence[Metric], name: str, settings: WorkerSettings) -> frozenset[Metric]:
    if name not in settings.sources:
        return frozenset()
    return frozenset(
        metric
        for exchange in {metric.partition(":")[0] for metric in metrics}
        for is_wished in [make_wish_filter(settings.metrics, exchange)]
        for metric in metrics
        if metric.startswith(f"{exchange}:") and is_wished(metric.partition(":")[2])
    )
