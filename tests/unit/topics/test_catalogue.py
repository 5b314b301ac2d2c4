"""The catalogue: all topics that the interface names, laid out as the protocol needs."""

from __future__ import annotations

import pytest

from topics import Topic
from topics.catalogue import EVENT_BYTES, LETTER_BYTES, WEBHOOK_BYTES, catalogue
from topics.errors import TopicError
from topics.names import Names
from topics.topic import MAX_BYTES, days_ms

ALL = catalogue(
    "dev",
    agents=[("triage", "default"), ("scrape", "scraper")],
    sources=["github"],
    tables=[("tickets", 2, "default")],
    own=[Topic("orders", "theirs", key="order id")],
)
BY_NAME = {topic.name.removeprefix("dev."): topic for topic in ALL}


def test_every_topic_of_the_interface_is_there_under_the_prefix() -> None:
    assert set(BY_NAME) == {
        "events",
        "webhooks.github",
        "agents.triage",
        "agents.scrape",
        "signals",
        "runs",
        "calls",
        "ticks",
        "dead-letters",
        "workers",
        "journal.default",
        "journal.scraper",
        "table.tickets.v2.default",
        "orders",
    }
    assert all(topic.name.startswith("dev.") for topic in ALL)


def test_an_empty_pipeline_has_the_shared_topics_and_the_default_pool() -> None:
    assert "journal.default" in {topic.name for topic in catalogue()}


@pytest.mark.parametrize(
    ("name", "retention"),
    [
        ("events", days_ms(7)),
        ("webhooks.github", days_ms(7)),
        ("calls", days_ms(30)),
        ("runs", -1),
        ("journal.default", -1),
    ],
)
def test_records_are_kept_as_long_as_promised(name: str, retention: int) -> None:
    assert BY_NAME[name].settings()["retention.ms"] == str(retention)


@pytest.mark.parametrize("name", ["runs", "workers", "journal.default", "journal.scraper", "table.tickets.v2.default"])
def test_state_is_compacted_and_tombstones_stay_a_day(name: str) -> None:
    settings = BY_NAME[name].settings()
    assert settings["cleanup.policy"] == "compact"
    assert settings["delete.retention.ms"] == "86400000"


def test_the_journal_has_the_brokers_times() -> None:
    assert {topic.settings()["message.timestamp.after.max.ms"] for topic in BY_NAME.values()} == {str(2**63 - 1)}
    stamped = {name for name, topic in BY_NAME.items() if topic.settings()["message.timestamp.type"] == "LogAppendTime"}
    assert stamped == {"journal.default", "journal.scraper"}


def test_what_belongs_to_a_run_shares_the_partition_count() -> None:
    alone = {name for name, topic in BY_NAME.items() if not topic.shares_partitions}
    assert alone == {"workers"}


def test_record_sizes_are_equal_but_for_deliveries_and_what_holds_their_events() -> None:
    sizes = {name: int(topic.settings()["max.message.bytes"]) for name, topic in BY_NAME.items()}
    assert sizes.pop("webhooks.github") == WEBHOOK_BYTES
    assert sizes.pop("events") == EVENT_BYTES
    for name in ("dead-letters", "signals", "journal.default", "journal.scraper"):
        assert sizes.pop(name) == LETTER_BYTES
    assert set(sizes.values()) == {MAX_BYTES}


def test_queues_and_letters_are_forgotten_before_run_ids_are() -> None:
    for name in ("agents.triage", "signals", "dead-letters"):
        retention = BY_NAME[name].retention_ms
        assert retention is not None
        assert retention < days_ms(30)


def test_every_topic_says_what_it_is_for() -> None:
    assert all(topic.description and topic.key for topic in ALL)


def test_names_can_be_stripped_of_their_prefix() -> None:
    assert Names("dev").bare(Names("dev").agents("a.b")) == "agents.a.b"
    assert Names().bare(Names().events) == "events"


@pytest.mark.parametrize("name", ["", "no spaces", "a/b", "..", "x" * 250])
def test_a_name_that_kafka_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(TopicError, match="must be 1 to 249"):
        Topic(name)


def test_no_partitions_are_too_few() -> None:
    with pytest.raises(TopicError, match="at least 1"):
        Topic("a", partitions=0)
