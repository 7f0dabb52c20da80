"""A replay leaves every hour of the recording in the archive, however often it is cut off or played again."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.support import recounted
from tests.support.archived import GRACE, Bench, bench
from tests.support.recounted import Known, ToldHour
from tests.support.shared import shared
from tests.worker.sampling.test_replay import cut, rows, unseen
from v1.market.candles import CandleRow
from worker.latest import HOUR, MINUTE, Metric
from worker.latest.market import ExchangeHour, HourCandle
from worker.latest.store import Writer, connect
from worker.sampling.recording import Recording, open_recording
from worker.sampling.replay import replay

ROOT = Path(__file__).resolve().parents[2]
PAIRS = [
    pytest.param("binance-spot-20230322", ["BTC_USDT", "DOGE_USDT"], 1679661600 - 30 * HOUR, id="an outage"),
    pytest.param("bittrex-20180201", ["2GIVE_BTC", "RDD_BTC"], 1517443200 + 36 * HOUR, id="thin pairs"),
]


def expected(recording: Recording) -> dict[Metric, dict[int, recounted.Hour]]:
    """Work out every hour of every file that is over when the recording ends."""
    worked_out = {
        metric: recounted.hours(
            [Known(start + MINUTE + recording.shift, close, volume) for start, close, volume in rows(path)],
            MINUTE,
            GRACE,
        )
        for metric, path in recording.files.items()
    }
    return {
        metric: {start: hour for start, hour in hours.items() if start + HOUR <= recording.last}
        for metric, hours in worked_out.items()
    }


async def wrong(made: Bench, recording: Recording) -> list[str]:
    """Say which hours are missing, there twice, or not what the files say."""
    found = []
    for metric, hours in expected(recording).items():
        found += [f"{metric} {each}" for each in recounted.differences(await made.hours(metric), hours)]
    return found


@pytest.mark.parametrize("database", ["sqlite", "postgres", "machine_postgres"], indirect=True)
@pytest.mark.parametrize("name, pairs, first", PAIRS)
async def test_every_hour_of_a_replay_is_what_the_files_say_and_a_second_one_changes_nothing(
    server: str, database: str, tmp_path: Path, name: str, pairs: list[str], first: int
):
    recording = open_recording(cut(shared("market-data", name), tmp_path, pairs, first))
    async with connect(server, "tests") as redis, bench(redis, database) as made:
        await made.archive.open()
        await replay(recording, made.store, MINUTE, unseen, made.rollup)
        after_first = await all_hours(made, recording)
        await replay(recording, Writer(redis), MINUTE, unseen, made.rollup)

        assert await wrong(made, recording) == []
        assert await all_hours(made, recording) == after_first
        assert {hour.revision for hour in after_first} == {1}
        await see_exchange_hours(made, recording)


async def see_exchange_hours(made: Bench, recording: Recording) -> None:
    """See that every whole hour of the files is kept as their own candles tell it, once, and is what is answered."""
    for metric, path in recording.files.items():
        _, *lines = path.read_text().splitlines()
        told = {
            start: hour
            for start, hour in recounted.told_hours(lines, recording.shift).items()
            if recording.first - MINUTE <= start <= recording.last - HOUR
        }
        kept = await made.exchange_hours(metric)
        answered = await made.archive.read_rows(metric, 0, 2**40)

        assert {hour.revision for hour in kept} == {1}
        assert {hour.start: read_told(hour) for hour in kept} == told, metric
        assert {row.start: read_told(row) for row in answered if row.kind == "exchange"} == told, metric


def read_told(row: ExchangeHour | CandleRow) -> ToldHour:
    return ToldHour(*[Decimal(number or "NaN") for number in (row.open, row.high, row.low, row.close, row.volume)])


async def all_hours(made: Bench, recording: Recording) -> list[HourCandle]:
    return [hour for metric in recording.files for hour in await made.hours(metric)]


async def test_a_replay_that_is_killed_again_and_again_leaves_every_hour_once(
    server: str, database: str, tmp_path: Path
):
    source = shared("market-data", "kucoin-spot-20230322")
    folder = cut(source, tmp_path, ["ARB_USDT", "POLX_USDT"], 1679443200 + 40 * HOUR)
    dice = random.Random(1)
    for _ in range(3):
        process = playing(folder, server, database)
        await asyncio.sleep(dice.uniform(1.2, 2.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert playing(folder, server, database).wait() == 0

    recording = open_recording(folder, "KUCOIN")
    async with connect(server, "tests") as redis, bench(redis, database) as made:
        assert await wrong(made, recording) == []
        await see_exchange_hours(made, recording)


def playing(folder: Path, redis: str, database: str) -> subprocess.Popen[bytes]:
    settings = {"REDIS_URL": redis, "DATABASE_URL": database}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACKER_")}
    return subprocess.Popen(
        [sys.executable, "-m", "worker", "replay", folder, "--exchange", "KUCOIN"],
        cwd=folder.parent,
        env=environment | {"PYTHONPATH": str(ROOT)} | {f"TRACKER_{name}": each for name, each in settings.items()},
        stderr=subprocess.DEVNULL,
    )


async def test_a_replay_without_an_archive_plays_all_the_same(fake: Redis, tmp_path: Path):
    recording = open_recording(
        cut(shared("market-data", "bittrex-20180201"), tmp_path, ["SC_BTC"], 1517443200 + 71 * HOUR)
    )

    assert await replay(recording, Writer(fake), MINUTE, unseen) == 60
