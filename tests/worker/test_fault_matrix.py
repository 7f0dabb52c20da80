"""
What goes wrong with a provider, one row a fault: what is said, what is lost, and when it is over.

Each fault happens for three ticks to a provider that answers over loopback as Kraken does, while a sampler and its
backfill run as they do in the worker. `docs/explanation/faults.md` shows the rows; `WRITE_FAULTS=1` renews it.
"""

import asyncio
import inspect
import json
import os
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import ClientSession, TCPConnector, web
from aiohttp.abc import AbstractResolver, ResolveResult
from redis.asyncio import Redis

from tests.support.invented import NOON, Beats
from tests.support.loopback.faults import ASKED, FAULTS, Fault, hang, injected, page, reset, says
from tests.support.loopback.kraken import Kraken
from tests.support.loopback.recordings import recordings
from tests.support.shared import shared
from worker.backfill.service import BackfillService
from worker.latest import MINUTE, Metric
from worker.latest.store import Writer
from worker.sampling.rule_provider import FixedRules
from worker.sampling.sampler import Sampler
from worker.sources.kraken import KrakenSource
from worker.sources.supervised import SupervisedSource
from worker.sources.wishes import SourceReport

BTC, ETH = Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD")
KEY = "XXBTZUSD"
TICKER, PAIRS, CANDLES = (f"/0/public/{name}" for name in ("Ticker", "AssetPairs", "OHLC"))
HOST = "provider.test"
BEFORE, DURING = 2, 3
"""Ticks without the fault, and with it."""
SHORT, LONG = 0.4, 30.0
"""Seconds that an answer may take: of one that must not come, and of one that must."""
PAGE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "faults.md"
MARKS = re.compile(r"(<!-- faults -->\n).*?(<!-- end of faults -->)", re.DOTALL)


class Names(AbstractResolver):
    """Resolves every name to this machine, unless it is told not to know any."""

    knows = True

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:  # noqa: ARG002  # the contract's
        if not self.knows:
            raise OSError(-2, "Name or service not known")
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=2, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing is held."""


class Provider:
    """Kraken on loopback, with a switch for each way in which it may fail."""

    def __init__(self, beats: Callable[[], float]) -> None:
        self.kraken = Kraken(recordings(shared("recorded")), beats)
        self.app = web.Application(middlewares=[injected])
        self.app[FAULTS], self.app[ASKED] = {}, []
        self.app.add_routes(self.kraken.routes())
        self.names = Names()
        self._runner = web.AppRunner(self.app, shutdown_timeout=0.1)
        self._site: web.TCPSite | None = None
        self.port = 0

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        if not self._runner.server:
            await self._runner.setup()
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=tls, reuse_address=True)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Refuse every connection."""
        if self._site is not None:
            await self._site.stop()
            self._site = None

    async def end(self) -> None:
        await self._runner.cleanup()

    def fail(self, fault: Fault, *paths: str) -> None:
        self.app[FAULTS].update(dict.fromkeys(paths or (TICKER, PAIRS, CANDLES), fault))

    def heal(self) -> None:
        self.app[FAULTS].clear()
        self.names.knows = True


class Worker:
    """A sampler of one provider and its backfill, by a clock that the test moves."""

    def __init__(self, provider: Provider, session: ClientSession, store: Writer) -> None:
        self.provider, self.store = provider, store
        self.beats = Beats()
        self.now = NOON
        source = KrakenSource(f"http://{HOST}:{provider.port}", [BTC, ETH], MINUTE)
        self.source = SupervisedSource(source, session, timeout=LONG)
        self.report = SourceReport([self.source], [BTC, ETH])
        self.backfill = BackfillService(
            sources=[self.source], store=store, interval=MINUTE, clock=lambda: self.now, report=self.report, sleep=_briefly
        )  # fmt: skip
        self.sampler = Sampler(
            sources=[self.source], store=store, interval=MINUTE, rules=FixedRules(), report=self.report,
            backfill=self.backfill, sleep=_briefly,
        )  # fmt: skip

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async def run() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self.backfill.run())
                tasks.create_task(self.sampler.run(NOON, aiter(self.beats)))

        task = asyncio.create_task(run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def pass_tick(self) -> None:
        self.now += MINUTE
        self.beats.beat(self.now)
        await until(lambda: self.sampler._newest >= self.now)

    async def list_ticks(self, metric: Metric = BTC) -> list[int]:
        """Return the minutes since noon that have a sample."""
        return [(each.tick - NOON) // MINUTE for each in await self.store.read_samples(metric, NOON, self.now)]


async def _briefly(_seconds: float) -> None:
    await asyncio.sleep(0.001)


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.002)


# ---- faults -------------------------------------------------------------------------------------------------

Begin = Callable[[Worker], Awaitable[None] | None]
Edit = Callable[[dict[str, Any], Worker], None]


def answers(fault: Fault, *paths: str) -> Begin:
    return lambda worker: worker.provider.fail(fault, *paths)


async def refuse(worker: Worker) -> None:
    await worker.provider.stop()


def forget_name(worker: Worker) -> None:
    worker.provider.names.knows = False


async def speak_tls(worker: Worker) -> None:
    """Have a server that knows TLS alone where HTTP was before."""
    await worker.provider.stop()
    await worker.provider.start(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))


