"""`streams dead …` from list to redrive and discard, through a gateway on a real port and a real log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from schemas.attributes import Attributes
from schemas.avro.codec import Codec
from schemas.avro.registry import FileRegistry
from schemas.bus import NewDataArrived
from schemas.dead import DeadLettered, RedriveRequested
from streams.cli.main import main
from streams.clock import now_ms
from tests.kafka.gateway._served import OnAPort
from topics.kafka import KafkaConfig
from topics.producer import EventProducer
from topics.reader import read

CODEC = Codec(FileRegistry())
HEADERS = dict(Attributes("e", "new_data_arrived", "/x", 1).to_headers())
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    on_a_port: OnAPort, bootstrap: str, prefix: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Run the command line against that gateway and log."""
    environment = {
        "STREAMS_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "STREAMS_TOPIC_PREFIX": prefix,
        "STREAMS_PARTITIONS": "2",
        "STREAMS_ADVERTISED_URL": on_a_port.url,
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def letters(bootstrap: str, prefix: str, *ids: str) -> None:
    async def write() -> None:
        producer = EventProducer(KafkaConfig(bootstrap), CODEC, "/tests", now_ms=now_ms)
        for number, dead_id in enumerate(ids):
            letter = DeadLettered(
                dead_id=dead_id,
                source_topic=f"{prefix}.events",
                source_partition=1,
                source_offset=number,
                key=b"k",
                value=CODEC.encode(NewDataArrived(source="s")),
                headers=HEADERS,
                consumer="events",
                error="boom",
                error_type="ValueError",
                fingerprint=dead_id[0],
            )
            await producer.send(f"{prefix}.dead-letters", letter)
        await producer.close()

    asyncio.run(write())


def orders(bootstrap: str, prefix: str) -> list[tuple[int, RedriveRequested]]:
    found = read(KafkaConfig(bootstrap), f"{prefix}.signals")
    return [(record.partition, CODEC.decode(record.value, RedriveRequested)) for record in found]


def test_dead_letters_are_redriven_and_discarded(
    run: Run, bootstrap: str, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    letters(bootstrap, prefix, "a/1", "a/2", "a/3", "b/1", "c/1")
    assert run("dead", "redrive", "b", "--dry-run")[1] == "1 dead letters would be redriven.\n"
    assert run("dead", "redrive", "--fingerprint", "a", "--dry-run")[1] == "3 dead letters would be redriven.\n"
    assert orders(bootstrap, prefix) == []
    code, out, err = run("dead", "redrive", "b", "--edit", '{"source": "t"}')
    assert (code, out) == (0, "b/1: redriven\n"), err
    [(partition, order)] = orders(bootstrap, prefix)
    assert (partition, order.dead_id, order.key) == (1, "b/1", b"k")
    assert CODEC.decode(order.value, NewDataArrived).source == "t"
    code, _, err = run("dead", "redrive", "b/1")
    assert code == 1
    assert "redriven already" in err
    assert run("dead", "redrive", "--fingerprint", "a", "--rate", "100")[1] == "3 dead letters redriven, 0 refused.\n"
    assert sorted(order.dead_id for _, order in orders(bootstrap, prefix)) == ["a/1", "a/2", "a/3", "b/1"]
    assert run("dead", "discard", "c", "--reason", "old")[1] == "c/1: discarded\n"
    assert "No dead letters" in run("dead", "list")[1]
    rows = orjson.loads(run("dead", "list", "--state", "all", "-o", "json")[1])
    assert {row["dead_id"]: row["state"] for row in rows} == {
        **dict.fromkeys(("a/1", "a/2", "a/3", "b/1"), "redriven"),
        "c/1": "discarded",
    }
