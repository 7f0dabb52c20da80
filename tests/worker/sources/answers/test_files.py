"""Files of kept answers: what is written is read again, however it ended; bounded in time and bytes; without secrets."""

import gzip
import json
import os
from pathlib import Path

import pytest

from worker.latest import HOUR
from worker.sources.answers.files import AnswerFiles, AnswerLimits, list_files, open_answers
from worker.sources.answers.lines import (
    AnswersHeader,
    InvalidAnswers,
    KeptAnswer,
    KeptTick,
    hide_secrets,
    parse_header,
    parse_line,
    write_answer,
    write_header,
    write_tick,
)
from worker.sources.asking import AskedFor

NOON = 1621252800
HEADER = AnswersHeader("1.2.3", 60, ("kraken", "binance"), ("KRAKEN:*", "BINANCE:BTCUSDT"), 3)
JSON = {"Content-Type": "application/json"}
MARKETS = KeptAnswer(NOON, "kraken", AskedFor.MARKETS, "/0/public/AssetPairs", 200, JSON, b'{"error":[]}')
LIMITS = AnswerLimits(24 * HOUR, 1024**2)


def make_answer(at: int, body: bytes = b"{}") -> KeptAnswer:
    return KeptAnswer(at, "kraken", AskedFor.TICK, "/0/public/Ticker", 200, JSON, body)


def make_files(folder: Path, limits: AnswerLimits = LIMITS, header: AnswersHeader = HEADER) -> AnswerFiles:
    return AnswerFiles(folder, header, limits)


@pytest.mark.parametrize(
    "line",
    [
        KeptTick(NOON),
        MARKETS,
        make_answer(NOON, '{"price":"64000.10","名":1}'.encode()),
        make_answer(NOON, b"\xff\x00\xfe"),
        make_answer(NOON)._replace(status=0, headers={}, body=b"", failure="TimeoutError"),
    ],
)
def test_a_line_is_read_as_it_was_written(line: KeptAnswer | KeptTick):
    written = write_tick(line) if isinstance(line, KeptTick) else write_answer(line)

    assert parse_line(written) == line
    assert written.count("\n") == 1


def test_the_first_line_says_what_was_sampled():
    assert parse_header(write_header(HEADER)) == HEADER


@pytest.mark.parametrize(
    "line, said",
    [
        ("{", "is not JSON: "),
        ("[]", "is not a JSON object"),
        ("{}", "is neither a tick nor an answer"),
        (
            '{"at":1,"source":"kraken","for":"fun","url":"/","failure":"x"}',
            "is asked for 'fun'; accepted: markets, tick",
        ),
        ('{"at":1,"source":"kraken","for":"tick","url":"/","status":200,"headers":{}}', "has neither text nor base64"),
        (
            '{"at":1,"source":"kraken","for":"tick","url":"/","status":200,"headers":{},"base64":"%"}',
            "has a body that is not base64",
        ),
    ],
)
def test_a_line_that_is_none_is_refused(line: str, said: str):
    with pytest.raises(InvalidAnswers) as raised:
        parse_line(line)

    assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    "line, said",
    [
        ('{"format":2}', "is of format 2; accepted: 1"),
        ('{"tick":1}', "does not begin with what was sampled; accepted: files that TRACKER_KEEP_ANSWERS has made"),
    ],
)
def test_a_file_of_something_else_is_refused(line: str, said: str):
    with pytest.raises(InvalidAnswers) as raised:
        parse_header(line)

    assert str(raised.value) == said


@pytest.mark.parametrize(
    "url, kept",
    [
        ("/0/public/Ticker?pair=XXBTZUSD,XETHZUSD", "/0/public/Ticker?pair=XXBTZUSD,XETHZUSD"),
        ("/ticker?api_key=hunter2&pair=A%2CB", "/ticker?api_key=%2A%2A%2A&pair=A%2CB"),
        ("/ticker?signature=ab&Token=", "/ticker?signature=%2A%2A%2A&Token=%2A%2A%2A"),
    ],
)
def test_a_parameter_that_is_called_a_key_is_hidden(url: str, kept: str):
    assert hide_secrets(url) == kept


def test_what_is_written_is_read_in_order_while_the_file_is_open(tmp_path: Path):
    files = make_files(tmp_path / "answers")
    files.write([KeptTick(NOON), MARKETS, make_answer(NOON)], NOON)
    files.write([KeptTick(NOON + 60), make_answer(NOON + 60)], NOON + 60)

    recording = open_answers(tmp_path / "answers")

    assert recording.header == HEADER
    assert (recording.first, recording.last, recording.ticks, recording.answers) == (NOON, NOON + 60, 2, 3)
    assert [*recording.list_lines()][3:] == [KeptTick(NOON + 60), make_answer(NOON + 60)]
    files.close()
    assert len([*open_answers(tmp_path / "answers").list_lines()]) == 5


