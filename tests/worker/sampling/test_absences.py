"""Slots in a store that a worker feeds: each says how it came to its sample, or why it has none."""

from collections.abc import Mapping, Sequence

import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis

from tests.support.invented import BTC, ETH, NOON, Invented
from tests.worker.sampling.test_sampler import Sampling, idle, until
from v1.market.slots import list_slots
from worker.latest import DAY, MINUTE, Metric, Reading
from worker.latest.market import SlotReason, SlotState
from worker.latest.store import Writer
from worker.sampling.absences import AbsenceLog, SourceAbsence, TickAbsences
from worker.sources.errors import InvalidResponse, SourceError, SourceRefused, SourceUnreachable


async def read_slots(
    store: Writer, metric: Metric, until: int, after: int = NOON
) -> Sequence[tuple[SlotState, SlotReason | None, int]]:
    """Return the runs of the slots after noon, or another time."""
    (record,) = await store.read_metric_states([metric])
    assert record is not None
    held = await store.read_ticks(metric, after, until)
    return [(run.state, run.reason, run.slots) for run in list_slots(record.marks, held, after, until, MINUTE)]


def make_minutes(first: int, last: int) -> range:
    """Return the ticks from the `first` to the `last` minute after noon."""
    return range(NOON + first * MINUTE, NOON + (last + 1) * MINUTE, MINUTE)


@pytest.mark.parametrize(
    "trouble, reason",
    [
        (SourceUnreachable("gone"), SlotReason.NO_ANSWER),
        (SourceRefused("503"), SlotReason.REFUSED),
        (InvalidResponse("no JSON"), SlotReason.INVALID),
    ],
)
async def test_a_slot_says_how_its_source_failed(
    fake: Redis, session: ClientSession, trouble: SourceError, reason: SlotReason
):
    source = idle(BTC)
    sampling = Sampling(session, Writer(fake), [source])

    async with sampling.going():
        await sampling.beat(*make_minutes(1, 2))
        source.trouble = trouble
        await sampling.beat(*make_minutes(3, 5))
        source.trouble = None
        await sampling.beat(*make_minutes(6, 6))

    assert await read_slots(sampling.store, BTC, NOON + 6 * MINUTE) == [
        (SlotState.OK, None, 2),
        (SlotState.MISSING, reason, 3),
        (SlotState.OK, None, 1),
    ]


class Forgetful(Invented):
    """Leaves out a metric at some ticks, and gives the others."""

    left_out: Mapping[int, Metric] = {}

    async def fetch(self, session: ClientSession, at: int) -> Mapping[Metric, Reading]:
        return {
            metric: reading
            for metric, reading in (await super().fetch(session, at)).items()
            if self.left_out.get(at) != metric
        }


async def test_a_metric_that_comes_again_is_filled_although_its_source_never_failed(
    fake: Redis, session: ClientSession
):
    source = Forgetful(BTC, ETH)
    source.left_out = dict.fromkeys(make_minutes(3, 4), ETH)
    sampling = Sampling(session, Writer(fake), [source])

    async with sampling.going():
        await sampling.beat(*make_minutes(1, 1))
        await sampling.whole(NOON + MINUTE, BTC, ETH)
        await sampling.beat(*make_minutes(2, 4))
        missing = await read_slots(sampling.store, ETH, NOON + 4 * MINUTE)
        await sampling.beat(*make_minutes(5, 5))
        await sampling.whole(NOON + 5 * MINUTE, ETH)

    assert missing == [(SlotState.OK, None, 2), (SlotState.MISSING, SlotReason.NOT_GIVEN, 2)]
    assert await read_slots(sampling.store, ETH, NOON + 5 * MINUTE) == [
        (SlotState.OK, None, 2),
        (SlotState.FILLED, SlotReason.CANDLES, 2),
        (SlotState.OK, None, 1),
    ]
    assert await read_slots(sampling.store, ETH, NOON, NOON + 5 * MINUTE - DAY) == [
        (SlotState.FILLED, SlotReason.CANDLES, 1435)
    ]


async def test_ticks_that_nobody_committed_had_no_worker(fake: Redis, session: ClientSession):
    sampling = Sampling(session, Writer(fake), [idle(BTC)])

    async with sampling.going():
        await sampling.beat(NOON + MINUTE, NOON + 4 * MINUTE)

    assert await read_slots(sampling.store, BTC, NOON + 4 * MINUTE) == [
        (SlotState.OK, None, 1),
        (SlotState.MISSING, SlotReason.NOT_RUNNING, 2),
        (SlotState.OK, None, 1),
    ]


async def test_ticks_that_waited_for_redis_are_late(redis: Redis, session: ClientSession):
    writer = Writer(redis)
    sampling = Sampling(session, writer, [idle(BTC)])

    async with sampling.going():
        await sampling.beat(NOON + MINUTE)
        async with writer.turn:
            sampling.beats.beat(*make_minutes(2, 3))
            await until(lambda: len(sampling.live._buffer) == 2)
        await sampling.committed(NOON + 3 * MINUTE)

    assert await read_slots(sampling.store, BTC, NOON + 3 * MINUTE) == [
        (SlotState.OK, None, 1),
        (SlotState.LATE, SlotReason.WAITED, 1),
        (SlotState.OK, None, 1),
    ]


def test_what_was_left_out_or_lost_is_told_apart_from_a_time_without_a_worker():
    log = AbsenceLog(MINUTE)
    log.note_tick(NOON + 120, TickAbsences())
    log.note_skipped(NOON + 180, SlotReason.BEHIND)
    log.note_skipped(NOON + 240, SlotReason.CLOCK)
    log.note_skipped(NOON + 300, SlotReason.CLOCK)

    skipped = log.describe_tick(NOON + 360, NOON, lambda: False).skipped

    assert [(mark.first - NOON, mark.last - NOON, mark.reason) for mark in skipped] == [
        (60, 60, SlotReason.NOT_RUNNING),
        (120, 120, SlotReason.DROPPED),
        (180, 180, SlotReason.BEHIND),
        (240, 300, SlotReason.CLOCK),
    ]


def test_of_a_tick_that_another_worker_read_nothing_is_known():
    evidence = AbsenceLog(MINUTE).describe_tick(NOON, NOON - 60, lambda: True)

    assert evidence.explain(BTC, "invented") is SlotReason.NOT_RECORDED
    assert (evidence.skipped, evidence.is_late()) == ([], True)


@pytest.mark.parametrize(
    "serves, reason",
    [
        ("first", SlotReason.REFUSED),
        ("second", SlotReason.NO_ANSWER),
        ("third", SlotReason.REFUSED),
        ("", SlotReason.REFUSED),
    ],
)
def test_a_slot_is_explained_by_the_source_that_should_have_served(serves: str, reason: SlotReason):
    both, nothing = frozenset({BTC, ETH}), frozenset[Metric]()
    absences = TickAbsences(
        [
            SourceAbsence("first", both, SlotReason.REFUSED, both),
            SourceAbsence("second", nothing, SlotReason.NO_ANSWER, both),
            SourceAbsence("third", nothing, SlotReason.INVALID, nothing),
        ]
    )

    assert absences.explain(BTC, serves) is reason
