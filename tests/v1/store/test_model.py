"""
Whatever happens, in any order, the store holds what a naive recount of all samples says.

Ticks, silences, outages, restarts, repetitions, corrections, cuts, late samples and an emptied Redis are
drawn at random, run through a real Writer, and after each of them everything is compared with the ledger.
Ticks lie a quarter of an hour apart, so that a whole day is 96 of them.
"""

import asyncio
from typing import Any

from fakeredis import FakeAsyncRedis, FakeServer
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.support.cutting import CutOff
from tests.support.ledger import BTC, DOGE, ETH, XRP, Ledger, heard
from tests.support.serving import HOUR, NOON
from v1.model import MEASURES, Metric, Reading, Sample
from v1.store import StoreAway, Verifier
from worker.sampling.tick import commit_tick

STEP = HOUR // 4
METRICS = [BTC, ETH, XRP, DOGE]

# Few enough that metrics tie, and that deviations are zero; of all lengths.
numbers = some.sampled_from(["1", "1.0", "2", "0", "-3", "46572.17", "1e9", "1e-18", "30000000100", "7.25"])
unsure = some.none() | numbers
readings = some.builds(Reading, numbers, unsure, unsure, unsure, unsure)
markets = some.dictionaries(some.sampled_from(METRICS), readings, max_size=4)
metrics = some.sampled_from(METRICS)
late_values = some.tuples(numbers, *[unsure for _ in MEASURES[1:]])
late_samples = some.lists(some.tuples(some.integers(-4, 100), late_values), max_size=6)


class Machine(RuleBasedStateMachine):
    """A worker's life, and its ledger's."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.Runner()
        self._redis = FakeAsyncRedis(server=FakeServer(), decode_responses=True)
        self._store = CutOff(self._redis)
        self._ledger = Ledger()
        self._at = NOON
        self._heard: dict[Metric, Reading] = {}

    def do(self, doing: Any) -> Any:
        return self._loop.run(doing)

    def teardown(self) -> None:
        self.do(self._redis.aclose())
        self._loop.close()

    @initialize(market=markets, offset=some.sampled_from([0, 1, STEP // 2]))
    def begin(self, market: dict[Metric, Reading], offset: int) -> None:
        self._at = NOON + offset
        self.do(self._store.open())
        self._commit(market)

    def _commit(self, market: dict[Metric, Reading]) -> None:
        self.do(commit_tick(self._at, heard(market), self._store))
        self._ledger.tick(self._at, market)
        self._heard = market
        self._look()

    def _look(self) -> None:
        self.do(self._ledger.look_at(self._redis))
        assert self.do(Verifier(self._redis).verify(repair=False)).is_clean

    @rule(market=markets)
    def a_tick(self, market: dict[Metric, Reading]) -> None:
        self._at += STEP
        self._commit(market)

    @rule(markets=some.lists(markets, min_size=1, max_size=4), count=some.integers(2, 40))
    def many_ticks(self, markets: list[dict[Metric, Reading]], count: int) -> None:
        for index in range(count - 1):
            self._at += STEP
            market = markets[index % len(markets)]
            self.do(commit_tick(self._at, heard(market), self._store))
            self._ledger.tick(self._at, market)
        self._at += STEP
        self._commit(markets[-1])

    @rule(market=markets, skipped=some.sampled_from([1, 3, 4, 12, 90, 95, 96, 120]))
    def an_outage(self, market: dict[Metric, Reading], skipped: int) -> None:
        self._at += skipped * STEP
        self._commit(market)

    @rule()
    def the_same_tick(self) -> None:
        self._commit(self._heard)

    @rule(correction=markets)
    def a_correction(self, correction: dict[Metric, Reading]) -> None:
        self._commit(correction)

    @rule()
    def a_restart(self) -> None:
        self._store = CutOff(self._redis)
        self.do(self._store.open())
        # Not the lists: late samples are in them only once they are derived.
        self.do(self._ledger.look_at_samples(self._redis))

    @rule(metric=metrics, late=late_samples, replace=some.booleans(), derived=some.booleans())
    def late(self, metric: Metric, late: list[tuple[int, Any]], replace: bool, derived: bool) -> None:
        samples = [Sample(self._at - ticks * STEP, values) for ticks, values in late]
        expected = self._ledger.insert(metric, samples, self._at, replace=replace)

        ticks = {each.tick for each in samples} if replace else ()
        assert self.do(self._store.insert_samples(metric, samples, "candles", self._at, replace=ticks)) == expected

        self.do(self._ledger.look_at_samples(self._redis))
        if derived:
            self.do(self._store.update_rankings(self._at))
            self._look()

    @rule(metric=metrics, ago=some.integers(1, 8), late=late_samples)
    def late_samples_of_a_fill_that_began_ticks_ago(self, metric: Metric, ago: int, late: list[Any]) -> None:
        began = self._at - ago * STEP
        samples = [Sample(began - ticks * STEP, values) for ticks, values in late]
        expected = self._ledger.insert(metric, samples, began)

        assert self.do(self._store.insert_samples(metric, samples, "candles", began)) == expected

        self.do(self._store.update_rankings(began))
        self._look()

    @rule(market=markets, after=some.integers(0, 60), restarts=some.booleans())
    def a_cut(self, market: dict[Metric, Reading], after: int, restarts: bool) -> None:
        self._at += STEP
        self._store.after = after
        try:
            self.do(commit_tick(self._at, heard(market), self._store))
        except StoreAway:
            if restarts:
                self._store = CutOff(self._redis)
                self.do(self._store.open())
        self._store.after = None
        self._commit(market)

    @rule(market=markets, next_market=markets)
    def a_cut_whose_tick_is_lost(self, market: dict[Metric, Reading], next_market: dict[Metric, Reading]) -> None:
        self._at += STEP
        self._store.before = "v1:metrics"
        moved = self._store.session.known_metrics | market.keys()
        try:
            self.do(commit_tick(self._at, heard(market), self._store))
        except StoreAway:
            self._ledger.move(self._at, market, moved)
            self._ledger.known &= set(METRICS)
        else:
            self._ledger.tick(self._at, market)
        self._store = CutOff(self._redis)
        self.do(self._store.open())
        self._at += STEP
        # Who is new in the lost tick is not in the index yet: let the next one hear of all.
        everybody = {metric: Reading("5") for metric in METRICS}
        self._commit(everybody | next_market)

    @precondition(lambda self: self._ledger.at)
    @rule(reopened=some.booleans())
    def redis_is_emptied(self, reopened: bool) -> None:
        self.do(self._redis.flushall())
        self._ledger.empty()
        self._heard = {}
        if reopened:
            self.do(self._store.open())
        self._at += STEP
        self._commit({})


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=15, stateful_step_count=12)
