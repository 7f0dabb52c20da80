"""`sources`: what it says that each source can give is so, and a provider's markets are found by a text."""

import json
import time

import pytest
from aiohttp import ClientSession, web
from typer.testing import CliRunner

from tests.support.loopback import FAULTS
from tests.support.loopback.faults import says
from tests.worker.test_commands import Start, start
from worker.cli.commands import app
from worker.cli.source_list import choose_markets
from worker.cli.wiring import make_sources
from worker.latest import HOUR, MEASURES, MINUTE, Metric
from worker.settings import SOURCES, WorkerSettings
from worker.sources.base import DescribesItself, Hourly, KeepsLately, Source

__all__ = ["start"]

METRICS = ("KRAKEN:BTCUSD", "BINANCE:BTCUSDT", "COINBASE:BTCUSD", "SIMULATED:BTCUSD")


pytestmark = pytest.mark.usefixtures("nothing_is_set")


def type_words(*words: str) -> tuple[int, str]:
    """Return the exit code and what was printed."""
    result = CliRunner().invoke(app, ["sources", *words])
    return result.exit_code, result.output


def make_all(**settings: object) -> list[Source]:
    loaded = WorkerSettings.load(metrics="*", **settings)
    return make_sources(loaded.model_copy(update={"sources": SOURCES}))


@pytest.mark.parametrize("place", range(len(SOURCES)), ids=SOURCES)
def test_the_history_that_is_said_is_the_one_that_the_source_keeps(place: int):
    source = make_all()[place]

    assert isinstance(source, DescribesItself)
    kept = source.kept if isinstance(source, KeepsLately) else {}
    assert source.profile.minutes == kept.get(MINUTE)
    assert source.profile.hours == (kept.get(HOUR) if isinstance(source, Hourly) else 0)


@pytest.mark.parametrize("name", SOURCES)
async def test_the_measures_that_are_said_are_those_that_a_tick_brings(name: str, base: str):
    given = {f"{each}_url": base for each in ("kraken", "binance", "coinbase", "cryptowatch")}
    settings = WorkerSettings.load(**given).model_copy(update={"sources": (name,), "metrics": METRICS})
    (source,) = make_sources(settings)
    at = int(time.time()) // MINUTE * MINUTE
    async with ClientSession() as session:
        await source.open(session)
        await source.fetch(session, at - MINUTE)
        readings = await source.fetch(session, at)

    assert isinstance(source, DescribesItself)
    (reading,) = [reading for metric, reading in readings.items() if metric.endswith(("BTCUSD", "BTCUSDT"))][:1]
    brought = {measure for measure in MEASURES if getattr(reading, measure, None) is not None}
    # A counter and a window bring it at a later tick, or not in every second of a minute.
    maybe = {"interval_volume"} & {*source.profile.measures}
    assert brought | maybe == {*source.profile.measures}


def test_each_source_is_listed_with_what_is_sampled_of_it():
    code, said = type_words()

    assert code == 0
    assert [line.partition(":")[0] for line in said.splitlines() if not line.startswith(" ")] == [
        *SOURCES,
        "ccxt",
        "next",
    ]
    assert "kraken: sampled: KRAKEN:BTCUSD,KRAKEN:ETHUSD,KRAKEN:XRPUSD\n  address   https://api.kraken.com/\n" in said
    assert "binance: not sampled\n" in said
    assert "  history   candles of a minute for 12 hours, of an hour for 30 days\n" in said
    assert "  history   candles of a minute from a market's first day on, none of an hour\n" in said


def test_programs_get_json(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRACKER_SOURCES", "simulated,binance")
    monkeypatch.setenv("TRACKER_METRICS", "*")

    _, said = type_words("--json")

    known = {each["source"]: each for each in json.loads(said)}
    assert known["binance"]["sampled"] == ["*"]
    assert known["kraken"]["sampled"] == []
    assert known["kraken"]["minutes_seconds"] == 12 * HOUR
    assert known["simulated"]["measures"][0] == "price"


@pytest.mark.parametrize(
    "words, said",
    [
        (["krakn"], "'krakn' is not a source; accepted: cryptowatch, kraken, binance, coinbase, simulated"),
        (["cryptowatch"], "TRACKER_CRYPTOWATCH_URL is not set"),
    ],
)
def test_a_source_that_cannot_be_asked_is_refused(words: list[str], said: str):
    code, printed = type_words(*words)

    assert code == 2
    assert printed.startswith(said)


def test_markets_are_found_by_words_in_any_case():
    known = [Metric(name) for name in ("KRAKEN:BTCUSD", "KRAKEN:BTCEUR", "KRAKEN:ETHUSD")]

    assert choose_markets(known, "") == known
    assert choose_markets(known, "btc") == known[:2]
    assert choose_markets(known, "usd eth") == [known[2]]
    assert choose_markets(known, "doge") == []


async def test_a_providers_markets_are_listed_and_those_that_are_sampled_marked(start: Start, base: str):
    worker = start("sources", "kraken", "btcusf", KRAKEN_URL=base)
    other = start("sources", "kraken", "btc usd", KRAKEN_URL=base)

    assert await worker.ended() == 1
    assert "kraken has no market with 'btcusf' in its name; nearest: BTCUSD" in worker.said
    assert await other.ended() == 0
    lines = other.printed.splitlines()
    assert "KRAKEN:BTCUSD  sampled" in lines
    assert "KRAKEN:BTCUSDT" in lines
    assert other.said.splitlines()[-1].startswith("next: TRACKER_SOURCES=kraken TRACKER_METRICS=KRAKEN:")


async def test_programs_get_the_markets_as_json(start: Start):
    worker = start("sources", "simulated", "btcusd", "--json", SOURCES="simulated", METRICS="*")
    other = start("sources", "simulated", "btcusd")

    assert await worker.ended() == 0
    assert {"metric": "SIMULATED:BTCUSD", "sampled": True} in json.loads(worker.printed)
    assert await other.ended() == 0
    assert other.printed.splitlines()[0] == "SIMULATED:BTCUSD"


def test_a_source_that_does_not_describe_itself_is_listed_by_its_name(monkeypatch: pytest.MonkeyPatch):
    class SilentSource:
        name = "acme"

    monkeypatch.setattr("worker.cli.source_list.make_sources", lambda _: [SilentSource()])

    code, said = type_words()

    assert code == 0
    assert said.startswith("acme: not sampled\n  about     it does not say what it can give\n")


async def test_a_provider_that_does_not_answer_is_named_with_what_to_do(
    start: Start, exchange: web.Application, base: str
):
    exchange[FAULTS]["/0/public/AssetPairs"] = says({"error": ["EService:Unavailable"]})

    worker = start("sources", "kraken", "--json", KRAKEN_URL=base)

    assert await worker.ended() == 1
    assert worker.said.splitlines()[-1].startswith("kraken answered 'EService:Unavailable' to AssetPairs; look up ")
