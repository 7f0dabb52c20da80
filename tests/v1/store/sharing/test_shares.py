"""Who is to have which partition: every worker finds the same, all of them are had, and few change hands."""

from collections import Counter

import pytest

from v1.store.places import Places
from v1.store.sharing.shares import choose_worker, find_lease_seconds, list_wished

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
