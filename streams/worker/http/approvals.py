"""What the runs of this worker's partitions ask people and nobody has answered."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Final

from starlette.routing import Route

from streams.engine.approvals import open_approvals
from streams.engine.view import fold, history
from streams.worker.http.run_list import Assignments, RunQuery, lists, page_of
from streams.worker.runs.run_index import run_at

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from streams.journal.journal_store import JournalStore
    from streams.worker.http.ownership_check import OwnershipCheck

_OPEN: Final = ("waiting", "running")
"""The statuses of runs that may wait for a person; one that also does something else is running."""


class ApprovalPages:
    """`/owner/approvals`."""

    def __init__(self, proof: OwnershipCheck, journal: JournalStore) -> None:
        """Look into the runs of the owned partitions."""
        self._proof = proof
        self._journal = journal

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("/owner/approvals", self.page)]

    async def page(self, request: Request) -> Response:
        """Answer the open questions of at most `limit` runs behind `cursor`, the newest run first."""
        return await page_of(request, self._proof, self._found)

    def _found(self, assignments: Assignments, query: dict[str, str], limit: int) -> list[dict[str, Any]]:
        ways = [
            places
            for owned in assignments
            for status in _OPEN
            for places in lists(owned, RunQuery.of({**query, "status": status}))
        ]
        found: dict[str, dict[str, Any]] = {}
        for place, owned in heapq.merge(*ways, key=lambda item: item[0]):
            entries = self._journal.committed(owned, run_at(place).decode())
            if not entries or not (asked := open_approvals(history(entries))):
                continue
            view = fold(entries).to_json()
            shown = {name: view[name] for name in ("run_id", "agent", "created_at", "started_by")}
            found[view["run_id"]] = {**shown, "approvals": asked}
            if len(found) == limit:
                break
        return list(found.values())
