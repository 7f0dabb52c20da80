"""
Exact rolling moments beside the two usual ways, sums in binary floats and sliding Welford, all three in the
same shape: how fast they slide, and how wrong the deviation is that they end with.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from math import nan, sqrt
from random import Random
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

from bench.report import Figure, beside
from v1.numbers.decimals import parse_decimal
from v1.numbers.moments import NOTHING, measure_dispersion

DAY = 1440
LONG = 20 * DAY
ROUNDS = 7


class Sums(NamedTuple):
    """n, sum and sum of squares, in floats."""

    n: int
    total: float
    squares: float

    def slide(self, come: Iterable[float], gone: Iterable[float] = ()) -> "Sums":
        n, total, squares = self
        for value in come:
            n += 1
            total += value
            squares += value * value
        for value in gone:
            n -= 1
            total -= value
            squares -= value * value
        return Sums(n, total, squares)

    def deviation(self) -> float:
        variance = self.squares / self.n - (self.total / self.n) ** 2
        return sqrt(variance) if variance >= 0 else nan


class Welford(NamedTuple):
    """n, mean and sum of squared distances from it, in floats."""

    n: int
    mean: float
    distances: float

    def slide(self, come: Iterable[float], gone: Iterable[float] = ()) -> "Welford":
        n, mean, distances = self
        for value in come:
            n += 1
            away = value - mean
            mean += away / n
            distances += away * (value - mean)
        for value in gone:
            n -= 1
            away = value - mean
            mean -= away / n
            distances -= away * (value - mean)
        return Welford(n, mean, distances)

    def deviation(self) -> float:
        return sqrt(self.distances / self.n) if self.distances >= 0 else nan


def measure() -> Iterator[Figure]:
    yield from _speeds()
    for what, texts in _cases():
        yield _errors(what, texts)


def _speeds() -> Iterator[Figure]:
    (_, texts), *_ = _cases()
    exact, floats = [parse_decimal(text) for text in texts], [float(text) for text in texts]
    ways: list[tuple[str, Any, Sequence[Any]]] = [
        ("exact", NOTHING, exact),
        ("sums in floats", Sums(0, 0.0, 0.0), floats),
        ("Welford", Welford(0, 0.0, 0.0), floats),
    ]
    for what, work in (("one comes and one goes", _one_by_one), ("many at once", _at_once)):
        # The three take turns, so that whatever else the machine does meets them all.
        took = [[_timed(work, start, numbers) for _, start, numbers in ways] for _ in range(ROUNDS)]
        rates = [2 * (len(texts) - DAY) / median(column) for column in zip(*took, strict=True)]
        words = ", ".join(f"{name} {rate / 1e6:.2f} M" for (name, _, _), rate in zip(ways, rates, strict=True))
        yield beside(
            f"updates a second, {what}",
            words,
            f"exact at {rates[0] / rates[1]:.2f} x and {rates[0] / rates[2]:.2f} x the speed of the others; "
            f"median of {ROUNDS} rounds",
        )


def _timed(work: Callable[[Any, Sequence[Any]], Any], start: Any, numbers: Sequence[Any]) -> float:
    began = perf_counter()
    work(start, numbers)
    return perf_counter() - began


def _one_by_one(moments: Any, numbers: Sequence[Any]) -> Any:
    """Fill a day, then let one number come and one go, to the end; return the last day's moments."""
    moments = moments.update(numbers[:DAY])
    for come, gone in zip(numbers[DAY:], numbers, strict=False):
        moments = moments.update((come,), (gone,))
    return moments


def _at_once(moments: Any, numbers: Sequence[Any]) -> Any:
    return moments.update(numbers[:DAY]).update(numbers[DAY:], numbers[:-DAY])


def _cases() -> list[tuple[str, list[str]]]:
    """Return series of some days, made the same at every call."""
    rng = Random(1)
    flat = [f"{46572.17 + rng.randint(-2, 2) / 100:.2f}" for _ in range(LONG)]
    volume = [f"{30_000_000_000 + rng.gauss(0, 100):.4f}" for _ in range(LONG)]
    spiked = [*flat]
    spiked[LONG // 2] = "1000000000.00"
    return [
        ("a flat day of BTC: 46572.17 give or take two cents", flat),
        ("a 24 h volume of 3e10 that varies by 100", volume),
        ("the same flat day, some days after one bad tick of 1e9 has gone again", spiked),
    ]


def _errors(what: str, texts: Sequence[str]) -> Figure:
    floats = [float(text) for text in texts]
    right = _deviation([Fraction(text) for text in texts[-DAY:]])
    spread_of_day = measure_dispersion(_one_by_one(NOTHING, [parse_decimal(text) for text in texts]))
    ended = {
        "exact": spread_of_day.stddev if spread_of_day else nan,
        "sums in floats": _one_by_one(Sums(0, 0.0, 0.0), floats).deviation(),
        "Welford": _one_by_one(Welford(0, 0.0, 0.0), floats).deviation(),
    }
    wrong = {name: abs(Decimal(each) - right) / right for name, each in ended.items()}
    words = ", ".join(f"{name} {_share(error)}" for name, error in wrong.items())
    how = f"slid over {len(texts) // DAY} days of {DAY}; the deviation of the last is {right:.6g}"
    return Figure(what, words, "exact 0", ended["exact"] == float(right), how)


def _share(error: Decimal) -> str:
    if error.is_nan():
        return "not a number"
    return "0" if error < Decimal(2) ** -53 else f"{error:.1e} of it"


def _deviation(numbers: Sequence[Fraction]) -> Decimal:
    """Return the population standard deviation from scratch, to 50 digits."""
    n, total = len(numbers), sum(numbers, Fraction())
    variance = sum((number * number for number in numbers), Fraction()) / n - (total / n) ** 2
    with localcontext() as context:
        context.prec = 50
        return (Decimal(variance.numerator) / variance.denominator).sqrt()