def edits(edit: Edit, headers: Mapping[str, str] | None = None) -> Begin:
    """Change the ticker of bitcoin, and nothing else of the answer."""

    def begin(worker: Worker) -> None:
        async def fault(request: web.Request) -> web.Response:
            answer = await worker.provider.kraken.ticker(request)
            body = json.loads(answer.text or "")
            edit(body["result"], worker)
            said = {"Last-Modified": answer.headers["Last-Modified"]} | dict(headers or {})
            return web.json_response(body, headers=said)

        worker.provider.fail(fault, TICKER)

    return begin


def sets(field: str, value: Any) -> Begin:
    def edit(result: dict[str, Any], _: Worker) -> None:
        result[KEY][field] = value

    return edits(edit)


def drops(result: dict[str, Any], _: Worker) -> None:
    del result[KEY]


def multiplies(result: dict[str, Any], worker: Worker) -> None:
    """Make the price a hundred times as much, at the first tick alone."""
    if worker.now == NOON + (BEFORE + 1) * MINUTE:
        row = result[KEY]
        for field in ("c", "p", "l", "h"):
            row[field] = [f"{float(text) * 100:.5f}" for text in row[field]]


def swaps(result: dict[str, Any], _: Worker) -> None:
    """Have last price and volume change their places."""
    row = result[KEY]
    row["c"], row["v"] = row["v"][:1] * 2, row["c"][:1] * 2


def doubles(result: dict[str, Any], _: Worker) -> None:
    """Have bitcoin a second time, by another of its names, at another price."""
    result["XBTUSD"] = result[KEY] | {"c": ["1.0", "1"]}


async def drip(request: web.Request) -> web.StreamResponse:
    """Send a byte now and then, and never all."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    with suppress(ConnectionError):
        for _ in range(10_000):
            await response.write(b" ")
            await asyncio.sleep(0.02)
    return response


async def truncate(request: web.Request) -> web.StreamResponse:
    """Promise more than is sent."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"error":[],"result":{')
    if request.transport:
        request.transport.close()
    return response


async def flood(request: web.Request) -> web.StreamResponse:
    """Send a hundred million bytes, or as many as are taken."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    with suppress(ConnectionError):
        for _ in range(100):
            await response.write(b" " * 1_000_000)
    return response


async def mislabel(_: web.Request) -> web.Response:
    return web.Response(body=b"not gzip", headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})


async def turn_in_circles(request: web.Request) -> web.Response:
    raise web.HTTPMovedPermanently(request.path)


def empty(status: int = 200) -> Fault:
    async def fault(_: web.Request) -> web.Response:
        return web.Response(status=status, content_type="application/json")

    return fault


def freezes(worker: Worker) -> None:
    """Send the first answer of the fault again and again, as a cache does that nobody empties."""
    kept: list[tuple[str, str]] = []

    async def fault(request: web.Request) -> web.Response:
        if not kept:
            answer = await worker.provider.kraken.ticker(request)
            kept.append((answer.text or "", answer.headers["Last-Modified"]))
        return web.Response(text=kept[0][0], content_type="application/json", headers={"Last-Modified": kept[0][1]})

    worker.provider.fail(fault, TICKER)


class Row(NamedTuple):
    """One fault, and what becomes of it."""

    fault: str
    """In the words of the page."""
    begin: Begin
    said: str
    """What is said of the source; of a reading that is left out, its reason; of a market, its state. Empty: nothing."""
    is_slow: bool = False
    """Whether the answer has to be waited for."""
    waits: int = 0
    """Ticks after the fault's end until a sample comes live, because the provider is left alone so long."""
    sampled: int = 0
    """Ticks of the three that have a live sample in spite of it."""
    is_of_one: bool = False
    """Whether bitcoin alone is concerned."""


