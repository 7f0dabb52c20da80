import gzip
import tracemalloc
from pathlib import Path

import pytest

from tests.support.shared import shared
from worker.latest import MINUTE, Candle, Metric
from worker.sampling.recording import HEADER, InvalidRecording, open_recording

NOON = 1621252800
ROW = f"{NOON},1,2,0.5,1.50,7.2e-07"
SETS = {
    "binance-spot-20210517": ("BINANCE", 20, 86400),
    "binance-spot-20230322": ("BINANCE", 5, 21200),
    "bittrex-20180201": ("BITTREX", 5, 15010),
    "kucoin-spot-20230322": ("KUCOIN", 10, 40980),
}


def lines(*rows: str) -> str:
    return "".join(f"{row}\n" for row in (HEADER, *rows))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "kraken-spot-20240101"
    made.mkdir()
    return made


@pytest.mark.parametrize("name", SETS)
def test_the_recorded_sets_come_back_digit_for_digit_and_minute_by_minute(name):
    exchange, pairs, count = SETS[name]
    folder = shared("market-data", name)

    recording = open_recording(folder)
    told: dict[Metric, list[str]] = {metric: [HEADER] for metric in recording.files}
    clock = []
    for tick, candles in recording.list_ticks():
        clock.append(tick)
        for metric, candle in candles.items():
            assert candle.start == tick - MINUTE
            told[metric].append(",".join(map(str, candle)))

    assert (len(told), recording.candles) == (pairs, count)
    assert clock == list(range(recording.first, recording.last + 1, MINUTE))
    for path in folder.glob("*.csv.gz"):
        metric = Metric(f"{exchange}:{path.name.removesuffix('.csv.gz').replace('_', '')}")
        assert told[metric] == gzip.decompress(path.read_bytes()).decode().splitlines()


def test_the_clock_runs_through_an_outage_of_the_whole_exchange():
    recording = open_recording(shared("market-data", "binance-spot-20230322"))

    silent = [tick for tick, candles in recording.list_ticks() if not candles]

    assert silent == list(range(1679661660, 1679661660 + 80 * 60, 60))


def test_a_market_that_is_listed_later_is_absent_before():
    recording = open_recording(shared("market-data", "kucoin-spot-20230322"))

    first = next(tick for tick, candles in recording.list_ticks() if "KUCOIN:ARBUSDT" in candles)

    assert first == 1679576460
    assert recording.first == 1679443260


def test_a_recording_is_named_after_the_exchange_that_is_given(folder):
    (folder / "doge_btc.csv").write_text(lines(ROW))

    recording = open_recording(folder, "Bitstamp")

    assert list(recording.files) == ["BITSTAMP:DOGEBTC"]


def test_else_the_first_word_of_the_folder_names_it(folder, monkeypatch):
    (folder / "2GIVE_BTC.csv").write_text(lines(ROW))
    monkeypatch.chdir(folder)

    recording = open_recording(Path())

    assert list(recording.files) == ["KRAKEN:2GIVEBTC"]


def test_plain_and_compressed_files_are_read_alike_and_others_are_left_alone(folder):
    (folder / "ETH_BTC.csv").write_text(f"\ufeff{lines(ROW)}".replace("\n", "\r\n"), newline="")
    with gzip.open(folder / "DOGE_BTC.csv.gz", "wt") as file:
        file.write(lines(ROW))
    for other in ("README.md", ".ETH_BTC.csv", "notes.csv.txt"):
        (folder / other).write_text("not a recording")
    (folder / "folder.csv").mkdir()

    made = list(open_recording(folder).list_ticks())

    candle = Candle(NOON, "1", "2", "0.5", "1.50", "7.2e-07")
    assert made == [(NOON + 60, {"KRAKEN:DOGEBTC": candle, "KRAKEN:ETHBTC": candle})]


@pytest.mark.parametrize(
    "row, reason",
    [
        pytest.param("0,0,0,0,0", "a price of zero", id="a row of zeros"),
        pytest.param("1,2,0,1.5,3", "a price of zero", id="a low of zero"),
        pytest.param("1,1,2,1.5,3", "a high below its low", id="high and low are exchanged"),
        pytest.param("5,2,1,1.5,3", "an open or close beyond high and low", id="it opens above its high"),
        pytest.param("1,2,0.5,0.4999,3", "an open or close beyond high and low", id="it closes below its low"),
    ],
)
def test_a_candle_that_cannot_be_true_is_left_out_and_counted(folder, row, reason):
    (folder / "ETH_BTC.csv").write_text(lines(ROW, f"{NOON + 60},{row}", ROW.replace(str(NOON), str(NOON + 120))))

    recording = open_recording(folder)

    assert [len(candles) for _, candles in recording.list_ticks()] == [1, 0, 1]
    assert (recording.candles, recording.left_out) == (2, {reason: 1})
    assert recording.without == f"candles that cannot be true are left out: 1 with {reason}"


