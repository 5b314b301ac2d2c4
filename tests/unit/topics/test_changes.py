"""Plans: what is missing is made, what differs is changed, what would lose records is refused."""

from __future__ import annotations

import pytest

from topics.catalogue import catalogue
from topics.changes import Alter, Grow, TopicPlan, TopicState, plan
from topics.topic import Topic, days_ms

SHARED = Topic("runs", "x", key="run id", cleanup="compact")
LOG = Topic("ticks", "x", key="schedule", retention_ms=days_ms(7))
KEYLESS = Topic("noise", "x", partitions=4)
KEYED = Topic("orders", "x", key="order", partitions=4)


def state(topic: Topic, partitions: int, **config: str) -> dict[str, TopicState]:
    changed = {name.replace("_", "."): value for name, value in config.items()}
    return {topic.name: TopicState(partitions, {**topic.settings(), **changed, "segment.ms": "1"})}


def planned(current: dict[str, TopicState], topic: Topic, partitions: int = 8) -> TopicPlan:
    return plan(current, [topic], partitions=partitions)


def test_a_missing_topic_is_made_with_all_settings() -> None:
    (made,) = planned({}, LOG).create
    assert (made.name, made.partitions, made.config) == ("ticks", 8, LOG.settings())


def test_a_topics_own_partition_count_wins_over_the_shared_one() -> None:
    assert planned({}, KEYLESS).create[0].partitions == 4


def test_with_three_copies_two_must_have_a_record() -> None:
    (made,) = plan({}, [LOG], partitions=8, replication_factor=3).create
    assert made.config["min.insync.replicas"] == "2"
    assert made.replication_factor == 3


def test_what_is_as_wanted_needs_nothing() -> None:
    found = planned(state(LOG, 8), LOG)
    assert found.empty
    assert found.unchanged == 1


def test_other_topics_on_the_cluster_are_left_alone() -> None:
    assert planned({**state(LOG, 8), "theirs": TopicState(1)}, LOG).empty


def test_a_longer_retention_is_a_change() -> None:
    found = planned(state(LOG, 8, retention_ms="1000"), LOG)
    assert found.alter == (Alter("ticks", "retention.ms", "1000", "604800000"),)


def test_a_setting_that_was_not_given_is_set() -> None:
    current = {"ticks": TopicState(8, {})}
    assert {item.before for item in planned(current, LOG).alter} == {None}


@pytest.mark.parametrize(
    ("topic", "partitions", "config", "reason"),
    [
        (SHARED, 4, {}, "has 4 partitions, 8 are wanted: its keys would move"),
        (SHARED, 16, {}, "has 16 partitions, 8 are wanted: its keys would move"),
        (KEYED, 2, {}, "has 2 partitions, 4 are wanted: its keys would move"),
        (KEYLESS, 8, {}, "Kafka cannot take partitions away"),
        (LOG, 8, {"retention_ms": "-1"}, "retention.ms is -1, 604800000 is wanted"),
        (LOG, 8, {"retention_ms": "604800001"}, "never made smaller"),
        (LOG, 8, {"max_message_bytes": "9999999"}, "max.message.bytes is 9999999"),
        (LOG, 8, {"cleanup_policy": "compact"}, "cleanup.policy is compact, delete is wanted"),
        (SHARED, 8, {"cleanup_policy": "delete"}, "cleanup.policy is delete, compact is wanted"),
    ],
)
def test_what_would_lose_records_or_move_keys_is_refused(
    topic: Topic, partitions: int, config: dict[str, str], reason: str
) -> None:
    found = planned(state(topic, partitions, **config), topic)
    assert len(found.refused) == 1
    assert reason in found.refused[0].reason
    assert (found.create, found.alter, found.grow) == ((), (), ())


def test_a_topic_without_keys_may_grow() -> None:
    assert planned(state(KEYLESS, 2), KEYLESS).grow == (Grow("noise", 2, 4),)


def test_the_plan_reads_as_a_diff() -> None:
    current = {**state(SHARED, 4), **state(KEYLESS, 2)}
    text = plan(current, [SHARED, KEYLESS, LOG], partitions=8).render()
    assert "+ ticks  8 partitions, cleanup.policy=delete" in text
    assert "~ noise  partitions: 2 -> 4" in text
    assert "! runs  has 4 partitions" in text
    assert text.endswith("1 to create, 1 to change, 1 refused, 0 as wanted")


def test_an_empty_plan_says_so() -> None:
    assert TopicPlan(unchanged=3).render() == "0 to create, 0 to change, 0 refused, 3 as wanted"


@pytest.mark.parametrize(("before", "after"), [(days_ms(1), days_ms(7)), (days_ms(30), None), (-1, None)])
def test_an_older_bus_is_kept_longer_and_a_users_own_choice_stays(before: int, after: int | None) -> None:
    bus = next(topic for topic in catalogue() if topic.name == "events")
    found = planned(state(bus, 8, retention_ms=str(before)), bus)
    raised = [] if after is None else [Alter("events", "retention.ms", str(before), str(after))]
    assert list(found.alter) == raised
    assert len(found.refused) == (after is None)
