"""
Which worker is to have which partition: whoever scores highest for it, by rendezvous hashing. Pure.

Every worker works it out by itself, from the names alone. Where one comes or goes, only the partitions that it takes or
had change hands, and those of one that has gone are spread over all others (D. Thaler, C. Ravishankar, "A Name-Based
Mapping Scheme for Rendezvous", 1996).
"""

from collections.abc import Iterable, Sequence
from hashlib import blake2b

SHORTEST_LEASE, LONGEST_LEASE = 2, 5
"""Seconds: shorter than the shorter, a worker that is merely slow would be taken for gone."""


def list_wished(worker: str, workers: Iterable[str], tags: Sequence[str]) -> list[str]:
    """Return the partitions, by their tags, that a worker is to have, where `workers` are alive beside it."""
    alive = sorted({worker, *workers})
    return [tag for tag in tags if choose_worker(tag, alive) == worker]


def choose_worker(tag: str, workers: Sequence[str]) -> str:
    """Return who is to have a partition. Raises `ValueError` where there is nobody."""
    return max(workers, key=lambda worker: (_score(worker, tag), worker))


def find_lease_seconds(interval: int) -> int:
    """Return how long a worker that is not heard of is waited for, at an interval of so many seconds."""
    return min(LONGEST_LEASE, max(SHORTEST_LEASE, interval // 12))


def _score(worker: str, tag: str) -> bytes:
    return blake2b(f"{worker} {tag}".encode(), digest_size=8).digest()
