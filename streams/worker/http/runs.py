"""Runs as their owner tells them: folds of committed entries."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import Response

from streams import clock
from streams.engine.view import fold, history
from streams.worker.http.answers import answer, problem
from streams.worker.journal import LEDGER
from topics.reader import read

if TYPE_CHECKING:
    from streams.engine.entry import Entry
    from streams.worker.http.proof import Proof
    from streams.worker.journal import Journal
    from streams.worker.state.slice import Slice
    from topics.kafka import KafkaConfig

_PATIENCE_S: Final = 2.5  # for a submission that is on the log but not taken in yet
_STEP_S: Final = 0.005


class RunPages:
    """`/owner/runs…`."""

    def __init__(self, proof: Proof, journal: Journal, kafka: KafkaConfig, queues: list[str]) -> None:
        """Look up unknown ids in `queues`, the agents' topics of this pool."""
        self._proof = proof
        self._journal = journal
        self._kafka = kafka
        self._queues = queues

    async def show(self, request: Request) -> Response:
        """Answer the run's view."""
        entries = await self._entries(request)
        return problem(404, "no such run") if entries is None else answer(fold(entries).to_json())

    async def history(self, request: Request) -> Response:
        """Answer the run's journal, from the entry behind `after` on."""
        entries = await self._entries(request)
        if entries is None:
            return problem(404, "no such run")
        after = int(request.query_params.get("after", "0"))
        lines = history(entries)
        return answer({"entries": [line for line in lines if line["seq"] > after]})

    async def result(self, request: Request) -> Response:
        """Answer the run's result, or why there is none."""
        entries = await self._entries(request)
        if entries is None:
            return problem(404, "no such run")
        view = fold(entries)
        if view.status == "succeeded":
            return answer({"run_id": view.run_id, "result": view.result})
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

    async def page(self, request: Request) -> Response:
        """Answer the newest runs of the owned partitions that match."""
        query = request.query_params
        limit = int(query.get("limit", "100"))
        views = await asyncio.to_thread(self._views, dict(query))
        views.sort(key=_order, reverse=True)
        before = query.get("cursor")
        if before is not None:
            views = [view for view in views if "~".join(_order(view)) < before]
        return answer({"runs": views[:limit], "next": "more" if len(views) > limit else None})

    def _views(self, query: dict[str, str]) -> list[dict[str, Any]]:
        found = []
        for owned in self._proof.slices():
            for _, rows in self._journal.runs(owned.stores[LEDGER]):
                entries = sorted((self._journal.decode(row) for _, row in rows), key=lambda entry: entry.seq)
                view = fold(entries).to_json()
                if _matches(view, query):
                    found.append(view)
        return found

    async def _entries(self, request: Request) -> list[Entry] | None:
        """Return committed entries; an unknown id is looked up in the queues, so that 404 is never said too early."""
        run_id = request.path_params["id"]
        owned = self._proof.slice_of(run_id)
        entries = self._journal.committed(owned, run_id)
        if entries or request.query_params.get("peek"):
            return entries or None
        if not await asyncio.to_thread(self._on_the_way, owned, run_id):
            return self._journal.committed(owned, run_id) or None
        end = clock.monotonic() + _PATIENCE_S
        while not entries and clock.monotonic() < end and owned.live:
            await asyncio.sleep(_STEP_S)
            entries = self._journal.committed(owned, run_id)
        return entries or None

    def _on_the_way(self, owned: Slice, run_id: str) -> bool:
        """Return whether the rest of a queue holds a submission of the run."""
        for topic in self._queues:
            start = max(owned.sources[topic].applied, 0)
            found = read(
                self._kafka,
                topic,
                start=start,
                end="latest",
                key=run_id.encode(),
                limit=1,
                partitions=[owned.partition],
            )
            if next(iter(found), None) is not None:
                return True
        return False


def _order(view: dict[str, Any]) -> tuple[str, str]:
    return str(view["created_at"]), str(view["run_id"])


def _matches(view: dict[str, Any], query: dict[str, str]) -> bool:
    if any(query.get(name) and view[name] != query[name] for name in ("agent", "status", "parent")):
        return False
    since = query.get("since")
    return not since or str(view["created_at"]) >= since.replace("+00:00", "Z")
