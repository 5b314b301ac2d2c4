"""The smallest stateful reaction as a worker of its own: count by key, write the count, pass the event on.

`reaction BOOTSTRAP PREFIX SLOT FOLDER [STAGE N SIGNAL]`. It uses the runtime and Faust's agent without the product
around them, so that thousands of events a second flow while the process is killed, stopped, joined and left.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from streams.runtime.faust.app import App, end_process, quiet_faust
from streams.runtime.runtime import Runtime, RuntimeSettings
from streams.runtime.store_index import StoreSpec
from tests.faults.rig.launcher import Fuse

LEDGER, COUNTS = "journal", "counts"


def topics(prefix: str) -> dict[str, str]:
    """Return the names of source, output, journal and changelog."""
    return {name: f"{prefix}.{name}" for name in ("in", "out", LEDGER, COUNTS)}


async def work(bootstrap: str, prefix: str, slot: str, folder: Path, fuse: Fuse | None) -> None:
    """Count until SIGTERM."""
    log = logging.getLogger("reaction")
    names = topics(prefix)

    def crash(error: Exception) -> None:
        log.error("ends: %r", error, exc_info=error)
        end_process(3)

    runtime = Runtime(
        RuntimeSettings(
            client={"bootstrap.servers": bootstrap},
            group=f"{prefix}.app",
            slot=slot,
            folder=folder,
            ledger=StoreSpec(LEDGER, names[LEDGER]),
            stores=(StoreSpec(COUNTS, names[COUNTS]),),
            probe=fuse or (lambda _stage: None),
        ),
        crash=crash,
    )
    app = App(f"{prefix}.app", runtime=runtime, loop=asyncio.get_running_loop())
    source = app.topic(names["in"], key_type=bytes, value_type=bytes, value_serializer="raw")
    changelog = app.topic(names[COUNTS], key_type=bytes, value_type=bytes, value_serializer="raw")
    app.Table(COUNTS, key_type=bytes, value_type=bytes, changelog_topic=changelog)

    async def react(stream: Any) -> None:
        async for batch in stream.batches():
            store = batch.assignment.stores[COUNTS]
            for record in batch.messages:
                key = record.key()
                before = store.get(key)
                batch.put(store, key, b"%d" % (int(before or 0) + 1))
                batch.send(names["out"], record.value(), key)

    app.agent(source, name="react")(react)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    app.finalize()
    quiet_faust()
    await app.start()
    await stop.wait()
    await app.stop()


def launch(arguments: Sequence[str]) -> None:
    """Run with the arguments of the command line."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # where it hangs, for who looks into a failure
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    bootstrap, prefix, slot, folder, *fuse = arguments
    made = Fuse(fuse[0], int(fuse[1]), int(signal.Signals[fuse[2]]), armed=True) if fuse else None
    asyncio.run(work(bootstrap, prefix, slot, Path(folder), made))


if __name__ == "__main__":
    launch(sys.argv[1:])
