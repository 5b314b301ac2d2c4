"""Replays of many events on a real broker, killed again and again: the rows are the served ones, byte by byte.

The long form is a hundred thousand events: `uv run pytest -n 0 -s -m faults_long tests/faults/test_replays.py`.
"""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from streams import clock
from streams.local.kafka import EmbeddedKafka
from streams.settings import child_environment
from tests.apps.pipeline.events import Counted
from tests.faults.rig.pipeline import ROOT, Pipeline
from tests.faults.rig.waiting import until
from topics.admin import topic_names
from topics.groups import lag
from topics.reader import offsets, read

NAMES = 500
AT_ONCE = 2_000
MARKERS = 8
"""Offsets at the ends of partitions that are no records: a group that has all is that far from the end."""


async def test_a_killed_replay_goes_on_and_makes_the_same_rows(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    await killed_and_gone_on_with(kafka, tmp_path, events=4_000, kills=2, rate=1_500)


@pytest.mark.faults_long
async def test_a_hundred_thousand_events_and_five_kills(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    await killed_and_gone_on_with(kafka, tmp_path, events=100_000, kills=5, rate=None)


async def killed_and_gone_on_with(
    kafka: EmbeddedKafka, folder: Path, *, events: int, kills: int, rate: int | None
) -> None:
    draw = random.Random(events)
    async with Pipeline(kafka.bootstrap, folder) as pipeline:
        worker = await pipeline.running()
        await say(pipeline, events)
        await until(lambda: folded(pipeline, events), 120, worker.words)
        assert await worker.stop() == 0, worker.words()
        total = sum(offsets(pipeline.kafka, pipeline.names.events).values())
        began, go_on = clock.monotonic(), False
        for kill in range(kills):
            replay = start(pipeline, rate, go_on=go_on)
            reached = total * (kill + draw.random()) / kills
            await until(partial(done_or_at, replay, pipeline, reached))
            how = draw.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT])
            replay.send_signal(how)
            status = await asyncio.to_thread(replay.wait)
            assert status in (-how, 130, 0), (status, words(pipeline))
            go_on = bool(place(pipeline))
        last = start(pipeline, None, go_on=go_on)
        assert await asyncio.to_thread(last.wait) == 0, words(pipeline)
        seconds = clock.monotonic() - began
        print(f"\n{events} events and {kills} kills: {seconds:.1f} s, {events / seconds:,.0f} events/s")
        assert place(pipeline) == total
        for table in ("counts", "echoes"):
            served = rows(pipeline, pipeline.names.table(table, 1, "default"))
            assert len(served) == NAMES
            assert rows(pipeline, pipeline.names.topic(f"again.table.{table}.v1.default")) == served
        ids = [dict(one.headers)["ce_id"] for one in read(pipeline.kafka, pipeline.names.topic("again.events"))]
        assert len(set(ids)) == len(ids) == events


async def say(pipeline: Pipeline, events: int) -> None:
    topic = pipeline.names.events
    for first in range(0, events, AT_ONCE):
        sent = [
            pipeline.producer.begin(topic, Counted(name=f"n{number % NAMES}", amount=number), id=f"e{number}")
            for number in range(first, min(first + AT_ONCE, events))
        ]
        for one in sent:
            await one.acknowledged()


def folded(pipeline: Pipeline, events: int) -> bool:
    """Say whether the worker has counted all events and all that it said of them."""
    group = pipeline.names.topic("streams.default")
    if lag(pipeline.kafka, group, [pipeline.names.events])[pipeline.names.events] > MARKERS:
        return False
    kinds = [pipeline.catalog.tables[name] for name in ("counts", "echoes")]
    served = [rows(pipeline, pipeline.names.table(kind.name, 1, "default")) for kind in kinds]
    return all(
        sum(pipeline.codec.decode(row, kind.row).events for row in found.values()) == events
        for kind, found in zip(kinds, served, strict=True)
    )


def done_or_at(replay: subprocess.Popen[bytes], pipeline: Pipeline, reached: float) -> bool:
    return replay.poll() is not None or place(pipeline) >= reached


def place(pipeline: Pipeline) -> int:
    """Return how far the replay has noted that it is, over all partitions."""
    topic = pipeline.names.topic("again.position")
    if topic not in topic_names(pipeline.kafka):
        return 0
    last = {one.key: one.value for one in read(pipeline.kafka, topic)}
    return sum(int(value.split(b'"next":')[1].split(b",")[0]) for value in last.values() if value)


def words(pipeline: Pipeline) -> str:
    """Return the end of what the replays said."""
    return (pipeline.folder / "replay.log").read_text("utf-8", errors="replace")[-3000:]


def start(pipeline: Pipeline, rate: int | None, *, go_on: bool) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "streams", "replay", "events", "--into", "again", "-o", "json"]
    command += ["--continue"] if go_on else []
    command += [] if rate is None else ["--rate", str(rate)]
    with (pipeline.folder / "replay.log").open("ab") as log:
        return subprocess.Popen(
            command, cwd=ROOT, env=child_environment(pipeline.settings), stdout=subprocess.DEVNULL, stderr=log
        )


def rows(pipeline: Pipeline, topic: str) -> dict[bytes | None, bytes | None]:
    return {one.key: one.value for one in read(pipeline.kafka, topic)}
