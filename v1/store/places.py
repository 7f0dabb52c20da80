"""
Where each key lies when the data is divided: which partition a metric belongs to, and how its keys are spelt then.

One node has no partitions, and its keys are spelt as `keys` does. On a cluster all keys of a partition carry the same
hash tag, and so share a slot: what is committed of its metrics at a tick can be one transaction. Everything that is
not of a partition lies under one tag as well.

    on one node                       divided
    v1:samples:{KRAKEN:BTCUSD}:3600   v1:samples:{p17.2}:KRAKEN:BTCUSD:3600
    v1:ranges:{KRAKEN:BTCUSD}:3600    v1:ranges:{p17.2}:KRAKEN:BTCUSD:3600
    v1:moments:{KRAKEN:BTCUSD}        v1:moments:{p17.2}:KRAKEN:BTCUSD
    v1:limits:{<limit of a client>}   the same
    v1:tick, and all others           v1:{home}:tick

Only the client spells keys anew: everybody else names them as on one node.
"""

from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

from redis.asyncio import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from ..model import Metric
from . import keys

HOME = "home"
"""The tag of what is not of a partition."""
MOST_PARTITIONS = 1024

_HOME = f"{keys.OURS}{{{HOME}}}:"
_HOURS, _MOMENTS = (f"{keys.OURS}samples:{{", f"{keys.OURS}ranges:{{"), f"{keys.OURS}moments:{{"
"""How the keys of a metric begin: those of its hours, and the one of its state."""
_OF_METRICS = frozenset(begin.removesuffix("{") for begin in (*_HOURS, _MOMENTS))
_AS_THEY_ARE = (f"{keys.limits()}:{{", *(f"{name}{{" for name in keys.OF_PARTITIONS))
_MOST_METRICS = 1 << 18
"""Metrics whose tag is remembered: working it out takes as long as all else that is done to spell a key."""


class Places(NamedTuple):
    """How the data is divided. `partitions` is fixed when it is created; 0: it is not divided."""

    partitions: int = 0

    @property
    def is_divided(self) -> bool:
        return self.partitions > 0

    def find_partition(self, metric: Metric) -> int:
        """Return the number of the partition that a metric belongs to, from 0."""
        return crc32(metric.encode()) % self.partitions if self.partitions else 0

    def find_tag(self, metric: Metric) -> str:
        """Return the hash tag of the partition that a metric belongs to."""
        return self.list_tags()[self.find_partition(metric)]

    def list_tags(self) -> tuple[str, ...]:
        """Return the hash tag of each partition, in order."""
        return make_tags(self.partitions)

    def place(self, key: str) -> str:
        """Return a key as it is spelt in the data; `key` is named as on one node."""
        return self.find_place(key)[0] if self.partitions else key

    def find_place(self, key: str) -> tuple[str, int]:
        """Return a key of divided data as it is spelt there, and its slot."""
        name, brace, rest = key.partition("{")
        if brace and name in _OF_METRICS:
            metric, _, hour = rest.partition("}")
            tag, slot = _locate_metric(self.partitions, metric)
            return f"{name}{tag}:{metric}{hour}", slot
        if key.startswith(_AS_THEY_ARE) or not key.startswith(keys.OURS):
            return key, find_slot(key)
        return f"{_HOME}{key[len(keys.OURS) :]}", HOME_SLOT

    def restore(self, placed: str) -> str:
        """Return the name on one node of a key that is spelt as `place` does."""
        if not self.partitions or placed.startswith(_AS_THEY_ARE):
            return placed
        if placed.startswith(_HOURS):
            name, (metric, _, hour) = placed.partition("{")[0], placed.partition("}:")[2].rpartition(":")
            return f"{name}{{{metric}}}:{hour}"
        if placed.startswith(_MOMENTS):
            return f"{_MOMENTS}{placed.partition('}:')[2]}}}"
        return f"{keys.OURS}{placed[len(_HOME) :]}" if placed.startswith(_HOME) else placed


ONE_NODE = Places()


def get_places(redis: Redis) -> Places:
    """Return how the data behind a client is divided; a plain client's is not."""
    found = getattr(redis, "places", ONE_NODE)
    return found if isinstance(found, Places) else ONE_NODE


@lru_cache
def make_tags(partitions: int) -> tuple[str, ...]:
    """
    Return a hash tag for each partition, whose slots are spread evenly: the n-th of P lies in the n-th part of P.

    The slot of a key is the CRC16 of its tag, modulo 16,384 (Redis Cluster specification, "Key distribution model").
    """
    return tuple(_make_tag(number, partitions) for number in range(partitions))


def _make_tag(number: int, partitions: int) -> str:
    begin, end = (part * REDIS_CLUSTER_HASH_SLOTS // partitions for part in (number, number + 1))
    attempt = 0
    while not begin <= key_slot(f"p{number}.{attempt}".encode()) < end:
        attempt += 1
    return f"p{number}.{attempt}"


@lru_cache(_MOST_METRICS)
def _locate_metric(partitions: int, metric: str) -> tuple[str, int]:
    """Return the hash tag of a metric as it stands in a key, and its slot."""
    tag = make_tags(partitions)[crc32(metric.encode()) % partitions]
    return f"{{{tag}}}", find_tag_slot(tag)


@lru_cache(4 * MOST_PARTITIONS)
def find_tag_slot(tag: str) -> int:
    """Return the slot of all keys with a hash tag."""
    return int(key_slot(tag.encode()))


def find_slot(key: str) -> int:
    """Return the slot of a key as it is spelt in the data."""
    begin = key.find("{")
    end = key.find("}", begin + 1) if begin >= 0 else -1
    return find_tag_slot(key[begin + 1 : end]) if end > begin + 1 else int(key_slot(key.encode()))


HOME_SLOT = find_tag_slot(HOME)
