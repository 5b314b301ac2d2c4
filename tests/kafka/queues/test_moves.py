"""Keys when a worker dies: nothing that is held or waited for is lost, whoever was the home."""

from __future__ import annotations

import asyncio

from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import until
from tests.kafka.limits.lines import lines


async def test_all_runs_of_a_key_end_though_a_worker_is_killed(pipeline: Pipeline) -> None:
    await asyncio.gather(pipeline.running("a"), pipeline.running("b"))
    runs = await pipeline.submit_many(20, "keyed", customer="mortal", seconds=0.1)
    await until(lambda: len(lines(pipeline.effects_folder, "keyed-mortal")) >= 6)
    pipeline.workers[0].kill()
    ended = await pipeline.ended(runs)
    assert {one[0].event_type for one in ended.values()} == {"run.succeeded"}
    words = [line.split()[2] for line in lines(pipeline.effects_folder, "keyed-mortal")]
    doubled = len(words) - 40
    assert 0 <= doubled <= 1, "at most the step that was cut off is done twice"
