"""Reading backwards finds each record once, the newest first, in steps that are bounded."""

from __future__ import annotations

import asyncio

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.dead import DeadLettered, DeadRedriven
from streams.clock import now_ms
from streams.query.dead_letters import DeadLetterIndex
from tests.kafka.topics.test_reader import made, written
from topics.backward_reader import backwards
from topics.names import Names
from topics.producer import EventProducer
from topics.reader import RawRecord


def value(record: RawRecord) -> str:
    return (record.value or b"").decode()


def next_millisecond() -> None:
    """Newest first goes by milliseconds, so each letter has one of its own."""
    begun = now_ms()
    while now_ms() == begun:
        continue


def test_steps_go_back_to_the_beginning_and_meet_every_record_once(bootstrap: str, prefix: str) -> None:
    topic = f"{prefix}.back"
    config = made(bootstrap, topic, partitions=2)
    for key in ("a", "b", "c", "d"):
        written(config, topic, [f"{key}{number}" for number in range(5)], key=key)
    steps = list(backwards(config, topic, value, first=2, most=4))
    assert len(steps) > 2
    assert [bool(step.unread) for step in steps] == [True] * (len(steps) - 1) + [False]
    found = [record for step in steps for record in step.records]
    assert sorted(found) == sorted(f"{key}{number}" for key in "abcd" for number in range(5))
    assert list(backwards(made(bootstrap, f"{prefix}.empty"), f"{prefix}.empty", value)) == []


def test_the_newest_letters_are_found_over_all_partitions(bootstrap: str, prefix: str) -> None:
    names, codec = Names(prefix), Codec(FileRegistry())
    config = made(bootstrap, names.dead_letters, partitions=3)

    async def write() -> None:
        producer = EventProducer(config, codec, "/tests", now_ms=now_ms)
        place = {
            "source_topic": "events",
            "source_partition": 0,
            "source_offset": 1,
            "consumer": "c",
            "error": "x",
            "value": b"v",
        }
        for number in range(20):
            next_millisecond()
            await producer.send(names.dead_letters, DeadLettered.model_validate({"dead_id": f"d{number}", **place}))
        await producer.send(names.dead_letters, DeadRedriven(dead_id="d19", attempt=1, at_ms=now_ms()))
        await producer.close()

    asyncio.run(write())
    letters = DeadLetterIndex(config, names, codec)
    page = letters.newest(lambda letter: letter.state == "open", 3)
    assert ([letter.letter.dead_id for letter in page.letters], page.complete) == (["d18", "d17", "d16"], False)
    assert len(letters.newest(lambda _: True, 100).letters) == 20
    found = letters.find("d19")
    assert found is not None
    assert (found.state, found.redrives) == ("redriven", 1)
    assert found.letter.value == b"v"
    assert {letter.letter.value for letter in page.letters} == {None}
    assert [letter.letter.value for letter in letters.whole(page.letters)] == [b"v"] * 3
    assert letters.find("d99") is None
