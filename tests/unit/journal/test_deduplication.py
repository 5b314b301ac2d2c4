"""CloudEvents: source and id together are unique; rows of the version that knew ids alone still count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.worker.events.event_bus import seen_key
from tests.unit.worker.test_redrive import GOOD, Consumer, letter


@pytest.fixture
def consumer(tmp_path: Path) -> Iterator[Consumer]:
    made = Consumer(tmp_path)
    yield made
    made.owned.close()


PAIRS = [("/shop-a", "/shop-b"), ("/gateway", "/shop-a"), ("/shop-a", "/gateway"), ("", "/"), ("/a", "/a/1")]


@pytest.mark.parametrize(("one", "other"), PAIRS)
async def test_one_id_of_two_sources_is_two_events_each_once(consumer: Consumer, one: str, other: str) -> None:
    one, other = one or "/", other + "x" if not one else other
    for at, source in enumerate([one, other, one, other, other, one], 7):
        await consumer.comes(GOOD, "1", at, source)
    assert consumer.counted() == 2
    assert len({item.event_id for item in consumer.items}) == 2, "what comes of them has ids of its own"
    assert consumer.items[0].event_id == "1"


async def test_sources_and_ids_cannot_be_mistaken_for_each_other(consumer: Consumer) -> None:
    names = [("/a", "b/c"), ("/a/b", "c"), ("/a/b/c", "x"), ("/a", "b/c/x"), ("/x", "/events/2//a/b")]
    for at, (source, id) in enumerate([*names, *names], 7):
        await consumer.comes(GOOD, id, at, source)
    assert consumer.counted() == len(names)


@pytest.mark.parametrize("source", ["/shop-a", "/gateway"])
async def test_a_row_of_the_earlier_version_counts_for_every_source(consumer: Consumer, source: str) -> None:
    """Its sender may repeat it across the upgrade, and the row does not say who that is."""
    assert consumer.owned.db is not None
    consumer.owned.db.apply([(consumer.ledger, seen_key("events", "1"), b"1700000000000")], [])
    await consumer.comes(GOOD, "1", source=source)
    assert consumer.counted() == 0


@pytest.mark.parametrize("source", ["/shop-a", "/gateway", "/webhooks/github"])
async def test_the_earlier_version_finds_the_row_after_a_roll_back(consumer: Consumer, source: str) -> None:
    await consumer.comes(GOOD, "1", source=source)
    row = consumer.ledger.committed(seen_key("events", "1"))
    assert row is not None
    assert int(row) > 1_600_000_000_000


async def test_a_redrive_of_the_second_source_keeps_its_ids_apart(consumer: Consumer) -> None:
    await consumer.comes(GOOD, "sent-1", 7, "/other")
    await consumer.comes(GOOD, "sent-1", 8, "/shop")
    consumer.redriven(letter("echo"))
    first, second, again = [item.event_id for item in consumer.items]
    assert (first, second == again, second != first) == ("sent-1", True, True)