def test_every_hour_a_file_begins_that_can_be_played_alone(tmp_path: Path):
    files = make_files(tmp_path)
    for at in range(NOON, NOON + 2 * HOUR + 60, 600):
        files.write([KeptTick(at), *([MARKETS] if at == NOON else []), make_answer(at)], at)
    files.close()

    first, second, third = list_files(tmp_path)
    first.unlink()
    second.unlink()

    assert [*open_answers(tmp_path).list_lines()] == [MARKETS, KeptTick(NOON + 2 * HOUR), make_answer(NOON + 2 * HOUR)]
    assert third.name == f"answers-{NOON + 2 * HOUR}.jsonl.gz"


def test_a_worker_that_starts_again_in_the_same_second_begins_a_file_of_its_own(tmp_path: Path):
    for _ in range(2):
        files = make_files(tmp_path)
        files.write([KeptTick(NOON)], NOON)
        files.close()

    assert [path.name for path in list_files(tmp_path)] == [f"answers-{NOON}.jsonl.gz", f"answers-{NOON}+.jsonl.gz"]


def test_what_is_too_old_is_removed(tmp_path: Path):
    files = make_files(tmp_path, AnswerLimits(2 * HOUR, 1024**2))
    for hour in range(6):
        at = NOON + hour * HOUR
        files.write([KeptTick(at)], at)
    files.write([KeptTick(NOON + 6 * HOUR)], NOON + 6 * HOUR)
    files.close()

    assert open_answers(tmp_path).first == NOON + 4 * HOUR


def test_all_files_together_stay_within_their_bytes_and_the_oldest_make_room(tmp_path: Path):
    size = 200_000
    files = make_files(tmp_path, AnswerLimits(24 * HOUR, size))
    for minute in range(100):
        at = NOON + minute * 60
        files.write([KeptTick(at), make_answer(at, os.urandom(6000))], at)
        total = sum(path.stat().st_size for path in list_files(tmp_path))
        assert total <= size + size // 8 + 10_000
    files.close()

    recording = open_answers(tmp_path)
    assert recording.last == NOON + 99 * 60
    assert NOON < recording.first < NOON + 90 * 60


def test_a_worker_that_was_killed_leaves_whole_lines(tmp_path: Path):
    files = make_files(tmp_path)
    files.write([KeptTick(NOON), MARKETS, make_answer(NOON)], NOON)
    files.write([KeptTick(NOON + 60), make_answer(NOON + 60, os.urandom(3000))], NOON + 60)
    (path,) = list_files(tmp_path)
    whole = path.read_bytes()

    path.write_bytes(whole[:-1000])

    assert [*open_answers(tmp_path).list_lines()][:3] == [KeptTick(NOON), MARKETS, make_answer(NOON)]
    files.close()


def test_a_folder_of_two_settings_is_refused_with_both(tmp_path: Path):
    for number, header in enumerate([HEADER, HEADER._replace(version="2"), HEADER._replace(interval=5)]):
        files = make_files(tmp_path, header=header)
        files.write([KeptTick(NOON + number)], NOON + number)
        files.close()

    with pytest.raises(
        InvalidAnswers, match=rf"answers-{NOON + 2}.jsonl.gz: was kept under other settings than answers-"
    ):
        open_answers(tmp_path)


def test_a_folder_without_a_tick_is_refused(tmp_path: Path):
    files = make_files(tmp_path)
    files.write([MARKETS], NOON)
    files.close()

    with pytest.raises(InvalidAnswers, match="has no tick; the worker had not sampled yet"):
        open_answers(tmp_path)


def test_a_file_that_cannot_be_read_is_named_with_its_line(tmp_path: Path):
    path = tmp_path / "answers-1.jsonl.gz"
    path.write_bytes(gzip.compress(f"{write_header(HEADER)}{json.dumps({'tick': 'soon'})}\n".encode()))
    (tmp_path / "answers-2.jsonl.gz").write_bytes(b"not gzip")

    with pytest.raises(InvalidAnswers, match=r"answers-2.jsonl.gz: cannot be read: Not a gzipped file"):
        open_answers(tmp_path)
    (tmp_path / "answers-2.jsonl.gz").write_bytes(b"")
    with pytest.raises(InvalidAnswers, match=r"answers-2.jsonl.gz: is empty"):
        open_answers(tmp_path)
    (tmp_path / "answers-2.jsonl.gz").unlink()
    with pytest.raises(InvalidAnswers, match=r"answers-1.jsonl.gz, line 2: is neither a tick nor an answer"):
        open_answers(tmp_path)
