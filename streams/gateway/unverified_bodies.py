"""A budget for bodies whose sender has not proven itself yet, so that strangers cannot fill the gateway's memory."""

from __future__ import annotations

from collections import Counter
from typing import Final

from streams.gateway.problem import BUSY

TOTAL: Final = 128 << 20
"""Bytes of such bodies at once."""

PER_ADDRESS: Final = 32 << 20
"""Bytes of them from one address: more than the largest body that a source takes (25 MiB)."""


class UnverifiedBodies:
    """The bytes that are held for senders who have not proven themselves."""

    def __init__(self, total: int = TOTAL, per_address: int = PER_ADDRESS) -> None:
        self._total = total
        self._per_address = per_address
        self._held = 0
        self._by_address: Counter[str] = Counter()

    def of(self, address: str) -> Share:
        """Return the share of one body, to be released when the body is verified or dropped."""
        return Share(self, address)

    @property
    def held(self) -> int:
        """Return the bytes that are held now."""
        return self._held

    def change(self, address: str, size: int) -> None:
        """Hold `size` more bytes, or fewer; Problem 429 when that is over the budget."""
        if size > 0 and (self._held + size > self._total or self._by_address[address] + size > self._per_address):
            raise BUSY("Too many bytes of unverified deliveries are under way; send it again.", retry_after=1)
        self._held += size
        self._by_address[address] += size
        if not self._by_address[address]:
            del self._by_address[address]


class Share:
    """What one body holds of the budget."""

    def __init__(self, bodies: UnverifiedBodies, address: str) -> None:
        self._bodies = bodies
        self._address = address
        self._size = 0

    def take(self, size: int) -> None:
        """Hold `size` more bytes; Problem 429 when there are none left."""
        self._bodies.change(self._address, size)
        self._size += size

    def release(self) -> None:
        """Hold nothing any more."""
        size, self._size = self._size, 0
        if size:
            self._bodies.change(self._address, -size)
