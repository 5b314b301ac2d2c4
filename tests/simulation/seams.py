"""Where product code meets what is outside of the simulation: each seam is one name that is replaced."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from tests.simulation import disk
from tests.simulation.http import HttpNetwork, server_over, wire_over
from tests.simulation.patches import replace_everywhere
from tests.simulation.scheduler import Scheduler, SimProcess


class PerProcess:
    """What is module state in a real process: one object for each simulated process."""

    def __init__(self, scheduler: Scheduler, make: Callable[[], Any]) -> None:
        object.__setattr__(self, "_of", (scheduler, make, f"state {id(make)}"))

    def _own(self) -> Any:
        scheduler, make, name = object.__getattribute__(self, "_of")
        found = scheduler.process.locals
        if name not in found:
            found[name] = make()
        return found[name]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._own(), name, value)


def install(
    scheduler: Scheduler, network: HttpNetwork, files_of: Callable[[SimProcess], disk.Files], chat_model: Any
) -> None:
    """Replace what the product has from outside, apart from Kafka."""
    import streams.clock
    import streams.gateway.serve
    import streams.model.model_from_settings
    import streams.query.wire
    import streams.runtime.loop_monitor
    import streams.runtime.partition_store as store
    import streams.tools._threads
    import streams.worker.http.app
    import streams.worker.main

    streams.clock._steady = PerProcess(  # type: ignore[assignment]
        scheduler, lambda: streams.clock.SteadyClock(time.time_ns(), time.clock_gettime_ns(streams.clock._RUNNING))
    )
    disks = disk.Disks(lambda: scheduler.process, files_of)
    for name, value in {
        "Rdict": disks.rdict,
        "WriteBatch": disk.WriteBatch,
        "Options": disk.Options,
        "ReadOptions": disk.Options,
        "BlockBasedOptions": disk.Options,
        "Cache": disk.Options,
        "AccessType": disk.AccessType,
        "shutil": disks,
    }.items():
        setattr(store, name, value)

    async def no_monitor(_self: Any) -> None:
        await asyncio.Event().wait()

    streams.runtime.loop_monitor.LoopMonitor.run = no_monitor  # type: ignore[method-assign,assignment]
    threads = streams.tools._threads
    replace_everywhere(
        [
            (streams.query.wire.Wire, wire_over(network)),
            (streams.worker.http.app.Server, server_over(network, scheduler)),
            (streams.model.model_from_settings.chat_model, chat_model),
            (threads.SHARED, PerProcess(scheduler, threads.FunctionThreads)),
        ]
    )
