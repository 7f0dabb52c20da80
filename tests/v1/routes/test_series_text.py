"""A series that is joined from encoded hours is letter by letter the one that is made from its samples."""

import zlib
from collections.abc import Sequence
from itertools import chain

from hypothesis import given
from hypothesis import strategies as some

from tests.support.serving import DAY, HOUR, MINUTE, NOON, sample
from v1.market.pieces import KeptPieces, RowSeparator
from v1.market.series import Aggregation, SampleColumn, SeriesFill, SeriesQuery
from v1.model import MEASURES, Measure, Metric, Sample, find_hour, list_hours
from v1.routes.params import Format, TableParams, TimeFormat
from v1.routes.row_encoder import CellKind, Column, JsonFrame, make_encoder
from v1.routes.series_text import (
    RangedQuery,
    SeriesBody,
    SeriesLayout,
    SeriesText,
    join_series_text,
    read_series_text,
)
from v1.store import MetricReading, OpenedHour, keys

BTC = Metric("KRAKEN:BTCUSD")
BEGIN = NOON - 26 * HOUR
TEXTS = (Format.JSON, Format.CSV, Format.NDJSON)


class Samples:
    """Samples of one metric in memory, read as `Reader` reads them, and as `TrackedReader` does."""

    def __init__(self, most_bytes: int) -> None:
        self.kept = KeptPieces(most_bytes)
        self.held: dict[int, Sample] = {}
        self.tick: int | None = NOON
        self.newest_read: int | None = None
        """What the state says, where that is not the newest sample."""
        self.reads = 0
        """How many hours were read."""

    @property
    def newest(self) -> int:
        return self.newest_read or max(self.held, default=0)

    def put(self, samples: Sequence[Sample]) -> None:
        """Put samples, of which Redis would tell their hours."""
        for each in samples:
            self.held[each.tick] = each
            self.kept.drop_hour(BTC, find_hour(each.tick))

    async def read(self, metric: Metric, hours: Sequence[int]) -> MetricReading:
        opened = [OpenedHour(hour, self._list_members(hour), self.kept.open_hour(metric, hour)) for hour in hours]
        self.reads += len(opened)
        return MetricReading(self.tick, self.newest or None, opened)

    async def read_column(self, _: Metric, measure: Measure, after: int, until: int) -> SampleColumn:
        hours = {hour: self._list_members(hour, after, until) for hour in list_hours(after, until)}
        return SampleColumn(
            [*chain.from_iterable(keys.cut_measure(members, measure, hour) for hour, members in hours.items())],
            [hour + HOUR for hour, held in hours.items() if measure is Measure.PRICE and keys.is_hourly_only(held)],
        )

    def _list_members(self, hour: int, after: int = 0, until: int = 2 * NOON) -> list[str]:
        ticks = sorted(tick for tick in self.held if find_hour(tick) == hour and after < tick <= until)
        return [keys.write_member(self.held[tick]) for tick in ticks]


def make_layout(query: SeriesQuery, format_: Format, time: TimeFormat = TimeFormat.UNIX) -> SeriesLayout:
    encoder = make_encoder(
        format_, [Column("tick", CellKind.TIME), Column("value")], TableParams(time=time), is_array=True
    )
    name = f"{query.measure} {query.step} {query.agg} {format_} {time}"
    separator = RowSeparator(encoder.list_texts()[0].encode(), encoder.between.encode())
    return SeriesLayout(query.measure, query.step, query.agg, query.fill, encoder, separator, name)


async def join(samples: Samples, query: SeriesQuery, layout: SeriesLayout, expected: int = NOON) -> SeriesText | None:
    return await join_series_text(
        samples,
        BTC,
        layout,
        expected,
        lambda newest: RangedQuery.make(query._replace(newest=newest)),
    )


async def make(samples: Samples, query: SeriesQuery, layout: SeriesLayout) -> SeriesText:
    newest = max(samples.tick or 0, samples.newest)
    return await read_series_text(samples, query._replace(newest=newest), layout.encoder)


def show(text: SeriesText | None, layout: SeriesLayout) -> tuple[bytes, bytes, list[int], SeriesQuery] | None:
    """Return the rows, what a tag of them is made of, and what is told of them."""
    if text is None:
        return None
    written = SeriesBody.make(text, layout, JsonFrame({}, "points"))
    return written.body, written.make_fingerprint(), [*text.hourly], text.query


