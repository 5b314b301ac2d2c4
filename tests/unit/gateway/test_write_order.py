"""The order of a delivery's records: the raw one is proof of all others, whatever fails and whoever finds it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable
from itertools import permutations
from typing import Any

import httpx
import orjson
import pytest

from schemas.dead import DeadLettered
from schemas.errors import SchemaError
from streams.gateway.deliveries import Deliveries
from tests.unit.gateway._gateway import FakeLog, World, problem, world
from topics.errors import EventTooLargeError, NotAcknowledged, TopicError

RAW, EVENTS, RUNS, LETTERS = "webhooks.helpdesk", "events", "agents.research", "dead-letters"

LOST = NotAcknowledged("no leader")
FULL = NotAcknowledged("too many records wait for the broker already")
ABSENT = TopicError("the topic does not exist")
LARGE = EventTooLargeError("the record is refused")
UNFIT = SchemaError("it cannot be encoded")


async def deliver(it: World, body: Any = None, delivery: str = "h-1") -> httpx.Response:
    raw = orjson.dumps({"ticket": "t-1"} if body is None else body)
    headers = {"x-help-signature": hmac.new(b"new", raw, hashlib.sha256).hexdigest(), "x-help-delivery": delivery}
    return await it.client.post("/webhooks/helpdesk", content=raw, headers=headers)


def of_log(log: FakeLog) -> Deliveries:
    """Return the memory of a gateway that has just started and has read the raw topic."""
    deliveries = Deliveries()
    for record in log.on(RAW):
        deliveries.remember("helpdesk", record.key or "")
    return deliveries


def topics(log: FakeLog) -> list[str]:
    return [record.topic for record in log.written]


def proves(log: FakeLog) -> bool:
    """Tell whether each raw record has all that its delivery means before it."""
    if RAW not in topics(log):
        return True
    before = topics(log)[: topics(log).index(RAW)]
    return LETTERS in before or {EVENTS, RUNS} <= set(before)


def begun(topic: str, error: Exception) -> Callable[[FakeLog], None]:
    return lambda log: log.refused.update({topic: error})


def awaited(topic: str, error: Exception) -> Callable[[FakeLog], None]:
    return lambda log: log.failing.update({topic: error})


def unseen(topic: str) -> Callable[[FakeLog], None]:
    return lambda log: log.unseen.add(topic)


REPEATABLE = {
    **{f"{topic}: {error}": begun(topic, error) for topic in (RAW, EVENTS, RUNS) for error in (FULL, ABSENT)},
    **{f"{topic}: {error}, later": awaited(topic, error) for topic in (RAW, EVENTS, RUNS) for error in (LOST, ABSENT)},
    **{f"{topic}: written, unseen": unseen(topic) for topic in (RAW, EVENTS, RUNS)},
}


@pytest.mark.parametrize("restarted", [False, True], ids=["the same gateway", "another one"])
@pytest.mark.parametrize("fault", REPEATABLE)
async def test_what_was_not_acknowledged_is_written_by_the_repeat(fault: str, restarted: bool) -> None:
    async with world() as first:
        REPEATABLE[fault](first.log)
        problem(await deliver(first), 503, "not-acknowledged")
        assert proves(first.log)
        log = first.log
        log.heal()
        if not restarted:
            assert (await deliver(first)).status_code == 202
    if restarted:
        async with world(deliveries=of_log(log), log=log) as second:
            assert (await deliver(second)).status_code == 202
    assert {EVENTS, RUNS, RAW} == set(topics(log))
    assert proves(log)
    assert len({record.id for record in log.on(EVENTS)}) == 1, "a repeat has the ids of the first attempt"


@pytest.mark.parametrize("topic", [EVENTS, RUNS])
@pytest.mark.parametrize("error", [LARGE, UNFIT])
@pytest.mark.parametrize("when", [begun, awaited])
async def test_what_no_repeat_can_write_is_a_dead_letter_and_the_delivery_is_kept(
    topic: str, error: Exception, when: Callable[[str, Exception], Callable[[FakeLog], None]]
) -> None:
    async with world() as it:
        when(topic, error)(it.log)
        answer = await deliver(it)
        assert (answer.status_code, answer.json()["dead_letter"]) == (202, "helpdesk/h-1")
        assert topics(it.log)[-2:] == [LETTERS, RAW]
        [letter] = it.log.on(LETTERS)
        assert isinstance(letter.event, DeadLettered)
        assert (letter.event.consumer, letter.event.error_type) == ("source:helpdesk", type(error).__name__)
        assert (await deliver(it)).json()["duplicate"] is True


@pytest.mark.parametrize("topic", [LETTERS, RAW])
@pytest.mark.parametrize("fault", [lambda topic: awaited(topic, LOST), lambda topic: begun(topic, FULL), unseen])
async def test_a_delivery_on_which_its_source_fails_is_repeated_until_its_letter_is_on_the_log(
    topic: str, fault: Callable[[str], Callable[[FakeLog], None]]
) -> None:
    async with world() as it:
        fault(topic)(it.log)
        problem(await deliver(it, {"bug": True}), 503, "not-acknowledged")
        assert proves(it.log)
        it.log.heal()
        answer = await deliver(it, {"bug": True})
        assert (answer.status_code, answer.json().get("duplicate")) == (202, None)
        assert proves(it.log)


@pytest.mark.parametrize("order", list(permutations([EVENTS, RUNS, RAW])))
async def test_the_raw_record_is_begun_after_all_others_are_acknowledged(order: tuple[str, ...]) -> None:
    """Acknowledgements come in any order, as from three brokers."""
    gates = {topic: asyncio.Event() for topic in order}
    begun_topics: list[str] = []

    async def settled() -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    class Gated(FakeLog):
        def begin(self, topic: str, event: Any, **named: Any) -> Any:
            begun_topics.append(topic)
            pending = super().begin(topic, event, **named)

            class Waiting:
                async def acknowledged(self) -> Any:
                    await gates[topic].wait()
                    return await pending.acknowledged()

            return Waiting()

    async with world(log=Gated()) as it:
        delivering = asyncio.create_task(deliver(it))
        opened: set[str] = set()
        for topic in order:
            await settled()
            assert (RAW in begun_topics) <= ({EVENTS, RUNS} <= opened)
            gates[topic].set()
            opened.add(topic)
        assert (await delivering).status_code == 202
        assert sorted(begun_topics[:2]) == sorted([EVENTS, RUNS])
        assert begun_topics[2:] == [RAW]


async def test_a_gateway_that_dies_in_between_has_proved_nothing() -> None:
    """The sender's connection ends with the request: the next gateway writes all of it, under the same ids."""
    log = FakeLog()
    log.failing[EVENTS] = asyncio.CancelledError()
    async with world(log=log) as first:
        with pytest.raises(BaseException):  # noqa: B017, PT011 - however the client sees a request that was ended
            await asyncio.wait_for(deliver(first), 5)
    assert RAW not in topics(log)
    log.failing.clear()
    async with world(deliveries=of_log(log), log=log) as second:
        assert "duplicate" not in (await deliver(second)).json()
    assert proves(log)


