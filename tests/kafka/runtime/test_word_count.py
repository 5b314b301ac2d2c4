"""The word count of the documentation on a real broker: ended in the middle and started again, it counts once."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from confluent_kafka import Producer

from tests.docs.pages import DOCS, blocks
from tests.faults.rig.waiting import PATIENCE_S, until
from topics import Topic
from topics.admin import apply, plan
from topics.kafka import KafkaConfig
from topics.reader import read

COUNTS = "word-count.counts"
SENTENCES = ["to be or not to be", "not to be is not to count", "or to count is to be"]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Return the module `serve` of the page."""
    names = []
    for block in blocks(DOCS / "explanation/faust.md"):
        name = block.title.removesuffix(".py")
        module = sys.modules[name] = ModuleType(name)
        names.append(name)
        exec(compile(block.text, block.page, "exec"), vars(module))
    failures: list[Exception] = []
    monkeypatch.setattr(sys.modules["word_count"], "end", failures.append)
    yield sys.modules["serve"]
    assert failures == []
    for name in names:
        del sys.modules[name]


def counted(config: KafkaConfig) -> dict[str, int]:
    rows = sorted(read(config, COUNTS, timeout=PATIENCE_S), key=lambda record: (record.partition, record.offset))
    return {
        (row.key or b"").decode(): int(row.value)
        for row in rows
        if row.value and not (row.key or b"").startswith(b"\0")
    }


def say(config: KafkaConfig, times: int) -> Counter[str]:
    producer = Producer(config.client(partitioner="murmur2_random"))
    for sentence in SENTENCES * times:
        producer.produce("sentences", sentence.encode(), sentence)
    assert producer.flush(PATIENCE_S) == 0
    return Counter(word for sentence in SENTENCES * times for word in sentence.split())


async def run(serve: Any, settings: Any, config: KafkaConfig, wanted: Counter[str]) -> None:
    """Run the program until the counts are as wanted, then stop it."""
    stop = asyncio.Event()
    program = asyncio.ensure_future(serve.serve(settings, stop))

    async def is_counted() -> bool:
        assert not program.done(), program
        return await asyncio.to_thread(counted, config) == wanted

    await until(is_counted, what=lambda: f"{counted(config)}, not {wanted}")
    stop.set()
    await program


async def test_the_word_count_of_the_documentation_counts_once(
    bootstrap: str, serve: ModuleType, tmp_path: Path
) -> None:
    config = KafkaConfig(bootstrap)
    topics = [
        Topic("sentences", "x", partitions=3),
        Topic("words", "x", partitions=3),
        Topic("word-count.ledger", "x", kind="changelog", cleanup="compact", partitions=3),
        Topic(COUNTS, "x", kind="changelog", cleanup="compact", partitions=3),
    ]
    apply(config, plan({}, topics, partitions=3))
    settings = replace(serve.SETTINGS, client={"bootstrap.servers": bootstrap}, folder=tmp_path)
    wanted = say(config, 20)
    await run(serve, settings, config, wanted)
    assert counted(config) == wanted
    wanted += say(config, 10)
    await run(serve, settings, config, wanted)  # goes on from the stores on its disk
    assert counted(config) == wanted
    wanted += say(config, 10)
    await run(serve, replace(settings, folder=tmp_path / "empty"), config, wanted)  # restores from the changelogs
    assert counted(config) == wanted
