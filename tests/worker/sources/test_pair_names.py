import pytest

from worker.sources.pair_names import find_missing, name_metric, suggest_nearest


@pytest.mark.parametrize(
    "exchange, pair, metric",
    [
        ("kraken", "btcusd", "KRAKEN:BTCUSD"),
        ("binance-us", "1inchusdt", "BINANCE-US:1INCHUSDT"),
        ("BINANCE", "币安人生USDT", "BINANCE:币安人生USDT"),
        ("kraken", "aaveusd-btnl", "KRAKEN:AAVEUSD-BTNL"),
    ],
)
def test_a_metric_is_named_upper_case(exchange: str, pair: str, metric: str):
    assert name_metric(exchange, pair) == metric


@pytest.mark.parametrize("pair", ["", "a b", "a:b", "a{b", "a}b", "a,b", 'a"b', "a/b", "a\nb", "*", "x" * 65])
def test_words_that_would_break_a_key_or_a_line_are_no_name(pair: str):
    assert name_metric("kraken", pair) is None


def test_every_wish_of_the_exchange_that_nobody_fulfils_has_a_reason():
    wishes = ("KRAKEN:BTCUSD", "KRAKEN:BTCEUR", "KRAKEN:*", "*", "BINANCE:BTCEUR")

    assert find_missing("kraken", wishes, "KRAKEN", ["BTCUSD", "XRPUSD"]) == {
        "KRAKEN:BTCEUR": "kraken has no pair BTCEUR; nearest: BTCUSD"
    }


def test_nothing_is_said_to_be_near_where_nothing_is():
    assert suggest_nearest("FOOUSD", ["ZZZEUR"]) == suggest_nearest("FOOUSD", []) == ""
