"""Reads from the topic `calls` which model calls were recorded, to hold them against those that reached the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.call import CallRecorded
from streams.cli.demo.errors import DemoError
from streams.cli.demo.waiting import until
from topics.names import Names
from topics.reader import read

if TYPE_CHECKING:
    from collections.abc import Collection

    from streams.cli.demo.scene import Scene


async def compare(stage: Scene, runs: Collection[str], reached: int) -> str:
    """Return a sentence once the log has as many model calls of `runs` as `reached` the model; DemoError if not.

    An answer that had to be repaired took two calls, and has two records.
    """

    def recorded() -> int | None:
        found = len(model_calls(stage, runs))
        return found if found >= reached else None

    found = await until(f"{reached} recorded model calls on the log", recorded, 15)
    if found != reached:
        message = f"{reached} calls reached the model and {found} are recorded"
        raise DemoError(message)
    return f"model: {reached} calls reached it and {found} are recorded on the topic calls: none was made twice"


def model_calls(stage: Scene, runs: Collection[str]) -> list[CallRecorded]:
    """Return the recorded model calls of some runs, in no order."""
    settings = stage.running.settings
    codec = Codec(FileRegistry())
    records = read(settings.kafka(), Names(settings.topic_prefix).calls)
    calls = [codec.decode(record.value, CallRecorded) for record in records if record.value is not None]
    return [call for call in calls if call.kind == "llm" and call.run_id in runs]