async def test_another_gateways_raw_record_is_believed() -> None:
    async with world() as one:
        await deliver(one)
        async with world(deliveries=of_log(one.log), log=one.log) as other:
            assert (await deliver(other)).json()["duplicate"] is True
        assert sorted(topics(one.log)) == sorted([EVENTS, RUNS, RAW])


async def test_two_gateways_at_once_write_the_same_ids() -> None:
    log = FakeLog()
    async with world(log=log) as one, world(log=log) as other:
        answers = await asyncio.gather(deliver(one), deliver(other))
    assert [answer.status_code for answer in answers] == [202, 202]
    assert answers[0].json() == answers[1].json()
    assert {record.id for record in log.on(EVENTS)} == {"helpdesk/h-1/0"}
    assert len({record.id for record in log.on(RUNS)}) == 1


async def test_a_repeat_during_the_first_attempt_takes_over_when_it_fails() -> None:
    async with world() as it:
        it.log.failing[EVENTS] = LOST

        async def mended() -> httpx.Response:
            answer = await deliver(it)
            it.log.failing.clear()
            return answer

        answers = await asyncio.gather(mended(), deliver(it), deliver(it))
        assert {answer.status_code for answer in answers} <= {202, 503}
        assert (await deliver(it)).status_code == 202
        assert proves(it.log)
        assert len(it.log.on(RAW)) == 1
