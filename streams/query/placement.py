"""The picture of who owns what, folded from heartbeats; pure, so that moves can be tried without a broker."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from schemas.worker import WorkerHeartbeat

STALE_MS: Final = 5_000
"""A worker beats every second; after five missed beats its claims count no more."""


SILENT_MS: Final = 2_500
"""After two missed beats a worker may be dead: its group is asked whether it is."""

FORGOTTEN_MS: Final = 600_000
"""A worker that has been silent for ten minutes is not listed any more."""

HISTORY_MS: Final = 3_600_000
"""No two clocks differ by an hour: a beat that is older was read from the log's past."""


class Presence(Enum):
    """What heartbeats report of one start of a worker."""

    PRESENT = "present"
    SILENT = "silent"  # nothing is proven: it is slow, dead, leaving, or has sent no heartbeat yet
    REPLACED = "replaced"  # a later process has its slot, which only one process can have


@dataclass(slots=True)
class KnownWorker:
    """A worker's latest heartbeat and when it counts from, in this process's milliseconds."""

    beat: WorkerHeartbeat
    at_ms: int


class Placement:
    """Which worker answers for a partition of a pool, as far as heartbeats show."""

    def __init__(self) -> None:
        self._workers: dict[str, KnownWorker] = {}

    def apply(self, worker_id: str, beat: WorkerHeartbeat | None, now_ms: int) -> bool:
        """Take in a heartbeat, or a tombstone (None); return whether who owns what may have changed.

        A worker's first beat may be an old one that compaction left, so it counts from when it was sent; a later one
        counts from its arrival, since the clocks of two machines differ, unless it is plainly history.
        """
        before = self._workers.get(worker_id)
        if beat is None:
            return self._workers.pop(worker_id, None) is not None
        fresh = before is not None and beat.at_ms > before.beat.at_ms and now_ms - beat.at_ms < HISTORY_MS
        self._workers[worker_id] = KnownWorker(beat, now_ms if fresh else min(beat.at_ms, now_ms))
        if before is None or now_ms - before.at_ms > STALE_MS:
            return True
        old = before.beat
        return (old.partitions, old.url, old.state) != (beat.partitions, beat.url, beat.state)

    def pools(self, now_ms: int) -> list[str]:
        """Return the pools that have a live worker, `default` first."""
        found = {seen.beat.pool for seen in self._live(now_ms)}
        return sorted(found, key=lambda pool: (pool != "default", pool))

    def owner(self, pool: str, partition: int, now_ms: int) -> str | None:
        """Return the URL of the owner: of several claims the latest, since an owner that lost it claims it no more."""
        claims = [seen for seen in self._live(now_ms) if seen.beat.pool == pool and partition in seen.beat.partitions]
        return max(claims, key=lambda seen: seen.at_ms).beat.url.rstrip("/") if claims else None

    def standbys(self, pool: str, partition: int, now_ms: int) -> list[str]:
        """Return the URLs of the live workers that have a copy of a partition, the latest heartbeat first."""
        keepers = [seen for seen in self._live(now_ms) if seen.beat.pool == pool and partition in seen.beat.standbys]
        return [seen.beat.url.rstrip("/") for seen in sorted(keepers, key=lambda seen: -seen.at_ms)]

    def members(self, pool: str, now_ms: int) -> dict[str, frozenset[int]]:
        """Return a pool's live workers that stay, by id, with the partitions that each owns."""
        return {
            seen.beat.worker_id: frozenset(seen.beat.partitions)
            for seen in self._live(now_ms)
            if seen.beat.pool == pool and seen.beat.state != "stopping"
        }

    def presence(self, worker_id: str, started_ms: int, now_ms: int) -> Presence:
        """Return what the heartbeats of a worker report of its process that started at `started_ms`."""
        seen = self._workers.get(worker_id)
        if seen is None:
            return Presence.SILENT
        if seen.beat.started_ms > started_ms:
            return Presence.REPLACED
        fresh = seen.beat.started_ms == started_ms and now_ms - seen.at_ms <= SILENT_MS
        return Presence.PRESENT if fresh and seen.beat.state != "stopping" else Presence.SILENT

    def covers(self, pool: str, partitions: int, now_ms: int) -> bool:
        """Return whether every partition has an owner, without which a list over the pool would miss rows."""
        owned = {number for seen in self._live(now_ms) if seen.beat.pool == pool for number in seen.beat.partitions}
        return owned.issuperset(range(partitions))

    def urls(self, pool: str, now_ms: int) -> list[str]:
        """Return the URLs of a pool's live workers, in a stable order."""
        return sorted({seen.beat.url.rstrip("/") for seen in self._live(now_ms) if seen.beat.pool == pool})

    def workers(self, now_ms: int) -> list[dict[str, Any]]:
        """Return the workers of the last minutes for people to read, with `alive`; `lost` is one that beats no more.

        One whose heartbeat says that it stops has left, and is not listed once it is silent.
        """
        found = []
        for _, seen in sorted(self._workers.items()):
            silent = now_ms - seen.at_ms
            alive = silent <= STALE_MS
            if alive or (silent <= FORGOTTEN_MS and seen.beat.state != "stopping"):
                state = seen.beat.state if alive else "lost"
                shown = seen.beat.model_dump(mode="json", exclude={"applied"})
                found.append({**shown, "state": state, "alive": alive, "silent_s": round(max(silent, 0) / 1000, 1)})
        return found

    def unserved(self, pool: str, agent: str, now_ms: int) -> list[int]:
        """Return the partitions of a pool whose live owner does not have `agent`: its queue waits there."""
        return sorted(
            number
            for seen in self._live(now_ms)
            if seen.beat.pool == pool and seen.beat.agents is not None and agent not in seen.beat.agents
            for number in seen.beat.partitions
        )

    def last_running(self, pool: str) -> int:
        """Return how many runs the workers of a pool had in memory at their last heartbeats."""
        return sum(seen.beat.running for seen in self._workers.values() if seen.beat.pool == pool)

    def _live(self, now_ms: int) -> list[KnownWorker]:
        return [seen for seen in self._workers.values() if now_ms - seen.at_ms <= STALE_MS]
