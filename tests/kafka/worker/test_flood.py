"""Ten thousand records in a row that cannot be read: each is one dead letter, and what follows is handled."""

from __future__ import annotations

import asyncio

from schemas.attributes import Attributes
from tests.apps.pipeline.events import Counted
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import until

MANY = 10_000
HEADERS = Attributes("x", "probe.counted", "/tests", 1).to_headers()


async def test_ten_thousand_poison_records_in_a_row(pipeline: Pipeline) -> None:
    """Records that cannot be decoded never trip the flood guard: waiting would not mend them."""
    await pipeline.say(Counted(name="before"))
    place = pipeline.partition("before")
    send = pipeline.producer.send_raw
    topic = pipeline.names.events
    await asyncio.gather(
        *(send(topic, b"poison %d" % number, key=b"p", headers=HEADERS, partition=place) for number in range(MANY))
    )
    ack = await pipeline.say(Counted(name="before"))
    worker = await pipeline.running()

    async def both_counted() -> bool:
        row = await worker.owner.get(f"/owner/tables/counts/before?consistency=offset:{ack.offset}")
        return row.status_code == 200 and row.json()["value"]["events"] == 2

    await until(both_counted, what=worker.words)
    letters = await pipeline.letters_of(
        b"p", MANY
    )  # a row is told when its transaction is, its markers come after that
    assert sorted(one.source_offset for one in letters) == sorted({one.source_offset for one in letters})
    assert {one.value for one in letters} == {b"poison %d" % number for number in range(MANY)}
    assert len({one.fingerprint for one in letters}) < 20
    assert await worker.stop() == 0, worker.words()
