"""What a worker logs about itself: its unique name, and that it serves only once a broker has answered."""

from __future__ import annotations

import re

from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import until
from tests.unit.refusing import refusing


async def test_a_worker_in_an_automatic_slot_logs_a_name_of_its_own(pipeline: Pipeline) -> None:
    worker = await pipeline.running(None)
    (beat,) = {vars(one.event)["worker_id"] for one in await pipeline.events(pipeline.names.workers) if one.event}
    assert re.fullmatch(r"default\.0-[0-9a-f]{8}", beat), "two machines may both take number 0"
    assert f"worker {beat} serves" in worker.words()
    assert await worker.stop() == 0
    assert f"worker {beat} has left" in worker.words()


async def test_a_worker_that_no_broker_answers_does_not_log_that_it_serves(pipeline: Pipeline) -> None:
    with refusing() as nowhere:
        pipeline.environment["STREAMS_KAFKA_BOOTSTRAP_SERVERS"] = nowhere
        worker = pipeline.start()
        await until(lambda: "the broker does not answer" in worker.words(), what=worker.words)
        assert "serves" not in worker.words()
