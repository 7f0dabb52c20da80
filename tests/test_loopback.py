"""The loopback provider is itself: consistent, shaped as recorded, and usable by a person who reads what it says."""

import asyncio
import os
import re
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from aiohttp import ClientSession

from tests.support.loopback import providers, serving
from tests.support.loopback.market import DAY, MINUTE, Market
from tests.support.loopback.recordings import recordings
from tests.support.shared import shared

ROOT = Path(__file__).resolve().parents[1]
NOON = 1_762_862_400


def test_the_volume_of_a_market_is_the_sum_of_its_minutes_and_never_falls():
    market = Market("kraken:btcusd", "26115.1", "1143.94")

    minutes = [market.bar(NOON + minute * MINUTE).volume for minute in range(1440)]

    assert sum(minutes) == market.traded(NOON, NOON + DAY)
    assert all(volume >= 0 for volume in minutes)
    assert 0 < minutes.count(Decimal(0)) < 720
    assert 500 < sum(minutes) < 2000


def test_a_price_moves_from_second_to_second_and_stays_near():
    market = Market("kraken:btcusd", "26115.1", "1143.94")

    prices = [market.price(NOON + second) for second in range(60)]

    assert len(set(prices)) > 30
    assert all(abs(price - Decimal("26115.1")) < 1000 for price in prices)


async def test_its_rows_have_the_fields_of_the_recorded_ones():
    folder = shared("recorded")
    found = recordings(folder)
    async with serving(providers(folder, lambda: NOON)) as base, ClientSession(base) as session:
        kraken = await (await session.get("/0/public/Ticker", params={"pair": "XBTUSDT"})).json()
        pairs = await (await session.get("/0/public/AssetPairs")).json()
        binance = await (await session.get("/api/v3/ticker/24hr", params={"symbols": '["BNBBTC"]'})).json()
        cryptowatch = await (await session.get("/markets/summaries")).json()

    assert kraken["result"]["XBTUSDT"].keys() == found.kraken_ticker.keys()
    assert pairs["result"]["XBTUSDT"] == found.kraken_pair
    assert "wsname" not in pairs["result"]["XXBTZUSD.d"]
    assert binance[0].keys() == found.binance_ticker.keys()
    assert cryptowatch["result"].keys() == found.summaries.keys()
    assert cryptowatch["result"]["zonda:xrpusdc"] == found.summaries["zonda:xrpusdc"]


async def test_a_person_is_told_what_is_served_and_what_to_type():
    shared("recorded")
    arguments = ("-m", "tests.support.loopback", "--port", "0", "--recorded", str(shared("recorded")))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout
        speech = (await process.stdout.readuntil(b"Ctrl-C")).decode()
        base = re.findall(r"TRACKER_KRAKEN_URL=(\S+)", speech)[0]
        async with ClientSession(base) as session, session.get("/0/public/Ticker", params={"pair": "XBTUSD"}) as answer:
            assert (await answer.json())["error"] == []
    finally:
        process.terminate()
        await process.wait()

    assert f"TRACKER_BINANCE_URL={base} " in speech
    assert f"TRACKER_CRYPTOWATCH_URL={base} " in speech
    assert "scripts/start.sh" in speech


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--recorded", "/nowhere"), "recorded answers are missing: /nowhere/kraken/"),
        (("--recorded", __file__), f"recorded answers are missing: {__file__}/kraken/"),
        (("--port", "70000"), "--port: 70000 "),
    ],
)
async def test_what_cannot_be_served_is_said_in_one_line(arguments: tuple[str, str], said: str):
    recorded = str(shared("recorded"))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.loopback", "--recorded", recorded, *arguments),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )

    _, errors = await process.communicate()

    assert process.returncode == 2
    assert errors.decode().startswith(said)
    assert errors.count(b"\n") == 1


async def test_without_recorded_answers_a_person_is_told_where_they_were_looked_for(tmp_path: Path):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.loopback", "--port", "0"),
        cwd=ROOT,
        env={**os.environ, "DATA_TRACKER_SHARED": str(tmp_path)},
        stderr=asyncio.subprocess.PIPE,
    )

    _, errors = await process.communicate()

    assert process.returncode == 2
    assert errors.decode().startswith(f"recorded answers are missing: {tmp_path}/recorded/kraken/")
    assert "DATA_TRACKER_SHARED" in errors.decode()
    assert errors.count(b"\n") == 1
