"""Plans carried out on a real broker: once, twice, and refused."""

from __future__ import annotations

import pytest

from topics import Topic
from topics.admin import apply, delete, describe, plan, topic_names
from topics.catalogue import catalogue
from topics.errors import BrokerUnavailableError, PlanRefusedError, TopicError
from topics.kafka import KafkaConfig
from topics.topic import days_ms


def carried_out(config: KafkaConfig, wanted: list[Topic], partitions: int = 2) -> None:
    apply(config, plan(describe(config, [topic.name for topic in wanted]), wanted, partitions=partitions))


def test_a_whole_catalogue_is_made_and_a_second_plan_is_empty(bootstrap: str, prefix: str) -> None:
    config = KafkaConfig(bootstrap)
    wanted = catalogue(prefix, agents=[("triage", "default")], sources=["github"], tables=[("tickets", 1, "default")])
    carried_out(config, wanted)
    current = describe(config, [topic.name for topic in wanted])
    again = plan(current, wanted, partitions=2)
    assert again.empty
    assert again.unchanged == len(wanted)
    assert {state.partitions for name, state in current.items() if not name.endswith("workers")} == {2}
    apply(config, again)
    delete(config, [topic.name for topic in wanted])


def test_applying_one_plan_twice_is_harmless(bootstrap: str, prefix: str) -> None:
    config, wanted = KafkaConfig(bootstrap), [Topic(f"{prefix}.a", "x")]
    changes = plan({}, wanted, partitions=2)
    apply(config, changes)
    apply(config, changes)
    assert topic_names(config)[f"{prefix}.a"] == 2


def test_longer_retention_and_more_partitions_are_carried_out(bootstrap: str, prefix: str) -> None:
    config, name = KafkaConfig(bootstrap), f"{prefix}.a"
    carried_out(config, [Topic(name, "x", retention_ms=1000, partitions=1)])
    carried_out(config, [Topic(name, "x", retention_ms=days_ms(2), partitions=3)])
    state = describe(config, [name])[name]
    assert state.partitions == 3
    assert state.config["retention.ms"] == str(days_ms(2))


def test_a_plan_with_refusals_changes_nothing(bootstrap: str, prefix: str) -> None:
    config = KafkaConfig(bootstrap)
    carried_out(config, [Topic(f"{prefix}.a", "x", key="id")], partitions=2)
    with pytest.raises(PlanRefusedError, match="has 2 partitions, 4 are wanted"):
        carried_out(config, [Topic(f"{prefix}.a", "x", key="id"), Topic(f"{prefix}.b", "x")], partitions=4)
    assert f"{prefix}.b" not in topic_names(config)


def test_what_the_broker_refuses_is_an_error_that_names_the_topic(bootstrap: str, prefix: str) -> None:
    wanted = [Topic(f"{prefix}.a", "x", config={"min.cleanable.dirty.ratio": "7"})]
    with pytest.raises(TopicError, match=rf"{prefix}\.a: the broker refused"):
        carried_out(KafkaConfig(bootstrap), wanted)


def test_deleting_what_is_not_there_is_no_error(bootstrap: str, prefix: str) -> None:
    delete(KafkaConfig(bootstrap), [f"{prefix}.none"])


def test_without_a_broker_the_error_says_where_it_was_looked_for() -> None:
    with pytest.raises(BrokerUnavailableError, match=r"no broker answers at 127\.0\.0\.1:1 "):
        describe(KafkaConfig("127.0.0.1:1"), timeout=0.5)
