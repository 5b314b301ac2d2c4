"""Runs as their owner reports them: folds of committed entries."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from schemas.run import GONE, OVER
from streams import clock
from streams.engine.view import fold, history
from streams.journal.store_keys import LEDGER
from streams.runtime.errors import QueuesUnreadError
from streams.worker.http.journal_cache import JournalCache
from streams.worker.http.ownership_check import NotReadyError
from streams.worker.http.responses import answer, problem
from topics.partition import partition_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.engine.entry import Entry
    from streams.engine.view import RunView
    from streams.journal.journal_store import JournalStore
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.queue_lookup import QueueLookup
    from streams.worker.http.ownership_check import OwnershipCheck
    from streams.worker.runs.token_buffer import TokenBuffer

_PATIENCE_S: Final = 2.5  # for a submission that is on the log but not taken in yet
_STEP_S: Final = 0.005


class RunPages:
    """`/owner/runs…`."""

    def __init__(
        self,
        proof: OwnershipCheck,
        journal: JournalStore,
        queued: QueueLookup,
        tokens: TokenBuffer,
        why: Callable[[str, str | None], str],
    ) -> None:
        """Look up unknown ids in `queued`, the agents' topics of this pool; `spoken` has the pieces of models' answers.

        `why` says why a queued run of an agent, with its concurrency key, has not begun.
        """
        self._why = why
        self._tokens = tokens
        self._journal = journal
        self._decoded = JournalCache(journal)
        self._proof = proof
        self._queued = queued

    async def show(self, request: Request) -> Response:
        """Answer the run's view, as it is or after the entry with the `seq` that `at` gives."""
        entries = await self._entries(request)
        if entries is None:
            return problem(404, "no such run")
        at = int(request.query_params.get("at", entries[-1].seq))
        if not entries[0].seq <= at <= entries[-1].seq:
            return problem(422, f"the run's journal has the entries {entries[0].seq} to {entries[-1].seq}")
        return answer(self._shown(fold(entry for entry in entries if entry.seq <= at)))

    async def copied(self, request: Request) -> Response:
        """Answer the run's view as the copy here has it, with the journal's offset up to which that is true."""
        run_id = request.path_params["id"]
        entries, place = await asyncio.to_thread(
            self._proof.of_copy, run_id, LEDGER, lambda copy: self._journal.committed(copy, run_id)
        )
        if not entries:
            return problem(404, "no such run in the copy")
        return answer({**fold(entries).to_json(), **place})

    async def history(self, request: Request) -> Response:
        """Answer the run's journal, from the entry behind `after` on."""
        entries = await self._entries(request)
        if entries is None:
            return problem(404, "no such run")
        after = int(request.query_params.get("after", "0"))
        return answer({"entries": history(entries, after)})

    async def news(self, request: Request) -> Response:
        """Answer what a watcher lacks: the view, the entries behind `after`, the answers' pieces it has not seen."""
        entries = await self._entries(request)
        if entries is None:
            return problem(404, "no such run")
        view = fold(entries)
        after, after_piece = (int(request.query_params.get(name, "-1")) for name in ("after", "said"))
        pieces = [] if view.status in OVER else self._tokens.look(view.run_id, after_piece)
        return answer({"view": self._shown(view), "entries": history(entries, after), "pieces": pieces})

    async def tokens(self, request: Request) -> Response:
        """Answer the pieces of models' answers for runs owned here, behind a piece of each; stream their next calls."""
        asked: dict[str, int] = orjson.loads(await request.body())["runs"]
        owned = {one.partition for one in self._proof.assignments()}
        pieces_by_run = {
            run_id: self._tokens.look(run_id, after)
            for run_id, after in asked.items()
            if partition_of(run_id.encode(), self._proof.partitions) in owned
        }
        return answer({"runs": {run_id: pieces for run_id, pieces in pieces_by_run.items() if pieces}})

    async def result(self, request: Request) -> Response:
        """Answer the run's result, or why there is none."""
        entries = await self._entries(request)
        if entries is None:
            return problem(404, "no such run")
        view = fold(entries)
        if view.status == "succeeded":
            return answer({"run_id": view.run_id, "result": view.result})
        if view.status == GONE:
            return problem(409, "the run's history was deleted", type="run-expired", run_id=view.run_id)
        if view.status in ("failed", "cancelled"):
            return problem(
                409,
                f"the run {view.status}",
                type="run-ended",
                run_id=view.run_id,
                status_of_run=view.status,
                failed_path=view.failed_path,
                error=view.error,
            )
        return answer({"run_id": view.run_id, "status": view.status}, 202)

    def _shown(self, view: RunView) -> dict[str, Any]:
        """Return a run's view; one that is queued says why."""
        shown = view.to_json()
        not_before = view.meta.get("not_before_ms")
        if view.status == "queued" and not_before is not None and not_before > clock.now_ms():
            shown["reason"] = f"it is not to begin before {clock.iso(not_before)}"
        elif view.status == "queued":
            shown["reason"] = shown["reason"] or self._why(view.agent, view.key)
        return shown

    async def _entries(self, request: Request) -> list[Entry] | None:
        """Return committed entries; an unknown id is looked up in the queues before the 404."""
        run_id = request.path_params["id"]
        owned = self._proof.assignment_of(run_id)
        entries = self._decoded.entries(owned, run_id)
        if entries or request.query_params.get("peek"):
            return entries or None
        if not await self._on_the_way(owned, run_id):
            return self._decoded.entries(owned, run_id) or None
        end = clock.monotonic() + _PATIENCE_S
        while not entries and clock.monotonic() < end and owned.live:
            await asyncio.sleep(_STEP_S)
            entries = self._decoded.entries(owned, run_id)
        if not entries and (not owned.live or await self._on_the_way(owned, run_id)):
            raise NotReadyError("the run is on its queue, and this worker has not taken it in yet")
        return entries or self._decoded.entries(owned, run_id) or None

    async def _on_the_way(self, owned: PartitionAssignment, run_id: str) -> bool:
        """Return whether the rest of a queue holds a submission of the run; raises NotReadyError."""
        try:
            return await self._queued.has(owned, run_id.encode())
        except QueuesUnreadError as error:
            raise NotReadyError(str(error)) from error
