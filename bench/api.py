"""
Answers a second of the API, from one core, loaded by wrk from another: beside a bare ASGI function which sends the
same bytes through plain Hypercorn and through the API's own server, beside Prometheus, VictoriaMetrics and nginx with
the same samples, beside itself before it kept answers, by the size of the market, within limits, and from two
processes. Each 2 seconds with 16 connections (64 where two processes share them), what is compared in turn, three
rounds, medians. By processor time, answers are divided by what the servers used of it, Redis among them: on a machine
that does other things meanwhile, that says more.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import time
from typing import NamedTuple
from urllib.parse import urlsplit

import uvloop

from bench import bare, load, market, peers, processes, servers
from bench.load import AnswerRate, LoadTarget
from bench.recordings import ROOT
from bench.report import Figure, at_least, at_most, beside
from tests.support import servers as server_processes
from v1.model import DAY, HOUR, MINUTE, Metric
from v1.store import connect

METRICS = 500
LARGER = (10_000, 100_000)
RECENT = 2 * HOUR
"""Seconds of samples that a large market has. Its moments, ranks and means are those of the whole day."""
BASELINE = "2524e9e"
"""The commit before answers were kept."""
FILL_BASELINE = """
import asyncio
from sys import argv
from time import time
from bench import market
from v1.model import MINUTE
from v1.store import Writer, connect

async def fill(address, count):
    at = int(time()) // MINUTE * MINUTE
    async with connect(address, "bench", 60) as redis:
        await Writer(redis).open()
        await market.fill(redis, market.metrics(count), market.days(market.PAIRS, at, MINUTE), at)

