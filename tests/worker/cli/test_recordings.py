"""`replay --speed` and `record` as they are typed: in processes of their own, and killed."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from redis.asyncio import Redis
from typer.testing import CliRunner

from tests.support.loopback import ASKED, FAULTS, providers, serving
from tests.support.shared import shared
from tests.worker.sampling.test_replay import write
from tests.worker.test_commands import Start, address, eventually, redis, start, until
from v1.market.replayed import ReplayMark, ReplayState
from worker.cli.commands import app
from worker.latest.store import Reader, Writer

__all__ = ["address", "redis", "start"]  # fixtures of the worker's processes

KLINES = "/api/v3/klines"


def type_words(*words: str) -> tuple[int, str]:
    """Return the exit code and what was printed."""
    result = CliRunner().invoke(app, [*words])
    return result.exit_code, result.output


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "fast"])
def test_a_speed_that_is_none_is_refused_before_anything_is_opened(tmp_path: Path, speed: str):
    code, said = type_words("replay", str(write(tmp_path / "test-spot", 3)), f"--speed={speed}")

    assert code == 2
    assert said == (
        f"--speed: {speed!r} is not accepted; accepted: a number from 0.01 to 100,000: how many recorded seconds go by "
        "in one second, 60 for example\n"
    )


@pytest.mark.parametrize(
    "words, said",
    [
        (["--from", "2021-05-17"], "--from: '2021-05-17' is accepted only with --speed"),
        (["--speed", "60", "--from", "2022-01-01"], "--from: '2022-01-01' is after the recording, which ends at "),
        (["--speed", "60", "--from", "soon"], "--from: 'soon' is not a time"),
    ],
)
def test_a_beginning_that_is_none_is_refused(tmp_path: Path, words: list[str], said: str):
    code, printed = type_words("replay", str(write(tmp_path / "test-spot", 3)), *words)

    assert code == 2
    assert printed.startswith(said)


@pytest.mark.parametrize(
    "words, said",
    [
        (
            ["KRAKEN:BTCUSD", "--days", "365"],
            "KRAKEN:BTCUSD: kraken keeps candles of 1m for 0.5 days, and has none from ",
        ),
        (["KRAKEN:BTCUSD", "--days", "60", "--candles", "1h"], "KRAKEN:BTCUSD: kraken keeps candles of 1h for 30 days"),
        (["KRAKEN:BTCUSD", "--days", "0"], "--days: '0' is not accepted; accepted: a number above 0, up to 3650"),
        (["KRAKEN:BTCUSD", "--days", "nan"], "--days: 'nan' is not accepted"),
        (["KRAKEN:BTCUSD", "--days", "1", "--to", "2200-01-01"], "--to: '2200-01-01' lies in the future"),
        (["KRAKEN:BTCUSD", "--days", "1", "--candles", "5m"], "--candles: '5m' is not accepted; accepted: 1m or 1h"),
        (["SIMULATED:BTCUSD", "--days", "1", "--candles", "1h"], "--candles: simulated has no candles of an hour"),
        (["KRAKEN", "--days", "1"], "'KRAKEN' is not accepted; accepted: a metric like KRAKEN:BTCUSD"),
        (["KRAKEN:*", "--days", "1"], "'KRAKEN:*' is not accepted"),
        (["BITFINEX:BTCUSD", "--days", "1"], "BITFINEX:BTCUSD: no source has candles of BITFINEX; accepted: "),
        (["KRAKEN:BTCUSD", "BINANCE:BTCUSDT", "--days", "1"], "KRAKEN:BTCUSD, BINANCE:BTCUSDT: a recording is of one"),
    ],
)
def test_what_cannot_be_recorded_is_said_before_anything_is_asked(words: list[str], said: str):
    code, printed = type_words("record", *words)

    assert code == 2
    assert printed.startswith(said)


def test_what_a_provider_has_instead_is_said():
    _, printed = type_words("record", "KRAKEN:BTCUSD", "--days", "365")

    assert "; accepted: --days 0.5 or less, or --candles 1h with --days 30 or less\n" in printed


async def test_a_replay_at_a_speed_that_is_killed_goes_on_with_the_same_command(
    start: Start, tmp_path: Path, address: str, redis: Redis
):
    folder = str(write(tmp_path / "test-spot", 40))
    first = start("replay", folder, "--speed", "60", REDIS_URL=address)
    await eventually(Reader(redis).read_tick, first)
    first.process.kill()
    first.process.wait()

    second = start("replay", folder, "--speed", "100000", REDIS_URL=address)

    assert await second.ended() == 0
    assert "at 100000 x" in second.said
    progress = await Writer(redis).replays.read()
    assert progress is not None
    assert (progress.state, progress.mark.speed) == (ReplayState.OVER, "100000")


async def test_a_worker_that_samples_a_live_market_takes_the_mark_away(start: Start, address: str, redis: Redis):
    replays = Writer(redis).replays
    await replays.write(ReplayMark(60, 120))

    worker = start(REDIS_URL=address, SOURCES="simulated", METRICS="SIMULATED:BTCUSD")

    async def is_cleared() -> bool:
        return await replays.read() is None

    await eventually(is_cleared, worker)


# ---- record --------------------------------------------------------------------------------------------------


@pytest.fixture
def binance() -> web.Application:
    return providers(shared("recorded"), time.time)


@pytest.fixture
async def base(binance: web.Application) -> AsyncIterator[str]:
    async with serving(binance) as served:
        yield served


ORDER = ("record", "BINANCE:BTCUSDT", "--days", "3", "--to", "2025-11-10T06:00")


async def test_a_download_that_is_killed_goes_on_and_comes_to_the_same_bytes(
    start: Start, binance: web.Application, base: str, tmp_path: Path
):
    whole = start(*ORDER, "--into", "whole/binance", BINANCE_URL=base)
    assert await whole.ended() == 0
    everything = {request.query_string for request in binance[ASKED] if request.path == KLINES}
    binance[ASKED].clear()
    killed, parts = start(*ORDER, "--into", "killed/binance", BINANCE_URL=base), tmp_path / "killed/binance"
    await until(lambda: len([*parts.glob(".BTCUSDT.parts/*.csv")]) >= 2 or killed.process.poll() is not None)
    killed.process.kill()
    killed.process.wait()
    before = {request.query_string for request in binance[ASKED] if request.path == KLINES}

    again = start(*ORDER, "--into", "killed/binance", BINANCE_URL=base)

    assert await again.ended() == 0
    assert again.printed.startswith("BINANCE:BTCUSDT: 4320 of 4320 minutes have a candle, ")
    assert "--speed 60\n" in again.printed
    asked = [request.query_string for request in binance[ASKED] if request.path == KLINES]
    assert {*asked} == everything
    # At most the day that was on its way, two calls, and the next are asked for twice.
    assert len(asked) - len({*asked}) <= 4
    assert before
    names = ["BTCUSDT.csv.gz", ".BTCUSDT.json"]
    assert [(parts / name).read_bytes() for name in names] == [
        (tmp_path / "whole/binance" / name).read_bytes() for name in names
    ]


async def test_a_provider_that_goes_on_refusing_ends_it_with_what_to_do(
    start: Start, binance: web.Application, base: str
):
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({"code": -1003, "msg": "banned"}, status=418, headers={"Retry-After": "7200"})

    binance[FAULTS][KLINES] = refuse

    worker = start(*ORDER, "--into", "binance", BINANCE_URL=base)

    assert await worker.ended() == 1
    assert worker.said.splitlines()[-1].startswith(
        "binance answered 418 to klines of BTCUSDT: banned (-1003); what came "
    )
    assert worker.said.endswith(": the same command goes on\n")


async def test_a_pair_that_the_provider_does_not_have_is_said_with_the_nearest(start: Start, base: str):
    worker = start("record", "BINANCE:BTCUSDD", "--days", "1", BINANCE_URL=base)

    assert await worker.ended() == 1
    assert "nothing is recorded: binance has no pair BTCUSDD; nearest: " in worker.said
