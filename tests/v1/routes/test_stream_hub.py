"""How the hub treats clients that read slowly or not at all, and what it makes only once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.support.serving import MINUTE, NOON
from tests.support.streams import PATIENCE
from v1.market.metric_state import SourceReading
from v1.model import Metric, Reading
from v1.routes.stream import backlog, hub
from v1.routes.stream.backlog import Backlog
from v1.routes.stream.frames import Frame, Framing, StreamEvent, encode_heartbeat
from v1.routes.stream.hub import StreamHub, StreamLimits
from v1.routes.stream.question import EventName, MetricMatcher, StreamQuestion
from v1.routes.stream.subscriber import MOST_WAITING, StreamStart
from v1.rules import RuleEngine, parse_rule
from v1.store import AlertReader, EventId, EventReader, LoggedEvent, Writer, connect, parse_event_id
from worker.sampling.tick import commit_tick

BTC = "KRAKEN:BTCUSD"
ABOVE = RuleEngine([parse_rule({"id": "above", "kind": "threshold", "above": 100, "cooldown": 0})], (), 60)
FOREVER = 1e6


class FakeChannel:
    """A connection that takes as much as it is told to."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.waiting = 0
        self.heard = asyncio.get_running_loop().time()
        self.ends: list[str] = []
        self._on_close: Callable[[], None] = lambda: None

    def watch_close(self, on_close: Callable[[], None]) -> None:
        self._on_close = on_close

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def finish(self) -> None:
        self.ends.append("finished")
        if not self.waiting:
            self._on_close()

    def drop(self) -> None:
        self.ends.append("aborted")
        self._on_close()

    @property
    def text(self) -> str:
        return b"".join(self.written).decode()

    async def holds(self, *words: str) -> str:
        """Wait until all of some words were written; return everything, and forget it."""
        await until(lambda: all(word in self.text for word in words))
        text, self.written = self.text, []
        return text


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():
            await asyncio.sleep(0.005)


@pytest.fixture
async def redis(server: str) -> AsyncIterator[Redis]:
    async with connect(server, "tests") as client:
        yield client


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(hub, "END_SECONDS", 0.2)


@asynccontextmanager
async def opened(redis: Redis, heartbeat: float = FOREVER, stalled: float = FOREVER) -> AsyncIterator[StreamHub]:
    streams = StreamHub(EventReader(redis), AlertReader(redis), StreamLimits(9, heartbeat, stalled))
    try:
        yield streams
    finally:
        await streams.close()


async def commit(redis: Redis, at: int, price: str) -> None:
    writer = Writer(redis)
    await writer.open()
    await commit_tick(at, {Metric(BTC): SourceReading(Reading(price), "kraken")}, writer, ABOVE)


def join(
    streams: StreamHub,
    question: StreamQuestion | None = None,
    framing: Framing = Framing.TEXT,
    after: EventId | None = None,
) -> FakeChannel:
    channel = FakeChannel()
    streams.add(channel, question or StreamQuestion(), StreamStart(framing, after))
    return channel


async def test_what_is_asked_alike_is_made_once_and_shared(redis: Redis):
    async with opened(redis) as streams:
        some = [join(streams), join(streams), join(streams, StreamQuestion(events=frozenset({EventName.TICK})))]
        for each in some:
            await each.holds("event: tick")
        await commit(redis, NOON, "5")
        await until(lambda: all("event: tick" in each.text for each in some))

        assert some[0].written[-1] is some[1].written[-1]
        assert some[2].written[-1] is not some[0].written[-1]


