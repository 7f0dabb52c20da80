"""What is left of a tick for whoever commits it is read as it was written."""

import zlib

import pytest

from v1.market.metric_state import SourceReading
from v1.market.slots import SlotMark, SlotReason
from v1.model import Metric, Reading
from v1.store.sharing.tick_readings import (
    COMMON,
    NO_READINGS,
    CommonEvidence,
    PartitionReadings,
    TickReadings,
    read_tick_readings,
    write_tick_readings,
)

AT = 1_764_324_060
BTC, ETH, XRP = Metric("KRAKEN:BTCUSD"), Metric("BINANCE:ETHUSD"), Metric("KRAKEN:XRPUSD")
COMMON_EVIDENCE = CommonEvidence(
    AT - 600,
    AT - 120,
    [SlotMark(AT - 60, AT - 60, SlotReason.BEHIND)],
    True,
    {"kraken": SlotReason.REFUSED},
    SlotReason.NOT_ASKED,
)
TICK = TickReadings(
    AT,
    COMMON_EVIDENCE,
    {
        "p0.1": PartitionReadings(
            {BTC: SourceReading(Reading("1.50", "2", None, "-3", provider_time=7), "kraken")},
            {XRP: SlotReason.REJECTED},
            frozenset({XRP}),
        ),
        "p1.0": PartitionReadings({ETH: SourceReading(Reading("3"), "binance")}, {}, frozenset()),
        "p2.0": NO_READINGS._replace(unranked=frozenset()),
    },
)


def written() -> dict[str, bytes]:
    fields = write_tick_readings(TICK)
    return {name: value.encode() if isinstance(value, str) else value for name, value in fields.items()}


def test_a_tick_is_read_as_it_was_written():
    fields = written()
    assert read_tick_readings(AT, fields.pop(COMMON), fields) == TICK


def test_some_partitions_are_read_by_themselves():
    fields = written()
    found = read_tick_readings(AT, fields[COMMON], {"p1.0": fields["p1.0"]})
    assert found.merge(["p1.0"]).readings == {ETH: SourceReading(Reading("3"), "binance")}


def test_readings_of_partitions_are_merged():
    merged = TICK.merge(TICK.partitions)
    assert merged.readings.keys() == {BTC, ETH}
    assert (merged.absent, merged.unranked) == ({XRP: SlotReason.REJECTED}, {XRP})


def test_why_a_metric_has_no_reading_is_said_by_metric_then_by_source_then_by_exchange():
    evidence = TICK.make_evidence(60, {XRP: SlotReason.REJECTED})
    assert evidence.explain(XRP, "kraken") is SlotReason.REJECTED
    assert evidence.explain(BTC, "kraken") is SlotReason.REFUSED
    assert evidence.explain(BTC, "cryptowatch") is SlotReason.REFUSED
    assert evidence.explain(ETH, "binance") is SlotReason.NOT_ASKED
    assert (evidence.previous, evidence.skipped, evidence.is_late()) == (AT - 120, COMMON_EVIDENCE.skipped, True)


def test_what_is_something_else_cannot_be_read():
    fields = written()
    with pytest.raises(zlib.error):
        read_tick_readings(AT, fields[COMMON], {"p0.1": b"[]"})
    with pytest.raises(ValueError, match="Expecting"):
        read_tick_readings(AT, b"{", {})
