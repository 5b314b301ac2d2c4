"""Reads from the topic `calls` which model calls were recorded, to hold them against those that reached the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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

_LONGEST_ANSWER_S: Final = 120.0


async def all_answered(stage: Scene) -> None:
    """Wait until the model has answered every call, also those whose worker is gone: only then the counts are final.

    A run that moves asks again while its first call is still computed, and the second answer may come first.
    """
    await until("the model's last answer", lambda: None if stage.proxy.under_way else True, _LONGEST_ANSWER_S)


async def compare(stage: Scene, runs: Collection[str], reached: int, undelivered: int) -> str:
    """Return a sentence once the log has as many model calls of `runs` as `reached` the model; DemoError if not.

    `undelivered` of those had no sender any more when the answer came: they were under way when their worker was killed
    or its partition moved, so they have no record and were made again. An answer that had to be repaired took two
    calls, and has two records.
    """
    answered = reached - undelivered

    def recorded() -> int | None:
        found = len(model_calls(stage, runs))
        return found if found >= answered else None

    found = await until(f"{answered} recorded model calls on the log", recorded, 15)
    if found != answered:
        message = f"{reached} calls reached the model, {answered} were answered and {found} are recorded"
        raise DemoError(message)
    if undelivered:
        return (
            f"model: {reached} calls reached it, {undelivered} of them under way when the run moved to another worker; "
            f"{found} were answered and are recorded on the topic calls: no recorded call was made twice"
        )
    return f"model: {reached} calls reached it and {found} are recorded on the topic calls: none was made twice"


def model_calls(stage: Scene, runs: Collection[str]) -> list[CallRecorded]:
    """Return the recorded model calls of some runs, in no order."""
    settings = stage.running.settings
    codec = Codec(FileRegistry())
    records = read(settings.kafka(), Names(settings.topic_prefix).calls)
    calls = [codec.decode(record.value, CallRecorded) for record in records if record.value is not None]
    return [call for call in calls if call.kind == "llm" and call.run_id in runs]
