"""Places as they are kept: those that the scores give, whoever is tied, and nothing where there is none."""

import struct

from hypothesis import given
from hypothesis import strategies as some

from v1.market.kept_ranks import COLUMNS, MOST, find_count, find_place, pack_ranks
from v1.market.ranks import Rankings, Scores
from v1.model import MEASURES, By, Measure, Metric

SCORES = some.dictionaries(
    some.sampled_from([f"A:{name}" for name in "abcdefghij"]), some.sampled_from([0.0, 1.0, 2.5, 9.0])
)


def rank(**columns) -> Rankings:
    """Return the scores by price as given, and none of anything else."""
    ranks: dict[tuple[Measure, By], Scores] = {column: [] for column in COLUMNS}
    for by, scores in columns.items():
        ranks[Measure.PRICE, By(by)] = [(value, Metric(name)) for name, value in scores.items()]
    return Rankings(ranks, {measure: [] for measure in MEASURES})


@given(stddev=SCORES, cv=SCORES)
def test_each_place_is_one_more_than_the_number_of_larger_scores(stddev, cv):
    names, packed = pack_ranks(rank(stddev=stddev, cv=cv))
    numbers = struct.unpack(f">{len(packed) // 2}H", packed)

    assert [*names] == sorted({*stddev, *cv})
    for by, scores in ((By.STDDEV, stddev), (By.CV, cv)):
        assert numbers[find_count(Measure.PRICE, by)] == len(scores)
        for index, name in enumerate(names):
            place = numbers[find_place(Measure.PRICE, by, index, len(names))]
            larger = sum(value > scores[name] for value in scores.values()) if name in scores else -1
            assert place == larger + 1


def test_a_metric_takes_24_bytes_and_a_place_beyond_the_largest_number_is_not_kept():
    scores = {f"A:{number:05}": float(-number) for number in range(MOST + 5)}

    names, packed = pack_ranks(rank(stddev=scores))

    assert len(packed) == 24 * (len(names) + 1)
    numbers = struct.unpack(f">{len(packed) // 2}H", packed)
    first = find_place(Measure.PRICE, By.STDDEV, 0, len(names))
    assert numbers[find_count(Measure.PRICE, By.STDDEV)] == MOST
    assert (numbers[first], numbers[first + MOST - 1], numbers[first + MOST]) == (1, MOST, 0)
