"""From a dead letter to what should have come of it: exactly once, by the consumer that gave up, and by nobody else."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest_asyncio

from schemas.attributes import Attributes
from streams.local.kafka import EmbeddedKafka
from tests.apps.pipeline.events import Counted
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import until
from tests.kafka.gateway._served import served


@dataclass
class World:
    pipeline: Pipeline
    client: httpx.AsyncClient

    async def letter(self, **wanted: Any) -> dict[str, Any]:
        """Return the newest letter with these members once there is one."""
        found: list[dict[str, Any]] = []

        async def there() -> bool:
            nonlocal found
            letters = (await self.client.get("/dead-letters?limit=1000")).json()["letters"]
            found = [one for one in letters if all(one[name] == value for name, value in wanted.items())]
            return bool(found)

        await until(there, what=self.pipeline.workers[0].words)
        return found[0]

    async def order(self, letter: dict[str, Any], verb: str, body: Any = None, **headers: str) -> httpx.Response:
        path = f"/dead-letters/{quote(letter['dead_id'], safe='')}/{verb}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(path, json=body, headers=named)

    async def echoes(self, name: str) -> int:
        events = await self.pipeline.events(self.pipeline.names.events)
        found = [one.event for one in events if one.attributes.type == "probe.echoed" and one.event is not None]
        return len([event for event in found if event.key_text() == name])


@pytest_asyncio.fixture
async def world(kafka: EmbeddedKafka, tmp_path: Path) -> AsyncIterator[World]:
    async with Pipeline(kafka.bootstrap, tmp_path) as pipeline:
        await pipeline.running("a")
        async with served(pipeline.settings, declared=False) as (client, _):
            yield World(pipeline, client)


async def test_what_failed_is_redriven_edited_resumed_or_let_go(world: World) -> None:
    """One pipeline for all, since starting a worker is most of the time that this takes."""
    await a_reaction_that_failed_says_it_once(world)
    await an_undecodable_submission_is_edited_and_runs(world)
    await a_failed_run_is_resumed(world)
    await a_kind_of_failure_is_redriven_at_a_rate(world)
    await one_is_discarded(world)


async def a_reaction_that_failed_says_it_once(world: World) -> None:
    name = f"n{uuid.uuid4().hex[:8]}#{world.pipeline.effects_folder}"
    await world.pipeline.say(Counted(name=name, then="mend"))
    letter = await world.letter(key=name)
    assert (letter["consumer"], letter["state"], letter["redrives"]) == ("echo", "open", 0)
    first = await world.order(letter, "redrive")
    assert first.status_code == 202, first.text
    again = await world.letter(key=name, state="open", redrives=1)
    assert again["dead_id"] == letter["dead_id"], "it fails again, and is the same letter"
    (world.pipeline.effects_folder / "mended").touch()
    answers = await asyncio.gather(*(world.order(letter, "redrive", idempotency_key="once") for _ in range(3)))
    assert 202 in {answer.status_code for answer in answers}
    await until(lambda: _is(world.echoes(name), 1), what=world.pipeline.workers[0].words)
    assert (await world.order(letter, "redrive", idempotency_key="once")).status_code == 202
    refused = await world.order(letter, "redrive")
    assert refused.status_code == 409, refused.text
    marker = f"m{uuid.uuid4().hex[:8]}"
    await world.pipeline.say(Counted(name=marker))
    await until(lambda: _is(world.echoes(marker), 1), what=world.pipeline.workers[0].words)
    assert await world.echoes(name) == 1
    assert (await world.letter(key=name))["state"] == "redriven"


async def an_undecodable_submission_is_edited_and_runs(world: World) -> None:
    pipeline, run_id = world.pipeline, f"r{uuid.uuid4().hex[:12]}"
    headers = Attributes("x", "run.submitted", "/tests", 1).to_headers()
    queue = pipeline.names.agents("work")
    await pipeline.producer.send_raw(queue, b"no avro", key=run_id.encode(), headers=headers)
    letter = await world.letter(key=run_id)
    shown = (await world.client.get(f"/dead-letters/{quote(letter['dead_id'], safe='')}")).json()
    assert (shown["data"], shown["type"]) == (None, "run.submitted")
    wrong = await world.order(letter, "redrive", {"edit": {"run_id": run_id, "input": {}}})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["field"] == "edit.agent"
    edit = {"run_id": run_id, "agent": "work", "input": pipeline.task(steps=1)}
    right = await world.order(letter, "redrive", {"edit": edit})
    assert (right.status_code, right.json()["edited"]) == (202, True)
    endings = (await pipeline.ended([run_id]))[run_id]
    assert [(one.event_type, one.result) for one in endings] == [("run.succeeded", {"steps": 1})]


async def a_failed_run_is_resumed(world: World) -> None:
    (world.pipeline.effects_folder / "mended").unlink()
    run_id = await world.pipeline.submit("fragile", world.pipeline.task())
    letter = await world.letter(run_id=run_id)
    assert (await world.order(letter, "redrive", {"edit": {}})).status_code == 422
    (world.pipeline.effects_folder / "mended").touch()
    assert (await world.order(letter, "redrive")).status_code == 202

    async def twice() -> bool:
        return len((await world.pipeline.endings([run_id])).get(run_id, [])) == 2

    await until(twice, what=world.pipeline.workers[0].words)
    endings = (await world.pipeline.endings([run_id]))[run_id]
    assert [one.event_type for one in endings] == ["run.failed", "run.succeeded"]
    assert [count for key, count in world.pipeline.effects().items() if key.startswith(f"{run_id}/")] == [1]


async def a_kind_of_failure_is_redriven_at_a_rate(world: World) -> None:
    (world.pipeline.effects_folder / "mended").unlink()
    names = [f"k{uuid.uuid4().hex[:8]}#{world.pipeline.effects_folder}" for _ in range(5)]
    for name in names:
        await world.pipeline.say(Counted(name=name, then="mend"))
    letters = [await world.letter(key=name) for name in names]
    [kind] = {letter["fingerprint"] for letter in letters}
    groups = (await world.client.get("/dead-letters?group=true")).json()["groups"]
    assert next(row for row in groups if row["fingerprint"] == kind)["open"] == 5
    (world.pipeline.effects_folder / "mended").touch()
    dry = await world.client.post("/dead-letters/redrive", json={"fingerprint": kind, "dry_run": True})
    assert (dry.status_code, dry.json()["matching"]) == (200, 5)
    said = await world.client.post("/dead-letters/redrive", json={"fingerprint": kind, "rate": 20})
    assert (said.status_code, len(said.json()["redriven"]), said.json()["left"]) == (202, 5, 0)

    async def all_said() -> bool:
        return [await world.echoes(name) for name in names] == [1] * 5

    await until(all_said, what=world.pipeline.workers[0].words)


async def one_is_discarded(world: World) -> None:
    name = f"d{uuid.uuid4().hex[:8]}"
    await world.pipeline.say(Counted(name=name, then="fail"))
    letter = await world.letter(key=name)
    assert (await world.order(letter, "discard", {"reason": "a test"})).status_code == 202
    assert (await world.letter(key=name))["state"] == "discarded"
    assert (await world.order(letter, "redrive")).status_code == 409
    unknown = {"dead_id": "never-heard"}
    assert (await world.order(unknown, "discard")).status_code == 404


async def _is(found: Any, wanted: int) -> bool:
    return bool(await found == wanted)
