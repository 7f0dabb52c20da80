"""Candles that are downloaded into a recording: what is asked for, what is kept, and what is done where a source fails."""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from tests.support.loopback import ASKED, FAULTS
from tests.support.loopback.faults import Fault, once, page, says
from tests.worker.sources.conftest import MORNING, app, base, clock, session
from worker.latest import DAY, HOUR, MINUTE, Candle, Metric
from worker.sampling.recorder import RecordingOrder, record_candles
from worker.sampling.recording import InvalidRecording, open_recording, read_candles
from worker.sampling.recording_files import RecordedPair, TimeSpan, join_spans, subtract_spans
from worker.sources.base import Source
from worker.sources.binance import BinanceSource
from worker.sources.errors import SourceError
from worker.sources.kraken import KrakenSource
from worker.sources.supervised import SupervisedSource

__all__ = ["app", "base", "clock", "session"]  # fixtures of the sources

BTC, ETH = Metric("BINANCE:BTCUSDT"), Metric("BINANCE:ETHUSDT")
KRAKEN_BTC = Metric("KRAKEN:BTCUSD")
MIDNIGHT = MORNING // DAY * DAY
SPAN = TimeSpan(MIDNIGHT - DAY - 10 * MINUTE, MIDNIGHT + 10 * MINUTE)
KLINES = "/api/v3/klines"


def unseen(_done: int, _of: int) -> None:
    pass


