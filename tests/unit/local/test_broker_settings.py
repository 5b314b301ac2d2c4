"""The embedded broker and the one of the compose file behave alike."""

from __future__ import annotations

from pathlib import Path

from streams.local.broker_settings import SHARED, properties

ENV = Path(__file__).resolve().parents[3] / "deploy" / "kafka.env"


def test_the_compose_files_broker_has_the_same_settings() -> None:
    lines = [line for line in ENV.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    found = dict(line.split("=", 1) for line in lines)
    assert {name: found.get("KAFKA_" + name.upper().replace(".", "_")) for name in SHARED} == SHARED


def test_the_embedded_broker_only_listens_on_loopback() -> None:
    text = properties(Path("data"), 9092, 9093)
    assert "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n" in text
    assert "0.0.0.0" not in text
