"""Quix Streams as it comes, or exactly once: read a counter of the key, write it, republish. Runs in its own env."""

from __future__ import annotations

import sys
from typing import Any

from payload import counted
from quixstreams import Application, State


def main(bootstrap: str, topic_in: str, topic_out: str, fmt: Any, guarantee: Any, data: str) -> None:
    """Run until killed."""
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"quix-{topic_in}",
        auto_offset_reset="earliest",
        state_dir=data,
        loglevel="WARNING",
        processing_guarantee=guarantee,
    )
    source = app.topic(topic_in, key_deserializer="bytes", value_deserializer="bytes")
    target = app.topic(topic_out, key_serializer="bytes", value_serializer="bytes")

    def react(value: bytes, state: State) -> bytes:
        count = state.get("count", 0) + 1
        state.set("count", count)
        return counted(value, count, fmt)

    app.dataframe(source).apply(react, stateful=True).to_topic(target)
    app.run()


if __name__ == "__main__":
    main(*sys.argv[1:7])
