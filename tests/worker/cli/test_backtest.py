"""The live log of a replay is its backtest, entry for entry; and what the commands say of a backtest."""

import gzip
import json
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from typer.testing import CliRunner

from tests.support.shared import shared
from v1.rules import parse_rule, parse_silence
from v1.store import keys
from worker.cli import rules
from worker.cli.backtest import ReportOptions, backtest_kept_day, backtest_recording, describe_report
from worker.latest import Metric, Reading
from worker.latest.backtest import BacktestInput, play
from worker.latest.market import SourceReading
from worker.latest.rules import Rule, RuleEngine
from worker.latest.store import AlertLimits, Reader, Writer, connect, read_kept_day
from worker.sampling.recording import HEADER, Recording, open_recording
from worker.sampling.replay import make_recording_ticks, replay
from worker.sampling.rule_provider import FixedRules
from worker.sampling.tick import commit_tick

MINUTE, HOUR, DAY = 60, 3600, 86400
NOON = 1_621_252_800
BTC, ETH = Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD")
WISH = ReportOptions(sweep=False, limit=1_000_000)


def rule(kind: str, **fields: Any) -> Rule:
    return parse_rule({"id": kind, "kind": kind} | {name.rstrip("_"): value for name, value in fields.items()}, MINUTE)


EVERY_KIND = [
    rule("ratio", measure="interval_volume", resolved=True),
    rule("ratio", id="quarter", measure="interval_volume", window="15m", cooldown="10m", step=2, for_="1m"),
    rule("ratio", id="each", measure="interval_volume", min_samples=1, cooldown=0, step=0),
    rule("threshold", measure="interval_return", above="0.5", cooldown="5m"),
    rule("change", percent="1.5", window="10m", cooldown="30m", step=1.5),
    rule("deviation", score=2, min_samples=5, cooldown="20m", mute={"start": "00:30", "end": "01:10"}),
    rule("rank", top=2, cooldown="15m", by="cv"),
    rule("stale", intervals=3, resolved=True, cooldown="20m"),
    rule("frozen", window="20m", min_samples=5, cooldown="30m"),
]
SILENCE = parse_silence({"id": "s", "metrics": "*BTC", "rule": "quarter", "from": 0, "to": 1_517_450_000})


def unseen(*_: int) -> None:
    pass


async def logged(redis: Redis) -> list[str]:
    return sorted(await redis.zrange(keys.ALERTS, 0, -1))


def backtested(recording: Recording) -> list[str]:
    played = play(make_recording_ticks(recording, MINUTE), BacktestInput(EVERY_KIND, [SILENCE], MINUTE))
    return sorted(json.dumps(alert._asdict(), separators=(",", ":")) for alert in played.alerts)


def cut(source: Path, folder: Path, pairs: Sequence[str], first: int, until: int) -> Recording:
    """Copy a stretch of some pairs of a recorded set."""
    made = folder / source.name
    made.mkdir()
    for pair in pairs:
        header, *lines = gzip.decompress((source / f"{pair}.csv.gz").read_bytes()).decode().splitlines()
        kept = [line for line in lines if first <= int(line.partition(",")[0]) < until]
        (made / f"{pair}.csv").write_text("\n".join([header, *kept, ""]))
    return open_recording(made)


@pytest.fixture
def holes(tmp_path: Path) -> Recording:
    """Eight hours of Bittrex, which has no candle where nobody traded."""
    source = shared("market-data", "bittrex-20180201")
    pairs = [path.name.removesuffix(".csv.gz") for path in sorted(source.glob("*.csv.gz"))][:6]
    return cut(source, tmp_path, pairs, 1_517_443_200, 1_517_443_200 + 8 * HOUR)


@pytest.fixture
def outage(tmp_path: Path) -> Recording:
    """Four hours of Binance around the outage of 24 March 2023, 12:40 to 13:59."""
    source = shared("market-data", "binance-spot-20230322")
    return cut(source, tmp_path, ["BTC_USDT", "ETH_USDT", "SOL_USDT"], 1_679_655_600, 1_679_655_600 + 4 * HOUR)


