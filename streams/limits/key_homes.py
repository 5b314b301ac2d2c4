"""The homes of locks: the partition of a lock's name decides, in one unit with the offset of what it handles.

Wishes, grants and releases are records on `signals`, so none is lost or doubled, and a home that moves finds its claims
as rows. There are no leases: a lock is held until its run ends, wherever that goes on. A new home notifies holders
again that they hold, and those that have ended meanwhile (under code in which their agent had no key) give the lock
back.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Final

import orjson

from schemas.key import KeyGranted, KeyReleased, KeyWanted
from streams.engine.decision import Output
from streams.journal import store_keys
from streams.journal.store_keys import LEDGER
from streams.limits.key_lock import KeyLock, LockClaim
from streams.metrics import KEYS_WAITING
from streams.runtime.commit_unit import CommitUnit

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from streams.journal.record_writer import RecordWriter
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.batch import RecordBatch
    from streams.runtime.committer import Committer

_PIECE: Final = 1000  # holders in one unit


class KeyHomes:
    """All locks whose home is an assignment of this worker."""

    def __init__(self, agents: Container[str], writer: RecordWriter, committer: Committer, pool: str) -> None:
        """Answer the runs of `agents`, which are in `pool`."""
        self._agents = agents
        self._committer = committer
        self._writer = writer
        self._pool = pool
        self._locks: dict[PartitionAssignment, dict[str, KeyLock]] = {}

    def restored(self, owned: PartitionAssignment) -> None:
        """Take over what the rows of an assignment say."""
        claims: dict[str, list[LockClaim]] = {}
        for _, row in owned.stores[LEDGER].scan_committed(store_keys.KEY_CLAIM):
            fields = orjson.loads(row)
            claims.setdefault(fields.pop("lock"), []).append(LockClaim(**fields))
        locks = self._locks[owned] = {}
        for name, found in claims.items():
            locks[name] = KeyLock()
            locks[name].load(found)
        owned.on_death.append(lambda: self._gone(owned))
        held = [(name, one) for name, found in claims.items() for one in found if one.held and self._served(name)]
        for start in range(0, len(held), _PIECE):
            unit = CommitUnit(owned)
            for name, claim in held[start : start + _PIECE]:
                self._grant(unit, name, claim)
            self._committer.add(unit)

    def take(self, batch: RecordBatch, event: KeyWanted | KeyReleased) -> None:
        """Handle a wish or a release."""
        locks = self._locks.setdefault(batch.assignment, {})
        lock = locks.setdefault(event.lock, KeyLock())
        if isinstance(event, KeyWanted):
            claim = LockClaim(event.run_id, event.root, event.rank, event.ending)
            given = lock.want(claim)
            self._put(batch, event.lock, lock.claims[event.run_id])
        else:
            gone, given = lock.release(event.run_id, event.ending)
            if gone is not None:
                batch.put(batch.assignment.stores[LEDGER], _row_key(event.lock, event.run_id), None)
            if not lock.claims:
                del locks[event.lock]
        for claim in given:
            self._put(batch, event.lock, claim)
            self._grant(batch, event.lock, claim)

    def _served(self, lock: str) -> bool:
        return lock.partition("/")[0] in self._agents

    def _gone(self, owned: PartitionAssignment) -> None:
        self._locks.pop(owned, None)

    def waiting(self) -> int:
        """Return how many runs wait for a lock."""
        return sum(
            not one.held for locks in self._locks.values() for lock in locks.values() for one in lock.claims.values()
        )

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of all locks whose home is here."""
        yield KEYS_WAITING.family([((), self.waiting())])

    @staticmethod
    def _put(batch: RecordBatch, lock: str, claim: LockClaim) -> None:
        fields = {name: getattr(claim, name) for name in LockClaim.__slots__}
        batch.put(batch.assignment.stores[LEDGER], _row_key(lock, claim.run_id), orjson.dumps({"lock": lock, **fields}))

    def _grant(self, unit: CommitUnit, lock: str, claim: LockClaim) -> None:
        event = KeyGranted(run_id=claim.run_id, lock=lock, ending=claim.ending)
        agent = lock.partition("/")[0]
        name = f"{claim.run_id}/granted/{claim.ending}"
        self._writer.send(unit, Output("signals", event, name, claim.run_id, agent, self._pool))


def _row_key(lock: str, run_id: str) -> bytes:
    return store_keys.KEY_CLAIM + f"{lock}/{run_id}".encode()
