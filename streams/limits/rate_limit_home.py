"""The home of rate limits: one partition's owner gives grants, each a row that is committed before it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from streams import clock
from streams.define.limits import Rate
from streams.journal import store_keys
from streams.journal.store_keys import LEDGER
from streams.limits.rate_window import RateDemand, RateWindow, age, recorded, terms
from streams.runtime.commit_unit import CommitUnit
from streams.runtime.commit_wait import committed

if TYPE_CHECKING:
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.committer import Committer

_MANY: Final = 1000  # limits, from which on those without grants are forgotten
_SOON_S: Final = 0.2  # to come back for what was reserved for others who are due


def key_of(limit: str, request: str) -> bytes:
    """Return a grant's row key; names of limits have no slash."""
    return store_keys.RATE_GRANT + f"{limit}/{request}".encode()


class RateLimitHome:
    """The windows of all limits whose home is one assignment."""

    def __init__(self, owned: PartitionAssignment, committer: Committer) -> None:
        """Take over from the rows of `owned`: their ages by the wall clock, their order as it was."""
        self._owned = owned
        self._committer = committer
        self._ready_at = clock.monotonic()
        self._windows: dict[str, RateWindow] = {}
        self._lengths: dict[str, float] = {}  # seconds of each window
        self._prune_at = _MANY
        self._demand: dict[str, RateDemand] = {}
        self._found: dict[str, list[tuple[float, str]]] = {}
        self._stale: list[bytes] = []
        now_ms = clock.now_ms()
        for key, row in owned.stores[LEDGER].scan_committed(store_keys.RATE_GRANT):
            _, limit, request = key.decode().split("/", 2)
            at = self._ready_at - age(now_ms, int(row.split()[0]))
            self._found.setdefault(limit, []).append((at, request))

    async def answer(self, worker: str, asks: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return for each ask (`limit`, `count`, `per`, request `ids`, `wanted`) what is granted and when to come back.

        Raises DeadAssignmentError when the partition goes away before the grants are committed.
        """
        unit = CommitUnit(self._owned)
        answers = [self._decide(worker, ask, unit) for ask in asks]
        if unit.writes:
            await committed(self._committer, unit)
        return answers

    def _decide(self, worker: str, ask: dict[str, Any], unit: CommitUnit) -> dict[str, Any]:
        limit, rate = str(ask["limit"]), Rate(int(ask["count"]), float(ask["per"]))
        now, window = clock.monotonic(), self._window(limit, rate)
        gone = window.expire(now, terms(rate).window)
        ids = [str(one) for one in ask["ids"]]
        again = [one for one in ids if one in window]  # the answer was lost on its way
        fresh = [one for one in ids if one not in window]
        demand = self._demand.setdefault(limit, RateDemand())
        free = window.free(now, rate)
        wanted = max(int(ask.get("wanted", 0)) - len(again), len(fresh))
        given = fresh[: demand.share(worker, wanted, free, now)]
        for one in given:
            window.grant(now, one)
        if recorded(rate):
            self._write(unit, limit, rate, given, gone)
        left = wanted - len(given)
        wait = _SOON_S if len(given) < free else window.wait(now, rate)
        demand.waits(worker, left, now, wait)
        return {"limit": limit, "granted": again + given, "retry_after": wait if left > 0 else 0.0}

    def _write(self, unit: CommitUnit, limit: str, rate: Rate, given: list[str], gone: list[str]) -> None:
        store, now_ms = self._owned.stores[LEDGER], clock.now_ms()
        row = b"%d %d" % (now_ms, now_ms + int(terms(rate).window * 1000))
        for request in given:
            unit.put(store, key_of(limit, request), row)
        self._stale += [key_of(limit, request) for request in gone]
        if given:  # deleting alone is worth no transaction: it goes along
            for key in self._stale:
                unit.put(store, key, None)
            self._stale.clear()

    def _window(self, limit: str, rate: Rate) -> RateWindow:
        window = self._windows.get(limit)
        if window is None:
            if recorded(rate):
                window = RateWindow()
                window.load(self._found.pop(limit, []))
            else:
                window = RateWindow(not_before=self._ready_at + terms(rate).window)
            self._windows[limit] = window
            if len(self._windows) >= self._prune_at:
                self._prune()
        self._lengths[limit] = terms(rate).window
        return window

    def _prune(self) -> None:
        """Forget limits without a grant that counts; a tool may have a limit for each host that it is called with."""
        now = clock.monotonic()
        for limit, length in list(self._lengths.items()):
            window = self._windows[limit]
            self._stale += [key_of(limit, request) for request in window.expire(now, length)]
            if not window and window.not_before <= now:
                del self._windows[limit], self._lengths[limit]
                self._demand.pop(limit, None)
        self._prune_at = max(_MANY, 2 * len(self._windows))