@pytest.mark.parametrize(
    "set_name, spoken",
    [
        ("holes", {"ratio", "quarter", "each", "threshold", "change", "deviation", "rank", "stale"}),
        ("outage", {"each", "frozen", "stale"}),
    ],
)
async def test_the_live_log_of_a_replay_is_its_backtest_entry_for_entry(server, set_name, spoken, request):
    recording: Recording = request.getfixturevalue(set_name)

    async with connect(server, "tests") as redis:
        store = Writer(redis, AlertLimits(send=False))
        await replay(recording, store, MINUTE, unseen, None, FixedRules(RuleEngine(EVERY_KIND, [SILENCE], MINUTE)))
        log = await logged(redis)

    assert log == backtested(recording)
    assert {json.loads(line)["rule"] for line in log} >= spoken


async def test_a_replay_that_is_cut_off_and_begun_again_leaves_the_same_log(server, outage):
    class CutOff(Exception):
        pass

    def seen(done: int, _of: int) -> None:
        if done in cuts:
            cuts.remove(done)
            raise CutOff

    cuts = {40, 80, 131}
    async with connect(server, "tests") as redis:
        while cuts:
            with pytest.raises(CutOff):
                await replay(
                    outage, Writer(redis), MINUTE, seen, None, FixedRules(RuleEngine(EVERY_KIND, [SILENCE], MINUTE))
                )
        await replay(outage, Writer(redis), MINUTE, seen, None, FixedRules(RuleEngine(EVERY_KIND, [SILENCE], MINUTE)))
        log = await logged(redis)

    assert log == backtested(outage)


NUMBERS = st.none() | st.sampled_from(["1", "1.02", "2", "6", "40"])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=60),
    st.lists(st.integers(1, 90), min_size=60, max_size=60),
)
async def test_whatever_is_missing_the_store_and_the_memory_say_the_same(fake, series, minutes):
    """Ticks that are hours apart, samples that are not there: what rules look back on is found all the same."""
    await fake.flushall()
    several = [
        rule("change", percent=50, window="2h", cooldown=0, step=0),
        rule("change", id="day", percent=50, window="1d", cooldown=0, step=0),
        rule("change", id="quick", percent=50, window="10m", cooldown=0, step=0),
        rule("ratio", window="90m", min_samples=1, cooldown=0, step=0),
        rule("stale", intervals=3, resolved=True),
        rule("rank", top=1, cooldown=0),
    ]
    engine, at, ticks = RuleEngine(several, [], MINUTE), NOON, []
    for values, minute in zip(series, minutes, strict=False):
        at += minute * MINUTE
        heard = {
            metric: SourceReading(Reading(value), "kraken")
            for metric, value in zip((BTC, ETH), values, strict=True)
            if value
        }
        ticks.append((at, heard))

    store = Writer(fake, AlertLimits(send=False))
    await store.open()
    for when, heard in ticks:
        await commit_tick(when, heard, store, engine)

    played = play(ticks, BacktestInput(several, [], MINUTE))
    assert await logged(fake) == sorted(json.dumps(alert._asdict(), separators=(",", ":")) for alert in played.alerts)
    await fake.flushall()


async def test_the_kept_day_says_what_was_said_live(server, holes):
    several = [
        rule("ratio", measure="interval_volume", cooldown=0, step=0),
        rule("threshold", measure="interval_return", above=1, cooldown=0),
    ]
    async with connect(server, "tests") as redis:
        store = Writer(redis, AlertLimits(send=False))
        await replay(holes, store, MINUTE, unseen, None, FixedRules(RuleEngine(several, [], MINUTE)))
        log = [json.loads(line) for line in await logged(redis)]
        kept = await read_kept_day(Reader(redis))

    found = backtest_kept_day(kept, BacktestInput(several, (), MINUTE), WISH, unseen)

    assert sorted(alert["id"] for alert in found["alerts"]) == sorted(alert["id"] for alert in log)
    assert [alert for alert in found["alerts"] if alert["id"] == log[0]["id"]] == [log[0] | {"channels": ()}]


