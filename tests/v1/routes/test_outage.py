"""Redis goes away and comes back; the API says so, and recovers by itself."""

import asyncio
import tempfile
from pathlib import Path

from tests.support import servers
from tests.support.serving import NOON, Clock, fill, sample, serving
from v1.store import Writer, connect

PATHS = [
    "/v1/metrics",
    "/v1/metrics/KRAKEN:BTCUSD",
    "/v1/metrics/KRAKEN:BTCUSD/history",
    "/v1/metrics/KRAKEN:BTCUSD/rank",
    "/v1/ranks",
]


async def put(address: str) -> None:
    async with connect(address, "tests") as redis:
        await fill(Writer(redis), {"KRAKEN:BTCUSD": [sample(NOON, "1.50")]})


async def test_while_redis_is_away_everything_answers_503_and_afterwards_all_is_well(clock: Clock):
    with tempfile.TemporaryDirectory() as short:
        folder = Path(short)
        first = servers.start(servers.embedded(), folder, "--appendonly", "no")
        await put(servers.address(folder))
        async with serving(clock, servers.address(folder)) as api:
            before = [await api.get(path) for path in PATHS]
            first.kill()
            first.wait()

            # Until it is heard that changes are not heard any more, what was just answered may be answered again.
            async with asyncio.timeout(60):
                while (await api.get(PATHS[0])).status == 200:
                    await asyncio.sleep(0.01)
            away = [await api.get(path) for path in PATHS]
            live, unready = await api.get("/health/live"), await api.get("/health/ready")
            with servers.running(servers.embedded(), folder, "--appendonly", "no") as address:
                await put(address)
                back = [await api.get(path) for path in PATHS]
                ready = await api.get("/health/ready")

    assert [answer.status for answer in before] == [200] * len(PATHS)
    assert [answer.status for answer in away] == [503] * len(PATHS)
    assert {answer.headers["Retry-After"] for answer in away} == {"5"}
    assert {answer.headers["Content-Type"] for answer in away} == {"application/problem+json"}
    assert (live.status, unready.status) == (200, 503)
    assert [answer.text for answer in back] == [answer.text for answer in before]
    assert ready.status == 200


async def test_more_who_ask_at_once_than_there_are_connections_wait_for_their_turn(api, writer):
    await fill(writer, {"KRAKEN:BTCUSD": [sample(NOON, "1.50")]})

    answers = await asyncio.gather(*[api.get("/v1/metrics/KRAKEN:BTCUSD") for _ in range(100)])

    assert {answer.status for answer in answers} == {200}