asyncio.run(fill(argv[1], int(argv[2])))
"""
"""What that commit fills a store with by itself: it does not read what is written today."""
LIMIT = "1000000000/minute"
SPREAD = 64
"""Connections that two processes share."""
HELD = {"interval": HOUR}
"""Answers are good for an hour, so that it is measured how they are sent; ticks would end them every minute."""
PROMETHEUS, VICTORIA = "Prometheus", "VictoriaMetrics"
PEERS = {"identity": {PROMETHEUS: 2.0, VICTORIA: 1.15}, "gzip": {PROMETHEUS: 10.0, VICTORIA: 1.7}}
"""How many times as fast."""
RANKS = "/v1/ranks?limit=50"
PLAIN, OWN = "plain Hypercorn", "the API's own server"
"""What serves the bare function."""


class FilledStore(NamedTuple):
    """A Redis with a market in it."""

    folder: Path
    """Where measurements keep their files."""
    address: str
    names: Sequence[Metric]

    @property
    def history(self) -> str:
        return _make_history_path(self.names[0])

    def list_questions(self) -> dict[str, str]:
        """Return the paths that are asked for whatever the size of the market, by what they are of."""
        name = self.names[len(self.names) // 2]
        return {RANKS: RANKS, "one rank": f"/v1/metrics/{name}/rank", "one metric": f"/v1/metrics/{name}"}

    def make_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))


def measure() -> Iterator[Figure]:
    if not peers.is_installed("wrk"):
        yield beside("answers a second", "not measured", "wrk is not installed")
        return
    with load.pinned({load.LOADING}), fill_store(METRICS) as store:
        with serve_api(store, **HELD) as base:
            yield from _measure_kept(store, base)
            yield from _measure_peers(store, base)
            yield from _measure_edge(store, base)
            yield from _measure_questions(store, base)
            yield from _measure_ranking(store, base)
        yield from _measure_cold(store)
        yield from _measure_limits(store)
        with load.pinned({load.SERVING, load.LOADING}):
            yield from _measure_processes(store)
        with serve_api(store, **HELD) as base:
            small = {what: base + path for what, path in store.list_questions().items()}
            for count in LARGER:
                with fill_store(count, RECENT) as large, serve_api(large, **HELD) as other:
                    yield from _measure_questions(large, other, small)


def _measure_kept(store: FilledStore, base: str) -> Iterator[Figure]:
    codings = ("identity", "gzip", "zstd")
    answers = {f"/{coding}": load.fetch(base + store.history, coding) for coding in codings}
    with _serve_bare(store, answers) as others:
        for coding in codings:
            urls = {who: f"{other}/{coding}" for who, other in others.items()} | {"ours": base + store.history}
            rates = load.alternate({who: LoadTarget(url, coding) for who, url in urls.items()})
            how = f"1,440 points, {len(answers[f'/{coding}'].body):,} bytes"
            yield from _compare_bare(f"history of a day, kept, {coding}", rates, 0.9, how)


def _measure_peers(store: FilledStore, base: str) -> Iterator[Figure]:
    name = store.names[0]
    points = load.read_points(base + store.history)
    with ExitStack() as stack:
        urls = {}
        with _serving():
            if peers.is_installed("prometheus") and peers.is_installed("promtool"):
                urls[PROMETHEUS] = stack.enter_context(peers.running_prometheus(store.make_folder(), name, points))
            if peers.is_installed("victoria-metrics"):
                victoria = stack.enter_context(peers.running_victoria_metrics(store.make_folder(), {name: points}))
                urls[VICTORIA] = peers.make_export_address(victoria, name, points)
        for coding, wanted in PEERS.items():
            for url in urls.values():
                peers.check_answer(load.fetch(url, coding), coding, len(points))
            all_urls = {"ours": base + store.history, **urls}
            rates = load.alternate({who: LoadTarget(url, coding) for who, url in all_urls.items()})
            for peer, least in wanted.items():
                what, how = f"the same, {coding}, beside {peer}", "the same 1,440 samples of one series"
                yield _compare(what, rates, peer, least, how) if peer in rates else _miss(what, peer)


def _measure_edge(store: FilledStore, base: str) -> Iterator[Figure]:
    what = "the same through nginx, which keeps it, {}, beside a file that it sends"
    if not peers.is_installed("nginx"):
        yield _miss(what.format("identity and gzip"), "nginx")
        return
    codings = ("identity", "gzip")
    bodies = {coding: load.fetch(base + store.history, coding).body for coding in codings}
    with _serving(), peers.running_nginx(store.make_folder(), urlsplit(base).netloc, bodies) as edge:
        for coding in codings:
            kept, file = LoadTarget(edge + store.history, coding), LoadTarget(f"{edge}/file/{coding}")
            if load.fetch(kept.url, coding).body != load.fetch(file.url).body:
                raise RuntimeError("the file and the answer that nginx keeps differ")
            rates = load.alternate({"ours": kept, "file": file})
            yield _compare(what.format(coding), rates, "file", 0.8, "configured as `deploy/nginx` is")


def _measure_questions(store: FilledStore, base: str, small: Mapping[str, str] | None = None) -> Iterator[Figure]:
    """Measure short answers; beside those of a small market, where their addresses are given."""
    questions = store.list_questions()
    answers = {f"/{place}": load.fetch(base + path) for place, path in enumerate(questions.values())}
    with _serve_bare(store, answers) as others:
        for place, (what, path) in enumerate(questions.items()):
            urls = {who: f"{other}/{place}" for who, other in others.items()} | {"ours": base + path}
            if small:
                urls["small"] = small[what]
            rates = load.alternate({who: LoadTarget(url) for who, url in urls.items()})
            about = f"`{what}`" if what == RANKS else what
            size, market_size = f"{len(answers[f'/{place}'].body):,} bytes", f"{len(store.names):,} metrics"
            yield from _compare_bare(f"{about}, kept, {market_size}", rates, 0.85, size)
            if small:
                how = f"{_format(rates, 'small', 'ours')}, taking turns; {RECENT // HOUR} hours of samples a metric"
                yield at_most(
                    f"the same at {METRICS}, beside that", rates["small"].wall / rates["ours"].wall, 1.2, " x", how
                )


def _measure_ranking(store: FilledStore, base: str) -> Iterator[Figure]:
    what = f"`{RANKS}`, {METRICS} metrics, beside `sort_desc(stddev_over_time(price[24h]))` of {VICTORIA}"
    if not peers.is_installed("victoria-metrics"):
        yield _miss(what, VICTORIA)
        return
    series = {name: load.read_points(base + _make_history_path(name)) for name in store.names}
    newest = max(points[-1][0] for points in series.values())
    with _serving(), peers.running_victoria_metrics(store.make_folder(), series) as victoria:
        url = peers.make_ranking_address(victoria, newest)
        peers.check_answer(load.fetch(url), "identity", METRICS)
        rates = load.alternate({"ours": LoadTarget(base + RANKS), VICTORIA: LoadTarget(url)})
    yield _compare(what, rates, VICTORIA, 30, "the same samples")


def _measure_cold(store: FilledStore) -> Iterator[Figure]:
    script = load.write_script(store.make_folder() / "paths.lua", [_make_history_path(name) for name in store.names])
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        baseline = _unpack_baseline(Path(folder))
        urls = {
            "ours": stack.enter_context(serve_api(store, cache_bytes=0)),
            "without pieces": stack.enter_context(serve_api(store, cache_bytes=0, piece_bytes=0)),
        }
        if baseline:
            old = stack.enter_context(_fill_baseline(baseline, store.names))
            urls[BASELINE] = stack.enter_context(serve_api(old, baseline))
        for url in urls.values():  # what is read and encoded for the first who asks is no part of a later request
            for name in store.names:
                load.fetch(url + _make_history_path(name))
        for coding, least in (("identity", 5.0), ("gzip", None)):
            rates = load.alternate({who: LoadTarget(url, coding, script) for who, url in urls.items()})
            what = f"history of a day, not kept, each request another of {METRICS} metrics, {coding}"
            without = f"{rates['without pieces'].wall:,.0f} with `TRACKER_PIECE_BYTES=0`; each asked once before"
            if not baseline:
                yield beside(what, f"{rates['ours'].wall:,.0f} a second", f"{without}; commit {BASELINE} is not there")
            elif least is None:
                ratio = f"{rates['ours'].wall / rates[BASELINE].wall:.3g} x"
                yield beside(
                    f"{what}, beside commit {BASELINE}", ratio, f"{_format(rates, 'ours', BASELINE)}; {without}"
                )
            else:
                yield _compare(f"{what}, beside commit {BASELINE}", rates, BASELINE, least, without)


def _measure_limits(store: FilledStore) -> Iterator[Figure]:
    limits = {"rate_limit": LIMIT, "cost_limit": LIMIT}
    with serve_api(store, **HELD, **limits) as base, serve_api(store, **HELD) as other:
        answer = dict(load.fetch(base + store.history).headers)
        if "ratelimit" not in answer:
            raise RuntimeError("an answer within limits does not tell them")
        rates = load.alternate({"ours": LoadTarget(base + store.history), "off": LoadTarget(other + store.history)})
    yield _compare("the same, kept, limits on, beside limits off", rates, "off", 0.85, "requests and points, in Redis")


def _measure_processes(store: FilledStore) -> Iterator[Figure]:
    """
    Measure on all cores that this process may use; the load has the same ones.

    Kept answers cost so little that the load needs as much of the cores, and two processes have not the room for twice
    as many. So the answers that are not kept have a figure, too. The system spreads connections by chance: of 16 one
    process often gets 5 and waits for the load while the other has more than it can do.
    """
    script = load.write_script(store.make_folder() / "paths.lua", [_make_history_path(name) for name in store.names])
    for what, settings, path, lua in (
        ("kept", HELD, store.history, None),
        ("not kept, each request another", {"cache_bytes": 0}, "", script),
    ):
        one, two = store.make_folder(), store.make_folder()
        with (
            processes.api(two, store.address, api_processes=2, **settings) as base,
            processes.api(one, store.address, **settings) as other,
        ):
            rates = load.alternate(
                {
                    "ours": LoadTarget(base + path, script=lua, connections=SPREAD),
                    "one": LoadTarget(other + path, script=lua, connections=SPREAD),
                }
            )
        name = f"history of a day, {what}, two processes on two cores, beside one"
        yield _compare(name, rates, "one", 1.6, "the load has the same two cores")


@contextmanager
def fill_store(count: int, recent: int = DAY) -> Iterator[FilledStore]:
    """Run a Redis on the core that serves, with a market of so many metrics whose day ends now."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server = Path(folder) / "redis"
        server.mkdir()
        with _serving():
            address = stack.enter_context(server_processes.running(next(servers.binaries()), server))
        names, at = market.metrics(count), int(time()) // MINUTE * MINUTE
        uvloop.run(_fill(address, names, at, recent))
        yield FilledStore(Path(folder), address, names)


