"""Encoded hours: what is kept of them, and in how many bytes."""

from v1.market.pieces import NO_HOURS, HourColumn, KeptPieces, Piece, RunKey, hash_rows, make_piece, make_run
from v1.model import HOUR, Metric

BTC, ETH, XRP = Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD"), Metric("KRAKEN:XRPUSD")
LAYOUT = "price json"


def piece(text: bytes = b"[60,1.5]", hour: int = 0) -> Piece:
    return make_piece(hour, HourColumn([(hour + 60, "1.5")], hour + 60, None), [hour + 60], text)


def keep(kept: KeptPieces, metric: Metric, hour: int, text: bytes) -> None:
    kept.add_piece(metric, hour, kept.open_hour(metric, hour), LAYOUT, piece(text, hour))


def test_what_is_kept_is_counted_and_never_more_than_may_be():
    kept = KeptPieces(10_000)
    for index in range(30):
        keep(kept, Metric(f"KRAKEN:A{index}"), 0, b"x" * 1000)

        assert kept.bytes <= 10_000
    kept.clear()

    assert kept.bytes == 0


def test_the_bytes_of_what_is_dropped_are_free_again():
    kept = KeptPieces(10_000)
    keep(kept, BTC, 0, b"x" * 1000)
    one = kept.bytes
    keep(kept, BTC, HOUR, b"x" * 2000)
    kept.drop_hour(BTC, HOUR)

    assert kept.bytes == one
    assert [*kept.get_hours(BTC)] == [0]


def test_the_metric_that_was_asked_for_longest_ago_goes_first():
    kept = KeptPieces(4_000)
    keep(kept, BTC, 0, b"x" * 900)
    keep(kept, ETH, 0, b"x" * 900)
    kept.get_hours(BTC)
    keep(kept, XRP, 0, b"x" * 900)

    assert [metric for metric in (BTC, ETH, XRP) if kept.get_hours(metric)] == [BTC, XRP]


def test_a_piece_of_an_hour_that_has_changed_since_it_was_read_is_not_kept():
    kept = KeptPieces(10_000)
    opened = kept.open_hour(BTC, 0)
    kept.drop_hour(BTC, 0)
    kept.add_piece(BTC, 0, opened, LAYOUT, piece())
    reopened = kept.open_hour(BTC, 0)
    kept.add_piece(BTC, 0, opened, LAYOUT, piece())

    assert not reopened
    assert not kept.get_hours(BTC)[0]


def test_an_hour_that_is_read_again_for_another_layout_keeps_the_first():
    kept = KeptPieces(10_000)
    keep(kept, BTC, 0, b"first")
    kept.add_piece(BTC, 0, kept.open_hour(BTC, 0), "price csv", piece(b"second"))

    assert {name: each.text for name, each in kept.get_hours(BTC)[0].items()} == {
        LAYOUT: b"first",
        "price csv": b"second",
    }


def test_a_piece_larger_than_all_that_may_be_kept_is_not_kept():
    kept = KeptPieces(1_000)
    keep(kept, BTC, 0, b"x" * 2000)

    assert (kept.bytes, kept.get_hours(BTC)) == (0, {})


def test_hours_that_left_the_day_do_not_pile_up():
    kept = KeptPieces(10**9)
    for hour in range(0, 100 * HOUR, HOUR):
        keep(kept, BTC, hour, b"x")

    assert [*kept.get_hours(BTC)] == [*range(52 * HOUR, 100 * HOUR, HOUR)]


def make_key(first: int, last: int, layout: str = LAYOUT) -> RunKey:
    return RunKey(layout, range(first * HOUR, last * HOUR, HOUR))


def keep_hours(kept: KeptPieces, count: int, metric: Metric = BTC) -> None:
    for number in range(count):
        keep(kept, metric, number * HOUR, b"row %d" % number)


def test_a_run_is_the_rows_of_its_hours_and_found_again():
    kept = KeptPieces(10**6)
    keep_hours(kept, 5)
    keep(kept, BTC, 5 * HOUR, b"")
    run = kept.find_run(BTC, make_key(1, 6))

    assert run is not None
    assert [*run.texts] == [b"row 1", b"row 2", b"row 3", b"row 4"]
    assert (run.newest, [*run.hourly]) == (5 * HOUR + 60, [])
    assert kept.find_run(BTC, make_key(1, 6)) is run


def test_a_run_whose_hours_are_not_all_kept_is_none():
    kept = KeptPieces(10**6)
    keep_hours(kept, 3)

    assert kept.find_run(BTC, make_key(0, 4)) is None
    assert kept.find_run(BTC, make_key(0, 3, "price csv")) is None
    assert kept.find_run(ETH, make_key(0, 1)) is None
    assert kept.find_run(ETH, make_key(0, 0)) is NO_HOURS


def test_a_run_goes_with_each_of_its_hours_and_no_other():
    for dropped, stays in ((0, True), (1, False), (3, False), (4, True)):
        kept = KeptPieces(10**6)
        keep_hours(kept, 5)
        run = kept.find_run(BTC, make_key(1, 4))
        kept.drop_hour(BTC, dropped * HOUR)
        keep(kept, BTC, dropped * HOUR, b"changed")
        again = kept.find_run(BTC, make_key(1, 4))

        assert (again is run) == stays
        assert again is not None
        assert (b"changed" in again.texts) == (not stays)


def test_what_a_run_is_compressed_is_kept_with_it_and_counted():
    kept, key = KeptPieces(10**6), make_key(0, 5)
    keep_hours(kept, 5)
    run, before = kept.find_run(BTC, key), kept.bytes
    assert run is not None
    kept.add_deflated(BTC, key, run, b"z" * 500)
    found = kept.find_run(BTC, key)

    assert found is not None
    assert (found.deflated, found.texts) == (b"z" * 500, run.texts)
    assert kept.bytes == before + 500
    for number in range(5):
        kept.drop_hour(BTC, number * HOUR)
    kept.add_deflated(BTC, key, found, b"z" * 9)
    assert kept.bytes == 0


def test_runs_of_ranges_that_nobody_asks_for_any_more_do_not_pile_up():
    kept = KeptPieces(10**6)
    keep_hours(kept, 40)
    runs = [kept.find_run(BTC, make_key(0, last)) for last in range(1, 41)]

    assert kept.find_run(BTC, make_key(0, 40)) is runs[-1]
    assert kept.find_run(BTC, make_key(0, 1)) is not runs[0]
    assert sum(kept.find_run(BTC, make_key(0, last)) is runs[last - 1] for last in range(40, 1, -1)) <= 8
    kept.clear()
    assert kept.bytes == 0


def test_a_run_is_answered_even_where_there_is_no_room_to_keep_it():
    kept = KeptPieces(10**6)
    keep_hours(kept, 5)
    kept.most_bytes = kept.bytes
    run = kept.find_run(BTC, make_key(0, 5))

    assert run is not None
    assert len(run.texts) == 5
    assert (kept.bytes, kept.get_hours(BTC)) == (0, {})


def test_the_digest_of_rows_does_not_depend_on_how_they_are_cut():
    assert hash_rows([b"1", b"2\n3"]) == hash_rows([b"1\n2", b"3"]) != hash_rows([b"1", b"2", b"4"])
    assert hash_rows([]) == b""


def test_the_price_of_a_whole_hour_is_told_by_its_run():
    lone = make_piece(HOUR, HourColumn([(2 * HOUR, "1")], 2 * HOUR, 0), [2 * HOUR], b"x")
    run = make_run([0, HOUR], [piece(), lone])

    assert [*run.hourly] == [2 * HOUR]
