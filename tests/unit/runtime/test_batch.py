"""How what was fetched becomes batches: in order, short where a record costs much, and grown while nobody has begun."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from streams.runtime.assignment import PartitionAssignment, SourcePartition
from streams.runtime.batch import GROW_LIMIT, SHORT, RecordBatch
from streams.runtime.record import ConsumedRecord
from streams.runtime.runtime import Runtime, RuntimeSettings
from streams.runtime.store_index import StoreSpec
from tests.unit.runtime._fakes import Message


def runtime_of(folder: Path) -> Runtime:
    settings = RuntimeSettings({}, "g", "0", folder, StoreSpec("journal", "t.journal"), slow=frozenset({"t.runs"}))
    return Runtime(settings, crash=lambda _error: None)


def source_of(topic: str) -> SourcePartition:
    return PartitionAssignment(0, {topic: SourcePartition(topic)}).sources[topic]


def fetched(first: int, count: int) -> list[ConsumedRecord]:
    return cast("list[ConsumedRecord]", [Message(at) for at in range(first, first + count)])


def spans(batches: list[RecordBatch]) -> list[tuple[int, int]]:
    return [(batch.messages[0].offset(), batch.next) for batch in batches]


async def test_a_long_queue_of_runs_comes_in_short_batches_in_order(tmp_path: Path) -> None:
    runtime, source = runtime_of(tmp_path), source_of("t.runs")
    made = runtime.batches(source, fetched(0, 2 * SHORT + 30), 1)
    assert spans(made) == [(0, SHORT), (SHORT, 2 * SHORT), (2 * SHORT, 2 * SHORT + 30)]
    assert list(source.queue) == made
    assert runtime.batches(source, fetched(2 * SHORT + 30, 20), 1) == []  # nobody has begun the last one: it grows
    assert made[-1].next == 2 * SHORT + 50
    made[-1].started = True
    assert spans(runtime.batches(source, fetched(2 * SHORT + 50, 5), 1)) == [(2 * SHORT + 50, 2 * SHORT + 55)]


async def test_records_that_cost_microseconds_come_in_long_ones(tmp_path: Path) -> None:
    runtime, source = runtime_of(tmp_path), source_of("t.events")
    assert spans(runtime.batches(source, fetched(0, GROW_LIMIT), 1)) == [(0, GROW_LIMIT)]
