"""The home of shared answers: rows with an expiry, found by it too, and who is computing what is not there yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson

from streams import clock
from streams.journal import store_keys
from streams.journal.store_keys import LEDGER
from streams.runtime.commit_unit import MAX_RECORD_BYTES, CommitUnit
from streams.runtime.commit_wait import committed

if TYPE_CHECKING:
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.committer import Committer

HOLD_S: Final = 20.0  # how long a question waits here for somebody else's answer before it is put again


def key_of(call: str) -> bytes:
    """Return the row key of a call's hash."""
    return store_keys.SHARED_ANSWER + call.encode()


def listed_key(call: str, expiry_ms: int) -> bytes:
    """Return the key of the row that finds an answer by its expiry."""
    return b"%b%013d/%b" % (store_keys.SHARED_ANSWER_EXPIRY, expiry_ms, call.encode())


def listed(key: bytes) -> tuple[int, str]:
    """Return the expiry and the call's hash of such a key."""
    _, expiry_ms, call = key.split(b"/", 2)
    return int(expiry_ms), call.decode()


def expiry(row: bytes) -> int:
    """Return when a row is not given out any more, in milliseconds since the epoch."""
    return int(row.partition(b" ")[0])


class Lease:
    """Somebody computes an answer, or gave up and nobody has asked since; `done` is set at each change of that."""

    __slots__ = ("done", "holder", "run_id", "until")

    def __init__(self) -> None:
        self.holder = ""
        self.run_id = ""
        self.until = float("-inf")
        self.done = asyncio.Event()

    def free(self) -> None:
        """Take it from its holder; whoever asks next gets it."""
        self.holder, self.run_id, self.until = "", "", float("-inf")
        self.done.set()
        self.done = asyncio.Event()


class SharedAnswerHome:
    """The answers whose home is one assignment.

    A lease belongs to one question of one process, `<process>#<number>`, and is for a run. It ends with its answer or
    its failure; when its process is gone (`left`); when the same run asks from another process, which is the new owner
    of the run's partition; and at the latest after the time that the question gave. The answer of a question whose
    lease is another's by then is not stored: it may be older than what the other one finds.
    """

    def __init__(self, owned: PartitionAssignment, committer: Committer) -> None:
        """Leases live in memory: when the home moves, one more call may be made."""
        self._owned = owned
        self._committer = committer
        self._leases: dict[str, Lease] = {}
        self._waiting: set[str] = set()  # questions that are held here; one that is withdrawn gets no lease

    async def ask(self, call: str, holder: str, seconds: float, run_id: str = "") -> dict[str, Any]:
        """Return `hit` with the value, `compute` with a lease of so many seconds, or `again` after a long wait."""
        end = clock.monotonic() + HOLD_S
        self._waiting.add(holder)
        try:
            while self._owned.live:
                row = self._owned.stores[LEDGER].committed(key_of(call))
                if row is not None and expiry(row) > clock.now_ms():
                    return {"hit": True, "value": orjson.loads(row.partition(b" ")[2])}
                now = clock.monotonic()
                if holder not in self._waiting or now >= end:
                    return {"again": True}
                lease = self._leases.get(call)
                if lease is None or lease.until <= now or _is_of(lease, holder, run_id):
                    self._give(call, holder, now + seconds, run_id)
                    return {"compute": True}
                await _until(lease.done, min(lease.until, end) - now)
        finally:
            self._waiting.discard(holder)
        return {"away": True}

    async def put(self, call: str, value: Any, ttl: float, holder: str = "") -> dict[str, Any]:
        """Store an answer for `ttl` seconds and send it to all who wait.

        What is too large is not stored, nor the answer of a question that has lost its lease to another one. No lease
        at all means that the home has moved since: the answer counts unless another one has come.
        """
        lease = self._leases.get(call)
        if holder and (lease.holder != holder if lease is not None else self._fresh(call)):
            return {"kept": False, "superseded": True}
        expiry_ms = clock.now_ms() + int(ttl * 1000)
        row = b"%d %b" % (expiry_ms, orjson.dumps(value))
        fits = len(row) < MAX_RECORD_BYTES // 2
        if fits:
            unit = CommitUnit(self._owned)
            unit.put(self._owned.stores[LEDGER], key_of(call), row)
            unit.put(self._owned.stores[LEDGER], listed_key(call, expiry_ms), b"1")
            await committed(self._committer, unit)
        if self._leases.get(call) is lease:
            self._end(call)
        return {"kept": fits}

    def fail(self, call: str, holder: str) -> dict[str, Any]:
        """Release a lease without an answer, or withdraw a question: the next who waits computes."""
        self._waiting.discard(holder)
        lease = self._leases.get(call)
        if lease is not None and lease.holder == holder:
            self._end(call)
        return {}

    def holders(self) -> set[str]:
        """Return the processes that hold a lease."""
        return {process_of(lease.holder) for lease in self._leases.values() if lease.holder}

    def left(self, process: str) -> None:
        """Free what a process held, and withdraw what it asks."""
        self._waiting -= {holder for holder in self._waiting if process_of(holder) == process}
        for lease in self._leases.values():
            if lease.holder and process_of(lease.holder) == process:
                lease.free()

    def close(self) -> None:
        """Let everybody who waits here look for the new home."""
        for call in list(self._leases):
            self._end(call)

    def _fresh(self, call: str) -> bool:
        row = self._owned.stores[LEDGER].committed(key_of(call))
        return row is not None and expiry(row) > clock.now_ms()

    def _give(self, call: str, holder: str, until: float, run_id: str) -> None:
        lease = self._leases.setdefault(call, Lease())  # who waits goes on waiting, for the new holder
        lease.holder, lease.until, lease.run_id = holder, until, run_id

    def _end(self, call: str) -> None:
        lease = self._leases.pop(call, None)
        if lease is not None:
            lease.done.set()


def process_of(holder: str) -> str:
    """Return the process of a question; empty for one of an older version, whose leases have only their time."""
    return holder.rpartition("#")[0]


def _is_of(lease: Lease, holder: str, run_id: str) -> bool:
    """Return whether a question may have a lease that is held: its own, or what its run held in another process."""
    if lease.holder == holder:
        return True
    return bool(run_id) and lease.run_id == run_id and process_of(lease.holder) != process_of(holder)


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(max(seconds, 0.0)):
            await event.wait()
    except TimeoutError:
        return
