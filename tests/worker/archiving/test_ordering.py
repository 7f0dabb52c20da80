"""When partitions are put in the order of their key: while nothing else is to be archived, and what it costs when it fails."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.support.archive_hours import hour
from tests.support.archived import bench
from tests.support.invented import BTC, ETH, NOON
from v1.archive.engine import ArchiveAway, ArchiveBusy, ArchiveError, ArchiveFull
from v1.archive.ordering import OrderingProgress, OrderingStep, copying
from worker.archiving import ordering
from worker.archiving.ordering import ADVICE, LOOK_SECONDS, PIECES, SETTLED, PartitionOrdering
from worker.latest import DAY, HOUR

PARTITION = "v1_candles_2021_05"


class PlayedOrderer:
    """Gives what a list says, one piece after the other, and then nothing to do."""

    def __init__(self, *pieces: OrderingStep | ArchiveError) -> None:
        self.pieces = [*pieces]
        self.asked: list[int] = []
        self.drops = 0

    async def advance(self, before: int) -> OrderingProgress | None:
        self.asked.append(before)
        if not self.pieces:
            return None
        piece = self.pieces.pop(0)
        if isinstance(piece, ArchiveError):
            raise piece
        return OrderingProgress(PARTITION, piece, 10)

    async def drop_copies(self) -> None:
        self.drops += 1


def make(*pieces: OrderingStep | ArchiveError) -> tuple[PartitionOrdering, PlayedOrderer]:
    played = PlayedOrderer(*pieces)
    return PartitionOrdering(played), played


async def test_a_turn_does_a_few_pieces_of_what_is_settled_and_says_which():
    made, played = make(*[OrderingStep.COPY] * 20)

    await made.advance(NOON)

    assert played.asked == [NOON - SETTLED] * PIECES
    assert made.describe() == {
        "partition": PARTITION,
        "step": "copy",
        "since": NOON,
        "reason": None,
        "retry_at": None,
        "advice": None,
    }


async def test_what_is_in_order_is_logged_and_no_longer_said():
    made, played = make(OrderingStep.COPY, OrderingStep.COMPARE, OrderingStep.EXCHANGE, OrderingStep.DROP)

    with capture_logs() as logs:
        await made.advance(NOON)
        await made.advance(NOON + LOOK_SECONDS - 1)

    assert [each["event"] for each in logs] == [
        "a partition is rewritten in the order of its key",
        "a partition is in the order of its key",
    ]
    assert made.describe() is None
    assert len(played.asked) == 5, "it looks again after some minutes only"
    await made.advance(NOON + LOOK_SECONDS)
    assert len(played.asked) == 6


async def test_a_partition_that_is_in_use_is_tried_again_ever_later_and_without_a_word():
    made, played = make(*[ArchiveBusy("locked")] * 3, OrderingStep.EXCHANGE)
    tried = []

    with capture_logs() as logs:
        for now in range(NOON, NOON + 100, 5):
            before = len(played.asked)
            await made.advance(now)
            tried += [now - NOON] if len(played.asked) > before else []

    assert tried == [0, 10, 30, 70]
    assert [each["log_level"] for each in logs] == ["debug"] * 3 + ["info"]
    assert played.drops == 0


@pytest.mark.parametrize(
    "error, drops, wait",
    [
        (ArchiveAway("connection lost"), 0, ordering.SHORTEST_WAIT),
        (ArchiveFull("no space left"), 1, ordering.LONGEST_WAIT),
        (ArchiveError("the copy differs"), 1, ordering.LONGEST_WAIT),
    ],
)
async def test_what_fails_is_said_once_and_lets_go_of_a_copy_that_may_be_wrong_or_takes_room(
    error: ArchiveError, drops: int, wait: int
):
    made, played = make(OrderingStep.COPY, error, error, OrderingStep.COPY)

    with capture_logs() as logs:
        await made.advance(NOON)
        said = made.describe()
        await made.advance(NOON + wait)

    assert said
    assert (said["reason"], said["retry_at"], said["advice"]) == (str(error), NOON + wait, ADVICE)
    assert [each["event"] for each in logs if each["log_level"] == "warning"] == ["a partition is not rewritten"]
    assert played.drops == 2 * drops


async def test_once_it_goes_on_nothing_is_wrong_any_more():
    made, _ = make(ArchiveAway("connection lost"), OrderingStep.COPY)

    await made.advance(NOON)
    await made.advance(NOON + 2 * ordering.SHORTEST_WAIT)

    assert made.describe() is None


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
async def test_the_archiver_puts_months_in_order_while_nothing_is_to_be_archived_and_says_so(
    fake: Redis, database: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(copying, "PIECE", 3)
    old = [NOON - 40 * DAY + each * HOUR for each in range(5)]
    async with bench(fake, database) as here:
        await here.archive.open()
        await here.archive.write([hour("1", start=start, metric=metric) for start in old for metric in (ETH, BTC)])
        await here.ticks(70)
        told = []
        for turn in range(3):
            await here.archiver.archive_due(here.end + 5 * turn)
            state = await here.store.read_archive_state()
            assert state
            told.append(state["ordering"])

        assert await here.starts() == [*[(start - NOON) // HOUR for start in old], 0]
    assert told[0] is told[2] is None, "it closes an hour, and when it has nothing more to do"
    assert (told[1]["partition"], told[1]["step"]) == (f"v1_candles_{find_month_name(old[0])}", "compare")
    assert told[1]["since"] == here.end + 5


def find_month_name(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y_%m}"


async def test_the_archiver_with_sqlite_has_nothing_to_put_in_order(fake: Redis, tmp_path: Path):
    async with bench(fake, f"sqlite+aiosqlite:///{tmp_path}/archive.db") as here:
        await here.ticks(70)
        for turn in range(3):
            await here.archiver.archive_due(here.end + 5 * turn)
        state = await here.store.read_archive_state()

    assert state
    assert (state["state"], state["ordering"]) == ("ok", None)
