"""A value over a mebibyte is an error of who sends it, at the place that sent it; its neighbours pass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest

from streams.cli.main import main
from tests.kafka.gateway._served import OnAPort, served, settings
from topics.kafka import KafkaConfig
from topics.reader import read

OVER = 1_048_577
FITS = 1_000_001  # over what a worker writes in one record, and not over what it reads


def new_data(source: str, size: int) -> dict[str, Any]:
    return {"type": "new_data_arrived", "data": {"source": source, "data": {"text": "x" * size}}}


def sources(bootstrap: str, prefix: str) -> list[bytes | None]:
    return [record.key for record in read(KafkaConfig(bootstrap), f"{prefix}.events")]


async def test_it_is_refused_at_the_gateway_and_its_neighbours_are_taken(bootstrap: str, prefix: str) -> None:
    async with served(settings(bootstrap, prefix)) as (client, _):
        asked = [client.post("/events", json=new_data(f"s{n}", OVER if n == 2 else 10)) for n in range(5)]
        answers: list[httpx.Response] = await asyncio.gather(*asked)
        assert [answer.status_code for answer in answers] == [202, 202, 413, 202, 202]
        assert answers[2].json()["type"].endswith("too-large")
        run = {"agent": "triage", "run_id": "big", "input": {"repository": "o/h", "number": 1, "title": "x" * OVER}}
        assert (await client.post("/runs", json=run)).status_code == 413
        fits = await client.post("/events", json=new_data("fits", FITS))
        assert fits.status_code == 202, fits.text
    found = await asyncio.to_thread(sources, bootstrap, prefix)
    assert sorted(key or b"" for key in found) == [b"fits", b"s0", b"s1", b"s3", b"s4"]


def test_produce_says_so_and_exits_with_1(
    on_a_port: OnAPort,
    bootstrap: str,
    prefix: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STREAMS_KAFKA_BOOTSTRAP_SERVERS", bootstrap)
    monkeypatch.setenv("STREAMS_TOPIC_PREFIX", prefix)
    monkeypatch.setenv("STREAMS_ADVERTISED_URL", on_a_port.url)
    run: Callable[[list[str]], None] = main
    data = orjson.dumps(new_data("big", OVER)["data"]).decode()
    with pytest.raises(SystemExit) as ended:
        run(["produce", "new_data_arrived", "--data", data])
    said = capfd.readouterr().err
    assert ended.value.code == 1
    assert "large" in said or "over" in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1
    assert sources(bootstrap, prefix) == []
