"""The ACLs that `topics acl` prints are enough for each role, and without one of them the lack is named."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from schemas import Event
from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from streams.clock import monotonic, now_ms
from streams.local.ports import LOOPBACK
from tests.kafka.secured.conftest import USERS, SecuredKafka
from topics.acls import ROLES, Acl, least
from topics.admin import apply, describe, plan
from topics.catalogue import catalogue
from topics.errors import TopicError
from topics.kafka import KafkaConfig
from topics.names import Names
from topics.producer import EventProducer
from topics.reader import GROUP, read

KINDS = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,
}
OPERATIONS = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "Create": AclOperation.CREATE,
    "Delete": AclOperation.DELETE,
    "Alter": AclOperation.ALTER,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
}


class Grew(Event, type="acl.grew", key="name"):
    name: str


def bindings(acl: Acl, user: str) -> Iterator[AclBinding]:
    pattern = ResourcePatternType.PREFIXED if acl.prefixed else ResourcePatternType.LITERAL
    for operation in acl.operations:
        yield AclBinding(
            KINDS[acl.resource], acl.name, pattern, f"User:{user}", "*", OPERATIONS[operation], AclPermissionType.ALLOW
        )


def grant(secured: SecuredKafka, user: str, acls: list[Acl]) -> None:
    """Give the user these rights and no others."""
    admin = AdminClient({"bootstrap.servers": secured.bootstrap})
    whatever = cast("str", None)  # the library takes None for any name and any host, and does not declare it
    everything = AclBindingFilter(
        ResourceType.ANY,
        whatever,
        ResourcePatternType.ANY,
        f"User:{user}",
        whatever,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    for future in admin.delete_acls([everything]).values():
        future.result(10)
    made = [binding for acl in acls for binding in bindings(acl, user)]
    for future in admin.create_acls(made).values() if made else ():
        future.result(10)
    if made:
        _wait_until_in_force(as_user(secured, user))


def _wait_until_in_force(config: KafkaConfig) -> None:
    """Ask until the broker applies the last of the new rights: it reads them from its metadata log, in order."""
    admin, deadline = AdminClient(config.client()), monotonic() + 30
    while True:
        try:
            admin.describe_consumer_groups([GROUP])[GROUP].result(10)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                return  # an unknown group: the right to ask is there
            assert monotonic() < deadline
            admin.poll(0.05)
        else:
            return


def as_user(secured: SecuredKafka, user: str) -> KafkaConfig:
    return KafkaConfig(
        f"{LOOPBACK}:{secured.sasl_port}",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username=user,
        sasl_password=USERS[user],
    )


@pytest.mark.parametrize("scope", ["", "p"])
def test_an_admin_creates_all_topics_with_its_rights(secured: SecuredKafka, prefix: str, scope: str) -> None:
    used = prefix if scope else ""
    wanted = catalogue(used, agents=[("a", "default")], sources=["s"], tables=[("t", 1, "default")])
    grant(secured, "admin", least("admin", used))
    config = as_user(secured, "admin")
    apply(config, plan(describe(config, [topic.name for topic in wanted]), wanted, partitions=2, replication_factor=1))
    assert set(describe(config, [topic.name for topic in wanted])) == {topic.name for topic in wanted}


def test_a_gateway_writes_and_reads_and_nothing_else(secured: SecuredKafka, prefix: str) -> None:
    names = Names(prefix)
    wanted = catalogue(prefix, agents=[("a", "default")], sources=["s"])
    apply(KafkaConfig(secured.bootstrap), plan({}, wanted, partitions=2, replication_factor=1))
    grant(secured, "gateway", least("gateway", prefix))
    config = as_user(secured, "gateway")

    async def write(topic: str) -> None:
        producer = EventProducer(config, Codec(FileRegistry()), "/tests", now_ms=now_ms, message_timeout_ms=5000)
        try:
            await producer.send(topic, Grew(name="x"))
        finally:
            await producer.close(1)

    for topic in (names.events, names.signals, names.agents("a"), names.webhooks("s")):
        asyncio.run(write(topic))
    assert len(list(read(config, names.events))) == 1
    with pytest.raises(TopicError):
        asyncio.run(write(names.runs))


def test_a_topic_that_may_not_be_described_is_not_called_missing(secured: SecuredKafka, prefix: str) -> None:
    wanted = catalogue(prefix)
    apply(KafkaConfig(secured.bootstrap), plan({}, wanted, partitions=2, replication_factor=1))
    grant(secured, "nobody", [])
    with pytest.raises(TopicError, match=r"lacks a right on topic .*streams topics acl"):
        describe(as_user(secured, "nobody"), [topic.name for topic in wanted])


def test_every_role_prints_calls_of_kafkas_own_tool() -> None:
    for role in ROLES:
        for acl in least(role, "shop"):
            line = acl.command(f"User:{role}")
            assert line.startswith(f"kafka-acls --add --allow-principal 'User:{role}' --operation ")
            assert "shop." in line or acl.name == "streams-reader"
