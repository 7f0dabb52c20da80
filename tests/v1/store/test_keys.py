"""The keys: what they are called, that nothing else is, and how a sample is written."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from redis.crc import key_slot

from tests.support.serving import NOON
from v1.model import DAY, HOUR, MEASURES, By, Measure, Metric, Sample, find_hour, list_hours
from v1.store import keys

ROOT = Path(__file__).resolve().parents[3]
BTC = Metric("KRAKEN:BTCUSD")

values = some.none() | some.from_regex(r"-?(0|[1-9][0-9]{0,9})(\.[0-9]{1,9})?(e-?[0-9]{1,2})?", fullmatch=True)
samples = some.builds(Sample, some.integers(0, 2**33), some.tuples(*[values for _ in MEASURES]))
ticks = some.integers(NOON - 3 * DAY, NOON + 3 * DAY)


def test_keys_are_called_what_the_contract_calls_them():
    assert keys.METRICS == "v1:metrics"
    assert keys.TICK == "v1:tick"
    assert keys.TICKS == "v1:ticks"
    assert keys.SOURCES == "v1:sources"
    assert keys.LEASE == "v1:lease"
    assert keys.samples(BTC, NOON) == f"v1:samples:{{KRAKEN:BTCUSD}}:{NOON}"
    assert keys.moments(BTC) == "v1:moments:{KRAKEN:BTCUSD}"
    assert keys.rank(Measure.PRICE, By.STDDEV) == "v1:rank:price:stddev"
    assert keys.rank(Measure.INTERVAL_VOLUME, By.CV) == "v1:rank:interval_volume:cv"
    assert keys.mean(Measure.VOLUME) == "v1:mean:volume"


def test_all_that_one_transaction_touches_shares_a_slot():
    tags = {
        re.search(r"\{(.*)\}", key).group(1)
        for key in (keys.samples(BTC, 0), keys.samples(BTC, HOUR), keys.moments(BTC))
    }

    assert tags == {BTC}


def test_what_takes_the_place_of_a_key_shares_its_slot():
    rank = keys.rank(Measure.PRICE, By.STDDEV)

    assert keys.staging(rank) == f"v1:next:{{{rank}}}"
    assert key_slot(keys.staging(rank).encode()) == key_slot(rank.encode())


def test_a_copy_of_the_version_writes_into_keys_of_its_own(tmp_path: Path):
    shutil.copytree(ROOT / "v1", tmp_path / "v2", ignore=shutil.ignore_patterns("__pycache__"))

    said = subprocess.run(
        [sys.executable, "-c", "from v2.store import keys; print(keys.METRICS, keys.moments('A:B'))"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert said.split() == ["v2:metrics", "v2:moments:{A:B}"]


@given(ticks)
def test_an_hour_is_open_at_its_start_and_closed_at_its_end(tick):
    hour = find_hour(tick)

    assert hour % HOUR == 0
    assert hour < tick <= hour + HOUR


@given(ticks, some.integers(1, 2 * DAY))
def test_the_hours_of_a_stretch_are_those_that_may_hold_a_tick_of_it_and_no_others(after, length):
    ticks = range(after + 1, after + length + 1)

    hours = list_hours(after, after + length)

    assert list(hours) == sorted({find_hour(tick) for tick in (*ticks[::60], ticks[-1])})


def test_a_day_of_minutes_lies_in_25_hours_at_most():
    assert max(len(list_hours(NOON + minute * 60 - DAY, NOON + minute * 60)) for minute in range(60)) == 25


@given(samples)
def test_a_sample_is_read_back_as_it_was_written(sample):
    assert keys.parse_member(find_hour(sample.tick), keys.write_member(sample)) == sample


@given(samples)
def test_a_written_sample_is_a_json_array_with_the_digits_as_they_came(sample):
    seconds, *numbers = json.loads(keys.write_member(sample), parse_float=str, parse_int=str)

    assert int(seconds) in range(1, HOUR + 1)
    assert numbers == list(sample.values)


def test_equal_samples_at_two_ticks_are_two_members():
    values = ("46572.17", None, None, None, None, None)

    assert keys.write_member(Sample(NOON, values)) != keys.write_member(Sample(NOON + 60, values))


@pytest.mark.parametrize("length", [256])
def test_an_ordinary_sample_fits_the_packed_list_that_we_configure(length):
    written = keys.write_member(
        Sample(NOON, ("46572.17000000", "1234567.12345678", "-12.345678", "-1234.56789", "123.12345678", "-12.345678"))
    )

    assert len(written) <= length // 2
    assert f"zset-max-listpack-value {length}" in (ROOT / "worker" / "embedded" / "redis.conf").read_text()


def test_few_keys_have_no_end():
    assert {keys.TICK, keys.SOURCES} <= keys.PERMANENT


def test_a_metric_outlives_its_day_and_the_lists_last_a_day():
    assert keys.KEEP == DAY + HOUR
    assert keys.KEEP_SAMPLES >= keys.KEEP + DAY
    assert keys.KEEP_DERIVED == DAY
