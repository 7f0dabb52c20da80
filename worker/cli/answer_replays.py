"""The command `replay` for a folder of providers' answers: with what was sampled then, whatever the settings say now."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import AnyHttpUrl

from worker.cli.archive_parts import open_archiving
from worker.cli.process import hold_feeder_lease
from worker.cli.wiring import make_sources, open_rule_provider, open_store
from worker.latest import format_iso
from worker.reporting.progress import show_progress
from worker.sampling.answer_replay import replay_answers
from worker.sampling.pace import ReplayPace
from worker.settings import CCXT_SOURCE, SOURCES, WorkerSettings
from worker.settings.ccxt_names import find_exchange_ids, is_ccxt, split_source
from worker.settings.servers import find_kind
from worker.sources.answers.files import AnswerRecording, open_answers
from worker.sources.answers.lines import InvalidAnswers
from worker.sources.answers.player import AnswerPlayer, make_address, open_player
from worker.sources.base import WaitsForProvider
from worker.sources.supervised import supervise

ANSWER_SECONDS = 600.0
"""Every answer is there already: only a machine that does nothing else for so long keeps one from coming."""


def read_answers(folder: Path, typed: Mapping[str, str | None]) -> AnswerRecording:
    """Read a folder of answers. Raises `InvalidAnswers`, and `ValueError` for an option that answers cannot be played with."""
    for option, value in typed.items():
        if value is not None:
            raise ValueError(
                f"{option}: {value!r} is not accepted for answers of providers, which are of their own time and exchange"
            )
    recording = open_answers(folder)
    unknown = next((name for name in recording.header.sources if not _is_source(name)), None)
    if unknown is not None:
        raise InvalidAnswers(
            f"{folder}: is of a source {unknown!r}; accepted: {', '.join(SOURCES)}, and {CCXT_SOURCE} with the package ccxt"
        )
    return recording


def _is_source(name: str) -> bool:
    kind = find_kind(name)
    return kind in SOURCES or (is_ccxt(kind) and split_source(kind) in find_exchange_ids())


def apply_header(settings: WorkerSettings, recording: AnswerRecording) -> WorkerSettings:
    """Return the settings with what was sampled when the answers were kept, each source asked where they are played."""
    header = recording.header
    kinds = tuple(dict.fromkeys(map(find_kind, header.sources)))
    sampled = {"sources": kinds, "metrics": header.metrics}
    times = {"interval": header.interval, "jump_limit": header.jump_limit}
    addresses = {
        f"{kind}_url": tuple(AnyHttpUrl(make_address(name)) for name in header.sources if find_kind(name) == kind)
        for kind in kinds
    }
    known: dict[str, Any] = {name: found for name, found in addresses.items() if name in type(settings).model_fields}
    of_ccxt = [name for name in header.sources if is_ccxt(name)]
    known["ccxt_urls"] = tuple(f"{split_source(find_kind(name))}={make_address(name)}" for name in of_ccxt)
    return settings.model_copy(update={**sampled, **times, **known})


async def play_answers(settings: WorkerSettings, recording: AnswerRecording, pace: ReplayPace | None) -> None:
    """Play them into the store of the settings, and say what to type next."""
    then, player = apply_header(settings, recording), AnswerPlayer()
    made = make_sources(then)
    for source in made:
        if isinstance(source, WaitsForProvider):
            source.skip_waits()
    async with (
        open_store(then, send=False, push=pace is not None) as store,
        hold_feeder_lease(store, wait=False),
        open_archiving(then, store) as archived,
        open_rule_provider(then, is_live=False) as rules,
        open_player(player) as session,
    ):
        await archived.archive.open()
        await rules.read()
        _print_begin(recording)
        began = time.monotonic()
        with (
            supervise([(source, session) for source in made], ANSWER_SECONDS) as sources,
            show_progress("replaying") as seen,
        ):
            ticks = await replay_answers(recording, player, sources, store, seen, archived.rollup, rules, pace)
            metrics = sorted(metric for source in sources for metric in source.given)
        print(f"played {ticks} ticks in {time.monotonic() - began:.1f} s", file=sys.stderr)
    if metrics:
        path = f"http://{settings.bind}/v1/metrics/{metrics[0]}/history"
        print(f"next: scripts/start-api.sh, then curl {path}", file=sys.stderr)


def _print_begin(recording: AnswerRecording) -> None:
    header = recording.header
    span = f"{format_iso(recording.first)} to {format_iso(recording.last)}"
    print(
        f"playing {recording.answers} answers of {', '.join(header.sources)}, {recording.ticks} ticks, {span}, "
        f"kept by version {header.version}",
        file=sys.stderr,
    )