NOT_READ = "kraken sent an unexpected answer: "
ROWS = [
    Row("connection refused", refuse, "kraken did not answer: ClientConnectorError"),
    Row("connection reset", answers(reset()), "kraken did not answer: ServerDisconnectedError"),
    Row("no answer", answers(hang(), TICKER), "kraken took longer than 0.4 s", is_slow=True),
    Row("an answer byte by byte, without an end", answers(drip, TICKER), "kraken took longer than 0.4 s", is_slow=True),
    Row("name not found", forget_name, "kraken did not answer: ClientConnectorDNSError"),
    Row("another protocol at its port", speak_tls, "kraken did not answer: "),
    Row("301 to itself", answers(turn_in_circles), "kraken answered with redirects only, "),
    Row("400", answers(page(400)), "kraken answered 400"),
    Row("403", answers(page(403)), "kraken answered 403"),
    Row("404", answers(page(404)), "kraken answered 404"),
    Row("418", answers(page(418)), "kraken answered 418"),
    Row("429 without `Retry-After`", answers(empty(429)), "kraken answered 429; retry after ", waits=1),
    Row("429 with `Retry-After: 90`", answers(says({}, 429, Retry_After="90")), "kraken answered 429; retry after 90 s", waits=1),
    Row("500", answers(page(500)), "kraken answered 500"),
    Row("502 with a web page", answers(page(502)), "kraken answered 502"),
    Row("503", answers(page(503)), "kraken answered 503"),
    Row("an answer that is cut off", answers(truncate), "kraken did not answer: ClientPayloadError"),
    Row("an answer that is not packed as it says", answers(mislabel), "kraken sent an answer that is not gzip, although its header says so"),
    Row("an empty answer", answers(empty()), NOT_READ),
    Row("an answer of 100 MB", answers(flood), f"{NOT_READ}ValueError: it has more than 67,108,864 bytes"),
    Row("a web page with 200", answers(page()), NOT_READ),
    Row("an error inside 200", answers(says({"error": ["EService:Unavailable"]})), "kraken answered 'EService:Unavailable' to "),
    Row("too often, inside 200", answers(says({"error": ["EGeneral:Too many requests"]})), "kraken answered 'EGeneral:Too many requests' to ", waits=1),
    Row("null", answers(says("null")), NOT_READ),
    Row("a list instead of an object", answers(says([])), NOT_READ),
    Row("`null` for one price", sets("c", None), "missing price", is_of_one=True),
    Row("words for one price", sets("c", ["much", "1"]), "unreadable price", is_of_one=True),
    Row("NaN", sets("c", ["NaN", "1"]), "unreadable price", is_of_one=True),
    Row("a negative price", sets("c", ["-5", "1"]), "negative price", is_of_one=True),
    Row("a price of zero", sets("c", ["0", "1"]), "dead market", is_of_one=True),
    Row("a negative volume", sets("v", ["-1", "-1"]), "negative volume", sampled=3, is_of_one=True),
    Row("a price 100 times as high, once", edits(multiplies), "unconfirmed jump", sampled=2, is_of_one=True),
    Row("price and volume in each other's place", edits(swaps), "unconfirmed jump", sampled=2, waits=1, is_of_one=True),
    Row("a metric twice, at two prices", edits(doubles), "", sampled=3, is_of_one=True),
    Row("a metric that is missing", edits(drops), "not in the answer", is_of_one=True),
    Row("the same answer again and again", freezes, "frozen: the provider's time stands still at ", sampled=3),
]  # fmt: skip


@pytest.fixture
async def worker(fake: Redis) -> AsyncIterator[Worker]:
    box: list[Worker] = []
    provider = Provider(lambda: box[0].now if box else NOON)
    await provider.start()
    connector = TCPConnector(resolver=provider.names, use_dns_cache=False, force_close=True)
    async with ClientSession(connector=connector) as session:
        box.append(Worker(provider, session, Writer(fake)))
        yield box[0]
    await provider.end()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.fault)
