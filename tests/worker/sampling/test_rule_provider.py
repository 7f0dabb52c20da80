"""The rules in force: Redis and the file together, kept up to date, and what is broken costs nothing."""

import json
import os
from pathlib import Path

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.support import servers
from v1.market.metric_state import PriorState, advance
from v1.rules.rule_set import disable_default, find_default, write_document
from v1.store import keys
from worker.cli.wiring import make_expectation
from worker.latest import Metric, Reading
from worker.latest.market import SourceReading
from worker.latest.rules import TickContext
from worker.latest.store import RuleStore, StoreAway, Writer, connect
from worker.sampling.rule_provider import FixedRules, RuleProvider
from worker.sampling.tick import commit_tick

MINUTE = 60
NOON = 1_621_252_800
BTC = Metric("KRAKEN:BTCUSD")
ABOVE = '[[rules]]\nid = "above"\nkind = "threshold"\nabove = {}\n'


class Book:
    """A rulebook, the Redis that it reads, and the file beside it."""

    def __init__(self, redis: Redis, path: Path | None) -> None:
        self.redis, self.path = redis, path
        self.rulebook = RuleProvider(RuleStore(redis), MINUTE, path)
        self._written = 0

    def write(self, text: str) -> None:
        assert self.path
        self.path.write_text(text)
        # Files of the same size, written within one tick of the file system's clock, differ all the same.
        self._written += 1
        os.utime(self.path, ns=(self._written, self._written))

    async def rules(self) -> dict[str, str | None]:
        """Read, and return the rules in force with their bounds, but for the default ones."""
        await self.rulebook.read()
        return in_force(self.rulebook)


def in_force(rulebook: RuleProvider) -> dict[str, str | None]:
    watches = [watch for group in rulebook.engine._groups for watch in group.watches]
    return {watch.rule.id: watch.rule.above for watch in watches if find_default(watch.rule.id) is None}


def above(bound: int, name: str = "above") -> str:
    return json.dumps({"id": name, "kind": "threshold", "above": bound})


@pytest.fixture
def book(fake: Redis, tmp_path: Path) -> Book:
    return Book(fake, tmp_path / "rules.toml")


async def test_before_anything_is_written_the_default_rules_are_in_force(fake):
    rulebook = RuleProvider(RuleStore(fake), MINUTE, None)
    known = {watch.rule.id for group in rulebook.engine._groups for watch in group.watches}

    await rulebook.read()

    assert {watch.rule.id for group in rulebook.engine._groups for watch in group.watches} == known
    assert "price-3x" in known


async def test_a_rule_of_the_api_is_in_force_at_the_next_reading_and_gone_when_it_is_deleted(book):
    book.write("")
    await book.redis.hset(keys.RULES, "above", above(5))

    assert await book.rules() == {"above": "5"}
    await book.redis.hdel(keys.RULES, "above")
    assert await book.rules() == {}


async def test_a_default_rule_that_is_switched_off_is_not_judged(book):
    known = find_default("stale")
    assert known
    await book.redis.hset(keys.RULES, "stale", write_document(disable_default(known)))

    await book.rulebook.read()

    assert "stale" not in {watch.rule.id for group in book.rulebook.engine._groups for watch in group.watches}


async def test_the_engine_is_made_anew_only_when_something_changed(book):
    book.write(ABOVE.format(5))
    await book.rules()
    engine = book.rulebook.engine

    await book.rules()
    assert book.rulebook.engine is engine
    await book.redis.hset(keys.SILENCES, "s", '{"id":"s","from":1,"to":2}')
    await book.rules()
    assert book.rulebook.engine is not engine


async def test_the_file_is_read_again_when_it_changes_and_redis_is_told(book):
    book.write(ABOVE.format(5))
    assert await book.rules() == {"above": "5"}

    book.write(ABOVE.format(7))

    assert await book.rules() == {"above": "7"}
    assert json.loads(await book.redis.hget(keys.FILE_RULES, "above"))["above"] == "7"


async def test_the_byte_order_mark_of_an_editor_is_no_fault(book):
    book.write(f"\ufeff{ABOVE.format(5)}")

    assert await book.rules() == {"above": "5"}


async def test_a_rule_of_the_file_comes_before_one_of_the_api(book):
    book.write(ABOVE.format(5))
    await book.redis.hset(keys.RULES, "above", above(9))

    assert await book.rules() == {"above": "5"}


BROKEN = [
    pytest.param("[[rules]\n", "is not TOML", id="no TOML"),
    pytest.param(ABOVE.format('"x"'), "above: 'x' is not accepted; accepted: a decimal number", id="a wrong rule"),
    pytest.param(ABOVE.format(1) + ABOVE.format(2), "the id 'above' is there 2 times", id="an id twice"),
    pytest.param(ABOVE.format(1) + 'channels = ["telegraph"]', "channels: 'telegraph'", id="an unknown channel"),
    pytest.param("\xff", "cannot be read", id="no text"),
    pytest.param(ABOVE.format("1e9999999999999999999"), "beyond all bounds", id="an exponent beyond all bounds"),
    pytest.param(ABOVE.format("9" * 5000), "4300 digits", id="5,000 digits"),
    pytest.param(ABOVE.format(1) + "window = nan", "window: NaN", id="no number"),
    pytest.param(f"a{'.a' * 400_000} = 1", "keys of 8 parts at most", id="a key of 400,000 parts"),
]


