"""The same job on bare Faust with its stock transport, eight at a time; runs in an environment of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import faust


def main(bootstrap: str, topic_in: str, topic_out: str, trace: str, data: str) -> None:
    """Run until killed."""
    app = faust.App(
        f"faust-{topic_in}",
        broker=f"kafka://{bootstrap}",
        datadir=data,
        store="memory://",
        topic_partitions=4,
        topic_disable_leader=True,
        topic_replication_factor=1,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
    )
    source = app.topic(topic_in, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    target = app.topic(topic_out, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(source, concurrency=8)
    async def work(stream: Any) -> None:
        async for name in stream:
            handle = os.open(trace, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            os.write(handle, name + b"\n")
            os.close(handle)
            await asyncio.sleep(0.02)
            await (await target.send(key=name, value=name))

    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:6])