async def test_a_client_that_lags_is_told_so_and_gets_every_alert_and_the_newest_tick_only(redis: Redis):
    async with opened(redis) as streams:
        slow, quick = join(streams), join(streams)
        await slow.holds("event: tick")
        slow.waiting = MOST_WAITING + 1
        for minute, price in enumerate(["101", "3", "102"]):
            await commit(redis, NOON + minute * MINUTE, price)
            await quick.holds(f'"at":{NOON + minute * MINUTE},"measure"')
        assert slow.written == []
        slow.waiting = 1
        await asyncio.sleep(0.05)  # It is looked at several times, and has not read everything yet.
        assert slow.written == []
        slow.waiting = 0
        text = await slow.holds("event: lagging", f'"at":{NOON + 2 * MINUTE},"measure":"price","metrics"')

    names = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    assert names == ["lagging", "alert", "alert", "alert", "rank", "tick"]


async def test_a_client_that_reads_nothing_is_dropped_and_no_other(redis: Redis):
    async with opened(redis, stalled=0.05) as streams:
        stuck, reading = join(streams), join(streams)
        await stuck.holds("event: tick")
        await reading.holds("event: tick")
        stuck.waiting = MOST_WAITING + 1
        with capture_logs() as logs:
            await commit(redis, NOON, "5")
            await until(lambda: stuck.ends == ["aborted"])
        await commit(redis, NOON + MINUTE, "6")
        await reading.holds(f'"at":{NOON + MINUTE},"measure"')

        assert streams.count == 1
        assert [entry["event"] for entry in logs] == ["a stream was dropped: its client does not read"]


async def test_a_client_that_reads_slowly_is_kept(redis: Redis):
    async with opened(redis, stalled=0.05) as streams:
        slow = join(streams)
        await slow.holds("event: tick")
        slow.waiting = 10 * MOST_WAITING
        await commit(redis, NOON, "5")
        while slow.waiting:
            slow.waiting = max(0, slow.waiting - hub.SLOWEST)
            await asyncio.sleep(0.02)
        await slow.holds("event: lagging", "event: tick")

        assert slow.ends == []


async def test_signs_of_life_come_while_there_is_nothing_to_say(redis: Redis):
    async with opened(redis, heartbeat=0.05) as streams:
        stream, socket = join(streams), join(streams, framing=Framing.MESSAGES)
        await stream.holds(": still here\n\n")
        ping = encode_heartbeat(Framing.MESSAGES)
        assert ping == b"\x89\x00"
        socket.heard = asyncio.get_running_loop().time() + FOREVER
        await until(lambda: ping in socket.written)

        assert socket.ends == []


async def test_a_socket_that_answers_no_ping_is_dropped(redis: Redis):
    async with opened(redis, heartbeat=0.02) as streams:
        stream, socket = join(streams), join(streams, framing=Framing.MESSAGES)
        await until(lambda: socket.ends == ["aborted"])

        assert stream.ends == []
        assert streams.count == 1


async def test_a_client_that_does_not_take_the_end_is_cut_off_when_the_process_stops(redis: Redis):
    async with opened(redis) as streams:
        stuck, reading = join(streams), join(streams)
        await stuck.holds("event: tick")
        await reading.holds("event: tick")
        stuck.waiting = 1
        await streams.close()

        assert (reading.ends, stuck.ends) == (["finished"], ["finished", "aborted"])
        assert not streams.has_room
        assert join(streams).ends == ["finished"]


async def test_an_error_that_nobody_foresaw_ends_the_streams_and_the_next_one_begins_anew(redis: Redis, monkeypatch):
    async with opened(redis) as streams:
        first = join(streams)
        await first.holds("event: tick")
        with capture_logs() as logs, monkeypatch.context() as patched:
            patched.setattr(streams, "_tell_group", None)
            await commit(redis, NOON, "5")
            await until(lambda: first.ends == ["finished"])
        await until(lambda: streams._running is None)
        await join(streams).holds("event: tick")

    assert [entry["event"] for entry in logs] == ["an unexpected error ends all streams"]


