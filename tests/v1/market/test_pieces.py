"""Encoded hours: what is kept of them, and in how many bytes."""

from v1.market.pieces import HourColumn, KeptPieces, Piece, make_piece
from v1.model import HOUR, Metric

BTC, ETH, XRP = Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD"), Metric("KRAKEN:XRPUSD")
LAYOUT = "price json"


def piece(text: str = "[60,1.5]", hour: int = 0) -> Piece:
    return make_piece(hour, HourColumn([(hour + 60, "1.5")], hour + 60, None), [hour + 60], text)


def keep(kept: KeptPieces, metric: Metric, hour: int, text: str) -> None:
    kept.add_piece(metric, hour, kept.open_hour(metric, hour), LAYOUT, piece(text, hour))


def test_what_is_kept_is_counted_and_never_more_than_may_be():
    kept = KeptPieces(10_000)
    for index in range(30):
        keep(kept, Metric(f"KRAKEN:A{index}"), 0, "x" * 1000)

        assert kept.bytes <= 10_000
    kept.clear()

    assert kept.bytes == 0


def test_the_bytes_of_what_is_dropped_are_free_again():
    kept = KeptPieces(10_000)
    keep(kept, BTC, 0, "x" * 1000)
    one = kept.bytes
    keep(kept, BTC, HOUR, "x" * 2000)
    kept.drop_hour(BTC, HOUR)

    assert kept.bytes == one
    assert [*kept.get_hours(BTC)] == [0]


def test_the_metric_that_was_asked_for_longest_ago_goes_first():
    kept = KeptPieces(4_000)
    keep(kept, BTC, 0, "x" * 900)
    keep(kept, ETH, 0, "x" * 900)
    kept.get_hours(BTC)
    keep(kept, XRP, 0, "x" * 900)

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
    keep(kept, BTC, 0, "first")
    kept.add_piece(BTC, 0, kept.open_hour(BTC, 0), "price csv", piece("second"))

    assert {name: each.text for name, each in kept.get_hours(BTC)[0].items()} == {
        LAYOUT: "first",
        "price csv": "second",
    }


def test_a_piece_larger_than_all_that_may_be_kept_is_not_kept():
    kept = KeptPieces(1_000)
    keep(kept, BTC, 0, "x" * 2000)

    assert (kept.bytes, kept.get_hours(BTC)) == (0, {})


def test_hours_that_left_the_day_do_not_pile_up():
    kept = KeptPieces(10**9)
    for hour in range(0, 100 * HOUR, HOUR):
        keep(kept, BTC, hour, "x")

    assert [*kept.get_hours(BTC)] == [*range(52 * HOUR, 100 * HOUR, HOUR)]