async def test_a_fault_is_said_costs_what_it_must_and_is_healed(worker: Worker, row: Row):
    async with worker.running():
        for _ in range(BEFORE):
            await worker.pass_tick()
        await break_for_a_while(worker, row)
        state, during, others = worker.source.describe_state(), await worker.list_ticks(), await worker.list_ticks(ETH)
        note = (await worker.store.read_market_notes()).get(BTC)
        waited = await heal(worker)
        await wait_until_whole(worker)

    said = [state["reason"] or "", *state["rejects"], *([f"{note.state}: {note.reason}"] if note else [])]
    is_failing = not row.is_of_one and row.sampled == 0
    assert [each for each in said if each.startswith(row.said)] if row.said else said == [""], said
    assert state["state"] == ("failing" if is_failing else "ok")
    assert len(during) == BEFORE + row.sampled
    assert len(others) == (BEFORE + DURING if row.is_of_one else len(during))
    # A wait that is doubled at each refusal follows from how often the backfill was refused meanwhile, too.
    assert waited in ((0, row.waits) if row.said.endswith(("after ", "to ")) else (row.waits,))
    assert worker.source.describe_state()["state"] == "ok"


async def break_for_a_while(worker: Worker, row: Row) -> None:
    worker.source._timeout = SHORT if row.is_slow else LONG
    if inspect.isawaitable(begun := row.begin(worker)):
        await begun
    for _ in range(DURING):
        await worker.pass_tick()


async def heal(worker: Worker) -> int:
    """End the fault; return how many ticks had no live sample after it."""
    await worker.provider.stop()
    await worker.provider.start()
    worker.provider.heal()
    worker.source._timeout = LONG
    for waited in range(10):
        await worker.pass_tick()
        if (await worker.list_ticks())[-1] == (worker.now - NOON) // MINUTE:
            return waited
    raise AssertionError("no sample came for ten ticks")


