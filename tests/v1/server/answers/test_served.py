"""Answers that are kept, over HTTP: another process changes something, Redis dies and comes back."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support import servers
from tests.support.serving import HOUR, MINUTE, NOON, Api, Clock, every_minute, fill, sample, serving, tick
from tests.v1.server.answers.asking import BTC, HISTORY
from v1.rules import DEFAULTS, Silence
from v1.store import AdminStore, Writer, connect, keys

RULES = f"/v1/rules/{DEFAULTS[0].id}"


@pytest.fixture
async def minutes(writer: Writer) -> Writer:
    await fill(writer, {BTC: every_minute(["1", "2", "3"])})
    return writer


@pytest.fixture
async def admin(server: str) -> AsyncIterator[AdminStore]:
    async with connect(server, "another-process") as redis:
        yield AdminStore(redis)


async def ask_again(api: Api, path: str) -> str:
    """Ask twice, and see that the second answer comes from memory."""
    first = await api.get(path)
    hits = api.answers.statistics.hits
    second = await api.get(path)

    assert api.answers.statistics.hits == hits + 1
    assert (first.status, second.text) == (200, first.text)
    return second.text


async def test_a_tick_ends_what_was_kept(api: Api, minutes: Writer, clock: Clock):
    before = await ask_again(api, HISTORY)
    await tick(minutes, NOON + MINUTE, {BTC: "4"})
    clock.now = NOON + MINUTE

    assert await ask_again(api, HISTORY) != before


async def test_a_late_sample_is_in_the_next_answer(api: Api, minutes: Writer):
    for price in range(10, 30):
        await ask_again(api, HISTORY)
        await minutes.insert_samples(BTC, [sample(NOON - HOUR, str(price))], "tests", NOON, replace=[NOON - HOUR])

        assert f",{price}]" in (await api.get(HISTORY)).text


@pytest.mark.usefixtures("minutes")
async def test_a_rule_that_another_process_writes_is_in_the_next_answer(api: Api, admin: AdminStore):
    for factor in range(5, 25):
        await ask_again(api, RULES)
        await admin.put_rule(DEFAULTS[0].model_copy(update={"name": f"rule {factor}"}))

        assert f"rule {factor}" in (await api.get(RULES)).text


@pytest.mark.usefixtures("minutes")
async def test_a_silence_that_another_process_writes_and_deletes_is_in_the_next_answer(api: Api, admin: AdminStore):
    before = await ask_again(api, "/v1/silences")
    await admin.put_silence(Silence.model_validate({"id": "s1", "from": NOON, "to": NOON + HOUR}), NOON)
    assert '"s1"' in await ask_again(api, "/v1/silences")
    await admin.delete_silence("s1")

    assert await ask_again(api, "/v1/silences") == before


@pytest.mark.usefixtures("minutes")
async def test_what_was_changed_here_is_in_the_next_answer(api: Api):
    await ask_again(api, "/v1/rules")
    made = await api.send("POST", "/v1/rules", {"id": "mine", "kind": "threshold", "measure": "price", "above": 5})

    assert made.status == 201
    assert '"mine"' in await ask_again(api, "/v1/rules")


async def test_with_no_bytes_every_answer_is_made_anew(server: str, clock: Clock, minutes: Writer):
    async with serving(clock, server, cache_bytes=0) as api:
        first = await api.get(HISTORY)
        await minutes.insert_samples(BTC, [sample(NOON - HOUR, "7")], "tests", NOON)
        second = await api.get(HISTORY)

        assert first.text != second.text
        assert (api.answers.statistics.hits, api.answers.statistics.used_bytes) == (0, 0)


@pytest.mark.usefixtures("minutes")
async def test_a_hundred_who_ask_at_once_are_one_read(api: Api):
    got = await asyncio.gather(*[api.get(HISTORY) for _ in range(100)])

    assert len({each.text for each in got}) == 1
    assert api.answers.statistics.misses == 1


@pytest.mark.usefixtures("minutes")
async def test_who_may_not_ask_gets_nothing_from_memory(server: str, clock: Clock):
    async with serving(clock, server, api_keys="secret-of-16-or-more") as api:
        allowed = await api.get(HISTORY, X_API_Key="secret-of-16-or-more")
        refused = [await api.get(HISTORY), await api.get(HISTORY, Host="evil.example")]
        again = await api.get(HISTORY, X_API_Key="secret-of-16-or-more")

    assert [allowed.status, *[each.status for each in refused], again.status] == [200, 401, 421, 200]
    assert again.headers["Cache-Control"].startswith("private")


async def test_a_redis_that_is_killed_takes_what_was_kept_with_it_and_all_is_kept_again_when_it_is_back(clock: Clock):
    with tempfile.TemporaryDirectory() as folder:
        path, options = Path(folder), ("--appendonly", "no")
        process = servers.start(servers.embedded(), path, *options)
        try:
            await _write_price(servers.address(path), "1")
            async with serving(clock, servers.address(path)) as api, asyncio.timeout(90):
                assert '"price"' in await ask_again(api, HISTORY)
                process.kill()
                process.wait()
                while _keeps_something(api):
                    await asyncio.sleep(0.01)
                assert [(await api.get(HISTORY)).status for _ in range(2)] == [503] * 2

                process = servers.start(servers.embedded(), path, *options)
                await _write_price(servers.address(path), "2")
                while not _keeps_something(api):
                    assert ",2]" in (await api.get(HISTORY)).text
                    await asyncio.sleep(0.01)
                assert ",2]" in await ask_again(api, HISTORY)
        finally:
            process.kill()
            process.wait()


def _keeps_something(api: Api) -> bool:
    return api.answers.statistics.answers > 0


async def _write_price(address: str, price: str) -> None:
    async with connect(address, "tests") as redis:
        await fill(Writer(redis), {BTC: [sample(NOON, price)]})


@pytest.mark.usefixtures("minutes")
async def test_a_message_on_the_channel_that_nobody_understands_ends_everything(api: Api, server: str):
    await ask_again(api, HISTORY)
    async with connect(server, "tests") as redis:
        await redis.publish(keys.CHANGES, "what is this")

    hits = api.answers.statistics.hits
    await api.get(HISTORY)
    assert api.answers.statistics.hits == hits
