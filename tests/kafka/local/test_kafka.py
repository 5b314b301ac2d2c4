"""The embedded broker is a real one: it keeps what it acknowledged, at the same address, and never outlives us."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic  # type: ignore[attr-defined]  # its stubs err

from streams.local.broker_settings import SHARED, SINGLE
from streams.local.errors import StartError
from streams.local.jars import KAFKA_VERSION
from streams.local.kafka import EmbeddedKafka
from streams.settings import cache_home
from tests.faults.rig.waiting import PATIENCE_S


def create(bootstrap: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})  # must live as long as its futures
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(PATIENCE_S)


def send(bootstrap: str, topic: str, value: bytes) -> None:
    failures: list[object] = []
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    producer.produce(topic, value, on_delivery=lambda error, _message: failures.append(error))
    assert producer.flush(PATIENCE_S) == 0
    assert failures == [None]


def first(bootstrap: str, topic: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "unused", "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(PATIENCE_S)
        assert message is not None
        assert message.error() is None
        return message.value()
    finally:
        consumer.close()


def test_the_broker_has_our_settings(kafka: EmbeddedKafka) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    asked = ConfigResource(ConfigResource.Type.BROKER, "1")
    found = admin.describe_configs([asked])[asked].result(PATIENCE_S)
    assert {name: found[name].value for name in SHARED} == {name: SINGLE.get(name, SHARED[name]) for name in SHARED}


def test_a_topic_is_not_made_by_writing_to_it(kafka: EmbeddedKafka, prefix: str) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "message.timeout.ms": 1000})
    errors: list[object] = []
    producer.produce(f"{prefix}.nobody", b"", on_delivery=lambda error, _message: errors.append(error))
    producer.flush(PATIENCE_S)
    assert [error is not None for error in errors] == [True]
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    assert f"{prefix}.nobody" not in admin.list_topics(timeout=PATIENCE_S).topics


def test_records_survive_a_stop_and_a_kill_at_the_same_address(tmp_path: Path) -> None:
    broker = EmbeddedKafka(tmp_path, cache_home())
    with broker:
        address = broker.bootstrap
        create(address, "kept")
        send(address, "kept", b"one")
    with EmbeddedKafka(tmp_path, cache_home()) as again:
        assert again.bootstrap == address
        assert first(address, "kept") == b"one"
        again.kill()
        again.start()
        again.wait_ready()
        assert first(address, "kept") == b"one"


def test_a_broker_that_cannot_start_says_why(tmp_path: Path) -> None:
    broker = EmbeddedKafka(tmp_path, cache_home())
    with broker:
        pass
    meta = tmp_path / "kafka" / "data" / "meta.properties"
    meta.write_text(meta.read_text("utf-8").replace("node.id=1", "node.id=7"), "utf-8")
    broker.start()
    with pytest.raises(StartError, match="ended with status") as caught:
        broker.wait_ready()
    assert str(broker.log) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert broker.process.returncode is not None


@pytest.mark.parametrize("wrote", ["99.0.0", None], ids=["newer", "from before versions were written down"])
def test_data_of_a_newer_kafka_are_refused_in_words(tmp_path: Path, wrote: str | None) -> None:
    """An older broker cannot read them; its own words are `Can't read version 4 of BrokerEndpoint`."""
    meta = tmp_path / "kafka" / "data" / "meta.properties"
    meta.parent.mkdir(parents=True)
    meta.write_text("", "utf-8")
    if wrote is not None:
        (tmp_path / "kafka" / "version").write_text(wrote, "utf-8")
    with pytest.raises(StartError, match=rf"written by Kafka {wrote or '4.3.1'}.*--reset"):
        EmbeddedKafka(tmp_path, cache_home()).start()


def test_the_broker_dies_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    parent = textwrap.dedent(f"""
        import sys
        from pathlib import Path
        from streams.local.kafka import EmbeddedKafka
        with EmbeddedKafka(Path({str(tmp_path)!r}), Path({str(cache_home())!r})) as broker:
            print(broker.process.pid, flush=True)
            sys.stdin.read()
    """)
    process = subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        pid = int(process.stdout.readline())
        watched = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
        process.send_signal(signal.SIGKILL)
    if watched is not None:
        import select

        assert select.select([watched], [], [], PATIENCE_S)[0], "the broker still runs"
        os.close(watched)


def test_a_broker_that_crashes_on_its_start_cache_starts_without_it(tmp_path: Path, kafka: EmbeddedKafka) -> None:
    assert kafka.bootstrap  # so the jars are there to be copied
    cache = tmp_path / "cache"
    jars = cache / f"kafka-{KAFKA_VERSION}"
    shutil.copytree(cache_home() / jars.name, jars, ignore=shutil.ignore_patterns("*.aot", ".*"))
    with EmbeddedKafka(tmp_path, cache):
        pass
    (file,) = jars.glob("*.aot")
    content = bytearray(file.read_bytes())
    content[1000:200_000] = bytes(199_000)
    file.write_bytes(content)
    with EmbeddedKafka(tmp_path, cache) as broker:
        create(broker.bootstrap, "works")
    assert not file.exists()
