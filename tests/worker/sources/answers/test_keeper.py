"""What of a source's requests is kept, and that nothing of it is secret; and that a disk costs no sample."""

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from tests.support.loopback import FAULTS, providers, serving
from tests.support.loopback.faults import reset, says
from tests.support.shared import shared
from worker.latest import HOUR, MINUTE
from worker.sources.answers.files import AnswerFiles, AnswerLimits, list_files, open_answers
from worker.sources.answers.keeper import MOST_WAITING, AnswerKeeper, run_keeper
from worker.sources.answers.lines import AnswersHeader, KeptAnswer, KeptTick
from worker.sources.asking import AskedFor
from worker.sources.cryptowatch import CryptowatchSource
from worker.sources.kraken import KrakenSource
from worker.sources.supervised import SupervisedSource

NOON = 1621252800
LONG = 60.0
TICKER, SUMMARIES = "/0/public/Ticker", "/markets/summaries"
SECRET = "a-key-that-nobody-may-see"


@pytest.fixture
def exchange() -> web.Application:
    return providers(shared("recorded"), time.time)


@pytest.fixture
async def base(exchange: web.Application) -> AsyncIterator[str]:
    async with serving(exchange) as served:
        yield served


def make_files(folder: Path) -> AnswerFiles:
    header = AnswersHeader("1", MINUTE, ("kraken",), ("KRAKEN:BTCUSD",), 3)
    return AnswerFiles(folder, header, AnswerLimits(HOUR, 2**20))


def list_kept(folder: Path) -> list[KeptAnswer | KeptTick]:
    return [*open_answers(folder).list_lines()]


async def test_every_answer_of_a_tick_is_kept_with_what_a_source_reads_of_it(
    exchange: web.Application, base: str, tmp_path: Path
):
    async with (
        run_keeper(AnswerKeeper(make_files(tmp_path), {"kraken": f"{base}/"})) as keeper,
        ClientSession(middlewares=[keeper.keep]) as session,
    ):
        source = SupervisedSource(KrakenSource(base, ("KRAKEN:BTCUSD",), MINUTE), session, LONG, keeper.note_tick)
        readings = await source.read(NOON)
        exchange[FAULTS][TICKER] = says({"error": ["EService:Busy"]}, 503, Retry_After="0")
        await source.read(NOON + 60)
        exchange[FAULTS][TICKER] = reset()
        await source.read(NOON + 240)
        await source.fetch_candles(source.metrics[0], NOON - 600, NOON)

    tick, markets, ticker, second, refused, third, *broken = list_kept(tmp_path)
    assert [tick, second, third] == [KeptTick(NOON), KeptTick(NOON + 60), KeptTick(NOON + 240)]
    assert isinstance(markets, KeptAnswer)
    assert (markets.asked_for, markets.url, markets.at) == (AskedFor.MARKETS, "/0/public/AssetPairs", NOON)
    assert isinstance(ticker, KeptAnswer)
    assert (ticker.asked_for, ticker.url, ticker.status) == (AskedFor.TICK, f"{TICKER}?pair=XXBTZUSD", 200)
    assert {"Content-Type", "Date", "Last-Modified"} <= ticker.headers.keys()
    assert next(iter(readings.values())).price.encode() in ticker.body
    assert isinstance(refused, KeptAnswer)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "0")
    # What a source asks beside ticks, such as candles, is not kept.
    assert {answer.failure for answer in broken if isinstance(answer, KeptAnswer)} == {"ServerDisconnectedError"}


async def test_a_key_is_kept_neither_of_a_request_nor_of_an_answer_that_repeats_it(
    exchange: web.Application, base: str, tmp_path: Path
):
    exchange[FAULTS][SUMMARIES] = says({"result": {}, "error": f"{SECRET} is not known"}, 200, Set_Cookie=SECRET)
    address = f"{base.replace('//', f'//user:{SECRET}@')}"
    async with (
        run_keeper(AnswerKeeper(make_files(tmp_path), {"cryptowatch": address}, (SECRET,))) as keeper,
        ClientSession(middlewares=[keeper.keep]) as session,
    ):
        source = SupervisedSource(CryptowatchSource(address, ("*",), MINUTE, SECRET), session, LONG, keeper.note_tick)
        await source.read(NOON)

    kept = list_kept(tmp_path)
    assert SECRET not in repr(kept)
    assert b'"*** is not known"' in b"".join(answer.body for answer in kept if isinstance(answer, KeptAnswer))


async def test_a_source_that_is_asked_by_somebody_else_is_not_kept(base: str, tmp_path: Path):
    async with (
        run_keeper(AnswerKeeper(make_files(tmp_path), {"binance": base})) as keeper,
        ClientSession(middlewares=[keeper.keep]) as session,
    ):
        source = SupervisedSource(KrakenSource(base, ("KRAKEN:BTCUSD",), MINUTE), session, LONG, keeper.note_tick)
        assert await source.read(NOON)

    assert list_kept(tmp_path) == [KeptTick(NOON)]


class FullDisk(AnswerFiles):
    """A disk that takes nothing until there is room."""

    has_room = False
    tries = 0

    def write(self, kept: Sequence[KeptAnswer | KeptTick], now: int) -> None:
        self.tries += 1
        if not self.has_room:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(kept, now)


async def test_a_full_disk_costs_answers_and_no_sample(base: str, tmp_path: Path):
    files = FullDisk(tmp_path, AnswersHeader("1", MINUTE, (), (), 3), AnswerLimits(HOUR, 2**20))
    async with (
        run_keeper(AnswerKeeper(files, {"kraken": base})) as keeper,
        ClientSession(middlewares=[keeper.keep]) as session,
    ):
        source = SupervisedSource(KrakenSource(base, ("KRAKEN:BTCUSD",), MINUTE), session, LONG, keeper.note_tick)
        assert await source.read(NOON)
        async with asyncio.timeout(LONG):
            while not keeper.left_out:
                await asyncio.sleep(0)
        files.has_room = True
        assert await source.read(NOON + 60)

    assert KeptTick(NOON + 60) in list_kept(tmp_path)
    assert len(list_files(tmp_path)) == 1


async def test_answers_that_a_slow_disk_does_not_take_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("worker.sources.answers.keeper.MOST_WAITING", 10)
    keeper = AnswerKeeper(make_files(tmp_path), {})
    answer = KeptAnswer(NOON, "kraken", AskedFor.TICK, "/", 200, {}, b"12345678")

    keeper.note_tick(NOON)
    keeper._put(answer)
    keeper._put(answer)
    await keeper.close()

    assert keeper.left_out == 1
    assert list_kept(tmp_path) == [KeptTick(NOON), answer]
    assert MOST_WAITING > 10