# ---- the commands ------------------------------------------------------------------------------------------------------

RULES = """
[[rules]]
id = "spike"
kind = "ratio"
measure = "interval_volume"
min_samples = 3
"""


def command(*words: str):
    return CliRunner().invoke(rules.app, words)


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with a recording of ten minutes, one of which trades ten times as much, and a file of rules."""
    folder = tmp_path / "kraken"
    folder.mkdir()
    lines = [f"{NOON + minute * MINUTE},1,1,1,1,{10 if minute == 7 else 1}" for minute in range(10)]
    (folder / "BTC_USD.csv").write_text("\n".join([HEADER, *lines, ""]))
    (tmp_path / "rules.toml").write_text(RULES)
    return tmp_path


def test_a_backtest_on_a_recording_is_told_in_words(made):
    ended = command("backtest", str(made / "rules.toml"), "--recording", str(made / "kraken"))

    assert ended.exit_code == 0, ended.stderr
    assert "1 metric, 10 samples, rules on from 2021-05-17 12:01:00 to 2021-05-17 12:10:00" in ended.stdout
    assert "spike: 1 message, 144.0 a day; 1 alert, 0 of them not sent; fired 1 time" in ended.stdout
    assert "messages by       factor and cooldown         0      15m       1h       4h" in ended.stdout
    assert "2021-05-17 12:08:00  spike  KRAKEN:BTCUSD interval volume is 10 x its hour mean" in ended.stdout


def test_a_backtest_as_json_has_everything(made):
    words = [
        "--recording",
        str(made / "kraken"),
        "--json",
        "--no-sweep",
        "--from",
        "2021-05-17T12:09:00Z",
        "--to",
        str(NOON + 570),
    ]
    ended = command("backtest", str(made / "rules.toml"), *words)

    found = json.loads(ended.stdout)
    assert (found["from"], found["to"], found["rules"][0]["sweep"]) == (NOON + 540, NOON + 540, None)


def test_a_backtest_without_a_sample_says_so():
    words = describe_report(on_recording_of_nothing(), [])

    assert [*words] == ["there is no sample to try rules on"]


def test_a_backtest_says_what_it_left_out_of_a_recording(tmp_path):
    folder = tmp_path / "kraken"
    folder.mkdir()
    rows = [f"{NOON},1,1,1,1,1", f"{NOON + 60},0,0,0,0,0", f"{NOON + 120},1,1,1,1,1"]
    (folder / "A_B.csv").write_text("\n".join([HEADER, *rows, ""]))

    found = backtest_recording(open_recording(folder), BacktestInput([], (), MINUTE), WISH, unseen)

    assert found["samples"] == 2
    assert "candles that cannot be true are left out: 1 with a price of zero" in list(describe_report(found, []))


def on_recording_of_nothing() -> dict[str, Any]:
    empty = Recording({}, NOON, NOON, 0)
    return backtest_recording(empty, BacktestInput([], (), MINUTE), WISH, unseen)


@pytest.mark.parametrize(
    "words, said",
    [
        pytest.param(["backtest", "nowhere.toml"], "nowhere.toml: cannot be read", id="no file"),
        pytest.param(["backtest", "{wrong}"], "wrong.toml: rule 1 (a): factor: 0 is not accepted", id="a wrong rule"),
        pytest.param(["backtest", "{rules}", "--from", "soon"], "--from: 'soon' is not a time", id="no time"),
        pytest.param(["backtest", "{rules}", "--recording", "{rules}"], "is not a folder", id="no recording"),
        pytest.param(["test", "{rules}"], "tests: None is not accepted", id="no tests"),
    ],
)
def test_what_is_wrong_is_one_line_and_ends_with_2(made, words, said):
    (made / "wrong.toml").write_text('[[rules]]\nid = "a"\nkind = "ratio"\nfactor = 0\n')
    named = {"{wrong}": str(made / "wrong.toml"), "{rules}": str(made / "rules.toml")}

    ended = command(*[named.get(word, word) for word in words])

    assert ended.exit_code == 2
    assert said in ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr


def test_without_a_store_the_kept_day_cannot_be_tried(made, monkeypatch):
    monkeypatch.setenv("TRACKER_REDIS_URL", f"unix://{made}/nobody.sock")

    ended = command("backtest", str(made / "rules.toml"))

    assert (ended.exit_code, "Redis is away" in ended.stderr) == (1, True)


# ---- against a recount -------------------------------------------------------------------------------------------------


def exceeding(path: Path) -> set[int]:
    """Return the ticks at which more than three times the mean of the hour before was traded, from the file alone."""
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    traded = {int(row[0]) + MINUTE: Fraction(row[5]) for row in rows}
    found = set()
    for at, volume in traded.items():
        hour = [traded[before] for before in range(at - HOUR, at, MINUTE) if before in traded]
        if sum(hour) > 0 and volume * len(hour) > 3 * sum(hour):
            found.add(at)
    return found


def test_the_literal_rule_says_exactly_what_a_recount_of_thin_pairs_finds(tmp_path):
    """NXS_BTC at 1621280940 trades exactly three times its hour mean."""
    source = shared("market-data", "binance-spot-20210517")
    recording = cut(source, tmp_path, ["NXS_BTC", "BRD_BTC"], 1_621_209_600, 1_621_209_600 + DAY)
    literal = rule("ratio", measure="interval_volume", min_samples=1, cooldown=0, step=0)

    played = play(make_recording_ticks(recording, MINUTE), BacktestInput([literal], (), MINUTE))

    said = {(alert.metric, alert.at) for alert in played.alerts}
    assert said == {(metric, at) for metric, path in recording.files.items() for at in exceeding(path)}
    assert ("BINANCE:NXSBTC", 1_621_280_940 + MINUTE) not in said
    assert len(said) > 100


def moved(path: Path) -> tuple[set[int], set[int]]:
    """
    Return the ticks at which the price of a pair is more than 5 % off some price of the hour before, and off its first
    one; from the file alone, in whole numbers, every price of the hour looked at.
    """
    rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
    prices = {int(row[0]) + MINUTE: int(Decimal(row[4]).scaleb(20)) for row in rows}
    within, since_start = set(), set()
    for at, price in prices.items():
        hour = [prices[before] for before in range(at - HOUR, at, MINUTE) if before in prices]
        far = [abs(price - then) * 100 > 5 * then for then in hour]
        within |= {at} if any(far) else set()
        since_start |= {at} if far and far[0] else set()
    return within, since_start


@pytest.mark.parametrize(
    "name, pairs, first, hours",
    [
        ("binance-spot-20210517", ["NXS_BTC", "BTT_USDT", "BTC_USDT"], 1_621_411_200, 6),
        ("bittrex-20180201", ["2GIVE_BTC", "RDD_BTC"], 1_517_529_600, 24),
        ("kucoin-spot-20230322", ["ARB_USDT", "BAX_USDT"], 1_679_565_600, 8),
    ],
)
def test_a_change_says_exactly_what_a_recount_of_recordings_finds(tmp_path, name, pairs, first, hours):
    recording = cut(shared("market-data", name), tmp_path, pairs, first, first + hours * HOUR)
    rules = [
        rule("change", id=since, percent=5, window="1h", since=since, cooldown=0, step=0)
        for since in ("extreme", "start")
    ]

    played = play(make_recording_ticks(recording, MINUTE), BacktestInput(rules, (), MINUTE))

    found = {metric: moved(path) for metric, path in recording.files.items()}
    for place, since in enumerate(("extreme", "start")):
        said = {(alert.metric, alert.at) for alert in played.alerts if alert.rule == since}
        assert said == {(metric, at) for metric, ticks in found.items() for at in ticks[place]}
    assert sum(len(within) for within, _ in found.values()) > sum(len(start) for _, start in found.values()) > 0
