"""What a tick says of all metrics together, against the same in fractions."""

from hypothesis import given
from hypothesis import strategies as some

from tests.support import naive
from tests.support.serving import NOON, sample
from v1.market.metric_state import EMPTY, Window, recount_state
from v1.market.ranks import RankInput, rank_all, rank_one
from v1.model import MEASURES, By, Measure, Metric, Sample

BTC, ETH, XRP = (Metric(f"KRAKEN:{pair}USD") for pair in ("BTC", "ETH", "XRP"))

values = some.none() | some.sampled_from(["1", "1.0", "2", "0", "-3", "46572.17", "1e9", "1e-18", "30000000100"])
days = some.lists(some.tuples(*[values for _ in MEASURES]), max_size=6).map(
    lambda rows: [Sample(NOON - 60 * index, row) for index, row in enumerate(rows)][::-1]
)


def window(samples: list[Sample]) -> Window:
    record = recount_state(NOON, samples, None, "tests")
    return record.day if record else EMPTY


@given(some.lists(days, max_size=5), some.lists(days, min_size=5, max_size=5))
def test_every_metric_is_judged_by_every_measure_that_it_has_numbers_of(held, before):
    standings = [
        RankInput(Metric(f"A:{index}"), window(day), window(hour))
        for index, (day, hour) in enumerate(zip(held, before, strict=False))
    ]

    ranks, means, _ = rank_all(standings)

    for column, measure in enumerate(MEASURES):
        sums = {Metric(f"A:{index}"): naive.sums(day)[column] for index, day in enumerate(held)}
        hours = {Metric(f"A:{index}"): naive.sums(hour)[column] for index, hour in enumerate(before[: len(held)])}
        assert ranks[measure, By.STDDEV] == listed({metric: naive.stddev(each) for metric, each in sums.items()})
        assert ranks[measure, By.CV] == listed({metric: naive.cv(each) for metric, each in sums.items()})
        assert means[measure] == listed({metric: naive.mean(each) for metric, each in hours.items()})


@given(some.lists(days, max_size=5), some.sampled_from([*Measure]), some.sampled_from([*By]))
def test_one_rank_alone_has_the_members_that_it_has_among_all(held, measure, by):
    standings = [RankInput(Metric(f"A:{index}"), window(day), EMPTY) for index, day in enumerate(held)]

    assert rank_one(standings, measure, by) == rank_all(standings).list_scores(measure, by)


def listed(values: dict[Metric, float | None]) -> list[tuple[float, Metric]]:
    return [(value, metric) for metric, value in values.items() if value is not None]


def test_every_list_is_there_even_of_no_metrics():
    ranks, means, _ = rank_all([])

    assert ranks == {(measure, by): [] for measure in Measure for by in By}
    assert means == {measure: [] for measure in Measure}


def test_a_metric_with_one_sample_is_ranked_with_no_deviation():
    ranks, means, _ = rank_all([RankInput(BTC, window([sample(NOON, "46572.17")]), EMPTY)])

    assert ranks[Measure.PRICE, By.STDDEV] == [(0.0, BTC)]
    assert ranks[Measure.PRICE, By.CV] == [(0.0, BTC)]
    assert means[Measure.PRICE] == []


def test_a_metric_whose_mean_is_zero_is_ranked_by_deviation_only():
    day = window([sample(NOON - 60, "-1"), sample(NOON, "1")])

    ranks, _, _ = rank_all([RankInput(ETH, day, EMPTY)])

    assert ranks[Measure.PRICE, By.STDDEV] == [(1.0, ETH)]
    assert ranks[Measure.PRICE, By.CV] == []


def test_a_metric_without_a_number_of_a_measure_is_not_in_its_lists():
    day = window([sample(NOON, "7", volume="3")])

    ranks, means, _ = rank_all([RankInput(XRP, day, day)])

    in_a_list = {measure for (measure, _), members in ranks.items() if members}
    assert in_a_list == {measure for measure, members in means.items() if members} == {Measure.PRICE, Measure.VOLUME}
