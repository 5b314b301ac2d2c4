"""The schedules that ship, on a real pipeline: triggered, they look at the real thing and say what they see."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from schemas.schedule import ScheduleCommanded
from tests.faults.rig.pipeline import Worker
from tests.faults.rig.waiting import until
from tests.kafka.schedules.conftest import Clock

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def worker(shared: Clock) -> Worker:
    """Return the shared pipeline's worker."""
    return shared.workers[0]


async def ticks(shared: Clock, name: str) -> list[Any]:
    events = [one.event for one in await shared.events(shared.names.ticks) if one.event is not None]
    return [event for event in events if vars(event)["schedule"] == name and vars(event)["data"] is not None]


async def triggered(shared: Clock, worker: Worker, name: str) -> None:
    """Trigger a schedule and wait for its tick; a failure would be told there."""
    count = len(await ticks(shared, name)) + 1
    event = ScheduleCommanded(schedule=name, command="trigger", request_id=uuid.uuid4().hex)
    await shared.producer.send(shared.names.signals, event, headers={"pool": "default"})

    async def ticked() -> bool:
        return len(await ticks(shared, name)) >= count

    await until(ticked, 30, worker.words)
    assert vars((await ticks(shared, name))[-1])["data"] == {"cause": "trigger"}


async def said(shared: Clock, kind: str) -> list[Any]:
    return [one.event for one in await shared.events(shared.names.events) if one.attributes.type == kind]


async def test_a_file_is_told_of_when_it_has_changed(shared: Clock, worker: Worker) -> None:
    shared.feed.write_text("one")
    for content, news in (("one", 1), ("one", 1), ("two", 2)):
        shared.feed.write_text(content)
        await triggered(shared, worker, "monitor_data_sources")
        found = await said(shared, "new_data_arrived")
        assert len(found) == news
        assert (found[-1].source, found[-1].data["bytes"]) == (str(shared.feed), 3)

        async def folded(expected: int = news) -> bool:
            row = await worker.owner.get("/owner/tables/data_sources/" + str(shared.feed).replace("/", "%2F"))
            return row.status_code == 200 and row.json()["value"]["times"] == expected

        await until(folded, 10, worker.words)


async def test_old_events_are_cleaned_up_without_a_word(shared: Clock, worker: Worker) -> None:
    await triggered(shared, worker, "cleanup_old_events")


async def test_the_health_check_says_how_it_is_and_raises_each_alert_once(shared: Clock, worker: Worker) -> None:
    """A schedule of this app fails for good: its dead letters are an alert, and the pipeline is healthy."""

    async def given_up() -> bool:
        return any(letter.consumer == "broken" for letter in await shared.letters())

    await until(given_up, 30, worker.words)
    await triggered(shared, worker, "health_check")
    check = (await said(shared, "health_check_completed"))[-1]
    assert (check.healthy, check.detail) == (True, "")
    assert "this schedule has a defect" in check.data["dead/broken"]

    async def folded() -> bool:
        row = await worker.owner.get("/owner/tables/alerts/dead%2Fbroken")
        return row.status_code == 200 and row.json()["value"]["open"]

    await until(folded, 10, worker.words)
    await triggered(shared, worker, "health_check")
    raised = [event for event in await said(shared, "alert.raised") if event.alert == "dead/broken"]
    assert len(raised) == 1
    assert "[warning] dead/broken" in worker.log.read_text("utf-8")
