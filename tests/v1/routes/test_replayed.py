"""A replayed market over HTTP: what it is called, and by which time ages are counted."""

import asyncio
from collections.abc import Callable

import pytest

from tests.support.serving import HOUR, MINUTE, NOON, Answer, Api, Clock, every_minute, fill, serving, tick
from v1.market.replayed import ReplayMark, ReplayProgress, ReplayState
from v1.routes.market_clock import MarketClock
from v1.store import Change, ChangeKind, Writer, connect, keys

BTC = "KRAKEN:BTCUSD"
TODAY = NOON + 5 * 365 * 24 * HOUR
MARK = ReplayMark(NOON - 2 * MINUTE, NOON + 10 * MINUTE, 0, "60")
RUNNING = "market replayed: 2021-05-17 12:00 UTC at 60 x"


@pytest.fixture
def clock() -> Clock:
    """A machine whose time is years after the recorded one."""
    clock = Clock()
    clock.now = float(TODAY)
    return clock


@pytest.fixture
async def redis(server: str):
    async with connect(server, "tests") as client:
        yield client


@pytest.fixture
async def replayed(writer: Writer) -> Writer:
    """A store in which a replay is at noon, and goes on."""
    await fill(writer, {BTC: every_minute(["1.10", "2.0", "3.500"])})
    await writer.replays.write(MARK)
    await writer.lease.take_or_keep("a replay")
    return writer


async def eventually(api: Api, path: str, is_so: Callable[[Answer], object]) -> Answer:
    """Ask until the answer is so: what another process changes is heard of a moment later."""
    async with asyncio.timeout(30):
        while not is_so(answer := await api.get(path)):
            await asyncio.sleep(0.01)
    return answer


@pytest.mark.usefixtures("replayed")
async def test_health_is_ready_and_says_what_is_replayed(api):
    answer = await api.get("/health/ready")

    assert answer.status == 200
    assert (answer.json["status"], answer.json["reasons"]) == ("ready", [])
    assert answer.json["tick"] == {"at": NOON, "age": 0, "interval": MINUTE}
    assert answer.json["replay"] == {
        "text": RUNNING,
        "state": "running",
        "at": NOON,
        "recorded_at": NOON,
        "speed": 60,
        "first": MARK.first,
        "last": MARK.last,
    }


async def test_a_market_that_is_not_replayed_says_so(api, writer):
    await fill(writer, {BTC: every_minute(["1", "2"], TODAY)}, TODAY)

    assert (await api.get("/health/ready")).json["replay"] is None
    assert (await api.get("/v1/snapshot")).json["replay"] is None


@pytest.mark.usefixtures("replayed")
async def test_a_snapshot_says_what_is_replayed_and_calls_nothing_stale(api):
    answer = (await api.get("/v1/snapshot?measures=price")).json

    assert answer["replay"]["text"] == RUNNING
    assert [(row["age"], row["state"]) for row in answer["rows"]] == [(0, "live")]


async def test_ages_go_on_at_the_speed_of_the_replay_and_no_further_than_its_next_tick(api, replayed, clock):
    assert (await api.get(f"/v1/metrics/{BTC}")).json["age"] == 0

    clock.now = TODAY + 0.5
    assert (await api.get("/health/ready")).json["tick"]["age"] == 30

    clock.now = TODAY + 3600
    answer = (await api.get(f"/v1/metrics/{BTC}")).json
    assert (answer["age"], answer["state"]) == (MINUTE - 1, "live")

    await tick(replayed, NOON + MINUTE, {BTC: "4"})
    answer = await eventually(api, f"/v1/metrics/{BTC}", lambda answer: answer.json["age"] == 0)
    assert answer.json["at"] == NOON + MINUTE


@pytest.mark.usefixtures("replayed")
async def test_times_from_now_are_counted_back_from_the_time_of_the_replay(api):
    answer = (await api.get(f"/v1/metrics/{BTC}/history?from=-1m")).json

    assert (answer["from"], answer["to"]) == (NOON - MINUTE, NOON)
    assert answer["points"] == [[NOON - MINUTE, 2.0], [NOON, 3.5]]


@pytest.mark.parametrize(
    "speed, seconds",
    [
        pytest.param("60", 1, id="a tick a second"),
        pytest.param("2", 30, id="a tick in half a minute"),
        pytest.param("1", 60, id="as recorded"),
        pytest.param("0.5", 60, id="slower: never longer than an interval"),
        pytest.param(None, 60, id="it is over, or goes as fast as it can"),
    ],
)
async def test_answers_are_good_until_the_next_tick_comes(api, replayed, speed, seconds):
    await replayed.replays.write(MARK._replace(speed=speed))

    await eventually(
        api, f"/v1/metrics/{BTC}", lambda answer: answer.headers["Cache-Control"] == f"public, max-age={seconds}"
    )


