"""Forks and the past on a real broker, as people ask for them: over HTTP and on the command line."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
import pytest_asyncio
from aiohttp import web
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from streams.app import discover
from streams.cli.main import main
from streams.clock import iso
from streams.gateway.serve import application
from streams.journal.record_writer import RecordWriter
from streams.local.kafka import EmbeddedKafka
from streams.query.codec import codec_of
from streams.settings import child_environment
from tests.apps.pipeline.events import Counted
from tests.faults.rig.pipeline import Pipeline
from tests.faults.rig.waiting import PATIENCE_S, until
from tests.kafka.gateway._served import listening
from tests.unit.model._endpoint import completion, endpoint
from topics.reader import read

RUNS = 4
EDITED = "nothing is known of it"

pytestmark = pytest.mark.asyncio(loop_scope="module")  # the producer belongs to the loop of the pipeline


class ForkPipeline(Pipeline):
    """A pipeline with a worker, a gateway on a port, and a model whose answer is a digest of what it is asked."""

    def __init__(self, kafka: EmbeddedKafka, folder: Path, model: str, asked: Counter[str]) -> None:
        super().__init__(kafka.bootstrap, folder)
        self.held = socket.create_server(("127.0.0.1", 0))
        port = self.held.getsockname()[1]
        apps, url = ("tests.apps.replayed", "tests.apps.pipeline"), f"http://127.0.0.1:{port}"
        self.settings = self.settings.changed("tests", apps=apps, llm_base_url=model, advertised_url=url)
        self.catalog = discover(apps)
        self.codec = codec_of(self.settings, self.catalog)
        self.writer = RecordWriter(self.names, self.codec, self.catalog.events, "default")
        self.client = httpx.AsyncClient(base_url=url, timeout=PATIENCE_S)
        self.trace = folder / "looked_up"
        self.asked = asked

    def calls(self) -> tuple[int, int]:
        """Return how often the tool and the model were called."""
        return len(self.trace.read_text("utf-8").splitlines()), self.asked.total()

    async def get(self, path: str, status: int = 200) -> Any:
        answer = await self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def entries(self, run_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.get(f"/runs/{run_id}/history"))["entries"]
        return found

    async def knows_all(self) -> bool:
        """Say whether the gateway finds every run."""
        answer = await self.client.get("/runs?agent=assess")
        return answer.status_code == 200 and len(answer.json()["runs"]) == RUNS

    async def result(self, run_id: str) -> list[str]:
        ending = (await self.ended([run_id]))[run_id][0]
        assert ending.event_type == "run.succeeded", ending
        return list(ending.result)

    async def cli(self, *words: str, fails: bool = False) -> str:
        """Return what a command prints."""
        status, out, err = await asyncio.to_thread(said_by, words, child_environment(self.settings))
        assert bool(status) == fails, (words, out, err)
        return err if fails else out


def said_by(words: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Return status and output of a command, run here: to start a process takes most of the time."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.dict(os.environ, environment, clear=True),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main(list(words))
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def judged(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pipeline(kafka: EmbeddedKafka, tmp_path_factory: Any) -> AsyncIterator[ForkPipeline]:
    """Return a pipeline with four ended runs and some rows."""
    folder = tmp_path_factory.mktemp("forks")
    asked: Counter[str] = Counter()

    async def answer(request: web.Request) -> web.Response:
        said = (await request.json())["messages"][-1]["content"]
        asked[said] += 1
        return web.json_response(completion(judged(said)))

    async with endpoint(answer) as url, ForkPipeline(kafka, folder, url, asked) as made, made.client:
        worker = await made.running()
        with made.held, listening(application(made.settings), made.held):
            runs = [f"run-{number}" for number in range(RUNS)]
            given = [{"text": f"question {number}", "trace": str(made.trace)} for number in range(RUNS)]
            await asyncio.gather(*(made.submit("assess", one, run) for run, one in zip(runs, given, strict=True)))
            for amount in (1, 2, 3):
                await made.say(Counted(name="ada", amount=amount, then="nothing"), id=f"c{amount}")
            await made.ended(runs)
            await until(made.knows_all, what=worker.words)
            yield made
        assert await worker.stop() == 0, worker.words()


async def test_many_are_forked_by_a_filter_each_once_and_a_dry_run_forks_none(pipeline: ForkPipeline) -> None:
    words = ["runs", "fork", "--agent", "assess", "--status", "succeeded", "--at", "look_up", "-o", "json"]
    count = len((await pipeline.get("/runs?agent=assess"))["runs"])
    calls = pipeline.calls()
    dry = json.loads(await pipeline.cli(*words, "--dry-run"))
    assert [(line["fork"], line["why"]) for line in dry] == [(None, None)] * count
    assert len((await pipeline.get("/runs?agent=assess"))["runs"]) == count
    made = sorted([run["created_at"] for run in (await pipeline.get("/runs?agent=assess"))["runs"]])
    words += ["--since", made[-2], "--limit", "2"]  # which of them was taken in last is up to their partitions
    lines = json.loads(await pipeline.cli(*words))
    forks = {line["run_id"]: line["fork"] for line in lines}
    assert len(forks) == 2
    for run, fork in forks.items():
        assert await pipeline.result(fork) == await pipeline.result(run), (
            "asked the same again, the outside says the same"
        )
    assert pipeline.calls() == (calls[0] + 2 * 2, calls[1] + 2 * 2)
    again = [await pipeline.client.get(f"/runs/{fork}") for fork in forks.values()]
    assert {one.json()["forked_from"] for one in again} == set(forks)


async def test_a_fork_with_an_edited_answer_changes_what_depends_on_it_and_repeats_nothing_before(
    pipeline: ForkPipeline,
) -> None:
    before, calls = await pipeline.result("run-0"), pipeline.calls()
    tool = next(one for one in await pipeline.entries("run-0") if one["output"] == before[0])
    first = next(one for one in await pipeline.entries("run-0") if one["kind"] == "llm")
    asked = {"at": first["seq"], "edits": {str(tool["seq"]): EDITED}}
    answer = await pipeline.client.post("/runs/run-0/fork", json=asked)
    assert answer.status_code == 202, answer.text
    new = answer.json()["run_id"]
    after = await pipeline.result(new)
    assert (after[0], after[1], after[3]) == (EDITED, before[1], before[3])
    assert after[2] != before[2]
    assert pipeline.calls() == (calls[0], calls[1] + 2), "both looked up before the fork, both judged after it"
    there = [(one["path"], one["output"]) for one in await pipeline.entries("run-0") if one["seq"] < first["seq"]]
    shared = [one for one in there if not one[0].startswith("~") and one[0] != tool["path"]]
    again = [(one["path"], one["output"]) for one in await pipeline.entries(new)]
    assert shared
    assert [one for one in again if one in shared] == shared
    assert (await pipeline.get(f"/runs/{new}"))["forked_from"] == "run-0"
    assert (await pipeline.get("/runs/run-0"))["forks"] == [new]


async def test_a_fork_on_the_command_line_gives_the_step_itself(pipeline: ForkPipeline) -> None:
    before, calls = await pipeline.result("run-1"), pipeline.calls()
    judge = [str(one["seq"]) for one in await pipeline.entries("run-1") if one["kind"] == "llm"]
    new = (await pipeline.cli("runs", "fork", "run-1", "--at", judge[0], "--edit", f'{judge[0]}="mine"')).strip()
    assert await pipeline.result(new) == [*before[:2], "mine", before[3]]
    assert pipeline.calls() == (calls[0], calls[1] + 1)
    assert json.loads(await pipeline.cli("runs", "show", new, "-o", "json"))["forked_from"] == "run-1"
    assert json.loads(await pipeline.cli("runs", "show", "run-1", "-o", "json"))["forks"] == [new]


async def test_what_cannot_be_forked_so_is_refused_when_it_is_asked_for(pipeline: ForkPipeline) -> None:
    judge = [one["seq"] for one in await pipeline.entries("run-1") if one["kind"] == "llm"]
    for body, field in (
        ({"at": "nowhere"}, "at"),
        ({"at": judge[0], "edits": {str(judge[1]): "x"}}, f"edits.{judge[1]}"),
    ):
        answer = await pipeline.client.post("/runs/run-1/fork", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    said = await pipeline.cli("runs", "fork", "run-1", "--at", "nowhere", fails=True)
    assert said.count("\n") == 1


async def test_a_run_is_shown_as_it_was_after_any_entry(pipeline: ForkPipeline) -> None:
    seen = [(await pipeline.get(f"/runs/run-3?at={one['seq']}"))["status"] for one in await pipeline.entries("run-3")]
    assert (seen[0], seen[-1]) == ("queued", "succeeded")
    assert seen == sorted(seen, key=["queued", "running", "waiting", "succeeded"].index)
    last = json.loads(await pipeline.cli("runs", "show", "run-3", "--at", "2", "-o", "json"))
    assert (last["status"], len(last["entries"])) == (seen[1], 2)


async def test_rows_are_told_as_they_were_until_retention_takes_what_made_them(pipeline: ForkPipeline) -> None:
    records = [one for one in await pipeline.events(pipeline.names.events) if one.attributes.id in {"c1", "c2", "c3"}]
    assert len(records) == 3
    place, found = pipeline.partition("ada"), await pipeline.get("/topics/events/events?key=ada")
    for event, total in zip(found["events"], (1, 3, 6), strict=True):
        row = await pipeline.get(f"/tables/counts/ada?at={event['offset']}")
        assert (row["value"]["total"], row["offset"]) == (total, event["offset"])
        told = json.loads(
            await pipeline.cli("tables", "at", "counts", "ada", "--offset", str(event["offset"]), "-o", "json")
        )
        assert told == row
    log = await asyncio.to_thread(lambda: list(read(pipeline.kafka, pipeline.names.events, partitions=[place])))
    (at_ms,) = [one.timestamp for one in log if one.offset == found["events"][1]["offset"]]  # its ce_time is older
    between = str(iso(at_ms))
    assert (await pipeline.get(f"/tables/counts/ada?at={between}"))["value"]["total"] in (3, 6)  # of one millisecond
    listed = json.loads(await pipeline.cli("tables", "at", "counts", "--time", between, "-o", "json"))
    assert [row["key"] for row in listed] == ["ada"]
    await pipeline.get(f"/tables/counts/ada?at={iso(1_000)}", 404)
    await gone(pipeline, place, found["events"][-1]["offset"])
    refused = await pipeline.get(f"/tables/counts/ada?at={found['events'][0]['offset']}", 410)
    assert "retention" in refused["detail"]
    for words in (("ada", "--offset", "0"), ("--time", between)):
        said = await pipeline.cli("tables", "at", "counts", *words, fails=True)
        assert said.count("\n") == 1
        assert "retention" in said


async def gone(pipeline: ForkPipeline, partition: int, before: int) -> None:
    """Let the broker delete the records of the bus before an offset."""
    admin = AdminClient(pipeline.kafka.client())
    for one in admin.delete_records([TopicPartition(pipeline.names.events, partition, before)]).values():
        await asyncio.to_thread(one.result, PATIENCE_S)
