"""The embedded broker and the one of the compose file behave alike."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

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


@given(st.text(min_size=1).filter(lambda text: not {"\n", "\r", "\0"} & set(text)))
def test_java_reads_back_any_folder(name: str) -> None:
    line = next(line for line in properties(Path("/data") / name, 1, 2).split("\n") if line.startswith("log.dirs="))
    assert line.isascii()
    assert _java_reads(line.removeprefix("log.dirs=")) == str(Path("/data") / name)


def _java_reads(value: str) -> str:
    """Return what java.util.Properties.load makes of the right side of a line."""
    units = bytearray()
    value = value.lstrip(" \t\f")
    at = 0
    while at < len(value):
        step = 1
        char = value[at]
        if char == "\\" and value[at + 1] == "u":
            units += bytes.fromhex(value[at + 2 : at + 6])
            step = 6
        else:
            if char == "\\":
                step, char = 2, {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}.get(value[at + 1], value[at + 1])
            units += char.encode("utf-16-be")
        at += step
    return units.decode("utf-16-be", "surrogatepass")