async def wait_until_whole(worker: Worker) -> None:
    """Wait until every minute since noon has its sample."""
    worker.backfill.request()
    expected = list(range(1, (worker.now - NOON) // MINUTE + 1))
    async with asyncio.timeout(60):
        while await worker.list_ticks() != expected:
            await asyncio.sleep(0.01)


# ---- what other tests show, and the page --------------------------------------------------------------------


class OtherRow(NamedTuple):
    """A fault whose test is elsewhere."""

    fault: str
    said: str
    lost: str
    healed: str
    test: str
    """Module below `tests`, and function."""


SAMPLER, AWAY, CLOCK = "worker.sampling.test_sampler", "v1.store.test_away", "worker.test_wrong_clock"
ON_CLUSTER, TOPOLOGY, CHECKED = (
    "v1.routes.test_on_cluster",
    "v1.store.cluster.test_topology",
    "v1.store.test_cluster_check",
)
SHARED = "worker.sampling.sharing"
OTHERS = [
    OtherRow("older than the last answer, by the provider's own time", "the reason and both times, at `/v1/sources/{source}/rejects`", "nothing", "by the next newer answer", "worker.sampling.test_reading_checks:test_an_answer_that_is_older_than_the_last_is_left_out_and_the_next_newer_one_is_not"),
    OtherRow("of the future, by the provider's own time", "the reason and both times, at `/v1/sources/{source}/rejects`", "nothing", "by the next answer of now", "worker.sampling.test_reading_checks:test_a_time_that_the_provider_cannot_know_yet_is_left_out"),
    OtherRow("the provider's list of markets is not answered", "the reason", "nothing", "at the next tick", "worker.test_watched:test_an_opening_that_fails_is_tried_again_at_the_next_tick"),
    OtherRow("a market is gone from the list, and comes back", "the metric, with the reason", "what was not traded", "within 5 minutes of its return", "worker.test_watched:test_where_a_market_is_missing_it_is_asked_for_every_five_minutes_until_it_is_back"),
    OtherRow("the clock jumps two days ahead, and back", "the clock and by how much", "the ticks between", "at the next tick", f"{CLOCK}:test_a_clock_that_jumps_two_days_ahead_and_back_costs_the_ticks_between_and_nothing_else"),
    OtherRow("the clock was ahead, and is set back", "what is dropped", "ticks of the future", "at the start", f"{CLOCK}:test_ticks_of_the_future_are_dropped_at_the_start_where_a_provider_confirms_the_clock"),
    OtherRow("the machine was suspended", "the ticks that were skipped", "nothing: filled from candles", "at the next tick", f"{SAMPLER}:test_beats_that_were_skipped_are_told_and_filled"),
    OtherRow("the worker was dead for 37 minutes", "the newest tick and its age", "nothing: filled from candles", "at its start", f"{SAMPLER}:test_after_a_worker_was_dead_for_37_minutes_no_hole_remains"),
    OtherRow("the worker is killed while Redis is away", "what waits in files", "nothing", "when Redis is back", f"{SAMPLER}:test_ticks_that_a_killed_worker_left_in_files_are_committed_by_the_next"),
    OtherRow("the worker is cut off within a commit", "nothing", "nothing: a tick is whole or not there", "at its start", f"{SAMPLER}:test_cut_off_in_the_middle_of_a_commit_and_started_again_everything_still_follows_from_the_samples"),
    OtherRow("two workers", "who has the lease", "nothing", "15 s after the first ends", "worker.sampling.test_lease:test_and_when_the_lease_of_the_first_runs_out"),
    OtherRow("Redis refuses connections", "Redis is away, since when", "nothing", "when it is back", f"{SAMPLER}:test_a_redis_that_is_away_at_the_start_is_waited_for"),
    OtherRow("Redis is killed", "Redis is away, since when", "nothing", "when it is back", f"{SAMPLER}:test_redis_killed_and_restarted_while_sampling_every_second_costs_no_tick"),
    OtherRow("Redis does not answer", "Redis is away, since when", "nothing", "when it answers", f"{SAMPLER}:test_a_redis_that_hangs_costs_no_tick"),
    OtherRow("Redis forgot what it had taken", "nothing", "nothing: committed again", "at once", f"{SAMPLER}:test_what_redis_had_said_yes_to_and_forgot_is_committed_again"),
    OtherRow("Redis lost everything", "how far the fill is", "nothing of the day: filled from candles", "at the next tick", f"{SAMPLER}:test_what_redis_lost_is_filled_from_candles"),
    OtherRow("Redis takes no writes: a replica", "Redis's own words", "nothing", "when it takes them", f"{AWAY}:test_a_replica_that_takes_no_writes_is_away"),
    OtherRow("Redis's memory is full", "Redis's own words", "nothing", "when there is room", f"{AWAY}:test_a_full_memory_is_away_and_the_same_tick_later_leaves_no_trace_of_it"),
    OtherRow("Redis fails over to another server", "nothing", "nothing", "at the next try", "v1.store.test_failover:test_after_a_failover_the_next_try_reaches_the_new_primary"),
    OtherRow("the disk is full while ticks wait in files", "how many ticks were dropped", "the oldest of them, until filled from candles", "when there is room", "worker.sampling.test_tick_journal:test_a_disk_that_takes_no_more_costs_the_oldest_and_never_the_newest"),
    OtherRow("a cluster: a primary is killed", "how many partitions are away", "nothing", "when its replica serves, after 1.3 to 1.8 node timeouts", f"{ON_CLUSTER}:test_a_killed_primary_is_503_for_a_while_and_no_answer_is_wrong"),
    OtherRow("a cluster: a primary is killed that its replica was behind", "what a failover forgot", "nothing: committed again", "when its replica serves", "v1.store.test_forgotten:test_what_a_killed_primary_had_acknowledged_and_no_replica_has_is_committed_again"),
    OtherRow("a cluster: a primary and its replicas are gone", "how many partitions are away; the others are answered", "nothing: ticks wait", "when one of them is back", f"{ON_CLUSTER}:test_while_a_part_is_away_health_says_so_and_its_questions_are_503_with_retry_after"),
    OtherRow("a cluster: a primary stands still", "Redis is away, since when", "nothing", "when its replica serves, or it goes on", "worker.embedded.test_cluster:test_a_primary_that_stands_still_is_replaced_and_follows_when_it_goes_on"),
    OtherRow("a cluster: a replica is behind", "nothing", "nothing: it is not read until it is not", "all the time", "v1.store.cluster.test_replicas:test_a_replica_that_stands_still_is_not_read_after_a_change_until_it_has_it"),
    OtherRow("a cluster: a replica is killed", "nothing", "nothing", "all the time", "v1.store.cluster.test_replicas:test_a_killed_replica_fails_no_read"),
    OtherRow("a cluster: slots move to another node", "nothing", "nothing", "at the next try", f"{TOPOLOGY}:test_a_slot_that_has_moved_is_found_at_the_next_try"),
    OtherRow("a cluster: slots that no node has", "which; no worker starts", "nothing is kept", "when a node has them", f"{CHECKED}:test_nodes_that_are_no_cluster_yet_or_lack_slots_are_refused"),
    OtherRow("a cluster: another database than 0", "the setting; no worker starts", "nothing", "when the setting is right", f"{CHECKED}:test_another_database_of_a_cluster_is_refused"),
    OtherRow("a cluster: another number of partitions than the data has", "both numbers; no worker starts", "nothing", "when the setting is right", f"{TOPOLOGY}:test_another_number_of_partitions_than_the_data_has_is_refused_in_words"),
    OtherRow("several workers: one is killed", "how many partitions have no worker", "nothing", "when its leases have run out", f"{SHARED}.test_shared_ticks:test_a_worker_that_is_killed_before_any_of_its_steps_loses_nothing"),
    OtherRow("several workers: the one that hands out ticks is killed", "nothing", "nothing of what was handed out, nor of what others asked meanwhile; the rest is filled from candles", "when its lease has run out", f"{SHARED}.test_shared_ticks:test_whoever_hands_out_ticks_and_is_killed_before_any_step_loses_nothing"),
    OtherRow("several workers: a primary and a worker are killed in the middle of a tick", "how many partitions are away, or have no worker", "nothing", "when the replica serves and the leases have run out", f"{SHARED}.test_shared_cluster:test_a_primary_and_a_worker_that_are_killed_in_the_middle_of_a_tick_lose_nothing"),
    OtherRow("several workers: one was held up, and another has its partitions", "nothing", "nothing: it writes no more", "at once", f"{SHARED}.test_members:test_nothing_is_written_in_a_partition_that_another_has_by_now"),
    OtherRow("several workers: a node stands still", "that leases are not renewed", "nothing", "when its replica serves", f"{SHARED}.test_members:test_a_node_that_stands_still_costs_no_lease_at_the_others"),
    OtherRow("several workers: one that asks a source is killed in the middle of it", "nothing", "nothing: whoever hands out the tick asks", "when its lease has run out", f"{SHARED}.test_shared_sources:test_a_worker_that_is_killed_in_the_middle_of_its_answers_costs_no_sample"),
    OtherRow("several workers: a provider bans the address of one, or is out of its reach", "the source fails, since when, why", "three ticks, until filled from candles", "when another asks", f"{SHARED}.test_shared_sources:test_a_source_that_bans_a_worker_is_asked_by_another_after_three_ticks"),
]  # fmt: skip


def test_every_fault_that_is_tested_elsewhere_has_its_test():
    missing = []
    for row in OTHERS:
        module, _, name = row.test.partition(":")
        if not callable(getattr(import_module(f"tests.{module}"), name, None)):
            missing.append(row.test)

    assert missing == []


def test_the_page_of_faults_shows_every_row():
    lines = ["| what goes wrong | what is said | what is lost | live again |", "|---|---|---|---|"]
    lines += [f"| {describe(row)} |" for row in ROWS]
    lines += [f"| {row.fault} | {row.said} | {row.lost} | {row.healed} |" for row in OTHERS]
    fresh = MARKS.sub(lambda found: found[1] + "\n".join(lines) + "\n" + found[2], PAGE.read_text())
    if os.environ.get("WRITE_FAULTS"):
        PAGE.write_text(fresh)

    assert PAGE.read_text() == fresh


def describe(row: Row) -> str:
    said = f"`{row.said.strip(' :,')}`" if row.said else "nothing"
    said += " for that metric; the others go on" if row.is_of_one and row.said else ""
    lost = "nothing" if row.sampled == DURING else "nothing: filled from candles"
    healed = {0: "at the next tick", 1: "at the second tick"}[row.waits]
    if row.sampled == DURING:
        healed = "all the time"
    elif row.is_of_one and row.sampled:
        healed = "at the second tick: what is read twice is believed"
    return f"{row.fault} | {said} | {lost} | {healed}"
