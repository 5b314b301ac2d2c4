"""Runs that a real worker made on a real broker, run again from the log alone: nobody is asked, nothing differs."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from streams import clock
from streams.app import discover
from streams.journal.record_writer import RecordWriter
from streams.local.declare import wanted
from streams.local.kafka import EmbeddedKafka
from streams.query.codec import codec_of
from streams.replay.errors import ReplayError, RetentionError
from streams.replay.log import ReplayLog
from streams.replay.shadow import Shadow
from streams.replay.stage import run_stage
from streams.replay.tables import At, TableHistory
from streams.replay.topic_replay import Replay, ReplayPlan
from streams.settings import child_environment
from tests.apps.pipeline.events import Counted
from tests.faults.rig.pipeline import ROOT, Pipeline
from tests.faults.rig.waiting import PATIENCE_S, until
from tests.unit.model._endpoint import completion, endpoint
from topics.admin import topic_names
from topics.producer import EventProducer
from topics.reader import read

APPS = ("tests.apps.replayed", "tests.apps.pipeline")
RUNS = 200
EVENTS = 40

pytestmark = pytest.mark.asyncio(loop_scope="module")  # the producer belongs to the loop of the pipeline


class Recorded(Pipeline):
    """A pipeline whose model is served here and counted, and gives another answer each time."""

    def __init__(self, kafka: EmbeddedKafka, folder: Path, model: str) -> None:
        super().__init__(kafka.bootstrap, folder)
        self.settings = self.settings.changed("tests", apps=APPS, llm_base_url=model)
        self.catalog = discover(APPS)
        self.codec = codec_of(self.settings, self.catalog)
        self.writer = RecordWriter(self.names, self.codec, self.catalog.events, "default")
        self.producer = EventProducer(self.kafka, self.codec, "/tests", now_ms=clock.now_ms)
        self.trace = folder / "looked_up"
        self.asked = itertools.count()

    def looked_up(self) -> int:
        """Return how often the tool was called."""
        return len(self.trace.read_text("utf-8").splitlines())

    async def folded(self) -> bool:
        """Say whether the bus is worked through: what the reaction said of the events is counted, too."""
        table = self.catalog.tables["echoes"]
        changelog = self.names.table(table.name, table.version, table.pool)
        found = await asyncio.to_thread(rows, self, changelog)
        counts = [int(self.codec.decode(row, table.row).events) for row in found.values() if row is not None]
        return sum(counts) == EVENTS

    def replay(self, plan: ReplayPlan, into: str = "again") -> Replay:
        """Return a replay of this pipeline's log."""
        log = ReplayLog.of(self.settings, self.catalog)
        return Replay(log, plan, Shadow(log, wanted(self.settings, self.catalog), into, dry=plan.dry_run))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def recorded(kafka: EmbeddedKafka, tmp_path_factory: Any) -> AsyncIterator[Recorded]:
    """Return a pipeline on whose log 200 runs have ended; its worker and model are gone."""
    folder = tmp_path_factory.mktemp("recorded")
    said = itertools.count()

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        word = f"word {next(said)}"
        return web.json_response(completion(json.dumps({"word": word}) if "response_format" in body else word))

    async with endpoint(answer) as url, Recorded(kafka, folder, url) as made:
        worker = await made.running()
        given = [{"text": f"question {number}", "trace": str(made.trace)} for number in range(RUNS)]
        runs = await asyncio.gather(*(made.submit("inquire", one) for one in given))
        for number in range(EVENTS):
            await made.say(Counted(name=f"n{number % 7}", amount=number))
        await made.ended(runs)
        await until(made.folded, what=worker.words)
        assert await worker.stop() == 0, worker.words()
        assert next(said) == 2 * RUNS
        yield made


async def test_two_hundred_runs_end_as_they_did_and_nobody_is_asked(recorded: Recorded) -> None:
    """Five calls each, one of which failed twice, and a child; the model is not even there any more."""
    before = recorded.looked_up()
    report = await recorded.replay(ReplayPlan("agents.inquire", "earliest", "latest")).run()
    totals = report.totals()
    print(f"\n{totals['runs']} runs again in {report.seconds:.2f} s, {totals['per_second']} a second, {totals}")
    assert report.misses == []
    assert [run for run in report.runs if not run.equal] == []
    assert (totals["runs"], totals["equal"], totals["made"]) == (2 * RUNS, 2 * RUNS, 0)
    assert totals["recorded"] == RUNS * (
        2 + 2 + 1 + 1 + 1
    )  # two found, two attempts at the hopeless, model, step, child
    assert recorded.looked_up() == before


