"""A bounded cache of what this gateway has just done, to answer repeats at once; nothing depends on it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A dictionary of at most `size` entries; the oldest is removed first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        """Return how many entries are remembered."""
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        """Return whether `key` is remembered."""
        return key in self._entries

    def get(self, key: K) -> V | None:
        """Return what is remembered of `key`."""
        return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        """Remember `value`, as the newest."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
