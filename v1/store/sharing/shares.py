"""
Which worker is to have which partition, and which source: whoever scores highest for it, by rendezvous hashing. Pure.

Every worker works it out by itself, from the names alone. Where one comes or goes, only the partitions that it takes or
had change hands, and those of one that has gone are spread over all others (D. Thaler, C. Ravishankar, "A Name-Based
Mapping Scheme for Rendezvous", 1996).

Sources are few, and chance would give one worker most of them: none has more than its part, rounded up.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
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


def divide_sources(able: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Return who is to ask each source, by source: of the workers, each with the sources that it is able to ask."""
    workers = [worker for worker, sources in able.items() if sources]
    listed = sorted({source for sources in able.values() for source in sources})
    most, counts, chosen = -(-len(listed) // len(workers)) if workers else 0, Counter[str](), {}
    for source in listed:
        fitting = [worker for worker in workers if source in able[worker]]
        worker = choose_worker(source, [each for each in fitting if counts[each] < most] or fitting)
        chosen[source] = worker
        counts[worker] += 1
    return chosen


def find_lease_seconds(interval: int) -> int:
    """Return how long a worker that is not heard of is waited for, at an interval of so many seconds."""
    return min(LONGEST_LEASE, max(SHORTEST_LEASE, interval // 12))


def _score(worker: str, tag: str) -> bytes:
    return blake2b(f"{worker} {tag}".encode(), digest_size=8).digest()
