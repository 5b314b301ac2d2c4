"""The home of shared answers: rows with an expiry, and who is computing what is not there yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson

from streams import clock
from streams.worker.journal import LEDGER
from streams.worker.limits.committing import committed
from streams.worker.state.unit import MAX_RECORD_BYTES, Unit

if TYPE_CHECKING:
    from streams.worker.state.committer import Committer
    from streams.worker.state.slice import Slice

PREFIX: Final = b"c/"
HOLD_S: Final = 20.0  # how long a question waits here for somebody else's answer before it is put again


def key_of(call: str) -> bytes:
    """Return the row key of a call's hash."""
    return PREFIX + call.encode()


def expiry(row: bytes) -> int:
    """Return when a row is no longer to be told, in milliseconds since the epoch."""
    return int(row.partition(b" ")[0])


class _Lease:
    """Somebody computes an answer; `done` is set when it is there or given up."""

    __slots__ = ("done", "holder", "until")

    def __init__(self, holder: str, until: float) -> None:
        self.holder = holder
        self.until = until
        self.done = asyncio.Event()


class Answers:
    """The answers whose home is one slice."""

    def __init__(self, owned: Slice, committer: Committer) -> None:
        """Leases live in memory: when the home moves, one more call may be made."""
        self._owned = owned
        self._committer = committer
        self._leases: dict[str, _Lease] = {}

    async def ask(self, call: str, holder: str, seconds: float) -> dict[str, Any]:
        """Return `hit` with the value, `compute` with a lease of so many seconds, or `again` after a long wait."""
        end = clock.monotonic() + HOLD_S
        while self._owned.live:
            row = self._owned.stores[LEDGER].committed(key_of(call))
            if row is not None and expiry(row) > clock.now_ms():
                return {"hit": True, "value": orjson.loads(row.partition(b" ")[2])}
            now = clock.monotonic()
            lease = self._leases.get(call)
            if lease is None or lease.until <= now or lease.holder == holder:
                self._give(call, holder, now + seconds)
                return {"compute": True}
            if now >= end:
                return {"again": True}
            await _until(lease.done, min(lease.until, end) - now)
        return {"away": True}

    async def put(self, call: str, value: Any, ttl: float) -> dict[str, Any]:
        """Keep an answer for `ttl` seconds and tell it to all who wait; what is too large is not kept."""
        row = b"%d %b" % (clock.now_ms() + int(ttl * 1000), orjson.dumps(value))
        kept = len(row) < MAX_RECORD_BYTES // 2
        if kept:
            unit = Unit(self._owned)
            unit.put(self._owned.stores[LEDGER], key_of(call), row)
            await committed(self._committer, unit)
        self._end(call)
        return {"kept": kept}

    def fail(self, call: str, holder: str) -> dict[str, Any]:
        """Give a lease back without an answer: the next who waits computes."""
        lease = self._leases.get(call)
        if lease is not None and lease.holder == holder:
            self._end(call)
        return {}

    def close(self) -> None:
        """Let everybody who waits here look for the new home."""
        for call in list(self._leases):
            self._end(call)

    def _give(self, call: str, holder: str, until: float) -> None:
        lease = self._leases.get(call)
        if lease is None:
            self._leases[call] = _Lease(holder, until)
        else:
            lease.holder, lease.until = holder, until  # who waits goes on waiting, for the new holder

    def _end(self, call: str) -> None:
        lease = self._leases.pop(call, None)
        if lease is not None:
            lease.done.set()


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await event.wait()
    except TimeoutError:
        return
