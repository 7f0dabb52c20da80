"""Cuts what is long into parts of a bounded length."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def split_into_chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield `items` in order, `size` at a time; the last chunk may be shorter."""
    return (items[start : start + size] for start in range(0, len(items), size))