@pytest.mark.parametrize("text, said", BROKEN)
async def test_a_broken_file_keeps_the_rules_before_and_says_why_once(book, text, said):
    await book.redis.hset(keys.CHANNELS, "pushover", "pushover")
    book.write(ABOVE.format(5))
    await book.rules()

    with capture_logs() as logs:
        book.write("")
        assert book.path
        book.path.write_bytes(text.encode("latin-1"))
        assert await book.rules() == {"above": "5"}
        assert await book.rules() == {"above": "5"}

    told = [line for line in logs if line["log_level"] == "error"]
    assert len(told) == 1
    assert said in told[0]["reason"]
    problem = await book.redis.get(keys.RULES_PROBLEM)
    assert problem == told[0]["reason"]
    assert problem.startswith(str(book.path))


async def test_when_the_file_is_right_again_it_holds_and_nothing_is_wrong_any_more(book):
    book.write("[[rules]\n")
    await book.rules()

    with capture_logs() as logs:
        book.write(ABOVE.format(5))
        assert await book.rules() == {"above": "5"}

    assert "the rules file is valid again" in [line["event"] for line in logs]
    assert await book.redis.exists(keys.RULES_PROBLEM) == 0


async def test_a_file_that_is_gone_keeps_its_rules_too(book):
    book.write(ABOVE.format(5))
    await book.rules()
    assert book.path
    book.path.unlink()

    assert await book.rules() == {"above": "5"}
    assert "cannot be read" in await book.redis.get(keys.RULES_PROBLEM)


async def test_after_a_restart_with_a_broken_file_the_rules_that_redis_knows_of_it_hold(book):
    book.write(ABOVE.format(5))
    await book.rules()
    book.write("[[rules]\n")

    again = Book(book.redis, book.path)

    assert await again.rules() == {"above": "5"}


async def test_without_a_file_the_rules_of_one_before_are_gone(book):
    book.write(ABOVE.format(5))
    await book.rules()

    assert await Book(book.redis, None).rules() == {}
    assert await book.redis.exists(keys.FILE_RULES) == 0


async def test_a_redis_that_came_back_empty_is_told_the_rules_of_the_file_again(book):
    book.write(ABOVE.format(5))
    await book.rules()
    await book.redis.flushall()

    assert await book.rules() == {"above": "5"}
    assert await book.redis.hexists(keys.FILE_RULES, "above")


async def test_a_file_that_is_too_large_is_not_read(book):
    book.write("#" * 1_000_001)

    await book.rules()

    assert "accepted: 1000000 at most" in await book.redis.get(keys.RULES_PROBLEM)


async def test_a_rule_that_cannot_be_read_is_skipped_with_one_line_and_the_others_hold(book):
    book.write("")
    await book.redis.hset(keys.RULES, mapping={"bad": "{", "above": above(5)})

    with capture_logs() as logs:
        assert await book.rules() == {"above": "5"}
        await book.redis.hset(keys.RULES, "more", above(6, "more"))
        assert await book.rules() == {"above": "5", "more": "6"}

    warned = [line["event"] for line in logs if line["log_level"] == "warning"]
    assert len(warned) == 1
    assert warned[0].startswith("rule bad cannot be read and is left out")


async def test_a_key_of_another_kind_keeps_the_rules_that_were_known(book):
    book.write("")
    await book.redis.hset(keys.RULES, "above", above(5))
    await book.rules()
    await book.redis.delete(keys.RULES)
    await book.redis.set(keys.RULES, "what is this")

    with capture_logs() as logs:
        assert await book.rules() == {"above": "5"}
        assert await book.rules() == {"above": "5"}

    assert [line["log_level"] for line in logs] == ["warning"]
    await book.redis.delete(keys.RULES)


async def test_while_redis_is_away_the_rules_known_before_are_used(tmp_path):
    with servers.running(servers.embedded(), tmp_path) as address:
        async with connect(address, "tests") as redis:
            book = Book(redis, None)
            await redis.hset(keys.RULES, "above", above(5))
            assert await book.rules() == {"above": "5"}

    async with connect(address, "tests") as redis:
        book.rulebook._store = RuleStore(redis)
        with pytest.raises(StoreAway):
            await book.rulebook.read()
        await book.rulebook.refresh()

    assert in_force(book.rulebook) == {"above": "5"}


async def test_who_has_no_rulebook_says_nothing():
    fixed = FixedRules()

    await fixed.read()
    await fixed.refresh()

    assert [*fixed.engine.evaluate(TickContext(NOON, [], lambda _measure, _by: [])).list_alerts()] == []


async def test_a_rule_that_is_made_between_two_ticks_speaks_at_the_second(book):
    store = Writer(book.redis)
    await store.open()
    book.write("")

    for minute in range(2):
        await book.rulebook.refresh()
        heard = {BTC: SourceReading(Reading("9"), "kraken")}
        await commit_tick(NOON + minute * MINUTE, heard, store, book.rulebook.engine)
        await book.redis.hset(keys.RULES, "above", above(5))

    written = await book.redis.zrange(keys.ALERTS, 0, -1)
    assert [json.loads(each)["id"] for each in written] == [f"above.{BTC}.{NOON + MINUTE}"]


@pytest.mark.parametrize(
    "metric, source, is_so",
    [
        ("KRAKEN:BTCUSD", "kraken", True),
        ("KRAKEN:BTCUSD", "replay", False),
        ("KRAKEN:XRPUSD", "kraken", False),
        ("BINANCE:XRPUSDT", "binance", True),
    ],
)
def test_samples_are_expected_of_what_is_wished_for_and_of_who_is_asked(metric, source, is_so):
    is_expected = make_expectation(["kraken", "binance"], ["KRAKEN:BTCUSD", "BINANCE:*"])
    step = advance(Metric(metric), NOON, SourceReading(Reading("1"), source), PriorState(None))

    assert step
    assert is_expected(step) is is_so
