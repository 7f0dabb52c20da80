"""The whole of sampling, on a real store and beside a provider that says what time it is, with a clock that is wrong."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.loopback import serving
from worker.cli.commands import _drop_future, _run, _sample
from worker.clock.wall import WatchedClock, read_steady_clock
from worker.latest import DAY, HOUR, Metric, Reading
from worker.latest.archive import ArchiveWriter, connect_archive
from worker.latest.market import HourCandle, SourceReading
from worker.latest.store import Reader, Writer, connect
from worker.reporting.metrics import make_instruments
from worker.sampling.tick import commit_tick
from worker.settings import WorkerSettings

BTC = Metric("KRAKEN:BTCUSD")


class Provider:
    """Answers as Kraken does about one pair, and dates its answers as it is told."""

    def __init__(self) -> None:
        self.behind = 0.0
        self.asked: list[str] = []
        self.app = web.Application()
        self.app.router.add_get("/0/public/{method}", self._answer)
        self.app.on_response_prepare.append(self._date)

    async def _date(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(time.time() - self.behind, usegmt=True)

    async def _answer(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        self.asked.append(method)
        row = {"c": ["100.5", "1"], "v": ["7", "9"]}
        results: Mapping[str, object] = {
            "AssetPairs": {"XXBTZUSD": {"wsname": "XBT/USD", "altname": "XBTUSD"}},
            "Ticker": {"XXBTZUSD": row},
            "OHLC": {"XXBTZUSD": [], "last": "0"},
        }
        return web.json_response({"error": [], "result": results[method]})


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
async def settings(provider: Provider, server: str, tmp_path: Path) -> AsyncIterator[WorkerSettings]:
    async with serving(provider.app) as base:
        yield WorkerSettings(
            _env_file=None,  # type: ignore[call-arg]  # pydantic's
            redis_url=server,
            kraken_url=base,
            metrics=(BTC,),
            interval=1,
            data_dir=tmp_path,
            archive_backfill=0,
        )


@asynccontextmanager
async def going(work: Awaitable[None]) -> AsyncIterator[None]:
    running = asyncio.ensure_future(work)
    try:
        yield
    finally:
        running.cancel()
        await asyncio.wait([running], timeout=60)


async def until(is_so: Callable[[], Awaitable[object]]) -> None:
    async with asyncio.timeout(60):
        while not await is_so():
            await asyncio.sleep(0.05)


async def closed(settings: WorkerSettings, *hours: int) -> None:
    """Have hours in the archive."""
    async with connect_archive(settings.archive_address, "tests", writes=True) as engine:
        archive = ArchiveWriter(engine)
        await archive.open()
        await archive.write(
            [
                HourCandle(BTC, hour, "1", "1", "1", "1", "60", "1", "1", "7", 60, HOUR, "samples", hour + HOUR, 1)
                for hour in hours
            ]
        )


async def archived(settings: WorkerSettings) -> list[int]:
    async with connect_archive(settings.archive_address, "tests", writes=False) as engine:
        return [each.start for each in await ArchiveWriter(engine).read_hours(BTC, 0, 10**10)]


@pytest.mark.parametrize("ahead", [2 * DAY, HOUR, -HOUR])
async def test_a_clock_that_is_wrong_at_the_start_trims_and_commits_nothing_and_says_so(
    settings: WorkerSettings, server: str, ahead: int
):
    async with connect(server, "tests") as redis:
        store, now = Writer(redis), int(time.time())
        await store.open()
        await commit_tick(now - 2, {BTC: SourceReading(Reading("1"), "kraken")}, store)
        await commit_tick(now, {BTC: SourceReading(Reading("2"), "kraken")}, store)

        async with going(
            _sample(settings, WatchedClock(lambda: time.time() + ahead), make_instruments(), asyncio.Event())
        ):
            await until(store.read_clock_fault)
            await asyncio.sleep(0.2)

        assert await store.read_tick() == now
        assert [each.tick for each in await store.read_samples(BTC, now - DAY, now + 3 * DAY)] == [now - 2, now]
        fault = await store.read_clock_fault()
    # A header is a second coarse.
    assert fault in [f"the machine's clock is {each} that of 127.0.0.1" for each in apart(ahead)]


async def test_a_clock_that_jumps_two_days_ahead_and_back_costs_the_ticks_between_and_nothing_else(
    settings: WorkerSettings, server: str
):
    ahead = 0.0
    async with connect(server, "tests") as redis:
        store = Reader(redis)
        async with going(
            _sample(settings, WatchedClock(lambda: time.time() + ahead), make_instruments(), asyncio.Event())
        ):
            await until(store.read_tick)
            ahead = 2 * DAY
            await until(store.read_clock_fault)
            before = await store.read_samples(BTC, int(time.time()) - DAY, int(time.time()) + 9 * DAY)

            ahead = 0.0
            stopped = int(time.time())

            async def goes_on() -> bool:
                return (await store.read_tick() or 0) > stopped

            await until(goes_on)
            await until(lambda: is_none(store.read_clock_fault()))
        after = await store.read_samples(BTC, int(time.time()) - DAY, int(time.time()) + 9 * DAY)

    assert after[: len(before)] == before
    assert after[-1].tick <= time.time()


def apart(ahead: int) -> list[str]:
    how = "ahead of" if ahead > 0 else "behind"
    return [f"{abs(ahead + rounded)} s {how}" for rounded in (0, 1)]


async def is_none(asking: Awaitable[object]) -> bool:
    return await asking is None


async def test_ticks_of_the_future_are_dropped_at_the_start_where_a_provider_confirms_the_clock(
    settings: WorkerSettings, server: str
):
    now = int(time.time())
    hour = now // HOUR * HOUR
    await closed(settings, hour - HOUR, hour, hour + 30 * HOUR)
    async with connect(server, "tests") as redis:
        store = Writer(redis)
        await store.open()
        await commit_tick(now - 60, {BTC: SourceReading(Reading("1"), "kraken")}, store)
        await commit_tick(now + HOUR, {BTC: SourceReading(Reading("9"), "kraken")}, store)

        async with going(_sample(settings, WatchedClock(), make_instruments(), asyncio.Event())):

            async def goes_on() -> bool:
                return now < (await store.read_tick() or 0) < now + HOUR

            await until(goes_on)

        ticks = [each.tick for each in await store.read_samples(BTC, now - DAY, now + 9 * DAY)]
    assert ticks[0] == now - 60
    assert ticks[-1] <= time.time()
    assert await archived(settings) == [hour - HOUR]


async def test_a_worker_that_was_started_ahead_without_a_provider_begins_anew_when_its_clock_is_right(
    provider: Provider, settings: WorkerSettings, server: str, monkeypatch: pytest.MonkeyPatch
):
    """Nothing denied the clock then: its ticks are of the future, and go when a provider confirms the one that is right."""
    ahead = float(HOUR)
    provider.behind = -float(HOUR)
    monkeypatch.setattr(
        "worker.cli.commands.WatchedClock", lambda: WatchedClock(lambda: time.time() + ahead, read_steady_clock)
    )
    async with connect(server, "tests") as redis:
        store = Reader(redis)
        async with going(_run(settings, ["sampling"])):

            async def is_ahead() -> bool:
                return (await store.read_tick() or 0) > time.time() + 1000

            await until(is_ahead)
            ahead, provider.behind = 0.0, 0.0

            async def is_right() -> bool:
                return 0 < (await store.read_tick() or 10**10) < time.time() + 10

            await until(is_right)
            assert await store.read_samples(BTC, int(time.time()) + 10, int(time.time()) + 9 * DAY) == []


async def test_the_command_drops_the_future_and_says_what_that_was(
    settings: WorkerSettings, server: str, capsys: pytest.CaptureFixture[str]
):
    now = int(time.time())
    await closed(settings, now // HOUR * HOUR + HOUR)
    async with connect(server, "tests") as redis:
        store = Writer(redis)
        await store.open()
        await commit_tick(now, {BTC: SourceReading(Reading("1"), "kraken")}, store)
        await commit_tick(now + HOUR, {BTC: SourceReading(Reading("9"), "kraken")}, store)

        await _drop_future(settings)

        assert await store.read_tick() == now
    assert "dropped 1 samples, 0 alerts, 0 top lists and 1 hours of the archive" in capsys.readouterr().out
    assert await archived(settings) == []
