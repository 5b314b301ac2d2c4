"""Paused queues: a row for each paused agent in every partition, so that whoever owns one keeps its runs queued.

The order comes to the partition of the agent's name, whose owner spreads it over all partitions in one unit: it takes
effect everywhere or nowhere, and orders keep their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from schemas.agent import AgentCommanded, AgentSwitched
from schemas.errors import SchemaError
from streams.journal import store_keys
from streams.journal.store_keys import LEDGER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streams.journal.record_writer import RecordWriter
    from streams.runtime.assignment import PartitionAssignment
    from streams.runtime.batch import RecordBatch
    from streams.runtime.runtime import Runtime
    from streams.worker.runs.dispatcher import RunDispatcher

_REMEMBERED: Final = 50  # request ids of an agent


class QueuePauses:
    """Takes commands and notifies the dispatcher."""

    def __init__(
        self,
        agents: Iterable[str],
        dispatcher: RunDispatcher,
        writer: RecordWriter,
        pool: str,
        runtime: Runtime,
    ) -> None:
        """Serve `agents` of `pool` in all partitions of `runtime`."""
        self._agents = frozenset(agents)
        self._dispatcher = dispatcher
        self._writer = writer
        self._pool = pool
        self._runtime = runtime

    def restored(self, owned: PartitionAssignment) -> None:
        """Pause what the rows of an assignment say, before its runs are queued."""
        for key, _ in owned.stores[LEDGER].scan_committed(store_keys.PAUSED_AGENT):
            self._dispatcher.pause(owned, key.removeprefix(store_keys.PAUSED_AGENT).decode())

    def take(self, batch: RecordBatch, event: AgentCommanded | AgentSwitched) -> None:
        """Handle an order, or what came of it for this partition; raises SchemaError for an unknown order."""
        if isinstance(event, AgentSwitched):
            self._switch(batch, event)
        else:  # it is for this pool: whoever owns the name's partition spreads it, with or without the agent
            self._order(batch, event)

    def _switch(self, batch: RecordBatch, event: AgentSwitched) -> None:
        batch.put(
            batch.assignment.stores[LEDGER],
            store_keys.PAUSED_AGENT + event.agent.encode(),
            b"1" if event.paused else None,
        )
        if event.paused:
            self._dispatcher.pause(batch.assignment, event.agent)
        else:
            self._dispatcher.resume(batch.assignment, event.agent)

    def _order(self, batch: RecordBatch, event: AgentCommanded) -> None:
        if event.command not in ("pause", "resume"):
            raise SchemaError(f"agents know pause and resume, not {event.command!r}")
        store, key = batch.assignment.stores[LEDGER], store_keys.AGENT_ORDERS + event.agent.encode()
        row = store.get(key)
        known: list[str] = [] if row is None else orjson.loads(row)
        if event.request_id in known:
            return
        batch.put(store, key, orjson.dumps([*known, event.request_id][-_REMEMBERED:]))
        switched = AgentSwitched(agent=event.agent, paused=event.command == "pause")
        self._writer.spread(
            batch,
            switched,
            id=event.request_id,
            key=event.agent,
            partitions=range(self._runtime.partitions),
            extra={"agent": event.agent},
        )

    def rows(self) -> list[dict[str, Any]]:
        """Return what the console shows of each agent here."""
        queued, paused = self._dispatcher.queued(), self._dispatcher.paused()
        return [{"name": name, "queued": queued[name], "paused": name in paused} for name in sorted(self._agents)]