numbers = some.one_of(
    some.none(),
    some.sampled_from(["0", "-1.50", "1e-8", "46572.10", "0.000000000000000001"]),
    some.decimals(-(10**6), 10**6, allow_nan=False, places=3).map(lambda each: f"{each:f}"),
)
minutes = some.one_of(some.integers(0, 26 * 60), some.integers(0, 26).map(lambda hour: hour * 60))
"""From `BEGIN` on; often the end of an hour."""
ticks = minutes.map(lambda minute: BEGIN + minute * MINUTE)
held = some.lists(
    some.builds(lambda tick, price, other: sample(tick, price, volume=other), ticks, numbers, numbers), max_size=60
)
queries = some.builds(
    SeriesQuery,
    metric=some.just(BTC),
    measure=some.sampled_from([Measure.PRICE, Measure.VOLUME]),
    start=some.integers(BEGIN - HOUR, NOON + HOUR),
    end=some.integers(BEGIN - HOUR, NOON + HOUR),
    newest=some.just(NOON),
    interval=some.just(MINUTE),
    step=some.sampled_from([None, None, 60, 300, 1200, 3600]),
    agg=some.sampled_from([agg for agg in Aggregation if not agg.is_choice]),
    fill=some.just(SeriesFill.NONE),
)


@given(
    samples=held,
    late=held,
    asked=some.lists(some.tuples(queries, some.sampled_from(TEXTS), some.sampled_from(TimeFormat)), max_size=4),
    most_bytes=some.sampled_from([1, 3000, 10**6]),
)
async def test_it_is_the_same_before_and_after_samples_that_come_late(samples, late, asked, most_bytes):
    store = Samples(most_bytes)
    for come in (samples, late):
        store.put(come)
        for query, format_, time in asked:
            layout = make_layout(query, format_, time)
            joined = await join(store, query, layout)

            assert store.kept.bytes <= most_bytes
            assert (joined is not None) == bool(store.held)
            if joined is not None:
                assert show(joined, layout) == show(await make(store, query, layout), layout)
                check_gzip(store, joined, layout)


def check_gzip(store: Samples, joined: SeriesText, layout: SeriesLayout) -> bytes | None:
    """Check that the series is the same in gzip, if it is made of what is compressed already; return that."""
    written = SeriesBody.make(joined, layout, JsonFrame({"metric": BTC}, "points"))
    packed = written.compress(store)
    if packed is not None:
        reader = zlib.decompressobj(16 + zlib.MAX_WBITS)  # gzip alone, and only the one that it should be

        assert reader.decompress(packed) == written.body
        assert (reader.eof, reader.unused_data) == (True, b"")
    return packed


def make_query(**changed: object) -> SeriesQuery:
    query = SeriesQuery(BTC, Measure.PRICE, NOON - DAY + MINUTE, NOON, NOON, MINUTE)
    return query._replace(**changed)


def every(seconds: int, begin: int = NOON - DAY, end: int = NOON) -> list[Sample]:
    return [sample(tick, f"{tick % 1000}.50") for tick in range(begin + seconds, end + 1, seconds)]


async def test_only_hours_that_have_changed_are_read_again():
    store, query = Samples(10**7), make_query()
    layout = make_layout(query, Format.JSON)
    store.put(every(MINUTE))

    await join(store, query, layout)
    first = store.reads
    await join(store, query, layout)
    again = store.reads
    store.put([sample(NOON - 5 * HOUR, "1.23")])
    joined = await join(store, query, layout)

    assert (first, again, store.reads) == (24, 24, 25)
    assert joined is not None
    assert b"[%d,1.23]" % (NOON - 5 * HOUR) in b"".join(joined.list_rows())


async def test_in_gzip_the_whole_hours_are_compressed_once_until_one_of_them_changes():
    store = Samples(10**7)
    store.put(every(MINUTE))
    for place, format_ in enumerate(TEXTS):
        query = make_query()
        layout = make_layout(query, format_)
        first, second = await join(store, query, layout), await join(store, query, layout)
        assert first is not None
        assert second is not None
        packed = check_gzip(store, first, layout)
        third = await join(store, query, layout)

        assert third is not None
        assert packed is not None
        assert (first.run.deflated, third.run.deflated in packed, len(third.run.deflated) > 1000) == (b"", True, True)
        assert packed == check_gzip(store, second, layout) == check_gzip(store, third, layout)
        store.put([sample(NOON - 5 * HOUR, f"{place}.23")])
        changed = await join(store, query, layout)
        assert changed is not None
        assert changed.run.deflated == b""
        assert check_gzip(store, changed, layout) not in (None, packed)


