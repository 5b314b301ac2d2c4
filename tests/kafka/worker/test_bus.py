"""The bus through a real worker: tables, reactions, and what cannot be handled."""

from __future__ import annotations

import uuid

import httpx
import pytest

from schemas.attributes import Attributes
from schemas.run import RunSubmitted
from tests.apps.pipeline.events import Counted, HoldAsked
from tests.faults.rig.pipeline import Pipeline, Worker
from tests.faults.rig.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")


def fresh(kind: str = "n") -> str:
    return f"{kind}{uuid.uuid4().hex[:16]}"


async def row(worker: Worker, table: str, key: str, offset: int | None = None) -> httpx.Response:
    """Return the row with that offset in it: a worker that is busy says 503 after a while, and is asked again."""
    query = {} if offset is None else {"consistency": f"offset:{offset}"}
    answer: httpx.Response | None = None

    async def told() -> bool:
        nonlocal answer
        answer = await worker.owner.get(f"/owner/tables/{table}/{key}", params=query)
        return answer.status_code != 503

    await until(told, what=worker.words)
    assert answer is not None
    return answer


async def test_a_row_has_every_event_once_as_soon_as_its_offset_is_asked_for(shared: Pipeline, worker: Worker) -> None:
    """Read your writes: ten times, each at once after the acknowledgement."""
    name = fresh()
    for number in range(1, 11):
        ack = await shared.say(Counted(name=name, amount=number, then="nothing"))
        answer = await row(worker, "counts", name, ack.offset)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["value"] == {"events": number, "total": number * (number + 1) // 2}
        assert (body["key"], body["topic"], body["partition"]) == (name, shared.names.events, ack.partition)
        assert body["offset"] >= ack.offset


async def test_an_offset_that_is_not_there_yet_is_not_answered(shared: Pipeline, worker: Worker) -> None:
    name = fresh()
    ack = await shared.say(Counted(name=name, then="nothing"))
    assert (await row(worker, "counts", name, ack.offset)).status_code == 200
    early = {"consistency": f"offset:{ack.offset + 1_000_000}"}
    assert (await worker.owner.get(f"/owner/tables/counts/{name}", params=early)).status_code == 503


async def test_an_unknown_row_is_not_found_and_an_unknown_table_may_be_of_other_code(worker: Worker) -> None:
    assert (await row(worker, "counts", fresh())).status_code == 404
    answer = await worker.owner.get(f"/owner/tables/nothing_such/{fresh()}")
    assert answer.status_code == 503, "which tables there are is the gateway's to say"
    assert "does not have table 'nothing_such' in its code" in answer.text


async def test_what_a_reaction_returns_is_on_the_bus_once_and_counted_there(shared: Pipeline, worker: Worker) -> None:
    name = fresh()
    await shared.say(Counted(name=name, amount=7))

    async def echoed() -> bool:
        answer = await row(worker, "echoes", name)
        return answer.status_code == 200 and answer.json()["value"] == {"events": 1, "total": 7}

    await until(echoed, what=worker.words)
    said = [one for one in await shared.events(shared.names.events) if one.attributes.type == "probe.echoed"]
    assert len([one for one in said if one.event and one.event.key_text() == name]) == 1


async def test_the_same_event_id_from_outside_counts_once(shared: Pipeline, worker: Worker) -> None:
    name, event_id = fresh(), fresh("e")
    for _ in range(3):
        ack = await shared.say(Counted(name=name, then="nothing"), id=event_id)
    assert (await row(worker, "counts", name, ack.offset)).json()["value"] == {"events": 1, "total": 1}


async def test_a_reaction_starts_a_run_whose_id_is_made_of_the_event(shared: Pipeline) -> None:
    name = f"{fresh()}#{shared.effects_folder}"
    before = set(await shared.endings())
    await shared.say(Counted(name=name, then="start"))

    async def ended() -> bool:
        return any(one.startswith("s-") for one in set(await shared.endings()) - before)

    await until(ended)


async def test_a_reaction_that_fails_is_one_dead_letter_and_its_neighbours_pass(
    shared: Pipeline, worker: Worker
) -> None:
    name = fresh()
    await shared.say(Counted(name=name, then="fail"))
    await shared.say(Counted(name=name, amount=5))

    async def echoed() -> bool:
        answer = await row(worker, "echoes", name)
        return answer.status_code == 200 and answer.json()["value"] == {"events": 1, "total": 5}

    await until(echoed, what=worker.words)
    assert (await row(worker, "counts", name)).json()["value"] == {"events": 2, "total": 6}
    letters = await shared.letters_of(name.encode())
    assert [(one.consumer, one.error_type, one.attempts) for one in letters] == [("echo", "RuntimeError", 3)]


async def test_a_reaction_of_which_one_output_is_wrong_says_nothing(shared: Pipeline) -> None:
    """All outputs of an event or none: and an attempt that was given up leaves nothing behind."""
    name = fresh()
    await shared.say(Counted(name=name, then="mixed"))
    assert len(await shared.letters_of(name.encode())) == 1
    said = [one for one in await shared.events(shared.names.events) if one.attributes.type == "probe.echoed"]
    assert [one for one in said if one.event and one.event.key_text() == name] == []


GOOD = Attributes("x", "run.submitted", "/tests", 1).to_headers()
EVENT = Attributes("x", "probe.counted", "/tests", 1).to_headers()
POISON = {
    "no magic byte": b"{}",
    "unknown schema id": b"\x00\x7f\xff\xff\xff\x02a",
    "cut off": b"\x00\x00\x00",
    "null value": None,
    "empty value": b"",
    "a megabyte of noise": b"\x00\x00\x00\x00\x01" + b"\xfe" * 1_000_000,
}


@pytest.mark.parametrize("what", POISON)
async def test_poison_on_an_agents_queue_is_one_dead_letter_between_two_runs(shared: Pipeline, what: str) -> None:
    before, key = fresh("r"), fresh("p").encode()
    place = shared.partition(before)
    after = next(one for one in iter(lambda: fresh("r"), "") if shared.partition(one) == place)
    await shared.submit("work", shared.task(), before)
    queue = shared.names.agents("work")
    _, offset = await shared.producer.send_raw(queue, POISON[what], key=key, headers=GOOD, partition=place)
    await shared.submit("work", shared.task(), after)
    assert {len(found) for found in (await shared.ended([before, after])).values()} == {1}
    letters = await shared.letters_of(key)
    assert [(one.source_topic, one.source_partition, one.source_offset) for one in letters] == [(queue, place, offset)]
    assert letters[0].value == POISON[what]
    assert letters[0].error


@pytest.mark.parametrize("what", POISON)
async def test_poison_on_the_bus_is_one_dead_letter_between_two_events(
    shared: Pipeline, worker: Worker, what: str
) -> None:
    name, key = fresh(), fresh("p").encode()
    place = shared.partition(name)
    await shared.say(Counted(name=name, then="nothing"))
    _, offset = await shared.producer.send_raw(
        shared.names.events, POISON[what], key=key, headers=EVENT, partition=place
    )
    ack = await shared.say(Counted(name=name, then="nothing"))
    assert (await row(worker, "counts", name, ack.offset)).json()["value"] == {"events": 2, "total": 2}
    letters = await shared.letters_of(key)
    assert [(one.source_topic, one.source_offset, one.consumer) for one in letters] == [
        (shared.names.events, offset, "events")
    ]


async def test_an_event_of_more_than_an_entry_holds_is_handled_or_told_of(shared: Pipeline, worker: Worker) -> None:
    """Its reaction takes so long that the event would be parked, which it is too large for."""
    name = fresh()
    await shared.say(HoldAsked(name=name, how="x" * 1_000_001, seconds=1.5))
    await shared.say(Counted(name=name))

    async def told() -> bool:
        letters = [one for one in await shared.letters() if one.key == name.encode()]
        found = await row(worker, "echoes", name)
        echoes = found.json()["value"]["events"] if found.status_code == 200 else 0
        return echoes + len(letters) == 2 and echoes >= 1

    await until(told, what=worker.words)
    assert not worker.ended


@pytest.mark.parametrize("key", [None, b"", b"\xff\xfe", b"another/run", "ключ".encode()])
async def test_a_submission_under_a_wrong_key_is_one_dead_letter(shared: Pipeline, key: bytes | None) -> None:
    run_id = fresh("r")
    value = shared.codec.encode(RunSubmitted(run_id=run_id, agent="work", input=shared.task()))
    queue = shared.names.agents("work")
    place, offset = await shared.producer.send_raw(queue, value, key=key, headers=GOOD, partition=0)

    async def there() -> bool:
        return any(
            (one.source_topic, one.source_offset) == (queue, offset)
            for one in await shared.letters()
            if one.source_partition == place
        )

    await until(there, what=shared.workers[0].words)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("ce_id", b"1")],
        [*GOOD, ("ce_type", b"\xff\xfe")],
        [*GOOD, ("ce_time", b"yesterday")],
        [*GOOD, ("ce_specversion", b"9")],
        [(f"h{number}", b"x" * 1000) for number in range(200)],
    ],
)
@pytest.mark.parametrize("topic", ["agents.work", "events", "signals"])
async def test_a_record_that_is_no_event_never_stops_the_worker(
    shared: Pipeline, headers: list[tuple[str, bytes]], topic: str
) -> None:
    """Neighbours on the same partition go on; what it is counted as differs: an unknown type is only left alone."""
    marker = fresh("r")
    place = shared.partition(marker)
    value = shared.codec.encode(RunSubmitted(run_id="x", agent="work", input=None))
    await shared.producer.send_raw(shared.names.topic(topic), value, key=b"x", headers=headers, partition=place)
    await shared.submit("work", shared.task(), marker)
    ack = await shared.say(Counted(name=marker, then="nothing"))
    await shared.ended([marker])
    assert (await row(shared.workers[0], "counts", marker, ack.offset)).status_code == 200


@pytest.mark.parametrize("run_id", ["a/b", "", "..", "a\x00b", "~end", "x" * 3000, "run id", "日本"])
async def test_an_odd_run_id_harms_nobody(shared: Pipeline, run_id: str) -> None:
    """Gateways refuse such ids; a plain producer may send them all the same."""
    marker = next(one for one in iter(lambda: fresh("r"), "") if shared.partition(one) == shared.partition(run_id))
    await shared.submit("work", shared.task(), run_id)
    await shared.submit("work", shared.task(), marker)
    await shared.ended([marker])


async def test_an_event_without_a_key_is_handled(shared: Pipeline) -> None:
    name = fresh()
    value = shared.codec.encode(Counted(name=name, amount=3))
    headers = Attributes(fresh("e"), "probe.counted", "/tests", 1).to_headers()
    await shared.producer.send_raw(shared.names.events, value, key=None, headers=headers)

    async def echoed() -> bool:
        said = [one for one in await shared.events(shared.names.events) if one.attributes.type == "probe.echoed"]
        return any(one.event and one.event.key_text() == name for one in said)

    await until(echoed)