def test_of_a_sound_recording_nothing_is_left_out(folder):
    (folder / "ETH_BTC.csv").write_text(lines(ROW))

    assert (open_recording(folder).left_out, open_recording(folder).without) == ({}, None)


def test_a_file_of_which_nothing_can_be_true_is_refused(folder):
    (folder / "ETH_BTC.csv").write_text(lines(f"{NOON},0,0,0,0,0"))

    with pytest.raises(InvalidRecording, match="has no candle after its header that can be true"):
        open_recording(folder)


def test_a_shift_moves_every_time_and_nothing_else(folder):
    (folder / "ETH_BTC.csv").write_text(lines(ROW, ROW.replace(str(NOON), str(NOON + 120))))
    recording = open_recording(folder)

    moved = recording.shift_by(600).shift_by(-3600)

    assert (moved.first, moved.last) == (recording.first - 3000, recording.last - 3000)
    assert list(moved.list_ticks()) == [
        (tick - 3000, {metric: candle._replace(start=candle.start - 3000) for metric, candle in candles.items()})
        for tick, candles in recording.list_ticks()
    ]


def test_a_shift_that_would_leave_the_minute_is_refused(folder):
    (folder / "ETH_BTC.csv").write_text(lines(ROW))

    with pytest.raises(ValueError, match="a shift of 90 seconds: must be a multiple of 60"):
        open_recording(folder).shift_by(90)


@pytest.mark.parametrize("until, step, last", [(NOON + 3659, 60, NOON + 3600), (NOON - 1, 300, NOON - 300)])
def test_a_recording_can_end_at_the_newest_tick_of_now(folder, until, step, last):
    (folder / "ETH_BTC.csv").write_text(lines(ROW, ROW.replace(str(NOON), str(NOON + 120))))

    moved = open_recording(folder).shift_to_end(until, step)

    assert (moved.first, moved.last) == (last - 120, last)
    assert [tick for tick, _ in moved.list_ticks()] == [last - 120, last - 60, last]


@pytest.mark.parametrize(
    "text, says",
    [
        pytest.param("", f"ETH_BTC.csv: is empty; its first line must be '{HEADER}'", id="an empty file"),
        pytest.param(lines(), "ETH_BTC.csv: has no candle after its header", id="a header alone"),
        pytest.param(
            "time,open\n1,2\n",
            f"ETH_BTC.csv, line 1: the header is 'time,open\\n'; it must be '{HEADER}'",
            id="another header",
        ),
        pytest.param(
            lines(ROW, f"{NOON + 60},1,2,3,4"),
            f"ETH_BTC.csv, line 3: '{NOON + 60},1,2,3,4' has 5 columns; there must be 6: {HEADER}",
            id="a column short",
        ),
        pytest.param(
            lines(ROW, ""), f"ETH_BTC.csv, line 3: '' has 1 columns; there must be 6: {HEADER}", id="an empty line"
        ),
        pytest.param(
            lines(f"{NOON},1,2,abc,4,5"),
            "ETH_BTC.csv, line 2: low 'abc' is not a number; it must be a decimal of zero or more, like 0.00662",
            id="a word",
        ),
        *[
            pytest.param(
                lines(f"{NOON},1,2,3,{close},5"),
                f"ETH_BTC.csv, line 2: close {close!r} is not a number; it must be a decimal of zero or more, like 0.00662",
                id=f"close {close!r}",
            )
            for close in ("NaN", "", "-1", "+1", ".5", " 1", "1e999999999", "1_0", "٣")
        ],
        *[
            pytest.param(
                lines(f"{time},1,2,3,4,5"),
                f"ETH_BTC.csv, line 2: timestamp {time!r} is not the start of a minute; "
                "it must be unix seconds, a multiple of 60",
                id=f"timestamp {time!r}",
            )
            for time in (f"{NOON + 1}", f"{NOON}000", f"{NOON}.0", "", "2021-05-17", "-60")
        ],
        pytest.param(
            lines(ROW, ROW),
            f"ETH_BTC.csv, line 3: timestamp {NOON} comes after {NOON}; every line must be later than the one before",
            id="a time twice",
        ),
        pytest.param(
            lines(ROW, ROW.replace(str(NOON), str(NOON - 60))),
            f"ETH_BTC.csv, line 3: timestamp {NOON - 60} comes after {NOON}; "
            "every line must be later than the one before",
            id="descending",
        ),
    ],
)
def test_a_line_that_is_no_candle_is_named(folder, text, says):
    (folder / "ETH_BTC.csv").write_text(text)

    with pytest.raises(InvalidRecording) as caught:
        open_recording(folder)

    assert str(caught.value) == f"{folder}/{says}"