@contextmanager
def _fill_baseline(checkout: Path, names: Sequence[Metric]) -> Iterator[FilledStore]:
    """Run a Redis on the core that serves, with the same market as an earlier commit writes it."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        server = Path(folder) / "redis"
        server.mkdir()
        with _serving():
            address = stack.enter_context(server_processes.running(next(servers.binaries()), server))
        subprocess.run(
            [sys.executable, "-c", FILL_BASELINE, address, str(len(names))],
            cwd=checkout, env=processes.environment(checkout), check=True,
        )  # fmt: skip
        yield FilledStore(Path(folder), address, names)


async def _fill(address: str, names: Sequence[Metric], at: int, recent: int) -> None:
    async with connect(address, "bench", 60) as redis:
        await market.fill(redis, names, market.days(market.PAIRS, at, MINUTE), at, recent)


@contextmanager
def serve_api(store: FilledStore, checkout: Path = ROOT, /, **settings: object) -> Iterator[str]:
    """Serve from the core that serves; return the base of the addresses."""
    with ExitStack() as stack:
        with _serving():
            base = stack.enter_context(processes.api(store.make_folder(), store.address, checkout, **settings))
        yield base


@contextmanager
def _serve_bare(store: FilledStore, answers: Mapping[str, load.FetchedAnswer]) -> Iterator[dict[str, str]]:
    """Serve answers by a bare function; return the bases of the addresses by what serves it."""
    with ExitStack() as stack:
        with _serving():
            plain = stack.enter_context(bare.running_by_hypercorn(store.make_folder(), answers))
            own = stack.enter_context(bare.running(store.make_folder(), answers))
        yield {PLAIN: plain, OWN: own}


@contextmanager
def _serving() -> Iterator[None]:
    """Start on the core that serves what is started meanwhile."""
    with load.pinned({load.SERVING}):
        yield


def _unpack_baseline(folder: Path) -> Path | None:
    """Return a folder with the files of the baseline; `None` where this is no repository that has them."""
    command = ["git", "-C", str(ROOT), "archive", "--format=tar", BASELINE]
    try:
        archive = subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(folder, filter="data")
    return folder


def _make_history_path(name: Metric) -> str:
    return f"/v1/metrics/{name}/history"


def _compare(what: str, rates: Mapping[str, AnswerRate], other: str, least: float, how: str) -> Figure:
    ratio = rates["ours"].wall / rates[other].wall
    return at_least(what, ratio, least, " x", f"{_format(rates, 'ours', other)}; {how}")


def _compare_bare(what: str, rates: Mapping[str, AnswerRate], least: float, how: str) -> Iterator[Figure]:
    what = f"{what}, beside a bare ASGI function"
    yield _compare(f"{what} through {PLAIN}", rates, PLAIN, least, how)
    ratio = f"{rates['ours'].wall / rates[OWN].wall:.3g} x"
    yield beside(f"{what} through {OWN}", ratio, f"{_format(rates, 'ours', OWN)}; {how}")


def _format(rates: Mapping[str, AnswerRate], one: str, other: str) -> str:
    by_processor = rates[one].processor / rates[other].processor
    return f"{rates[one].wall:,.0f} and {rates[other].wall:,.0f} a second, {by_processor:.3g} x by processor time"


def _miss(what: str, program: str) -> Figure:
    return beside(what, "not measured", f"{program} is not installed")