async def test_an_alert_is_read_once_for_all_who_resume(redis: Redis, monkeypatch):
    await commit(redis, NOON, "101")
    await commit(redis, NOON + MINUTE, "5")
    ((first, _), *_) = await redis.xrange("v1:events")
    asked = []
    read_alert = AlertReader.read_alert

    async def count(reader: AlertReader, alert: str):
        asked.append(alert)
        return await read_alert(reader, alert)

    monkeypatch.setattr(AlertReader, "read_alert", count)
    async with opened(redis) as streams:
        some = [join(streams, after=parse_event_id(first)) for _ in range(5)]
        for each in some:
            await each.holds(f'"ended_at":{NOON + MINUTE}')

    assert asked == [f"above.{BTC}.{NOON}"]


async def test_a_hub_without_clients_asks_redis_nothing(redis: Redis):
    before = (await redis.info("stats"))["total_commands_processed"]
    async with opened(redis):
        await asyncio.sleep(0.05)

    assert (await redis.info("stats"))["total_commands_processed"] - before < 3


async def test_a_backlog_forgets_the_oldest_alerts_and_knows_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backlog, "MOST_KEPT", 2)
    known = Backlog(60)
    known.load([])
    assert known.oldest is None
    known.add([LoggedEvent(EventId(place, 0), "alert", "nonsense") for place in range(1, 6)])
    known.add([LoggedEvent(EventId(6, 0), "tick", "60"), LoggedEvent(EventId(7, 0), "of a later version", "?")])

    assert [known.has_all_after(EventId(place, 0)) for place in (2, 3, 7, 8)] == [False, True, True, False]
    assert (known.newest, known.tick) == (EventId(7, 0), EventId(6, 0))


async def test_a_log_that_goes_on_keeps_what_is_known_of_before():
    entries = [LoggedEvent(EventId(place, 0), "tick", "60") for place in range(1, 9)]
    known = Backlog(60)
    known.load(entries[:4])
    known.load(entries[2:6])
    assert known.has_all_after(EventId(1, 0))
    known.load(entries[7:])
    assert not known.has_all_after(EventId(6, 0))


@pytest.mark.parametrize(
    "asked, matches, missing",
    [
        (["*"], ["A:B", "A:C", "D:B"], []),
        (["A:*"], ["A:B", "A:C"], []),
        (["A:B", "*:B"], ["A:B", "D:B"], []),
        (["A:?", "X:Y", "Y:*"], ["A:B", "A:C"], ["X:Y", "Y:*"]),
        (["A:B+"], [], ["A:B+"]),
    ],
    ids=str,
)
def test_names_and_patterns_find_metrics(asked, matches, missing):
    matcher = MetricMatcher(asked)

    matcher.match([Metric(name) for name in ("A:B", "A:C", "D:B")])

    assert (matcher.matches, sorted(matcher.missing)) == (matches, missing)


def test_an_alert_of_a_silent_source_is_one_of_all_its_metrics():
    assert MetricMatcher(["KRAKEN:*"]).is_match("kraken:*")
    assert not MetricMatcher(["KRAKEN:BTCUSD"]).is_match("kraken:*")


def test_frames_are_what_their_protocols_say():
    frame = Frame([StreamEvent("tick", '{"a":"ä\ud800"}', EventId(5, 1)), StreamEvent("away", "{}")])

    text = 'id: 5-1\nevent: tick\ndata: {"a":"ä\\ud800"}\n\nevent: away\ndata: {}\n\n'.encode()
    assert frame.encode(Framing.TEXT) == text
    assert frame.encode(Framing.CHUNKS) == b"%x\r\n" % len(text) + text + b"\r\n"
    first = '{"event":"tick","id":"5-1","data":{"a":"ä\\ud800"}}'.encode()
    assert frame.encode(Framing.MESSAGES).startswith(bytes([0x81, len(first)]) + first + b"\x81")


@pytest.mark.parametrize(
    "written, event_id", [("5-1", EventId(5, 1)), ("5", EventId(5, 0)), ("-1", None), ("5-", None), (str(2**64), None)]
)
def test_ids_are_read(written, event_id):
    assert parse_event_id(written) == event_id
