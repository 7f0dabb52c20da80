"""Which wishes nobody fulfils, what is missing and what is dead, with several sources."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from worker.latest import Metric
from worker.sources.wishes import SourceReport, describe_states, find_delisted, find_unmet

BTC, ETH, USDT = Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD"), Metric("BINANCE:BTCUSDT")


class Told:
    """A source that has said what it has, or not yet."""

    def __init__(
        self,
        name: str,
        *metrics: Metric,
        missing: Mapping[str, str] | None = None,
        dead: Collection[Metric] = (),
        closed: Collection[Metric] = (),
        is_known: bool = True,
    ) -> None:
        self.name = name
        self.metrics: Sequence[Metric] = metrics
        self.missing: Mapping[Metric, str] = {Metric(wish): why for wish, why in (missing or {}).items()}
        self.dead = dead
        self.listed: Collection[Metric] = {*metrics, *closed}
        self.is_known = is_known
        self.budget: Mapping[str, Any] | None = None

    def describe_state(self) -> dict[str, Any]:
        told: dict[str, Any] = {"metrics": len(self.metrics) - len(self.dead)}
        return told if self.budget is None else told | {"budget": self.budget}


CRYPTOWATCH = Told("cryptowatch", BTC, missing={"BINANCE:*": "cryptowatch has no exchange BINANCE"})
BINANCE = Told("binance", USDT)


@pytest.mark.parametrize(
    "wishes, sources, expected",
    [
        pytest.param(["BINANCE:*"], [CRYPTOWATCH, BINANCE], {}, id="another source has it"),
        pytest.param(
            ["BINANCE:*"], [CRYPTOWATCH], {"BINANCE:*": "cryptowatch has no exchange BINANCE"}, id="nobody has it"
        ),
        pytest.param(
            [BTC, "KRAKEN:*", "*", "COINBASE:X"],
            [CRYPTOWATCH, BINANCE],
            {"COINBASE:X": "none of the sources (cryptowatch, binance) has it"},
            id="nobody speaks of it",
        ),
        pytest.param(["*"], [Told("kraken")], {"*": "none of the sources (kraken) has it"}, id="everything of nothing"),
        pytest.param([ETH], [BINANCE, Told("kraken", is_known=False)], {}, id="one has not said what it has"),
    ],
)
def test_a_wish_is_unmet_where_nobody_has_it_and_everybody_has_said_so(wishes, sources, expected):
    assert find_unmet(wishes, sources) == expected


def test_what_another_source_has_is_neither_missing_nor_dead():
    first = Told("first", BTC, ETH, missing={USDT: "first has no pair BTCUSDT", "X:Y": "no"}, dead=[BTC, ETH])
    second = Told("second", BTC, ETH, USDT, dead=[ETH])

    told = describe_states([first, second])

    assert told["first"] == {"metrics": 0, "missing": {"X:Y": "no"}, "dead": [ETH]}
    assert told["second"] == {"metrics": 2, "missing": {}, "dead": [ETH]}


def test_progress_is_news_at_every_whole_percent_and_until_it_is_over():
    notes = SourceReport([BINANCE])

    advanced = [done for done in range(1001) if notes.has_advanced("binance", done, 1000)]
    told = notes.take_news()
    over = notes.has_ended("binance")

    assert advanced == list(range(0, 1001, 10))
    assert told is not None
    assert told[0]["binance"]["filling"] == {"done": 1000, "of": 1000}
    assert over
    assert not notes.has_ended("binance")


def test_what_is_used_of_a_budget_is_news_of_budgets_alone():
    spent = {"unit": "calls", "banned_until": None, "is_shared": True, "spent": 1}
    source = Told("first", BTC)
    source.budget = spent
    notes = SourceReport([source])
    first = notes.take_news()
    assert not notes.is_only_of_budgets(first), "nothing was noted before"
    notes.mark_written(first)

    source.budget = spent | {"spent": 2}
    more = notes.take_news()
    source.budget = spent | {"spent": 2, "banned_until": 1_795_812_000.5}
    banned = notes.take_news()

    assert more is not None
    assert notes.is_only_of_budgets(more)
    assert not notes.is_only_of_budgets(banned)


def test_a_wish_that_nobody_gives_is_logged_once_and_noted_until_the_store_forgets():
    notes = SourceReport([CRYPTOWATCH], ["BINANCE:*"])

    with capture_logs() as logs:
        first = notes.take_news()
        notes.mark_written(first)
        again = notes.take_news()
        notes.forget()
        forgotten = notes.take_news()

    assert len(logs) == 1
    assert first == forgotten
    assert again is None


SOL = Metric("KRAKEN:SOLUSD")


@pytest.mark.parametrize(
    "wishes, sources, expected",
    [
        pytest.param(["KRAKEN:*"], [CRYPTOWATCH, BINANCE], {SOL: "cryptowatch no longer lists it"}, id="gone"),
        pytest.param([SOL], [CRYPTOWATCH], {SOL: "cryptowatch no longer lists it"}, id="gone, wished for by name"),
        pytest.param([BTC], [CRYPTOWATCH], {}, id="not wished for any more"),
        pytest.param(["*"], [BINANCE], {}, id="nobody lists anything of its exchange"),
        pytest.param(["*"], [CRYPTOWATCH, Told("kraken", SOL)], {}, id="another source lists it"),
        pytest.param(["*"], [Told("kraken", BTC, closed=[SOL])], {}, id="it is halted"),
        pytest.param(["*"], [CRYPTOWATCH, Told("kraken", is_known=False)], {}, id="one has not said what it has"),
    ],
)
def test_a_market_is_delisted_where_it_is_wished_for_and_no_source_lists_it_any_more(wishes, sources, expected):
    assert find_delisted(wishes, sources, [BTC, SOL]) == expected
