"""A Faust agent on the worker's runtime: read a counter of the key, write it, republish; one unit a batch."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import Any

from benchmarks.payload import counted
from streams.runtime.faust.app import App, end_process
from streams.runtime.runtime import Runtime, RuntimeSettings
from streams.runtime.store_index import StoreSpec


def crash(error: Exception) -> None:
    """End at once, with the reason in the log."""
    logging.getLogger("ours").error("ends", exc_info=error)
    end_process(3)


async def serve(bootstrap: str, topic_in: str, topic_out: str, fmt: Any, folder: str, slot: str) -> None:
    """Run until SIGTERM."""
    runtime = Runtime(
        RuntimeSettings(
            client={"bootstrap.servers": bootstrap},
            group=f"ours-{topic_in}",
            slot=slot,
            folder=Path(folder) / slot,
            ledger=StoreSpec("journal", f"{topic_in}.journal"),
            stores=(StoreSpec("counts", f"{topic_in}.counts"),),
        ),
        crash=crash,
    )
    app = App(f"ours-{topic_in}", runtime=runtime, loop=asyncio.get_running_loop())
    source = app.topic(topic_in, key_type=bytes, value_type=bytes, value_serializer="raw")
    changelog = app.topic(f"{topic_in}.counts", key_type=bytes, value_type=bytes, value_serializer="raw")
    app.Table("counts", key_type=bytes, value_type=bytes, changelog_topic=changelog)

    @app.agent(source)
    async def react(stream: Any) -> None:
        async for batch in stream.batches():
            store = batch.assignment.stores["counts"]
            get, put, send = store.get, batch.put, batch.send
            for record in batch.messages:
                key = record.key()
                count = int(get(key) or 0) + 1
                put(store, key, b"%d" % count)
                send(topic_out, counted(record.value(), count, fmt), key)

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    app.finalize()
    await app.start()
    await stop.wait()
    await app.stop()


def main() -> None:
    """Take bootstrap, input, output, format, folder and, if two run, a slot from the command line."""
    bootstrap, topic_in, topic_out, fmt, folder, *slot = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("ours").setLevel(logging.INFO)
    asyncio.run(serve(bootstrap, topic_in, topic_out, fmt, folder, slot[0] if slot else "0"))


if __name__ == "__main__":
    main()
