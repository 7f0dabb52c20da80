"""Answers that were kept are played again: what the sources make of them, and so the store, is the same to the byte."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from redis.asyncio import Redis

from tests.support.loopback import FAULTS, providers, serving
from tests.support.loopback.faults import Fault, once, page, reset, says
from tests.support.shared import shared
from tests.worker.sampling.test_replay import dump_values, unseen
from tests.worker.test_commands import Start, address, eventually, redis, start
from v1.market.slots import SlotReason, SlotState, list_slots
from v1.store import keys
from worker.cli.answer_replays import apply_header, read_answers
from worker.cli.wiring import make_sources
from worker.latest import HOUR, MINUTE, Metric, Sample
from worker.latest.store import Reader, Writer
from worker.reporting.progress import ProgressCallback
from worker.sampling.absences import AbsenceLog, note_absences
from worker.sampling.answer_replay import list_answered_ticks, replay_answers
from worker.sampling.collect import collect
from worker.sampling.market_watch import MarketWatch
from worker.sampling.reading_checks import ReadingChecks
from worker.sampling.recording import InvalidRecording
from worker.sampling.replay import StoreIsPast
from worker.sampling.tick import commit_tick
from worker.settings import WorkerSettings
from worker.sources.answers.files import AnswerFiles, AnswerLimits, AnswerRecording, open_answers
from worker.sources.answers.keeper import AnswerKeeper, run_keeper
from worker.sources.answers.lines import AnswersHeader, InvalidAnswers, KeptAnswer, KeptTick
from worker.sources.answers.player import AnswerPlayer, open_player
from worker.sources.asking import AskedFor
from worker.sources.supervised import supervise

__all__ = ["address", "redis", "start"]

NOON = 1621252800
LONG = 600.0
METRICS = ("KRAKEN:BTCUSD", "KRAKEN:ETHUSD", "BINANCE:BTCUSDT", "BINANCE:SHIBUSDT", "COINBASE:BTCUSD")
HEADER = AnswersHeader("1", MINUTE, ("kraken", "binance", "coinbase"), METRICS, 3)
TICKER, DAY, WINDOW = "/0/public/Ticker", "/api/v3/ticker/24hr", "/api/v3/ticker"
FAULTS_AT: dict[int, tuple[str, Callable[[], Fault]]] = {
    3: (TICKER, lambda: once(page(502))),
    5: (DAY, reset),
    7: (WINDOW, lambda: says({"code": -1003, "msg": "too much"}, 429, Retry_After="90")),
    10: (TICKER, lambda: says({"error": ["EGeneral:Too many requests"]})),
    12: (TICKER, lambda: says("<html>", 200)),
}
"""What goes wrong at which tick."""


class Market:
    """Providers whose time is set by a test."""

    def __init__(self) -> None:
        self.now = NOON
        self.app: web.Application = providers(shared("recorded"), lambda: self.now)


async def sample(market: Market, ticks: int, folder: Path, store: Writer) -> None:
    """Sample as the worker does, and keep the answers."""
    async with serving(market.app) as base:
        settings = WorkerSettings.load(
            sources="kraken,binance,coinbase",
            metrics=",".join(METRICS),
            kraken_url=base,
            binance_url=base,
            coinbase_url=base,
        )
        files = AnswerFiles(folder, HEADER, AnswerLimits(24 * HOUR, 2**30))
        keeper = AnswerKeeper(files, {"kraken": base, "binance": base, "coinbase": base}, clock=lambda: market.now)
        async with run_keeper(keeper), ClientSession(middlewares=[keeper.keep]) as session:
            made = [(source, session) for source in make_sources(settings)]
            checks, watch = ReadingChecks(HEADER.jump_limit), MarketWatch(MINUTE, lambda: market.now)
            absences = AbsenceLog(MINUTE)
            with supervise(made, LONG, keeper.note_tick) as sources:
                for number in range(ticks):
                    at = market.now = NOON + number * MINUTE
                    path, fault = FAULTS_AT.get(number, ("", reset))
                    market.app[FAULTS].clear()
                    if path:
                        market.app[FAULTS][path] = fault()
                    readings = await collect(sources, at, watch, checks)
                    absences.note_tick(at, note_absences(sources))
                    evidence = absences.describe_tick(at, at - MINUTE if number else 0, lambda: False)
                    await commit_tick(at, readings, store, evidence=evidence)


@asynccontextmanager
async def playing(folder: Path) -> AsyncIterator[Callable[..., Awaitable[int]]]:
    recording = read_answers(folder, {})
    settings, player = apply_header(WorkerSettings.load(), recording), AnswerPlayer()
    async with open_player(player) as session:

        async def play(store: Writer, seen: ProgressCallback = unseen) -> int:
            with supervise([(source, session) for source in make_sources(settings)], LONG) as sources:
                return await replay_answers(recording, player, sources, store, seen)

        yield play


async def dump_bytes(client: Redis) -> dict[str, bytes]:
    """Return what the server itself makes of each key, but the events, which are named by when they were written."""
    names = sorted([key async for key in client.scan_iter() if await client.type(key) != "stream"])
    return {name: await client.dump(name) for name in names}


async def test_the_same_answers_leave_the_store_as_the_live_market_did(fake: Redis, tmp_path: Path):
    market, store = Market(), Writer(fake)
    await store.open()
    await sample(market, 16, tmp_path / "kept", store)
    live = await dump_values(fake)
    await fake.flushall()

    async with playing(tmp_path / "kept") as play:
        assert await play(Writer(fake)) == 16
        assert await dump_values(fake) == live
        metric = Metric("KRAKEN:BTCUSD")
        samples: Sequence[Sample] = await Reader(fake).read_samples(metric, NOON - 1, NOON + HOUR)
        # A page with 502, and the tick at which Kraken says that it was too often, and the one in which it is left alone.
        missing = {NOON + 60 * number for number in range(16)} - {each.tick for each in samples}
        assert NOON + 3 * MINUTE in missing
        assert NOON + 10 * MINUTE in missing
        assert len(samples) > 8
        (record,) = await Reader(fake).read_metric_states([metric])
        assert record is not None
        runs = list_slots(record.marks, [each.tick for each in samples], NOON - 1, NOON + 15 * MINUTE, MINUTE)
        reasons = {run.reason for run in runs if run.state is SlotState.MISSING}
        assert reasons == {SlotReason.REFUSED}, "each missing slot says why, as it did live"


async def test_played_twice_it_is_the_same_to_the_byte(redis: Redis, tmp_path: Path):
    store = Writer(redis)
    await store.open()
    await sample(Market(), 14, tmp_path / "kept", store)
    await redis.flushall()

    async with playing(tmp_path / "kept") as play:
        await play(Writer(redis))
        first = await dump_bytes(redis)
        assert await play(Writer(redis)) == 0
        assert await dump_bytes(redis) == first
    await redis.flushall()
    async with playing(tmp_path / "kept") as play:
        await play(Writer(redis))

        second = await dump_bytes(redis)

    assert second == first
    assert len(first) > 10
    assert keys.TICK in first


async def dump_unbroken(client: Redis) -> dict[str, object]:
    """Return what every key holds, but the places of a quarter of an hour: those of its first tick after a start."""
    held = await dump_values(client)
    return {name: value for name, value in held.items() if not name.startswith(keys.RANKED)}


class BrokenOff(Exception):
    """Somebody has typed Ctrl-C."""


async def test_broken_off_and_started_again_it_goes_on_to_the_same_end(fake: Redis, tmp_path: Path):
    await Writer(fake).open()
    await sample(Market(), 14, tmp_path / "kept", Writer(fake))
    await fake.flushall()
    async with playing(tmp_path / "kept") as play:
        await play(Writer(fake))
    whole = await dump_unbroken(fake)
    await fake.flushall()

    def break_off(done: int, _: int) -> None:
        if done == 8:
            raise BrokenOff

    async with playing(tmp_path / "kept") as play:
        with pytest.raises(BrokenOff):
            await play(Writer(fake), break_off)
        assert await Reader(fake).read_tick() == NOON + 7 * MINUTE
        assert await play(Writer(fake)) == 6

    assert await dump_unbroken(fake) == whole


async def test_a_store_that_is_past_the_answers_is_left_alone(fake: Redis, tmp_path: Path):
    store = Writer(fake)
    await store.open()
    await commit_tick(NOON + 30 * MINUTE, {}, store)
    files = AnswerFiles(tmp_path, HEADER, AnswerLimits(HOUR, 2**20))
    files.write([KeptTick(NOON)], NOON)
    files.close()

    async with playing(tmp_path) as play:
        with pytest.raises(StoreIsPast):
            await play(Writer(fake))


def make_recording(folder: Path, lines: Sequence[KeptAnswer | KeptTick]) -> AnswerRecording:
    files = AnswerFiles(folder, HEADER, AnswerLimits(HOUR, 2**20))
    files.write(lines, NOON)
    files.close()
    return open_answers(folder)


def test_each_tick_has_its_answers_once_and_in_order(tmp_path: Path):
    before, first, second, again = [
        KeptAnswer(NOON, "kraken", AskedFor.TICK, f"/{name}", 200) for name in ("before", "first", "second", "again")
    ]
    recording = make_recording(
        tmp_path, [before, KeptTick(60), first, KeptTick(120), second, KeptTick(60), again, KeptTick(180)]
    )

    ticks = [(at, [answer.url for answer in answers]) for at, answers in list_answered_ticks(recording)]

    assert ticks == [(60, ["/before", "/first"]), (120, ["/second"]), (180, [])]


async def test_a_request_that_was_never_made_is_answered_by_nothing():
    player = AnswerPlayer()
    markets = KeptAnswer(NOON, "kraken", AskedFor.MARKETS, "/pairs", 200, {}, b"1")
    tick = KeptAnswer(NOON, "kraken", AskedFor.TICK, "/ticker?key=***", 200, {}, b"2")
    player.set_tick([markets, tick])
    player.set_tick([markets._replace(failure="TimeoutError"), tick])

    assert player.find("kraken", "/pairs") == markets
    assert player.find("kraken", "/ticker?key=mine") is None
    assert player.find("binance", "/pairs") is None


@pytest.mark.parametrize("option", ["--until", "--exchange"])
def test_options_of_candles_are_refused(tmp_path: Path, option: str):
    with pytest.raises(ValueError, match=f"{option}: 'now' is not accepted for answers of providers"):
        read_answers(tmp_path, {option: "now"})


def test_answers_of_a_source_that_is_not_there_are_refused(tmp_path: Path):
    files = AnswerFiles(tmp_path, HEADER._replace(sources=("acme",)), AnswerLimits(HOUR, 2**20))
    files.write([KeptTick(NOON)], NOON)
    files.close()

    with pytest.raises(InvalidAnswers, match="is of a source 'acme'; accepted: "):
        read_answers(tmp_path, {})
    assert not issubclass(InvalidAnswers, InvalidRecording)


async def test_a_worker_that_is_killed_leaves_answers_that_are_played_by_the_command(
    start: Start, address: str, redis: Redis, tmp_path: Path
):
    async with serving(providers(shared("recorded"), time.time)) as base:
        live = {"REDIS_URL": address, "INTERVAL": "1", "KRAKEN_URL": base, "METRICS": "KRAKEN:BTCUSD,KRAKEN:ETHUSD"}
        worker = start(**live, KEEP_ANSWERS="2")

        async def has_ticks() -> bool:
            answers = tmp_path / "data" / "answers"
            return answers.is_dir() and any(
                recording.ticks >= 5 for recording in [open_answers(answers)] if recording.answers > 5
            )

        async def has_begun() -> bool:
            try:
                return await has_ticks()
            except InvalidAnswers:
                return False

        await eventually(has_begun, worker)
        worker.process.kill()
        worker.process.wait()
    dumps = []
    for _ in range(2):
        await redis.flushall()
        player = start("replay", "data/answers", REDIS_URL=address, METRICS="KRAKEN:XRPUSD", INTERVAL="60")
        assert await player.ended() == 0, player.said
        assert "playing " in player.said
        assert "next: scripts/start-api.sh, then curl " in player.said
        dumps.append(await dump_bytes(redis))

    assert dumps[0] == dumps[1]
    assert await Reader(redis).read_metrics() != {}