def test_a_gzip_that_breaks_off_is_named_with_the_line_it_can_be_read_to(folder):
    rows = [f"{NOON + 60 * minute},1,2,0.5,1.{minute * 7919 % 99991},{minute}" for minute in range(4000)]
    whole = gzip.compress(lines(*rows).encode())
    (folder / "ETH_BTC.csv.gz").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(InvalidRecording) as caught:
        open_recording(folder)

    message = str(caught.value)
    assert message.startswith(f"{folder}/ETH_BTC.csv.gz: cannot be read beyond line ")
    assert message.endswith("ended before the end-of-stream marker was reached")


@pytest.mark.parametrize(
    "body, reason",
    [
        pytest.param(b"timestamp", "Not a gzipped file", id="not a gzip"),
        pytest.param(gzip.compress(lines(ROW).encode())[:-6] + b"\0" * 6, "CRC check failed", id="damaged at the end"),
        pytest.param(gzip.compress(b"\xff\xfe"), "invalid start byte", id="not text"),
        pytest.param(gzip.compress(b"")[:10] + b"\xff" * 20, "invalid", id="damaged inside"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(folder, body, reason):
    (folder / "ETH_BTC.csv.gz").write_bytes(body)

    with pytest.raises(InvalidRecording, match=rf"ETH_BTC.csv.gz: cannot be read beyond line \d+: .*{reason}"):
        open_recording(folder)


def test_a_file_that_changed_after_it_was_checked_is_named_when_it_is_read_again(folder):
    file = folder / "ETH_BTC.csv"
    file.write_text(lines(ROW))
    recording = open_recording(folder)
    file.write_text(lines(ROW, "gone"))

    with pytest.raises(InvalidRecording, match=r"ETH_BTC.csv, line 3: 'gone' has 1 columns"):
        list(recording.list_ticks())


def test_no_folder_is_named(tmp_path):
    with pytest.raises(InvalidRecording, match=r"nowhere: is not a folder that can be read: No such file or directory"):
        open_recording(tmp_path / "nowhere")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "ETH_BTC.csv").write_text(lines(ROW))

    with pytest.raises(InvalidRecording, match=r"ETH_BTC.csv: is not a folder that can be read: Not a directory"):
        open_recording(tmp_path / "ETH_BTC.csv")


def test_a_folder_without_pairs_is_named_with_what_would_be_one(folder):
    (folder / "README.md").write_text("# nothing")

    with pytest.raises(InvalidRecording, match=r"has no recorded pair; there must be files like BTC_USDT.csv.gz"):
        open_recording(folder)


def test_top_lists_are_no_recording():
    with pytest.raises(InvalidRecording, match=r"cmc_top200_20230401.csv.gz, line 1: the header is 'Rank,"):
        open_recording(shared("market-data", "toplists"))


def test_the_same_pair_twice_is_named(folder):
    (folder / "ETH_BTC.csv").write_text(lines(ROW))
    (folder / "ETHBTC.csv").write_text(lines(ROW))

    with pytest.raises(
        InvalidRecording, match=r"ETH_BTC.csv: KRAKEN:ETHBTC is there twice, also as ETHBTC.csv; keep one"
    ):
        open_recording(folder)


@pytest.mark.parametrize("exchange", ["", "KRAKEN:X", "kra ken", "{}"])
def test_a_name_that_is_no_exchange_is_refused(folder, exchange):
    (folder / "ETH_BTC.csv").write_text(lines(ROW))

    with pytest.raises(InvalidRecording, match=f"the exchange '{exchange}' names no exchange; name one of letters"):
        open_recording(folder, exchange)


def test_a_folder_whose_name_says_no_exchange_needs_one(tmp_path):
    folder = tmp_path / "_old"
    folder.mkdir()
    (folder / "ETH_BTC.csv").write_text(lines(ROW))

    with pytest.raises(InvalidRecording, match="the first word of the folder's name, '', names no exchange"):
        open_recording(folder)


def test_a_file_whose_name_is_no_pair_is_refused(folder):
    (folder / "ETH:BTC.csv").write_text(lines(ROW))

    with pytest.raises(InvalidRecording, match="'ETH:BTC' names no pair; the file must be named like"):
        open_recording(folder)


def test_reading_takes_a_line_at_a_time_however_long_a_file_or_line_is(folder):
    with gzip.open(folder / "ETH_BTC.csv.gz", "wt", compresslevel=1) as file:
        file.write(lines())
        file.writelines(f"{minute * MINUTE},1,2,0.5,1.5,1000\n" for minute in range(60_000))
        file.write("0" * 10_000_000)

    tracemalloc.start()
    try:
        with pytest.raises(InvalidRecording, match=r"line 60002: '0{80}\.\.\.' has 1 columns"):
            open_recording(folder)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 1_000_000
