"""Triggers that wait: debounced and collected, also over a kill."""

from __future__ import annotations

from tests.apps.canvas.events import Clicked
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import until


async def said(pipeline: Pipeline) -> dict[str, list[list[int]]]:
    found: dict[str, list[list[int]]] = {}
    for arrived in await pipeline.events(pipeline.names.events):
        if arrived.attributes.type == "canvas.collected" and arrived.event is not None:
            event = vars(arrived.event)
            found.setdefault(f"{event['kind']} {event['customer']}", []).append(event["numbers"])
    return found


async def click(pipeline: Pipeline, kind: str, numbers: range, customer: str = "ann") -> None:
    """Click so often in order, all within a moment: a window closes by itself after a second or two."""
    events = [Clicked(customer=customer, number=number, kind=kind) for number in numbers]
    for sent in [pipeline.producer.begin(pipeline.names.events, event) for event in events]:
        await sent.acknowledged()


async def test_windows_over_a_kill(pipeline: Pipeline) -> None:
    """Nothing of an open window is lost or said twice when its worker is killed."""
    worker = await pipeline.running("a")
    await click(pipeline, "collected", range(12))
    await click(pipeline, "settled", range(3), "sue")
    await click(pipeline, "settled", range(10, 12), "ben")

    async def full() -> bool:
        return sum(map(len, (await said(pipeline)).get("collected ann", []))) >= 10

    await until(full, what=worker.words)
    worker.kill()
    await click(pipeline, "collected", range(12, 14))
    again = await pipeline.running("a")
    wanted = {"settled sue": [[2]], "settled ben": [[11]]}

    async def all_said() -> bool:
        found = await said(pipeline)
        return sum(map(len, found.get("collected ann", []))) >= 14 and wanted.keys() <= found.keys()

    await until(all_said, what=again.words)
    found = await said(pipeline)
    collected = found.pop("collected ann")
    assert [number for numbers in collected for number in numbers] == list(range(14))
    assert collected[:2] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert {name: numbers[-1:] for name, numbers in found.items()} == wanted