async def test_a_tick_leaves_the_whole_hours_as_they_are():
    store, query = Samples(10**7), make_query()
    layout = make_layout(query, Format.JSON)
    store.put(every(MINUTE, NOON - DAY - HOUR, NOON - 2 * MINUTE))
    store.tick = NOON - 2 * MINUTE
    first = await join(store, query, layout)
    store.tick = NOON - MINUTE
    store.put([sample(NOON - MINUTE, "9.99")])
    second = await join(store, query, layout)

    assert first is not None
    assert second is not None
    assert second.run is first.run
    assert show(second, layout) == show(await make(store, query, layout), layout) != show(first, layout)


async def test_a_short_range_is_left_to_be_compressed_as_it_is():
    store, query = Samples(10**7), make_query(start=NOON - 2 * HOUR)
    layout = make_layout(query, Format.JSON)
    store.put(every(MINUTE))
    joined = await join(store, query, layout)

    assert joined is not None
    assert check_gzip(store, joined, layout) is None


async def test_a_large_body_is_left_to_be_compressed_beside_the_others():
    store, query = Samples(10**8), make_query(interval=5)
    layout = make_layout(query, Format.JSON)
    store.put(every(5))
    joined = await join(store, query, layout)

    assert joined is not None
    assert check_gzip(store, joined, layout) is None
    assert joined.run.deflated == b""


async def test_the_hour_that_begins_with_the_next_tick_is_read_although_nobody_expected_it():
    store, query = Samples(10**7), make_query(end=NOON + HOUR)
    layout = make_layout(query, Format.CSV)
    store.put(every(MINUTE, end=NOON + MINUTE))
    store.tick = NOON + MINUTE

    joined = await join(store, query, layout, expected=NOON)

    assert show(joined, layout) == show(await make(store, query, layout), layout)
    assert joined is not None
    assert joined.last == b"%d,%d.50" % (NOON + MINUTE, (NOON + MINUTE) % 1000)


async def test_at_a_sample_every_five_seconds_the_day_is_cut_to_the_second():
    store = Samples(10**8)
    store.put(every(5, NOON - DAY - HOUR))
    store.put([sample(NOON + 10, "7")])
    store.tick = NOON + 10
    for format_ in TEXTS:
        query = make_query(start=NOON - DAY, end=NOON + DAY, interval=5)
        layout = make_layout(query, format_)
        joined = await join(store, query, layout)

        assert show(joined, layout) == show(await make(store, query, layout), layout)
        assert joined is not None
        assert sum(rows.count(b"%d" % (NOON - DAY + 10)) for rows in joined.list_rows()) == 0
        assert sum(rows.count(b"%d" % (NOON - DAY + 15)) for rows in joined.list_rows()) == 1


async def test_a_price_of_a_whole_hour_is_told_also_where_the_range_cuts_the_rest_of_it_off():
    store = Samples(10**7)
    end = NOON - 3 * HOUR
    store.put([sample(end - HOUR // 2, "1", volume="2"), sample(end, "3"), sample(NOON, "4", volume="5")])
    for start, expected in ((end - HOUR, []), (end - HOUR // 2, []), (end - HOUR // 2 + 1, [end])):
        query = make_query(start=start)
        layout = make_layout(query, Format.JSON)
        joined = await join(store, query, layout)

        assert joined is not None
        assert [*joined.hourly] == expected == [*(await make(store, query, layout)).hourly]


async def test_a_sample_beyond_the_newest_tick_is_never_answered():
    """The state was read, and then a tick was committed, before the samples were."""
    store, query = Samples(10**7), make_query()
    layout = make_layout(query, Format.JSON)
    store.put(every(MINUTE))
    store.tick = store.newest_read = NOON - MINUTE

    assert await join(store, query, layout) is None


async def test_series_whose_hours_cannot_be_joined_are_left_to_the_samples():
    store = Samples(10**7)
    store.put(every(MINUTE))
    for changed in ({"step": 7200}, {"fill": SeriesFill.NULL}, {"fill": SeriesFill.LINEAR, "step": 60}):
        query = make_query(**changed)

        assert await join(store, query, make_layout(query, Format.JSON)) is None
    nothing = Samples(0)
    nothing.put(every(MINUTE))

    assert await join(nothing, make_query(), make_layout(make_query(), Format.JSON)) is None


def test_a_column_knows_every_measure():
    member = keys.write_member(sample(NOON, "1", volume="2"))

    for measure in MEASURES:
        column = OpenedHour(NOON - HOUR, [member, "broken"], {}).make_column(measure)
        known = {Measure.PRICE: "1", Measure.VOLUME: "2"}.get(measure)

        assert column.samples == ([(NOON, known)] if known else [])
        assert (column.newest, column.hourly_after) == (NOON, None)