async def test_what_comes_out_lies_in_the_shadow_and_nothing_in_the_originals(recorded: Recorded) -> None:
    names = recorded.names
    before = [len(list(read(recorded.kafka, names.topic(one)))) for one in ("runs", "events", "calls", "agents.second")]
    report = await recorded.replay(ReplayPlan("agents.inquire", "earliest", "latest"), "aside").run()
    after = [len(list(read(recorded.kafka, names.topic(one)))) for one in ("runs", "events", "calls", "agents.second")]
    assert after == before
    assert set(report.written) == {f"aside.{one}" for one in ("runs", "agents.second", "signals", "journal.default")}
    for topic, count in report.written.items():
        assert len(list(read(recorded.kafka, names.topic(topic)))) == count
    counts = topic_names(recorded.kafka)
    assert counts[names.topic("aside.runs")] == counts[names.runs]
    endings = {
        one.key for one in read(recorded.kafka, names.runs) if b"succeeded" in (dict(one.headers)["ce_type"] or b"")
    }
    assert {one.key for one in read(recorded.kafka, names.topic("aside.runs"))} == endings


async def test_the_command_says_the_same_and_exits_with_one_for_a_miss(recorded: Recorded) -> None:
    """Against another model's name nothing is recorded, so that every run lacks its first answer."""
    done, report = await command(recorded, "replay", "agents.inquire", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert (report["totals"]["equal"], report["totals"]["missing"], report["dry_run"]) == (2 * RUNS, 0, True)
    assert not [name for name in topic_names(recorded.kafka) if ".replay-" in name]
    done, report = await command(
        recorded, "replay", "agents.inquire", "--to", "5", "--dry-run", STREAMS_LLM_MODEL="another"
    )
    assert done.returncode == 1
    assert {miss["kind"] for miss in report["misses"]} == {"llm"}
    assert {run["replayed"] for run in report["runs"]} == {"unanswered"}


async def test_a_topic_that_nobody_handles_is_refused_in_one_line(recorded: Recorded) -> None:
    done, _ = await command(recorded, "replay", "calls")
    assert done.returncode == 1
    assert done.stderr.decode().count("\n") == 1
    assert "agents.<name>" in done.stderr.decode()


async def test_events_again_make_the_same_rows_byte_by_byte(recorded: Recorded) -> None:
    report = await recorded.replay(ReplayPlan("events", "earliest", "latest"), "bus").run()
    assert report.reactions["echo"] == {"events": 40, "outputs": 40}
    assert (report.tables["counts"], report.tables["echoes"]) == (7, 7)
    for table in ("counts", "echoes"):
        served = rows(recorded, recorded.names.table(table, 1, "default"))
        again = rows(recorded, recorded.names.topic(f"bus.table.{table}.v1.default"))
        assert again == served


async def test_a_range_is_inclusive_at_its_start_and_exclusive_at_its_end(recorded: Recorded) -> None:
    report = await recorded.replay(ReplayPlan("events", 1, 3, dry_run=True)).run()
    ends = ReplayLog.of(recorded.settings, recorded.catalog).stretch(recorded.names.events, "earliest", "latest").end
    assert report.records <= 2 * sum(end > 1 for end in ends.values())
    whole = await recorded.replay(ReplayPlan("events", "earliest", "latest", dry_run=True)).run()
    first = await recorded.replay(ReplayPlan("events", "earliest", 5, dry_run=True)).run()
    second = await recorded.replay(ReplayPlan("events", 5, "latest", dry_run=True)).run()
    assert first.records + second.records == whole.records


async def test_one_stage_comes_to_the_same_from_the_log_alone(recorded: Recorded) -> None:
    before = recorded.looked_up()
    log = ReplayLog.of(recorded.settings, recorded.catalog)
    run_id = next(iter(await recorded.endings()))
    found = (await recorded.endings([run_id]))[run_id][0]
    stage = "JUDGING" if found.agent == "inquire" else "text"
    report = await run_stage(log, run_id, stage)
    assert report.equal, report
    assert (report.agent, report.recorded, report.made, recorded.looked_up()) == (found.agent, 1, 0, before)
    with pytest.raises(ReplayError, match="no run"):
        await run_stage(log, "nothing-such", stage)


async def test_a_table_folded_again_is_what_is_served(recorded: Recorded) -> None:
    log = ReplayLog.of(recorded.settings, recorded.catalog)
    for table in ("counts", "echoes"):
        check = await asyncio.to_thread(TableHistory(log, table).check)
        assert (check.equal, check.rows, check.served, check.failed) == (True, 7, 7, 0), check
    done, shown = await command(recorded, "tables", "rebuild", "counts")
    assert (done.returncode, shown["equal"], shown["rows"]) == (0, True, 7)


async def test_a_row_that_is_wrong_is_found(recorded: Recorded) -> None:
    """Somebody wrote into the changelog of a table of our own copy: the check names the row and both values."""
    log, table = ReplayLog.of(recorded.settings, recorded.catalog), recorded.catalog.tables["counts"]
    changelog = recorded.names.table("counts", 1, "default")
    original = next(one for one in read(recorded.kafka, changelog, key="n3", limit=None))
    last = list(read(recorded.kafka, changelog, key="n3"))[-1]
    wrong = recorded.codec.encode(table.row(events=1, total=-1))
    await recorded.producer.send_raw(changelog, wrong, key=b"n3", partition=original.partition)
    check = await asyncio.to_thread(TableHistory(log, "counts").check)
    await recorded.producer.send_raw(changelog, last.value, key=b"n3", partition=original.partition)
    assert (check.equal, check.differing, check.different[0]["key"]) == (False, 1, "n3")
    assert check.different[0]["served"] == {"events": 1, "total": -1}
    assert check.different[0]["folded"]["events"] > 1


async def test_a_row_is_told_as_it_was_after_each_of_its_events(recorded: Recorded) -> None:
    log = ReplayLog.of(recorded.settings, recorded.catalog)
    total, events = 0, 0
    for record in read(recorded.kafka, recorded.names.events, key="n3"):
        event = log.arrival(record).event
        if not isinstance(event, Counted):
            continue
        total, events = total + event.amount, events + 1
        row = await asyncio.to_thread(TableHistory(log, "counts").row, "n3", At(offset=record.offset))
        assert row["value"] == {"events": events, "total": total}
        assert (row["partition"], row["offset"]) == (record.partition, record.offset)
    with pytest.raises(ReplayError, match="yet"):
        TableHistory(log, "counts").row("n3", At(offset=10_000))
    rows = await asyncio.to_thread(TableHistory(log, "counts").rows, At(time_ms=clock.now_ms()))
    assert sum(row["value"]["events"] for row in rows) == 40
    with pytest.raises(ReplayError, match="had no row"):
        TableHistory(log, "counts").row("n3", At(time_ms=1_000))


async def test_what_retention_has_deleted_is_said(recorded: Recorded) -> None:
    """Records of one partition are deleted up to its end: rows of then are the changelog's, or honestly not known."""
    log = ReplayLog.of(recorded.settings, recorded.catalog)
    place = recorded.partition("n3")
    moment = list(read(recorded.kafka, recorded.names.events, key="n3"))[-1].timestamp + 60_000
    admin = AdminClient(recorded.kafka.client())
    end = log.stretch(recorded.names.events, "earliest", "latest").end[place]
    for gone in admin.delete_records([TopicPartition(recorded.names.events, place, end)]).values():
        await asyncio.to_thread(gone.result, PATIENCE_S)
    with pytest.raises(RetentionError, match="retention"):
        TableHistory(log, "counts").check()
    with pytest.raises(RetentionError, match="retention"):
        TableHistory(log, "counts").row("n3", At(offset=0))
    row = await asyncio.to_thread(TableHistory(log, "counts").row, "n3", At(time_ms=moment))
    assert row["value"]["events"] > 1
    done, _ = await command(recorded, "tables", "rebuild", "counts")
    assert done.returncode == 1
    assert done.stderr.decode().count("\n") == 1


def rows(recorded: Recorded, topic: str) -> dict[bytes | None, bytes | None]:
    return {one.key: one.value for one in read(recorded.kafka, topic)}


async def command(recorded: Recorded, *arguments: str, **extra: str) -> tuple[subprocess.CompletedProcess[bytes], Any]:
    environment = {**child_environment(recorded.settings), **extra}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "streams", *arguments, "-o", "json"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        check=False,
    )
    return done, json.loads(done.stdout) if done.stdout else None
