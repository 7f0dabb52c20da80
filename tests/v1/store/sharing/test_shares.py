"""Who is to have which partition: every worker finds the same, all of them are had, and few change hands."""

from collections import Counter

import pytest

from v1.store.places import Places
from v1.store.sharing.shares import choose_worker, divide_sources, find_lease_seconds, list_wished

TAGS = Places(64).list_tags()
WORKERS = ("a:1", "b:1", "c:1")


def test_each_partition_is_wished_for_by_one_worker_whoever_asks():
    wished = [tag for worker in WORKERS for tag in list_wished(worker, WORKERS, TAGS)]
    assert sorted(wished) == sorted(TAGS)


def test_a_worker_that_does_not_see_itself_among_the_others_counts_itself():
    assert list_wished("a:1", ("b:1", "c:1"), TAGS) == list_wished("a:1", WORKERS, TAGS)


def test_who_is_alone_is_to_have_all_partitions():
    assert list_wished("a:1", (), TAGS) == [*TAGS]


def test_partitions_are_spread_over_workers():
    counts = Counter(choose_worker(tag, [f"host:{number}" for number in range(4)]) for tag in TAGS)
    assert len(counts) == 4
    assert max(counts.values()) <= 32


def test_where_a_worker_goes_only_its_partitions_change_hands():
    before = {tag: choose_worker(tag, WORKERS) for tag in TAGS}
    after = {tag: choose_worker(tag, WORKERS[:2]) for tag in TAGS}
    assert {tag for tag in TAGS if before[tag] != after[tag]} == {tag for tag in TAGS if before[tag] == "c:1"}


@pytest.mark.parametrize("interval,seconds", [(1, 2), (5, 2), (30, 2), (48, 4), (60, 5), (3600, 5)])
def test_a_lease_fits_the_interval(interval: int, seconds: int):
    assert find_lease_seconds(interval) == seconds


SOURCES = ("binance", "coinbase", "kraken", "simulated")


def test_no_worker_has_more_than_its_part_of_the_sources():
    for workers in (WORKERS, WORKERS[:2], WORKERS[:1], [f"host:{number}" for number in range(9)]):
        counts = Counter(divide_sources(dict.fromkeys(workers, SOURCES)).values())
        assert sum(counts.values()) == len(SOURCES)
        assert max(counts.values()) <= -(-len(SOURCES) // len(workers))


def test_everybody_finds_the_same_whatever_the_order_in_which_workers_are_listed():
    forth, back = dict.fromkeys(WORKERS, SOURCES), dict.fromkeys(WORKERS[::-1], SOURCES[::-1])
    assert divide_sources(forth) == divide_sources(back)


def test_a_source_is_asked_by_a_worker_that_is_able_to():
    able = {"a:1": SOURCES, "b:1": [source for source in SOURCES if source != "kraken"], "c:1": []}
    askers = divide_sources(able)
    assert askers["kraken"] == "a:1"
    assert set(askers.values()) == {"a:1", "b:1"}


def test_where_one_worker_alone_is_able_to_ask_it_asks_more_than_its_part():
    assert divide_sources({"a:1": SOURCES, "b:1": ["kraken"]})["binance"] == "a:1"
    assert Counter(divide_sources({"a:1": SOURCES, "b:1": ["kraken"]}).values()) == {"a:1": 3, "b:1": 1}


def test_what_nobody_is_able_to_ask_nobody_has():
    assert divide_sources({"a:1": [], "b:1": []}) == {}
    assert divide_sources({}) == {}