@pytest.mark.usefixtures("replayed")
async def test_a_replay_that_was_killed_is_said_to_have_stopped(api, redis):
    await redis.delete(keys.LEASE)  # it runs out by itself when nobody renews it

    answer = await api.get("/health/ready")

    assert answer.status == 503
    said = "market replayed: stopped at 2021-05-17 12:00 UTC; the same command goes on with it"
    assert answer.json["reasons"] == [said]
    assert answer.json["replay"]["state"] == "stopped"
    assert (await api.get("/v1/snapshot")).json["replay"]["text"] == said


async def test_a_replay_that_is_over_stays_what_it_was(api, replayed, redis, clock):
    await tick(replayed, MARK.last, {BTC: "4"})
    await redis.delete(keys.LEASE)
    clock.now += 7 * 24 * HOUR

    answer = await eventually(api, "/health/ready", lambda answer: answer.json["tick"]["age"] < MINUTE)

    assert (answer.status, answer.json["status"], answer.json["reasons"]) == (200, "ready", [])
    assert answer.json["replay"]["state"] == "over"
    assert answer.json["replay"]["text"] == "market replayed: 2021-05-17 11:58 to 2021-05-17 12:10 UTC, to its end"


async def test_a_replay_begins_and_ends_while_the_api_runs(api, writer):
    await fill(writer, {BTC: every_minute(["1", "2"])})
    assert (await api.get("/health/ready")).status == 503

    await writer.replays.write(MARK)
    await writer.lease.take_or_keep("a replay")
    await eventually(api, "/health/ready", lambda answer: answer.status == 200)

    await writer.replays.clear()
    answer = await eventually(api, "/health/ready", lambda answer: answer.status == 503)
    assert "the newest tick is " in answer.json["reasons"][0]
    assert answer.json["replay"] is None


@pytest.mark.usefixtures("replayed")
async def test_the_mark_is_read_again_when_redis_was_away(api, redis, clock):
    """Whoever was disconnected has not heard what was said meanwhile."""
    await api.get("/v1/ranks")
    await redis.set(keys.REPLAY, b'{"first":1,"last":2,"shift":0,"speed":null}')
    await redis.client_kill_filter(_type="pubsub")
    clock.now = TODAY + 0.5

    # Without a speed no time goes by between two ticks.
    await eventually(api, "/health/ready", lambda answer: answer.json["tick"]["age"] == 0)


async def test_it_is_learnt_later_where_redis_was_away_at_the_start(clock, tmp_path):
    async with serving(clock, f"unix://{tmp_path}/nowhere.sock") as api:
        answer = await api.get("/health/ready")

    assert answer.status == 503
    assert answer.json["replay"] is None


@pytest.mark.usefixtures("replayed")
async def test_a_mark_that_cannot_be_read_marks_nothing(api, redis):
    await redis.set(keys.REPLAY, "nonsense")

    assert (await api.get("/health/ready")).json["replay"] is None


@pytest.mark.usefixtures("replayed")
async def test_silences_and_alerts_go_by_the_time_of_the_replay(api):
    made = await api.send("POST", "/v1/silences", {"metrics": "*", "to": "+1h"})

    assert (made.json["from"], made.json["to"], made.json["state"]) == (NOON, NOON + HOUR, "active")


# ---- the clock alone -----------------------------------------------------------------------------------------


def test_a_clock_that_was_never_told_of_a_replay_is_the_machines():
    market = MarketClock(lambda: 1234.5, MINUTE)
    market.note_change(Change(ChangeKind.TICK, tick=NOON))

    assert market.now() == 1234.5
    assert market.count_seconds_until(1300) == 65.5


class ToldMeanwhile:
    """Answers with a replay, after a tick was told meanwhile."""

    def __init__(self, market: MarketClock, told: int | None) -> None:
        self._market, self._told = market, told

    async def read(self):
        if self._told is not None:
            self._market.note_change(Change(ChangeKind.TICK, tick=self._told))
        return ReplayProgress(MARK, ReplayState.RUNNING, NOON)


@pytest.mark.parametrize("told, now", [(None, NOON), (NOON + MINUTE, NOON + MINUTE)])
async def test_a_tick_that_is_told_while_the_mark_is_read_counts(told, now):
    market = MarketClock(lambda: 1.0, MINUTE)

    await market.read(ToldMeanwhile(market, told))

    assert market.now() == now


async def test_a_machine_whose_clock_is_set_back_stops_the_time_and_does_not_turn_it():
    wall = Clock()
    market = MarketClock(wall, MINUTE)
    await market.read(ToldMeanwhile(market, NOON))
    wall.now -= 100

    assert market.now() == NOON
