"""Where keys lie when the data is divided."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from v1.model import MINUTE, By, Measure, Metric
from v1.store import keys
from v1.store.places import MOST_PARTITIONS, ONE_NODE, Places, make_tags

METRIC = Metric("KRAKEN:BTCUSD")
HOME_KEYS = [keys.TICK, keys.METRICS, keys.rank(Measure.PRICE, By.STDDEV), keys.staging(keys.mean(Measure.PRICE))]


def find_slot(key: str) -> int:
    return int(key_slot(key.encode()))


def test_one_node_keeps_the_names() -> None:
    for key in (*HOME_KEYS, keys.samples(METRIC, 3600), keys.ranges(METRIC, 3600), keys.moments(METRIC)):
        assert ONE_NODE.place(key) == key == ONE_NODE.restore(key)


def test_all_keys_of_a_partition_share_a_slot() -> None:
    places = Places(64)
    tag = places.find_tag(METRIC)
    hours = [name(METRIC, hour) for name in (keys.samples, keys.ranges) for hour in (0, 3600)]
    placed = [places.place(key) for key in (*hours, keys.moments(METRIC))]
    own = [keys.feeder(tag), keys.partition_tick(tag), keys.homeward(tag), keys.readings(tag)]
    assert [places.place(key) for key in own] == own
    assert len({*map(find_slot, [*placed, *own])}) == 1
    assert tag == places.list_tags()[places.find_partition(METRIC)]


def test_everything_else_shares_a_slot_but_limits_of_clients() -> None:
    places = Places(64)
    assert len({find_slot(places.place(key)) for key in HOME_KEYS}) == 1
    assert places.place(keys.TICK) == "v1:{home}:tick"
    assert places.place(f"{keys.limits()}:{{a/b}}") == f"{keys.limits()}:{{a/b}}"


@pytest.mark.parametrize("partitions", [1, 3, 64, 255, MOST_PARTITIONS])
def test_slots_of_partitions_are_spread_evenly(partitions: int) -> None:
    slots = [find_slot(f"{{{tag}}}") for tag in make_tags(partitions)]
    bounds = [part * 16384 // partitions for part in range(partitions + 1)]
    assert all(begin <= slot < end for slot, (begin, end) in zip(slots, pairwise(bounds), strict=True))


@given(
    st.integers(0, 130),
    st.text(st.characters(codec="utf-8", exclude_characters="{}"), min_size=1).map(Metric),
    st.integers(0, 10**9),
)
def test_a_name_comes_back_from_where_it_lies(partitions: int, metric: Metric, hour: int) -> None:
    places = Places(partitions)
    named = [*HOME_KEYS, keys.samples(metric, hour), keys.ranges(metric, hour * MINUTE), keys.moments(metric)]
    assert [places.restore(places.place(key)) for key in named] == named


def test_keys_of_others_stay() -> None:
    assert Places(8).place("other:key") == "other:key" == Places(8).restore("other:key")
