"""The Faust app of a worker: Faust's own class with our classes at its seams."""

from __future__ import annotations

import logging
import os
import threading
from typing import Any, cast

import faust
from faust.types import TP

from streams.runtime.faust.assignor import Assignor
from streams.runtime.faust.consumer import Consumer
from streams.runtime.faust.stream import Stream
from streams.runtime.faust.table import Table, TableManager
from streams.runtime.host import RuntimeHost
from streams.runtime.runtime import Runtime


class App(faust.App):
    """`@app.agent`, `app.topic` and `app.Table` as in Faust; records in batches, commits in transactions below."""

    def __init__(self, id: str, *, runtime: Runtime, host: RuntimeHost | None = None, **options: Any) -> None:
        """Make an app of consumer group `id` over `runtime`; `host` takes part in what happens to records."""
        super().__init__(
            id,
            broker="streams://runtime",
            store="memory://",
            Stream=Stream,
            Table=Table,
            TableManager=TableManager,
            PartitionAssignor=Assignor,
            key_serializer="raw",
            value_serializer="raw",
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            stream_wait_empty=False,
            autodiscover=False,
            datadir=runtime.settings.folder,
            **options,
        )
        self.runtime = runtime
        self.host = host

    def on_assignments_changed(self) -> None:
        """Notify Faust of what this worker owns now."""
        owned = self.consumer.assignment()
        self._assignment: set[TP] = owned
        self.unassigned = not owned

    async def crash(self, reason: BaseException) -> None:
        """End the process: a service of Faust's that died would leave a worker that looks alive and does nothing."""
        self.runtime.crash(reason if isinstance(reason, Exception) else RuntimeError(repr(reason)))

    def _create_directories(self) -> None:
        """Make nothing: the stores make their own folders."""

    def _new_producer_transport(self) -> Any:
        return self.transport

    async def _stop_consumer(self) -> None:
        """Leave the group before any agent stops (Faust calls this first when it stops)."""
        if self._consumer is not None:
            await cast("Consumer", self._consumer).leave()


def end_process(status: int) -> None:
    """End at once, without clean-up: nothing that this process still holds may reach the log."""
    os._exit(status)


def end_within(seconds: float) -> None:
    """End with status 0 after so many seconds, unless the process has ended by itself until then.

    The interpreter waits for every thread, and a client library's close for a broker, however long that is away.
    """
    last = threading.Timer(seconds, end_process, (0,))
    last.daemon = True
    last.start()


def quiet_faust() -> None:
    """Faust and mode set the root logger to DEBUG and log every service: only their warnings matter here."""
    for name in ("faust", "mode", "streams.runtime.faust", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