class Sleeper:
    """Notes how long would have been slept."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


async def open_source(source: Source, session: ClientSession) -> SupervisedSource:
    await source.open(session)
    return SupervisedSource(source, session, 5)


async def open_binance(base: str, session: ClientSession, *metrics: Metric) -> SupervisedSource:
    return await open_source(BinanceSource(base, metrics or (BTC,), MINUTE), session)


def count_asked(app: web.Application, path: str = KLINES) -> int:
    return sum(request.path == path for request in app[ASKED])


def read_all(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


async def test_what_is_recorded_is_what_the_provider_says_digit_for_digit(base, session, tmp_path):
    source, seen = await open_binance(base, session), list[tuple[int, int]]()
    folder = tmp_path / "binance"

    (result,) = await record_candles(
        source, RecordingOrder([BTC], SPAN, MINUTE), folder, lambda done, of: seen.append((done, of)), Sleeper()
    )

    assert result == (BTC, 1460, 1460)
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert [*read_candles(folder / "BTCUSDT.csv.gz")] == [*await source.fetch_candles(BTC, *SPAN)]
    assert sorted(read_all(folder)) == [".BTCUSDT.json", "BTCUSDT.csv.gz"]


async def test_the_folder_is_a_recording(base, session, tmp_path):
    source = await open_binance(base, session, BTC, ETH)

    await record_candles(source, RecordingOrder([BTC, ETH], SPAN, MINUTE), tmp_path / "binance", unseen, Sleeper())

    recording = open_recording(tmp_path / "binance")
    assert sorted(recording.files) == [BTC, ETH]
    assert (recording.first, recording.last) == (SPAN.start + MINUTE, SPAN.end)


async def test_requests_keep_the_pace_of_the_source(base, session, tmp_path):
    source, sleeper = await open_binance(base, session), Sleeper()

    await record_candles(source, RecordingOrder([BTC], SPAN, MINUTE), tmp_path / "binance", unseen, sleeper)

    assert sleeper.slept == [source.source.pace] * 3


async def test_what_is_there_is_not_asked_for_again(app, base, session, tmp_path):
    source, order = await open_binance(base, session), RecordingOrder([BTC], SPAN, MINUTE)
    await record_candles(source, order, tmp_path / "binance", unseen, Sleeper())
    before, held, seen = count_asked(app), read_all(tmp_path / "binance"), list[tuple[int, int]]()

    again = await record_candles(
        source, order, tmp_path / "binance", lambda done, of: seen.append((done, of)), Sleeper()
    )

    assert count_asked(app) == before
    assert read_all(tmp_path / "binance") == held
    assert (again[0].candles, seen) == (1460, [(3, 3)])


async def test_only_what_is_missing_is_asked_for_and_joined(app, base, session, tmp_path):
    source = await open_binance(base, session)
    short = RecordingOrder([BTC], TimeSpan(MIDNIGHT - DAY, MIDNIGHT - DAY + HOUR), MINUTE)
    await record_candles(source, short, tmp_path / "binance", unseen, Sleeper())
    app[ASKED].clear()

    await record_candles(source, RecordingOrder([BTC], SPAN, MINUTE), tmp_path / "binance", unseen, Sleeper())
    await record_candles(source, RecordingOrder([BTC], SPAN, MINUTE), tmp_path / "whole", unseen, Sleeper())

    starts = [int(request.query["startTime"]) // 1000 for request in app[ASKED]]
    assert MIDNIGHT - DAY not in starts[: len(starts) // 2]
    assert (tmp_path / "binance" / "BTCUSDT.csv.gz").read_bytes() == (
        tmp_path / "whole" / "BTCUSDT.csv.gz"
    ).read_bytes()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(says({"code": -1003, "msg": "Too much"}, 429, Retry_After="7"), id="429"),
        pytest.param(page(502), id="a gateway's page"),
        pytest.param(says("[[]]x"), id="nonsense"),
    ],
)
async def test_a_source_that_fails_once_is_asked_again(app, base, session, tmp_path, fault: Fault):
    source, sleeper = await open_binance(base, session), Sleeper()
    app[FAULTS][KLINES] = once(fault)

    (result,) = await record_candles(source, RecordingOrder([BTC], SPAN, MINUTE), tmp_path / "binance", unseen, sleeper)

    assert result.candles == 1460
    assert sleeper.slept[0] in (2.0, 7)
    assert sleeper.slept[1:] == [source.source.pace] * 3


@pytest.mark.parametrize(
    "fault, tries, words",
    [
        pytest.param(says({"code": -1003, "msg": "banned"}, 418, Retry_After="7200"), 1, "418", id="a ban for hours"),
        pytest.param(page(503), 5, "503", id="a provider that is down"),
        pytest.param(says({"code": -1121, "msg": "Invalid symbol."}, 400), 1, "Invalid symbol", id="a refusal"),
    ],
)
async def test_a_source_that_goes_on_failing_ends_it_and_what_came_before_is_kept(
    app, base, session, tmp_path, fault: Fault, tries: int, words: str
):
    source, order = await open_binance(base, session), RecordingOrder([BTC], SPAN, MINUTE)

    def fail_later(done: int, _: int) -> None:
        if done == 2:
            app[ASKED].clear()
            app[FAULTS][KLINES] = fault

    with pytest.raises(SourceError, match=words):
        await record_candles(source, order, tmp_path / "binance", fail_later, Sleeper())
    assert count_asked(app) == tries
    assert not (tmp_path / "binance" / "BTCUSDT.csv.gz").exists()

    app[FAULTS].clear()
    app[ASKED].clear()
    (result,) = await record_candles(source, order, tmp_path / "binance", unseen, Sleeper())
    assert (result.candles, count_asked(app)) == (1460, 1)


async def test_hours_are_dated_by_the_minute_in_which_they_end(base, session, tmp_path):
    source = await open_source(KrakenSource(base, [KRAKEN_BTC], MINUTE), session)
    span = TimeSpan(MIDNIGHT - 2 * DAY, MIDNIGHT)

    (result,) = await record_candles(
        source, RecordingOrder([KRAKEN_BTC], span, HOUR), tmp_path / "kraken", unseen, Sleeper()
    )

    assert (result.candles, result.of) == (48, 48)
    hours = await KrakenSource.fetch_hours(source.source, session, KRAKEN_BTC, *span)
    held = [*read_candles(tmp_path / "kraken" / "BTCUSD.csv.gz")]
    assert held == [candle._replace(start=candle.start + HOUR - MINUTE) for candle in hours]


async def test_hours_and_minutes_of_a_pair_do_not_go_into_one_folder(base, session, tmp_path):
    source = await open_source(KrakenSource(base, [KRAKEN_BTC], MINUTE), session)
    span = TimeSpan(MIDNIGHT - HOUR, MIDNIGHT)
    await record_candles(source, RecordingOrder([KRAKEN_BTC], span, MINUTE), tmp_path / "kraken", unseen, Sleeper())

    with pytest.raises(InvalidRecording, match="holds candles of 60 seconds, and candles of 3600 do not go together"):
        await record_candles(source, RecordingOrder([KRAKEN_BTC], span, HOUR), tmp_path / "kraken", unseen, Sleeper())


async def test_a_pair_that_is_there_by_another_name_is_left_alone(base, session, tmp_path):
    (tmp_path / "binance").mkdir()
    (tmp_path / "binance" / "BTC_USDT.csv").write_text("mine")
    source = await open_binance(base, session)

    with pytest.raises(InvalidRecording, match=r"BTC_USDT.csv: BINANCE:BTCUSDT is there already"):
        await record_candles(source, RecordingOrder([BTC], SPAN, MINUTE), tmp_path / "binance", unseen, Sleeper())


async def test_two_do_not_record_into_one_folder_at_once(base, session, tmp_path):
    source, order = await open_binance(base, session), RecordingOrder([BTC], SPAN, MINUTE)

    async def record_too(_: float) -> None:
        with pytest.raises(InvalidRecording, match="another process records into it"):
            await record_candles(source, order, tmp_path / "binance", unseen, Sleeper())

    await record_candles(source, order, tmp_path / "binance", unseen, record_too)


async def test_a_time_without_a_candle_leaves_no_file(app, base, session, tmp_path):
    app[FAULTS][KLINES] = says([])
    source = await open_binance(base, session)

    (result,) = await record_candles(
        source, RecordingOrder([BTC], SPAN, MINUTE), tmp_path / "binance", unseen, Sleeper()
    )

    assert (result.candles, result.of) == (0, 1460)
    assert read_all(tmp_path / "binance") == {}


# ---- the files -----------------------------------------------------------------------------------------------


def make_candles(starts: Sequence[int], price: str = "1.50") -> list[Candle]:
    return [Candle(start, price, price, price, price, "2.0") for start in starts]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("steps", range(12))
def test_killed_between_any_two_files_and_begun_again_it_comes_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
):
    def work(folder: Path) -> None:
        pair = RecordedPair(folder, BTC, MINUTE)
        pair.open()
        for span in pair.list_missing(TimeSpan(DAY, 3 * DAY), DAY):
            pair.write_part(span, make_candles(range(span.start, span.end, 600)))
        pair.join()

    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    work(tmp_path / "whole")
    replace: Callable[[Path, Path], Path] = Path.replace
    left = [steps]

    def replace_or_die(path: Path, target: Path) -> Path:
        if not left[0]:
            raise Killed
        left[0] -= 1
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace_or_die)
        try:
            work(tmp_path / "killed")
        except Killed:
            assert steps < 5
    work(tmp_path / "killed")

    files = ("BTCUSDT.csv.gz", ".BTCUSDT.json")
    assert [(tmp_path / "killed" / name).read_bytes() for name in files] == [
        (tmp_path / "whole" / name).read_bytes() for name in files
    ]


def test_a_candle_that_is_downloaded_takes_the_place_of_one_that_was_there(tmp_path: Path):
    path = tmp_path / "BTCUSDT.csv.gz"
    path.write_bytes(gzip.compress(b"timestamp,open,high,low,close,volume\n0,9,9,9,9,9\n60,9,9,9,9,9\n"))
    pair = RecordedPair(tmp_path, BTC, MINUTE)
    pair.open()
    pair.write_part(TimeSpan(60, 180), make_candles([60, 120]))

    pair.join()

    assert [(candle.start, candle.close) for candle in read_candles(path)] == [(0, "9"), (60, "1.50"), (120, "1.50")]


@pytest.mark.parametrize("noted", ["{", "[]", '{"length": 60}', '{"length": "x", "covered": []}'])
def test_a_note_that_is_not_ours_is_refused(tmp_path: Path, noted: str):
    (tmp_path / ".BTCUSDT.json").write_text(noted)

    with pytest.raises(InvalidRecording, match="is not as it was written; delete it"):
        RecordedPair(tmp_path, BTC, MINUTE).open()


def test_stretches_that_touch_are_one_and_what_is_not_in_them_is_left():
    spans = join_spans([TimeSpan(30, 40), TimeSpan(0, 10), TimeSpan(10, 20), TimeSpan(15, 18)])

    assert spans == [(0, 20), (30, 40)]
    assert subtract_spans(TimeSpan(5, 50), spans) == [(20, 30), (40, 50)]
    assert subtract_spans(TimeSpan(5, 15), spans) == []
