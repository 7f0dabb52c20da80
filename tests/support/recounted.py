"""
What the hours of some samples must come to, worked out from scratch with decimals and fractions, with no code of the
product. Slow, and easy to believe.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, NamedTuple

HOUR = 3600


class Known(NamedTuple):
    """One sample: when, its price, and what was traded since the one before."""

    tick: int
    price: str
    volume: str | None


class Hour(NamedTuple):
    """What an archived hour must say."""

    open: str
    highs: set[str]
    """Every way in which the highest price was written: equal prices may differ in digits."""
    lows: set[str]
    close: str
    total: str
    mean: str
    latest: str
    volume: str | None
    samples: int
    covered: int


def hours(samples: Iterable[Known], interval: int = 60, grace: int = 90) -> dict[int, Hour]:
    """Return every hour that has a sample, by its first second."""
    by_hour: defaultdict[int, list[Known]] = defaultdict(list)
    everything = sorted(samples)
    for each in everything:
        by_hour[-(-each.tick // HOUR) * HOUR - HOUR].append(each)
    return {
        start: _hour(start, some, by_hour.get(start + HOUR, ()), interval, grace) for start, some in by_hour.items()
    }


class ToldHour(NamedTuple):
    """What the candles of an exchange say of an hour; equal numbers may differ in digits."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


def told_hours(lines: Iterable[str], shift: int = 0) -> dict[int, ToldHour]:
    """Return every hour of the lines of a recording, `timestamp,open,high,low,close,volume`, by its first second."""
    minutes: defaultdict[int, list[list[Decimal]]] = defaultdict(list)
    for line in lines:
        start, *numbers = line.split(",")
        minutes[(int(start) + shift) // HOUR * HOUR].append([Decimal(number) for number in numbers])
    with localcontext(prec=200):
        return {
            hour: ToldHour(
                some[0][0],
                max(each[1] for each in some),
                min(each[2] for each in some),
                some[-1][3],
                sum((each[4] for each in some), Decimal(0)),
            )
            for hour, some in minutes.items()
        }


def _hour(start: int, some: Sequence[Known], following: Sequence[Known], interval: int, grace: int) -> Hour:
    prices = [Decimal(each.price) for each in some]
    volumes = [Decimal(each.volume) for each in some if each.volume is not None]
    known = [*some, *[each for each in following if each.tick <= start + HOUR + grace]]
    places = max([0, *[-int(price.as_tuple().exponent) for price in prices]])
    with localcontext(prec=200):
        total = sum(prices, Decimal(0))
        volume = sum(volumes, Decimal(0))
    return Hour(
        f"{prices[0]:f}",
        {f"{price:f}" for price in prices if price == max(prices)},
        {f"{price:f}" for price in prices if price == min(prices)},
        f"{prices[-1]:f}",
        f"{total:f}",
        _rounded(Fraction(total) / len(prices), places + 4),
        f"{Decimal(known[-1].price):f}",
        f"{volume:f}" if volumes else None,
        len(prices),
        len(_spoken_of(start, some, interval)),
    )


def _spoken_of(start: int, some: Sequence[Known], interval: int) -> set[int]:
    """
    Return every second of an hour that ends within an interval before a sample, or at it; before one that whole minutes
    of a provider were made into, within those.
    """
    ticks = {each.tick for each in some}
    longest = next(span for span in range(interval, HOUR + 1, interval) if span % 60 == 0)
    spoken: set[int] = set()
    for tick in ticks:
        is_alone = not ticks & set(range(max(start, tick - longest) + 1, tick))
        reach = longest if is_alone and tick % longest == 0 else interval
        spoken |= {second for second in range(tick, tick - reach, -1) if second > start}
    return spoken


def _rounded(number: Fraction, places: int) -> str:
    digits = str(round(number * 10**places)).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}"


def differences(held: Iterable[Any], expected: Mapping[int, Hour]) -> list[str]:
    """Say where archived hours of one metric are not what was expected: missing, doubled, too many, or wrong."""
    found: list[str] = []
    rest = dict(expected)
    for row in held:
        hour = rest.pop(row.start, None)
        if hour is None:
            found.append(f"{row.start}: not expected, or there twice")
            continue
        said = Hour(
            row.open,
            {row.high} if row.high in hour.highs else {f"not {row.high}"},
            {row.low} if row.low in hour.lows else {f"not {row.low}"},
            *(row.close, row.total, row.mean, row.latest, row.volume, row.samples, row.covered),
        )
        wanted = hour._replace(highs={row.high} & hour.highs, lows={row.low} & hour.lows)
        if said != wanted:
            found.append(f"{row.start}: {said} instead of {hour}")
    return found + [f"{start}: missing" for start in rest]
