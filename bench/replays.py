"""
Every recorded set of candles, played through the tick, against an independent exact recount from the files:
what the history holds, digit for digit; every deviation, coefficient of variation and hour mean, correctly
rounded; every rank. And how long it takes to play 20 pairs over 3 days.
"""

import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import cast

import uvloop
from aiohttp import ClientSession

from bench import processes, recordings, servers
from bench.recount import DAY, HOUR, MEASURES, MINUTE, Series, is_nearest, is_nearest_root, recorded
from bench.report import Figure, at_most
from v1.model import By, Measure, Metric
from v1.store import TickUnit, Writer, keys
from worker.sampling.recording import open_recording
from worker.sampling.replay import replay

EVERY = 15
"""Ticks from one recount to the next; the last tick of a recording is always one."""
LARGEST = "binance-spot-20210517"
SETS = (LARGEST, "binance-spot-20230322", "bittrex-20180201", "kucoin-spot-20230322")
MOST = 1000

Tally = Counter[str]
"""How much was compared, by kind, and under `wrong` how much of it differs."""


class Checked(Writer):
    """A writer that has every so many ticks recounted, right after they are committed."""

    series: Mapping[str, Series]
    last: int
    tally: Tally

    @asynccontextmanager
    async def open_tick(self, at: int) -> AsyncIterator[TickUnit]:
        async with super().open_tick(at) as unit:
            yield unit
            if at == self.last or at // MINUTE % EVERY == 0:
                await self._recount(at)

    async def _recount(self, at: int) -> None:
        here = {name: each for name, each in self.series.items() if each.between(at - DAY, at)}
        self.tally["ticks"] += 1
        for name, series in here.items():
            right = series.between(at - DAY, at)
            self._compare(
                "days of samples", await self.read_samples(Metric(name), at - DAY, at) == right, f"{name} at {at}"
            )
        for place, measure in enumerate(MEASURES):
            await self._recount_ranks(at, Measure(measure), place, here)
            await self._recount_means(at, Measure(measure), place, here)

    async def _recount_ranks(self, at: int, measure: Measure, place: int, here: Mapping[str, Series]) -> None:
        days = {name: series.count(place, at - DAY + 1, at + 1) for name, series in here.items()}
        days = {name: day for name, day in days.items() if day.n}
        variances: dict[By, dict[str, Fraction]] = {
            By.STDDEV: {name: day.variance for name, day in days.items()},
            By.CV: {name: day.relative_variance for name, day in days.items() if day.relative_variance is not None},
        }
        for by, exact in variances.items():
            ranking = await self.read_ranking(measure, by, 0, MOST)
            descending = sorted(exact.values(), reverse=True)
            told = {str(each.metric): each for each in ranking.places}
            self._compare("lists", told.keys() == exact.keys() and ranking.of == len(exact), f"{measure} {by} at {at}")
            for name in told.keys() & exact.keys():
                value, rank, samples = told[name].value, told[name].rank, told[name].samples
                where = f"{name} {measure} {by} at {at}: {told[name]}"
                self._compare("ranks", rank == descending.index(exact[name]) + 1 and samples == days[name].n, where)
                self._compare("deviations", is_nearest_root(value, exact[name]), where)

    async def _recount_means(self, at: int, measure: Measure, place: int, here: Mapping[str, Series]) -> None:
        hours = {name: series.count(place, at - HOUR, at) for name, series in here.items()}
        exact = {name: hour.mean for name, hour in hours.items() if hour.n}
        told = dict(
            cast("list[tuple[str, float]]", await self._redis.zrange(keys.mean(measure), 0, -1, withscores=True))
        )
        self._compare("lists", told.keys() == exact.keys(), f"means of {measure} at {at}")
        for name in told.keys() & exact.keys():
            self._compare("hour means", is_nearest(told[name], exact[name]), f"{name} {measure} at {at}: {told[name]}")

    def _compare(self, kind: str, is_right: bool, where: str) -> None:
        self.tally[kind] += 1
        if not is_right:
            self.tally["wrong"] += 1
            print(f"{kind}: {where}")


def measure() -> Iterator[Figure]:
    folders = [folder for folder in map(recordings.folder, SETS) if folder]
    for folder in folders:
        yield uvloop.run(_checked(folder))
    if folders and folders[0].name == LARGEST:
        yield uvloop.run(_timed(folders[0]))


async def _checked(folder: Path) -> Figure:
    recording, series = open_recording(folder), recorded(folder)
    tally: Tally = Counter()
    async with servers.running(next(servers.binaries())) as server:
        store = Checked(server.redis)
        store.series, store.last, store.tally = series, recording.last, tally
        await replay(recording, store, MINUTE, lambda _done, _of: None)
        with tempfile.TemporaryDirectory() as here, processes.api(Path(here), server.address) as url:
            await _history(url, series, recording.last, tally)
    compared = [f"{count:,} {kind}" for kind, count in tally.items() if kind not in ("wrong", "ticks")]
    return Figure(
        f"{folder.name}: {len(series)} pairs, {recording.candles:,} candles",
        f"{tally['wrong']} differ",
        "0 differ",
        tally["wrong"] == 0,
        f"{', '.join(compared)} at {tally['ticks']} ticks, every {EVERY}th and the last, on {server.name}",
    )


async def _history(url: str, series: Mapping[str, Series], last: int, tally: Tally) -> None:
    """Ask the API for the last day of everything, and compare it with the files."""
    async with ClientSession() as session:
        for name, each in series.items():
            right = each.between(last - DAY, last)
            for place, measure in enumerate(MEASURES):
                asked = f"{url}/v1/metrics/{name}/history?measure={measure}&format=csv&to={last}"
                async with session.get(asked) as answer:
                    lines = (await answer.text()).splitlines()
                is_right = lines[1:] == _lines(right, place)
                tally["histories over HTTP"] += 1
                if not is_right:
                    tally["wrong"] += 1
                    print(f"history: {asked}")


def _lines(samples: Sequence[tuple[int, tuple[str | None, ...]]], place: int) -> list[str]:
    return [f"{tick},{texts[place]}" for tick, texts in samples if texts[place] is not None]


async def _timed(folder: Path) -> Figure:
    """Play a set as a person would."""
    async with servers.running(next(servers.binaries())) as server:
        with tempfile.TemporaryDirectory() as here:
            began = perf_counter()
            processes.run(Path(here), "worker", "replay", str(folder), redis_url=server.address)
            took = perf_counter() - began
    how = f"`python -m worker replay`, from its start to its end, on {server.name}"
    return at_most("playing 20 pairs over 3 days", took, 30, " s", how)
