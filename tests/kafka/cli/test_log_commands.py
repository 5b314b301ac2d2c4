"""The commands that read the log itself, against a real broker: plan, apply, tail, dead letters, doctor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.bus import NewDataArrived
from schemas.dead import DeadLettered
from streams.cli.main import main
from streams.clock import now_ms
from tests.faults.rig.waiting import PATIENCE_S
from topics.kafka import KafkaConfig
from topics.producer import EventProducer

pytestmark = pytest.mark.kafka

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    bootstrap: str, prefix: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Run:
    """Run the command line on the session's broker, under a prefix of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STREAMS_KAFKA_BOOTSTRAP_SERVERS", bootstrap)
    monkeypatch.setenv("STREAMS_TOPIC_PREFIX", prefix)
    monkeypatch.setenv("STREAMS_PARTITIONS", "2")

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return call


async def _send(bootstrap: str, topic: str, *events: Any) -> None:
    producer = EventProducer(KafkaConfig(bootstrap), Codec(FileRegistry()), "test", now_ms=now_ms)
    try:
        for event in events:
            await producer.send(topic, event)
    finally:
        await producer.close()


def _letter(number: int) -> DeadLettered:
    place: dict[str, Any] = {"source_topic": "events", "source_partition": 0, "source_offset": number}
    return DeadLettered(
        dead_id=f"d{number}", consumer="triage", error="boom", error_type="ValueError", fingerprint="f", **place
    )


def test_topics_are_planned_made_and_then_as_wanted(run: Run) -> None:
    assert "+ " in run("topics", "plan")[1]
    code, out, _ = run("topics", "apply")
    assert code == 0
    assert "0 refused, 0 as wanted" in out
    assert run("topics", "plan")[1].startswith("0 to create, 0 to change, 0 refused")
    rows = orjson.loads(run("topics", "list", "-o", "json")[1])
    assert {row["exists"] for row in rows} == {True}
    assert next(row for row in rows if row["name"].endswith(".events"))["partitions"] == 2


def test_another_partition_count_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("topics", "apply")
    monkeypatch.setenv("STREAMS_PARTITIONS", "3")
    code, out, _ = run("topics", "plan")
    assert code == 1
    assert "keys would move" in out
    code, _, err = run("topics", "apply")
    assert code == 1
    assert "nothing was changed" in err


def test_tail_shows_events_and_what_is_none(run: Run, bootstrap: str, prefix: str) -> None:
    run("topics", "apply")
    asyncio.run(_send(bootstrap, f"{prefix}.events", NewDataArrived(source="a"), NewDataArrived(source="b", data=[1])))
    raw = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    raw.produce(f"{prefix}.events", b"no avro", b"c")
    assert raw.flush(PATIENCE_S) == 0
    code, out, _ = run("topics", "tail", "events", "--from", "earliest", "-o", "json")
    events = {event["key"]: event for event in map(orjson.loads, out.splitlines())}
    assert code == 0
    assert events["b"]["type"] == "new_data_arrived"
    assert events["b"]["data"]["data"] == [1]
    assert events["c"]["data"] is None
    assert events["c"]["error"]
    assert run("topics", "tail", "events", "--key", "a", "-o", "json")[1].count("\n") == 1
    assert run("topics", "tail", "events", "--type", "other", "-o", "json")[1] == ""
    assert "new_data_arrived" in run("topics", "tail", "events", "--limit", "3")[1]


def test_dead_letters_are_listed_grouped_and_shown(run: Run, bootstrap: str, prefix: str) -> None:
    run("topics", "apply")
    assert "No dead letters" in run("dead", "list")[1]
    asyncio.run(_send(bootstrap, f"{prefix}.dead-letters", _letter(1), _letter(2)))
    letters = orjson.loads(run("dead", "list", "-o", "json")[1])
    assert {letter["dead_id"] for letter in letters} == {"d1", "d2"}
    groups = orjson.loads(run("dead", "list", "--group", "-o", "json")[1])
    assert [(group["count"], group["fingerprint"]) for group in groups] == [(2, "f")]
    assert "boom" in run("dead", "show", "d2")[1]
    code, _, err = run("dead", "show", "d")
    assert code == 1
    assert "2 dead letters" in err


def test_doctor_finds_broker_and_topics(run: Run) -> None:
    checks = {check["check"]: check["state"] for check in orjson.loads(run("doctor", "-o", "json")[1])["checks"]}
    assert checks["broker"] == "ok"
    assert checks["topics"] == "fail"
    run("topics", "apply")
    checks = {check["check"]: check["state"] for check in orjson.loads(run("doctor", "-o", "json")[1])["checks"]}
    assert checks["topics"] == "ok"


def test_an_unreachable_broker_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    code, out, err = run("topics", "list")
    assert (code, out) == (1, "")
    assert [line for line in err.splitlines() if line.startswith("streams: ")] == err.splitlines()
