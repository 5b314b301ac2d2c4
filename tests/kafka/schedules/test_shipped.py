"""The schedules that ship, on a real pipeline: triggered, they look at the real thing and say what they see."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
import pytest_asyncio

from schemas.run import RunSubmitted
from schemas.schedule import ScheduleCommanded
from streams.define.verifiers import StandardWebhooks
from tests.apps.clock.events import Cursed
from tests.faults.rig.pipeline import Worker
from tests.faults.rig.waiting import until
from tests.kafka.schedules._sinks import Post, Sinks
from tests.kafka.schedules.conftest import SECRET, Clock

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def worker(shared: Clock) -> Worker:
    """Return the shared pipeline's worker."""
    return shared.workers[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def paused(shared: Clock) -> None:
    """Leave these schedules to their triggers: one that looks by its own clock beside them says what it sees, too."""
    names = {"monitor_data_sources", "health_check", "cleanup_old_events"}
    for name in names:
        event = ScheduleCommanded(schedule=name, command="pause", request_id=uuid.uuid4().hex)
        await shared.producer.send(shared.names.signals, event, headers={"pool": "default"})

    async def all_paused() -> bool:
        answer = await shared.workers[0].owner.get("/owner/schedules")
        rows = answer.json()["schedules"] if answer.status_code == 200 else []
        return names == {row["name"] for row in rows if row["paused"]}

    await until(all_paused, what=shared.workers[0].words)


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

    await until(ticked, what=worker.words)
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

        await until(folded, what=worker.words)


async def test_old_events_are_cleaned_up_without_a_word(shared: Clock, worker: Worker) -> None:
    await triggered(shared, worker, "cleanup_old_events")


async def test_the_health_check_says_how_it_is_and_raises_each_alert_once(
    shared: Clock, worker: Worker, sinks: Sinks
) -> None:
    """A schedule of this app fails for good: its dead letters are an alert. One of its pools has no worker."""

    async def given_up() -> bool:
        return any(letter.consumer == "broken" for letter in await shared.letters())

    await until(given_up, what=worker.words)
    await triggered(shared, worker, "health_check")
    check = (await said(shared, "health_check_completed"))[-1]
    assert (check.healthy, check.detail) == (False, "no worker of pool away is alive")
    assert "this schedule has a defect" in check.data["dead/broken"]

    async def folded() -> bool:
        row = await worker.owner.get("/owner/tables/alerts/dead%2Fbroken")
        return row.status_code == 200 and row.json()["value"]["open"]

    await until(folded, what=worker.words)
    await triggered(shared, worker, "health_check")
    raised = [event for event in await said(shared, "alert.raised") if event.alert == "dead/broken"]
    assert len(raised) == 1
    assert "[warning] dead/broken" in worker.log.read_text("utf-8")
    await posted(sinks, "dead/broken", "alert.raised")
    await posted(sinks, "health/workers", "alert.raised")


async def test_a_failed_run_is_told_of_at_once_and_once(shared: Clock, sinks: Sinks) -> None:
    first = await shared.submit("doomed", {"seconds": 1})
    await posted(sinks, "dead/doomed", "alert.raised")
    assert (
        f"run {first} of doomed failed: this agent has a defect, 1.0"
        in sinks.of("/slack", "dead/doomed")[0].json["text"]
    )
    others = [await shared.submit("doomed", {"seconds": number}) for number in range(2, 5)]
    await shared.ended(others)
    raised = [event for event in await said(shared, "alert.raised") if event.alert == "dead/doomed"]
    assert len(raised) == 1
    assert len(sinks.of("/hook", "dead/doomed")) == 1


async def test_an_event_that_is_given_up_is_told_of_at_once(shared: Clock, sinks: Sinks) -> None:
    await shared.say(Cursed(name="x"))
    await posted(sinks, "dead/cursed", "alert.raised")


async def test_a_spent_budget_is_told_of_at_once(shared: Clock, sinks: Sinks) -> None:
    for _ in range(2):
        await shared.submit("frugal", {"seconds": 1})
    await posted(sinks, "budget/agent:frugal", "alert.raised")


async def test_a_queue_that_nobody_works_through_is_told_of_by_the_health_check(
    shared: Clock, worker: Worker, sinks: Sinks
) -> None:
    topic = shared.names.agents("parcel")
    events = (RunSubmitted(run_id=f"p-{number}", agent="parcel", input={"seconds": 0}) for number in range(10_001))
    for pending in [shared.producer.begin(topic, event) for event in events]:
        await pending.acknowledged()
    await triggered(shared, worker, "health_check")
    await posted(sinks, "health/lag", "alert.raised")


async def posted(sinks: Sinks, alert: str, kind: str) -> None:
    """Wait until both sinks have one post of a kind about an alert, the webhook's signed."""

    def hooks() -> list[Post]:
        return [post for post in sinks.of("/hook", alert) if post.json["type"] == kind]

    def chats() -> list[Post]:
        ends = kind == "alert.resolved"
        return [post for post in sinks.of("/slack", alert) if post.json["text"].startswith("[resolved]") is ends]

    await until(lambda: bool(hooks() and chats()), what=lambda: sinks.posts)
    [hook], [chat] = hooks(), chats()
    assert hook.json["data"]["alert"] == alert
    assert StandardWebhooks().check(hook.headers, hook.body, [SECRET], float(hook.headers["webhook-timestamp"]))
    assert alert in chat.json["text"]


async def test_an_open_breaker_is_told_of_at_once_and_once_and_so_is_its_end(
    shared: Clock, worker: Worker, sinks: Sinks
) -> None:
    for _ in range(2):  # the second time it is open already
        assert (await worker.owner.post("/owner/breakers/scrape_url", json={"state": "open"})).status_code == 200
    await posted(sinks, "breaker/scrape_url", "alert.raised")

    async def folded() -> bool:
        row = await worker.owner.get("/owner/tables/alerts/breaker%2Fscrape_url")
        return row.status_code == 200 and row.json()["value"]["open"]

    await until(folded, what=worker.words)
    await triggered(shared, worker, "health_check")

    async def checked() -> bool:
        return any("breaker/scrape_url" in check.data for check in await said(shared, "health_check_completed"))

    await until(checked, what=worker.words)
    assert (await worker.owner.post("/owner/breakers/scrape_url", json={"state": "closed"})).status_code == 200
    await posted(sinks, "breaker/scrape_url", "alert.resolved")
    told = [event for kind in ("alert.raised", "alert.resolved") for event in await said(shared, kind)]
    assert len([event for event in told if event.alert == "breaker/scrape_url"]) == 2
