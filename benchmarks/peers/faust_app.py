"""Bare Faust on its stock aiokafka transport: read a counter of the key, write it, republish. Runs in its own env."""

from __future__ import annotations

import sys
from typing import Any

import faust
from payload import PARTITIONS, counted


def main(bootstrap: str, topic_in: str, topic_out: str, fmt: Any, data: str) -> None:
    """Run until killed; sends are not awaited, which is Faust's fastest way."""
    app = faust.App(
        f"faust-{topic_in}",
        broker=f"kafka://{bootstrap}",
        datadir=data,
        store="memory://",
        topic_partitions=PARTITIONS,
        topic_disable_leader=True,
        topic_replication_factor=1,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
    )
    source = app.topic(topic_in, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    target = app.topic(topic_out, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    counts = app.Table("counts", default=int, partitions=PARTITIONS)

    @app.agent(source)
    async def react(stream: Any) -> None:
        async for key, value in stream.items():
            count = counts[key.decode()] + 1
            counts[key.decode()] = count
            await target.send(key=key, value=counted(value, count, fmt))

    faust.Worker(app, loglevel="WARNING").execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:6])
