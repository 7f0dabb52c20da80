"""The archiver: when hours are closed, what revises them, and what it costs when a database is away."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.support import postgres, servers
from tests.support.archived import GRACE, Bench, bench, lose, wrong
from tests.support.forwarding import forwarding
from tests.support.invented import BTC, ETH, NOON, price, volume
from tests.support.postgres import SOCKET
from v1.archive.engine import GONE
from worker.archiving.archiver import WRITE_CHECK_SECONDS
from worker.archiving.health import ADVICE
from worker.latest import DAY, HOUR, MEASURES, MINUTE, Sample
from worker.latest.store import StoreAway, StoreError, connect


@pytest.fixture
async def made(fake: Redis, database: str) -> AsyncIterator[Bench]:
    """A store and an archive on both databases."""
    async with bench(fake, database) as opened:
        yield opened


@pytest.fixture
async def here(fake: Redis, tmp_path: Path) -> AsyncIterator[Bench]:
    """The same where the database makes no difference."""
    async with bench(fake, f"sqlite+aiosqlite:///{tmp_path}/archive.db") as opened:
        yield opened


def sample(at: int) -> Sample:
    values = {"price": price(BTC, at), "interval_volume": volume(at)}
    return Sample(at, tuple([values.get(measure) for measure in MEASURES]))


async def test_every_hour_that_is_over_is_what_its_samples_come_to(made: Bench):
    await made.ticks(5 * 60 + 20, [BTC, ETH])

    await made.archiver.archive_due(made.end)

    for metric in (BTC, ETH):
        assert await made.starts(metric) == [0, 1, 2, 3, 4]
        assert wrong(await made.hours(metric), await made.expected(metric), made.end) == []


async def test_an_hour_is_closed_when_its_last_tick_is_there_and_its_grace_is_over(here: Bench):
    await here.ticks(60)
    await here.archiver.archive_due(NOON + HOUR + GRACE - 1)
    early = await here.starts()
    await here.archiver.archive_due(NOON + HOUR + GRACE)

    assert (early, await here.starts()) == ([], [0])


async def test_an_hour_whose_last_tick_is_late_waits_for_it(here: Bench):
    await here.ticks(59)
    await here.archiver.archive_due(NOON + HOUR + GRACE + 600)
    without = await here.starts()
    await here.ticks(1)
    await here.archiver.archive_due(NOON + HOUR + GRACE + 605)

    assert (without, [hour.samples for hour in await here.hours()]) == ([], [60])


async def test_latest_is_the_newest_price_of_the_grace(here: Bench):
    await here.ticks(63)

    await here.archiver.archive_due(here.end)

    (hour,) = await here.hours()
    assert hour.latest == price(BTC, NOON + HOUR + 60)
    assert hour.closed_at == here.end


async def test_late_samples_revise_their_hour_once_no_more_of_them_come(made: Bench):
    await made.ticks(30)
    made.end += 10 * MINUTE
    await made.ticks(100)
    await made.archiver.archive_due(made.end)
    before = await made.hours()

    await made.store.insert_samples(BTC, [sample(NOON + minute * MINUTE) for minute in (31, 32)], "invented", made.end)
    await made.archiver.archive_due(made.end + 5)
    waiting = await made.hours()
    await made.archiver.archive_due(made.end + 10)

    assert [hour.samples for hour in before] == [50, 60]
    assert waiting == before
    assert [(hour.samples, hour.revision) for hour in await made.hours()] == [(52, 2), (60, 1)]
    assert wrong(await made.hours(), await made.expected(), made.end) == []


async def test_a_sample_that_is_replaced_revises_its_hour_too(here: Bench):
    await here.ticks(70)
    await here.archiver.archive_due(here.end)

    other = Sample(NOON + 60, ("99999.5", *[None] * 5))
    await here.store.insert_samples(BTC, [other], "invented", here.end, replace={other.tick})
    await here.archiver.archive_due(here.end + 5)
    await here.archiver.archive_due(here.end + 10)

    (hour,) = await here.hours()
    assert (hour.open, hour.high, hour.samples, hour.revision) == ("99999.5", "99999.5", 60, 2)


async def test_closing_everything_again_changes_nothing(made: Bench, database: str):
    await made.ticks(4 * 60, [BTC, ETH])
    await made.archiver.archive_due(made.end + GRACE)
    before = await made.hours()

    async with bench(made.store._redis, database) as again:
        await again.archiver.archive_due(made.end + GRACE + 60)
        for hour in range(4):
            assert await again.rollup.close_hour(NOON + hour * HOUR, made.end + DAY, [BTC, ETH]) == 0

    assert await made.hours() == before


async def test_after_a_pause_every_hour_that_is_still_in_the_store_is_closed(here: Bench):
    await here.ticks(8 * 60)

    await here.archiver.archive_due(here.end + 2 * HOUR)

    assert await here.starts() == list(range(8))


async def test_what_the_first_tick_lets_go_of_is_closed_before_it(here: Bench):
    await here.ticks(150)
    now = here.end + DAY - HOUR

    await here.archiver.open(now)
    expected = await here.expected()
    here.end = now - MINUTE
    await here.ticks(1)

    assert await here.starts() == [0, 1]
    assert wrong(await here.hours(), expected, NOON + 2 * HOUR) == []
    assert min(await here.expected()) == NOON + HOUR, "the tick has let go of the first hour"


async def test_an_hour_whose_day_is_over_keeps_its_candle(here: Bench, tmp_path: Path):
    await here.ticks(90)
    await here.archiver.archive_due(here.end)
    before = await here.hours()
    here.end += DAY - 2 * HOUR
    await here.ticks(3)
    async with bench(here.store._redis, f"sqlite+aiosqlite:///{tmp_path}/archive.db") as restarted:
        await restarted.archiver.archive_due(here.end + GRACE)

    assert (await here.hours())[0] == before[0]


async def test_a_metric_that_nobody_gives_any_more_has_no_more_hours(here: Bench):
    await here.ticks(60, [BTC, ETH])
    await here.ticks(70, [BTC])

    await here.archiver.archive_due(here.end)

    assert (await here.starts(BTC), await here.starts(ETH)) == ([0, 1], [0])


async def test_how_the_archive_does_can_be_asked(here: Bench):
    await here.archiver.archive_due(NOON)
    at_first = await here.store.read_archive_state()
    await here.ticks(62)
    await here.archiver.archive_due(here.end)

    fine = {"state": "ok", "since": NOON, "reason": None, "retry_at": None, "advice": None, "ordering": None}
    assert at_first == fine | {"newest": None}
    assert await here.store.read_archive_state() == fine | {"newest": NOON}


async def test_hours_older_than_they_shall_be_kept_are_let_go_of(fake: Redis, database: str):
    async with bench(fake, database, days=2) as made:
        await made.ticks(61)
        await made.archiver.archive_due(made.end + GRACE)
        kept = await made.starts()
        made.end += 3 * DAY
        await made.ticks(61)
        await made.archiver.archive_due(made.end + GRACE)

        assert kept == [0]
        assert await made.starts() == [73]


# ---- away -------------------------------------------------------------------------------------------------


async def test_a_database_that_is_away_costs_ticks_nothing_and_afterwards_every_hour_is_there(fake: Redis):
    with postgres.running(postgres.wheel()) as server, capture_logs() as logs:
        async with bench(fake, server.address()) as made:
            await made.ticks(70)
            await made.archiver.archive_due(made.end)
            server.kill()
            for _ in range(6):
                await made.ticks(60)
                await made.archiver.archive_due(made.end)
            failing, since = await made.store.read_archive_state(), NOON + 130 * MINUTE
            server.start()
            await made.archiver.archive_due(made.end + 120)

            assert wrong(await made.hours(), await made.expected(), made.end) == []
            assert await made.starts() == list(range(7))
            back = await made.store.read_archive_state()

    assert failing
    assert (failing["state"], failing["since"], failing["newest"]) == ("failing", since, NOON)
    assert failing["reason"].startswith("the archive is away: ")
    fine = {"state": "ok", "reason": None, "retry_at": None, "advice": None, "ordering": None}
    assert back == fine | {"since": made.end + 120, "newest": NOON + 6 * HOUR}
    assert made.requests == 1
    told = [entry["event"] for entry in logs if entry["log_level"] != "debug"]
    assert told.count("the archive fails, hours wait in Redis") == 1
    assert told.count("the archive is back") == 1


async def test_a_server_that_goes_away_between_two_hours_is_noticed_and_told_before_the_next_is_due(fake: Redis):
    with postgres.running(postgres.wheel()) as server:
        async with bench(fake, server.address()) as made:
            await made.ticks(62)
            await made.archiver.archive_due(made.end)
            server.kill()
            await made.archiver.archive_due(made.end + WRITE_CHECK_SECONDS)

            said = await made.store.read_archive_state()

    assert said
    assert (said["state"], said["since"]) == ("failing", made.end + WRITE_CHECK_SECONDS)
    assert said["reason"].startswith("the archive is away: ")
    assert said["retry_at"] == made.end + WRITE_CHECK_SECONDS + 5
    assert said["advice"] == ADVICE


async def test_a_file_that_is_removed_is_told_and_not_made_anew_and_has_every_hour_once_it_is_back(
    here: Bench, tmp_path: Path
):
    archive = tmp_path / "archive.db"
    await here.ticks(62)
    await here.archiver.archive_due(here.end)
    # What is in the log of changes only would be lost with a plain move.
    (await here.archive._engine.dispose())
    archive.rename(tmp_path / "moved.db")
    await here.ticks(60)
    await here.archiver.archive_due(here.end)
    said = await here.store.read_archive_state()
    was_made_anew = archive.exists()
    (tmp_path / "moved.db").rename(archive)
    await here.archiver.archive_due(here.end + 60)
    back = await here.store.read_archive_state()

    assert said
    assert (said["state"], said["since"]) == ("failing", here.end)
    assert said["reason"] == f"the archive is away: {archive} {GONE}"
    assert not was_made_anew
    assert back
    assert back["state"] == "ok"
    assert await here.starts() == [0, 1]


async def test_a_file_that_is_replaced_by_an_older_one_is_used_and_has_every_hour_that_redis_has(
    here: Bench, tmp_path: Path
):
    archive = tmp_path / "archive.db"
    await here.archiver.archive_due(here.end)
    await here.archive._engine.dispose()
    older = shutil.copy(archive, tmp_path / "older.db")
    await here.ticks(122)
    await here.archiver.archive_due(here.end)
    archive.unlink()
    await here.archiver.archive_due(here.end + WRITE_CHECK_SECONDS)
    Path(older).rename(archive)
    await here.archiver.archive_due(here.end + WRITE_CHECK_SECONDS + 60)

    assert await here.starts() == [0, 1]


async def test_while_it_is_away_it_is_tried_less_and_less_often(here: Bench, tmp_path: Path):
    (tmp_path / "archive.db").mkdir()
    tries: list[int] = []
    opened = here.archive.open

    async def counted() -> None:
        tries.append(now)
        await opened()

    here.archive.open = counted  # type: ignore[method-assign]  # to see when it is called
    for now in range(NOON, NOON + 200, 5):
        await here.archiver.archive_due(now)

    assert [later - earlier for earlier, later in pairwise(tries)] == [5, 10, 20, 40, 60, 60]


async def test_at_the_start_an_archive_that_is_away_is_no_reason_not_to_sample(here: Bench, tmp_path: Path):
    (tmp_path / "archive.db").mkdir()
    await here.ticks(61)

    await here.archiver.open(here.end)
    (tmp_path / "archive.db").rmdir()
    await here.archiver.archive_due(here.end + 120)

    assert await here.starts() == [0]


async def test_at_the_start_an_archive_that_cannot_be_used_is_said_and_costs_sampling_nothing(
    here: Bench, tmp_path: Path
):
    (tmp_path / "archive.db").write_bytes(b"not a database" * 100)
    await here.ticks(61)

    await here.archiver.open(here.end)
    await here.archiver.archive_due(here.end + 5)
    said = await here.store.read_archive_state()
    (tmp_path / "archive.db").unlink()
    await here.archiver.archive_due(here.end + 120)

    assert said == {
        "state": "failing",
        "since": here.end,
        "newest": None,
        "reason": "the archive said: file is not a database",
        "retry_at": here.end + 15,
        "advice": ADVICE,
        "ordering": None,
    }
    assert await here.starts() == [0]


async def test_what_redis_refuses_to_the_archiver_alone_is_said_once_and_tried_again(
    here: Bench, monkeypatch: pytest.MonkeyPatch
):
    async def refuse(*_: object) -> None:
        raise StoreError("Redis said: NOPERM")

    await here.archiver.open(here.end)
    await here.ticks(61)
    with monkeypatch.context() as refused, capture_logs() as logs:
        refused.setattr(here.store, "read_metrics", refuse)
        await here.archiver.archive_due(here.end + GRACE)
        await here.archiver.archive_due(here.end + GRACE + 5)
    await here.archiver.archive_due(here.end + GRACE + 10)

    said = [each["event"] for each in logs if each["log_level"] == "warning"]
    assert said == ["nothing is archived until Redis answers"]
    assert await here.starts() == [0]


async def test_a_database_that_only_reads_since_a_failover_costs_no_hour(fake: Redis):
    with postgres.running(postgres.wheel()) as old, postgres.running(postgres.wheel()) as new:
        async with forwarding(old.folder / SOCKET) as way:
            address = f"postgresql+asyncpg://postgres@127.0.0.1:{way.port}/postgres"
            async with bench(fake, address) as made:
                await made.ticks(70)
                await made.archiver.archive_due(made.end)
                await postgres.told(old, *postgres.READ_ONLY)
                for _ in range(3):
                    await made.ticks(60)
                    await made.archiver.archive_due(made.end)
                failing = await made.store.read_archive_state()
                way.target = new.folder / SOCKET
                await made.archiver.archive_due(made.end + 120)
                await made.archiver.archive_due(made.end + 300)

                assert wrong(await made.hours(), await made.expected(), made.end) == []
                assert await made.starts() == [0, 1, 2, 3], "also what only the old server was told"
                back = await made.store.read_archive_state()

    assert failing
    assert failing["state"] == "failing"
    assert "read-only transaction" in failing["reason"]
    assert back
    assert back["state"] == "ok"


async def test_while_redis_is_away_nothing_is_closed_and_nothing_is_raised(tmp_path: Path):
    server = servers.start(servers.embedded(), tmp_path, "--appendonly", "no")
    try:
        async with (
            connect(servers.address(tmp_path), "tests") as redis,
            bench(redis, f"sqlite+aiosqlite:///{tmp_path}/archive.db") as made,
        ):
            await made.ticks(61)
            await made.archiver.archive_due(NOON)
            server.kill()
            server.wait()

            await made.archiver.archive_due(made.end + GRACE)

            assert await made.starts() == []
            with pytest.raises(StoreAway):
                await made.store.ping()
    finally:
        server.kill()
        server.wait()


async def test_a_redis_that_lost_what_it_held_is_noticed_and_filled_again(here: Bench):
    await here.ticks(61)
    await here.archiver.archive_due(here.end)
    before = here.requests

    await lose(here.store)
    await here.archiver.archive_due(here.end + 5)
    await here.archiver.archive_due(here.end + 10)

    assert (before, here.requests) == (0, 1)


async def test_a_tick_never_waits_for_more_than_a_part(here: Bench):
    """While a tick holds its turn, no part of an hour is begun."""
    await here.archive.open()
    await here.ticks(62)
    async with here.store.turn:
        closing = asyncio.create_task(here.archiver.archive_due(here.end))
        await asyncio.sleep(0.1)
        held_back = await here.starts()
    await closing

    assert (held_back, await here.starts()) == ([], [0])
