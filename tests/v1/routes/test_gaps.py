"""Gaps: every slot of the day, how it came to its sample, or why it has none."""

import csv
import io
from functools import partial

import pytest

from tests.support.serving import DAY, HOUR, MINUTE, NOON, every_minute, fill, sample
from v1.market.metric_state import SourceReading
from v1.market.slot_marking import TickEvidence
from v1.market.slots import SlotReason
from v1.model import Metric, Reading
from v1.store import keys
from worker.sampling.tick import commit_tick

BTC = Metric("KRAKEN:BTCUSD")
explain = partial(lambda reason, _metric, _source: reason, SlotReason.REFUSED)


@pytest.fixture
async def gapped(writer):
    """A day that is filled up to eleven, an outage of ten minutes, and samples from then on."""
    await fill(writer, {BTC: every_minute(["10"] * 60, until=NOON - HOUR)}, at=NOON - HOUR, is_marked=True)
    for at in range(NOON - HOUR + MINUTE, NOON + MINUTE, MINUTE):
        heard = {} if at <= NOON - 50 * MINUTE else {BTC: SourceReading(Reading("11"), "kraken")}
        await commit_tick(at, heard, writer, evidence=TickEvidence(MINUTE, at - MINUTE, explain))


@pytest.mark.usefixtures("gapped")
async def test_every_slot_of_the_day_is_there_once_with_its_reason(api):
    answer = (await api.get("/v1/metrics/kraken:btcusd/gaps")).json

    assert answer == {
        "metric": BTC,
        "from": NOON - DAY + MINUTE,
        "until": NOON,
        "interval": MINUTE,
        "slots": 1440,
        "coverage": 110 / 1440,
        "counts": {"ok": 50, "late": 0, "filled": 60, "missing": 1330},
        "reasons": {"not_asked": 1320, "candles": 60, "refused": 10},
        "runs": [
            {
                "from": NOON - DAY + 60,
                "until": NOON - 2 * HOUR,
                "state": "missing",
                "reason": "not_asked",
                "slots": 1320,
            },
            {"from": NOON - 2 * HOUR + 60, "until": NOON - HOUR, "state": "filled", "reason": "candles", "slots": 60},
            {"from": NOON - HOUR + 60, "until": NOON - 3000, "state": "missing", "reason": "refused", "slots": 10},
            {"from": NOON - 3000 + 60, "until": NOON, "state": "ok", "reason": None, "slots": 50},
        ],
    }


@pytest.mark.usefixtures("gapped")
async def test_csv_has_the_same_runs_and_times_that_a_person_reads(api):
    answer = await api.get("/v1/metrics/KRAKEN:BTCUSD/gaps.csv", {"time": "iso", "state": "missing"})

    assert [*csv.DictReader(io.StringIO(answer.text))] == [
        {"from": "2021-05-16T12:01:00Z", "until": "2021-05-17T10:00:00Z", "state": "missing", "reason": "not_asked", "slots": "1320"},
        {"from": "2021-05-17T11:01:00Z", "until": "2021-05-17T11:10:00Z", "state": "missing", "reason": "refused", "slots": "10"},
    ]  # fmt: skip


@pytest.mark.usefixtures("gapped")
async def test_only_runs_of_a_state_and_the_counts_of_all(api):
    answer = (await api.get("/v1/metrics/KRAKEN:BTCUSD/gaps", {"state": "filled"})).json

    assert [run["reason"] for run in answer["runs"]] == ["candles"]
    assert answer["counts"]["ok"] == 50


@pytest.mark.usefixtures("gapped")
async def test_while_no_tick_is_committed_slots_are_missing_all_the_same(api, clock):
    clock.now = NOON + 10 * MINUTE + 5

    answer = (await api.get("/v1/metrics/KRAKEN:BTCUSD/gaps")).json

    assert answer["runs"][-1] == {
        "from": NOON + 60, "until": NOON + 540, "state": "missing", "reason": "not_recorded", "slots": 9,
    }  # fmt: skip


@pytest.mark.usefixtures("gapped")
async def test_a_sample_that_was_deleted_is_missing(api, writer):
    await writer.make_pipeline().zremrangebyscore(keys.samples(BTC, NOON - HOUR), NOON - 60, NOON - 60).execute()

    runs = (await api.get("/v1/metrics/KRAKEN:BTCUSD/gaps")).json["runs"]

    assert [(run["from"], run["reason"]) for run in runs[-2:]] == [(NOON - 60, "not_recorded"), (NOON, None)]


async def test_what_was_inserted_from_the_archive_is_told_apart(api, writer):
    await writer.open()
    await writer.insert_samples(BTC, [sample(NOON, "1")], "archive", NOON, reason=SlotReason.ARCHIVE)

    assert (await api.get("/v1/metrics/KRAKEN:BTCUSD/gaps")).json["runs"][-1]["reason"] == "archive"


async def test_an_unknown_metric_and_an_unknown_state_are_refused(api, writer):
    await fill(writer, {BTC: every_minute(["10"])})

    unknown, wrong = await api.get("/v1/metrics/KRAKEN:NONE/gaps"), await api.get(f"/v1/metrics/{BTC}/gaps?state=lost")

    assert (unknown.status, wrong.status) == (404, 422)
    assert wrong.json["errors"][0]["accepted"] == "ok, late, filled or missing"
