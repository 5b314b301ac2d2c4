"""What groups have read, how far they are behind, and dropping what is old and read."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

from tests.kafka.topics.test_reader import made, written
from topics.groups import committed, drop_before, groups, lag
from topics.kafka import KafkaConfig
from topics.reader import Time, offsets, read

DAY_MS = 24 * 3600 * 1000
OLD_MS = 1_750_000_000_000


def read_up_to(config: KafkaConfig, group: str, topic: str, offset: int) -> None:
    consumer = Consumer(config.client(group_id=group))
    consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    consumer.close()


def test_a_group_is_behind_by_what_it_has_not_read(bootstrap: str, prefix: str) -> None:
    config = made(bootstrap, prefix)
    written(config, prefix, ["a", "b", "c"])
    assert committed(config, f"{prefix}-g") == {}
    assert lag(config, f"{prefix}-g", [prefix]) == {prefix: 3}
    read_up_to(config, f"{prefix}-g", prefix, 2)
    assert committed(config, f"{prefix}-g") == {(prefix, 0): 2}
    assert lag(config, f"{prefix}-g", [prefix]) == {prefix: 1}


def test_what_is_old_goes_once_all_groups_are_past_it(bootstrap: str, prefix: str) -> None:
    config = made(bootstrap, prefix)
    written(config, prefix, ["a", "b", "c"], start_ms=OLD_MS)
    written(config, prefix, ["d"], start_ms=OLD_MS + 2 * DAY_MS)
    group = f"{prefix}-g"
    assert drop_before(config, prefix, OLD_MS + DAY_MS, [committed(config, group)]) == {}
    read_up_to(config, group, prefix, 2)
    assert drop_before(config, prefix, OLD_MS + DAY_MS, [committed(config, group)]) == {0: 2}
    read_up_to(config, group, prefix, 4)
    assert drop_before(config, prefix, OLD_MS + DAY_MS, [committed(config, group)]) == {0: 3}
    assert drop_before(config, prefix, OLD_MS + DAY_MS, [committed(config, group)]) == {}
    assert [record.value for record in read(config, prefix)] == [b"d"]
    assert groups(config, prefix) == [group]
    assert offsets(config, prefix, Time(OLD_MS)) == {0: 3}
