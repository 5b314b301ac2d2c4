"""Lists of runs: pages out of the ordered index of the owned partitions, as long as the page and not as the history."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from schemas.run import ENDED, STATUSES
from streams.engine.entry import SUBMITTED, journal_key
from streams.engine.view import fold
from streams.journal.store_keys import LEDGER
from streams.tables.runs import RunRow, short
from streams.worker.http.responses import answer, of
from streams.worker.runs.run_index import ALL, BY_AGENT, RUNS, agents_in, by_key, by_parent, group, place_of, run_at

if TYPE_CHECKING:
    from schemas.avro.codec import Codec
    from streams.journal.journal_store import JournalStore
    from streams.runtime.assignment import PartitionAssignment
    from streams.worker.http.ownership_check import OwnershipCheck

_NOT_LISTED: Final = frozenset({"children", "forks", "started_by"})

Assignments = list["PartitionAssignment"]
Place = tuple[bytes, "PartitionAssignment"]
"""Where a run is in lists, and its assignment."""


@dataclass(frozen=True, slots=True)
class RunQuery:
    """What a list is asked for: runs submitted at `since` (ms) or later, that come behind the place `after`."""

    agent: str | None = None
    status: str | None = None
    parent: str | None = None
    key: str | None = None
    since: int = 0
    after: bytes | None = None

    @classmethod
    def of(cls, query: dict[str, str]) -> RunQuery:
        """Read a query; the gateway has checked it."""
        since, cursor = query.get("since"), query.get("cursor")
        created, _, run_id = (cursor or "").partition("~")
        return cls(
            query.get("agent") or None,
            query.get("status") or None,
            query.get("parent") or None,
            query.get("key") or None,
            _ms(since) if since else 0,
            place_of(_ms(created), run_id) if cursor else None,
        )

    def has(self, run: dict[str, Any]) -> bool:
        """Return whether a run is wanted, as it is now: it may have gone on since it was found."""
        wishes = (("agent", self.agent), ("status", self.status), ("parent", self.parent), ("key", self.key))
        return all(wish is None or run[name] == wish for name, wish in wishes)


class RunListPages:
    """`/owner/runs`."""

    def __init__(self, proof: OwnershipCheck, journal: JournalStore, codec: Codec) -> None:
        """List the runs of the owned partitions."""
        self._proof = proof
        self._journal = journal
        self._codec = codec

    async def page(self, request: Request) -> Response:
        """Answer the newest runs of the owned partitions that match."""
        return await page_of(request, self._proof, self._found)

    def _found(self, assignments: Assignments, query: dict[str, str], limit: int) -> list[dict[str, Any]]:
        wanted = RunQuery.of(query)
        each = [places for owned in assignments for places in lists(owned, wanted)]
        found: list[dict[str, Any]] = []
        for place, owned in heapq.merge(*each, key=lambda item: item[0]):
            run = self._run(owned, run_at(place))
            if run is not None and wanted.has(run):
                found.append(run)
                if len(found) == limit:
                    break
        return found

    def _run(self, owned: PartitionAssignment, run_id: bytes) -> dict[str, Any] | None:
        """Return a run as lists show it: one that ended by its row, one under way with what its journal says now."""
        data = owned.stores[RUNS].committed(run_id)
        if data is None:
            return None
        row = self._codec.decode(data, RunRow)
        if row.status in ENDED:
            submitted = owned.stores[LEDGER].committed(journal_key(row.run_id, SUBMITTED, 0))
            return {**row.to_json(), "input": None if submitted is None else self._journal.decode(submitted).input}
        entries = self._journal.committed(owned, row.run_id)
        view = fold(entries).to_json() if entries else row.to_json()
        shown = {name: value for name, value in view.items() if name not in _NOT_LISTED}
        return {**shown, "error": short(shown["error"]), "key": row.key}


async def page_of(
    request: Request,
    proof: OwnershipCheck,
    find: Callable[[Assignments, dict[str, str], int], list[dict[str, Any]]],
) -> Response:
    """Answer a page of what `find` has in the owned partitions, by the query and at most so many."""
    query = dict(request.query_params)
    limit, assignments = int(query.get("limit", "100")), proof.assignments()
    found = await asyncio.to_thread(find, assignments, query, limit + 1)
    for owned in assignments:
        proof.check(owned)  # what was read while its partition went is not to be answered
    return of(assignments, answer({"runs": found[:limit], "next": "more" if len(found) > limit else None}))


def lists(owned: PartitionAssignment, wanted: RunQuery) -> Iterator[Iterator[Place]]:
    """Yield lists, newest first, that together have what is wanted: one for each agent and status, or that of all."""
    store = owned.stores[RUNS]
    if wanted.parent is not None:
        base = by_parent(wanted.parent)
    elif wanted.key is not None:
        base = by_key(wanted.key)
    elif wanted.agent is None and wanted.status is None:
        yield _places(owned, ALL, wanted)
        return
    else:
        base = BY_AGENT
    for agent in [wanted.agent] if wanted.agent is not None else list(agents_in(store, base)):
        for status in [wanted.status] if wanted.status is not None else STATUSES:
            yield _places(owned, base + group(agent, status), wanted)


def _places(owned: PartitionAssignment, base: bytes, wanted: RunQuery) -> Iterator[Place]:
    store = owned.stores[RUNS]
    prefix = store.entries.prefix + base
    oldest = place_of(wanted.since) if wanted.since else None
    for key in store.db.keys(prefix, None if wanted.after is None else prefix + wanted.after):
        place = key[len(prefix) :]
        if oldest is not None and place[: len(oldest)] > oldest:
            return
        if place != wanted.after:
            yield place, owned


def _ms(text: str) -> int:
    return max(round(datetime.fromisoformat(text).timestamp() * 1000), 0)  # no run is older
