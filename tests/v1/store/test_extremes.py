"""What the store says of the extremes of a window, whatever happens to its samples meanwhile."""

from collections.abc import Iterable
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from v1.market.advance import advance_all
from v1.market.metric_state import Lookback, SourceReading
from v1.model import DAY, HOUR, MEASURES, Measure, Metric, Reading, Sample
from v1.store import Writer

NOON = 1_621_252_800
MINUTE = 60
BTC, ETH = Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD")
PRICE, VOLUME = MEASURES.index(Measure.PRICE), MEASURES.index(Measure.VOLUME)
LOOK = Lookback(extremes_of=((PRICE, 20 * MINUTE), (PRICE, 2 * HOUR), (VOLUME, HOUR)))


async def tick(store: Writer, at: int, prices: dict[Metric, str | None], look: Lookback = LOOK) -> None:
    """Commit a tick; what the store says of the extremes before it is what its samples say."""
    heard = {metric: SourceReading(Reading(price, price), "kraken") for metric, price in prices.items() if price}
    metrics = sorted(store.known_metrics | heard.keys())
    found = await store.read_states(at, metrics, lambda _: look)
    for metric, each in zip(metrics, found, strict=True):
        samples = await store.read_samples(metric, at - DAY - 1, at - 1)
        expected = {
            (index, seconds): extremes
            for index, seconds in look.extremes_of
            if (extremes := naive([one for one in samples if one.tick >= at - seconds], index))
        }
        assert {span: of(extremes) for span, extremes in each.extremes.items()} == expected
    await store.commit(at, advance_all(at, metrics, heard, found))


def naive(samples: Iterable[Sample], index: int) -> tuple[tuple[int, str], ...]:
    known = [(Fraction(value), one.tick, value) for one in samples if (value := one.values[index]) is not None]
    if not known:
        return ()
    low, high = min(number for number, _, _ in known), max(number for number, _, _ in known)
    return tuple(max((when, text) for number, when, text in known if number == wanted) for wanted in (low, high))


def of(extremes) -> tuple[tuple[int, str], ...]:
    return tuple((each.tick, each.text) for each in extremes)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["tick", "tick", "tick", "tick", "gap", "insert", "restart", "again", "other look"]),
            st.none() | st.integers(1, 9),
            st.integers(1, 9),
        ),
        max_size=25,
    )
)
async def test_the_extremes_are_those_of_the_samples_after_gaps_fills_restarts_and_ticks_that_come_twice(
    fake, happened
):
    await fake.flushall()
    store, at, look = Writer(fake), NOON, LOOK
    await store.open()
    for what, one, other in happened:
        at += MINUTE
        match what:
            case "gap":
                at += 25 * MINUTE
            case "insert":
                await store.insert_samples(
                    BTC, [Sample(at - 10 * MINUTE - 1, (str(100 * other),) * 6)], "kraken", at - MINUTE
                )
            case "restart":
                store = Writer(fake)
                await store.open()
            case "other look":
                look = Lookback(extremes_of=((PRICE, other * 10 * MINUTE),))
        await tick(store, at, {BTC: str(one) if one else None, ETH: str(other)}, look)
        if what == "again":
            metrics = sorted(store.known_metrics)
            found = await store.read_states(at, metrics, lambda _: look)  # noqa: B023  # used at once
            heard = {metric: SourceReading(Reading(str(other)), "kraken") for metric in metrics}
            await store.commit(at, advance_all(at, metrics, heard, found))


async def test_a_window_is_read_once_and_then_kept(fake, monkeypatch):
    store = Writer(fake)
    await store.open()
    for minute in range(90):
        await tick(store, NOON + minute * MINUTE, {BTC: str(1 + minute % 7)})
    sent: list[int] = []
    run = store._run

    async def counted(pipe):
        if len(pipe):
            sent.append(len(pipe))
        return await run(pipe)

    monkeypatch.setattr(store, "_run", counted)
    # Once an hour it also counts what is there: not now.
    monkeypatch.setattr(store._counting, "choose", lambda *_: [])
    at = NOON + 90 * MINUTE
    await store.read_states(at, [BTC])
    await store.read_states(at, [BTC], lambda _: LOOK)
    assert sent[1] == sent[0]
    await store.open()
    await store.read_states(at, [BTC], lambda _: LOOK)
    assert sent[2] == sent[0] + 3, "an hour and two of samples lie in three sets"


@pytest.mark.parametrize("minutes", [1, 59, 60, 61, 1440])
async def test_windows_of_every_length_are_read_after_a_restart(redis: Redis, minutes: int):
    store = Writer(redis)
    await store.open()
    for minute in range(0, 1500, 30):
        at = NOON + minute * MINUTE
        found = await store.read_states(at, [BTC])
        await store.commit(
            at, advance_all(at, [BTC], {BTC: SourceReading(Reading(str(1500 - minute)), "kraken")}, found)
        )
    store = Writer(redis)
    await store.open()

    await tick(store, NOON + 1500 * MINUTE, {BTC: "5"}, Lookback(extremes_of=((PRICE, minutes * MINUTE),)))
