"""Once a second a worker says who it is and what it owns: gateways find owners by that.

It is about as long as the lists of partitions and agents, whatever the number of topics.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Collection, Sized
from typing import TYPE_CHECKING, Final

from schemas.worker import WorkerHeartbeat
from streams import clock
from topics.errors import TopicError

if TYPE_CHECKING:
    from streams.limits.holders import Holder
    from streams.runtime.runtime import Runtime
    from topics.producer import EventProducer

log = logging.getLogger(__name__)


PERIOD_S: Final = 1.0
_FAREWELL_S: Final = 2.0
_VERSION: Final = "0.1.0"


class Heartbeat:
    """Writes to `workers`, at once when ownership changes."""

    def __init__(
        self,
        producer: EventProducer,
        topic: str,
        runtime: Runtime,
        *,
        holder: Holder,
        slot: str,
        runs: Sized,
        agents: Collection[str],
    ) -> None:
        """Report `runtime` and its `runs` in memory, in the process `holder`; `slot` is its slot's name for people."""
        self._producer = producer
        self._topic = topic
        self._runtime = runtime
        self._holder = holder
        self._slot = slot
        self._url = ""
        self._runs = runs
        self._agents = sorted(agents)
        self._changed = asyncio.Event()
        self._state = "starting"

    def changed(self) -> None:
        """Send a heartbeat soon: partitions came or went."""
        self._changed.set()

    def leaving(self) -> None:
        """Report from the next heartbeat on that this worker leaves."""
        self._state = "stopping"

    async def run(self, url: str) -> None:
        """Beat until cancelled, as a worker that serves under `url`; a broker that is silent is logged once."""
        self._url, self._state = url, "running"
        silent = False
        while True:
            try:
                await self.beat()
                silent = False
            except TopicError as error:
                if not silent:
                    log.warning("heartbeats do not reach the broker: %s", error)
                silent = True
            self._changed.clear()
            try:
                async with asyncio.timeout(PERIOD_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def farewell(self) -> None:
        """Report that this worker leaves, if the broker takes it soon: nobody waits for it, the group knows already."""
        try:
            async with asyncio.timeout(_FAREWELL_S):
                await self.beat()
        except (TopicError, TimeoutError) as error:
            log.warning("the last heartbeat did not reach the broker: %s", str(error) or "no answer")

    async def beat(self) -> None:
        """Write one heartbeat; raises TopicError when it is not acknowledged."""
        assignments, standbys = self._runtime.assignments, self._runtime.standbys
        beat = WorkerHeartbeat(
            worker_id=self._holder.worker_id,
            pool=self._holder.pool,
            url=self._url,
            slot=self._slot,
            pid=os.getpid(),
            host=socket.gethostname(),
            started_ms=self._holder.started_ms,
            at_ms=clock.now_ms(),
            state=self._state,
            partitions=sorted(number for number, owned in assignments.items() if owned.ready),
            running=len(self._runs),
            version=_VERSION,
            standbys=[] if standbys is None else sorted(standbys.copied_partitions()),
            agents=self._agents,
        )
        await self._producer.send(self._topic, beat)
