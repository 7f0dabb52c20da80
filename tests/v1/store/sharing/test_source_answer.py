"""What a source said at a tick is read as it was written, digit by digit."""

import zlib

import pytest

from v1.market.slots import SlotReason
from v1.model import Candle, Metric, Reading
from v1.store.sharing.source_answer import SourceAnswer, pack_answer, unpack_answer

NOON = 1_621_252_800
BTC, ETH, XRP = Metric("KRAKEN:BTCUSD"), Metric("KRAKEN:ETHUSD"), Metric("KRAKEN:XRPUSD")
ANSWER = SourceAnswer(
    at=NOON,
    received=NOON + 0.25,
    readings={BTC: Reading("45000.10", "1.0", None, "-0.5", "0.000000000000000001", NOON - 1), ETH: Reading("1e-8")},
    absence=None,
    metrics=[BTC, ETH, XRP],
    dead=frozenset({XRP}),
    closed={Metric("KRAKEN:LUNAUSD"): "cancel_only"},
    unasked=frozenset({Metric("KRAKEN:ADAUSD")}),
    missing={Metric("KRAKEN:NONEUSD"): "kraken does not list it"},
    is_known=True,
    rejected=frozenset({XRP}),
    has_come_back=True,
    hours={BTC: Candle(NOON - 3600, "1.10", "2", "0.5", "1", "1000.000")},
    state={"state": "ok", "rejects": {"no price": 1}, "budget": None},
)


def test_an_answer_is_read_as_it_was_written():
    assert unpack_answer(pack_answer(ANSWER)) == ANSWER


@pytest.mark.parametrize("absence", [SlotReason.NO_ANSWER, SlotReason.REFUSED, SlotReason.INVALID])
def test_so_is_why_there_is_none(absence: SlotReason):
    failed = ANSWER._replace(readings={}, absence=absence)
    found = unpack_answer(pack_answer(failed))

    assert found == failed
    assert isinstance(found.absence, SlotReason)


@pytest.mark.parametrize("packed", [b"", b"[]", zlib.compress(b"[]"), zlib.compress(b"{"), zlib.compress(b"[1,2]")])
def test_what_is_something_else_is_refused(packed: bytes):
    with pytest.raises((ValueError, TypeError, zlib.error)):
        unpack_answer(packed)


def test_the_answer_of_a_source_of_ten_thousand_markets_is_half_a_mebibyte_at_most():
    readings = {Metric(f"KRAKEN:C{number}USD"): Reading(f"{number}.5", f"{number * 3}.25") for number in range(10_000)}
    packed = pack_answer(ANSWER._replace(readings=readings, metrics=[*readings]))

    assert len(packed) < 512 * 1024
    assert unpack_answer(packed).readings == readings
