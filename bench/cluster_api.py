"""
Answers of the API on a cluster of six nodes beside those on one node, with the same market: kept ones, and ones that are
made anew for each request. The API runs on one core and is loaded from the other; the nodes run where there is room.

Both are loaded in turns, and each round is a ratio. That of the API's own processor time says what the client of a
cluster costs; in the one by wall the nodes, which share the cores, have a part.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import cast

import uvloop

from bench import api, load, market, peers, processes
from bench.load import LoadTarget
from bench.report import Figure, at_least, beside
from tests.support.cluster import ClusterShape, run_nodes
from v1.model import MINUTE
from v1.store import connect, keys
from worker.embedded.cluster.forming import form_cluster

METRICS = 500
PARTITIONS = 64
NODE_TIMEOUT_MS = 15_000
HOT, COLD = 0.8, 0.6
FORM_SECONDS = 90.0


def measure() -> Iterator[Figure]:
    if not peers.is_installed("wrk"):
        yield beside("answers on a cluster beside those on one node", "not measured", "wrk is not installed")
        return
    with load.pinned({load.LOADING}), api.fill_store(METRICS) as one, _fill_cluster(one) as cluster:
        with _serve_both(one, cluster, **api.HELD) as urls:
            yield from _compare(one, urls, "kept", HOT)
        # Nothing is kept, neither answers nor pieces of histories: each request asks the nodes.
        with _serve_both(one, cluster, cache_bytes=0, piece_bytes=0) as urls:
            yield from _compare(one, urls, "made anew", COLD)


def _compare(store: api.FilledStore, urls: Mapping[str, str], what: str, least: float) -> Iterator[Figure]:
    for name, path in {"history of a day": store.history, **store.list_questions()}.items():
        if len({load.fetch(url + path).body for url in urls.values()}) > 1:
            raise RuntimeError(f"{path} is answered differently")
        rounds = load.alternate_rounds({who: LoadTarget(url + path) for who, url in urls.items()})
        pairs = [*zip(rounds["cluster"], rounds["one node"], strict=True)]
        wall = [ours.wall / one.wall for ours, one in pairs]
        rates = ", ".join(f"{median(each.wall for each in rounds[who]):,.0f}" for who in ("cluster", "one node"))
        how = (
            f"{rates} a second on a cluster and on one node; by wall {_format_spread(wall)}, by processor time of the API "
            f"{_format_spread([ours.api / one.api for ours, one in pairs])}, with that of all nodes "
            f"{_format_spread([ours.processor / one.processor for ours, one in pairs])}; {name}"
        )
        yield at_least(f"`{path}` on a cluster, {what}, beside one node", median(wall), least, " x", how)


def _format_spread(ratios: Sequence[float]) -> str:
    """Write the ratios of the rounds as their median, their smallest and their largest."""
    return f"{median(ratios):.3g} x ({min(ratios):.3g} to {max(ratios):.3g})"


@contextmanager
def _serve_both(one: api.FilledStore, cluster: str, **settings: object) -> Iterator[dict[str, str]]:
    with ExitStack() as stack, load.pinned({load.SERVING}):
        yield {
            "cluster": stack.enter_context(processes.api(one.make_folder(), cluster, **settings)),
            "one node": stack.enter_context(processes.api(one.make_folder(), one.address, **settings)),
        }


@contextmanager
def _fill_cluster(one: api.FilledStore) -> Iterator[str]:
    """Run six nodes with the market in them; return their address."""
    with load.pinned({load.SERVING, load.LOADING}), run_nodes(ClusterShape(3, 3, NODE_TIMEOUT_MS)) as nodes:
        asyncio.run(form_cluster(nodes.addresses, 3, seconds=FORM_SECONDS))
        uvloop.run(_fill(nodes.url, one.address))
        yield nodes.url


async def _fill(address: str, other: str) -> None:
    """Put the same there that a market on one node has."""
    async with connect(other, "bench") as redis:
        ((_, newest),) = cast("list[tuple[str, float]]", await redis.zrange(keys.METRICS, -1, -1, withscores=True))
    at = int(newest)
    async with connect(address, "bench", 60, partitions=PARTITIONS) as redis:
        await market.fill_divided(redis, market.metrics(METRICS), market.days(market.PAIRS, at, MINUTE), at)
