"""The deployment that the repository ships starts, scales and survives kills. Needs root, docker and debootstrap.

`uv run pytest -n 0 -s -m containers tests/containers`, in about ten minutes, five of them for the images.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from streams.clock import monotonic
from tests.containers import images
from tests.containers.compose import Compose, project, seconds_until
from topics.errors import BrokerUnavailableError
from topics.kafka import KafkaConfig
from topics.reader import read

pytestmark = pytest.mark.containers

SERVICES = ("kafka", "worker", "gateway")
PARTITIONS = 12
LOAD_S = 40.0
PACE_S = 0.05
HOST_LISTENER = KafkaConfig("127.0.0.1:9092")


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    """Return the project, up and healthy."""
    lacking = images.missing_tools()
    assert not lacking, f"install {', '.join(lacking)}: apt-get install docker.io docker-compose debootstrap"
    images.build()
    with project() as made:
        began = monotonic()
        made.run("build")
        built = monotonic() - began
        made.run("up", "--detach")
        try:
            healthy = seconds_until(lambda: made.is_healthy(*SERVICES), 180, "all services healthy")
        except AssertionError:
            print(made.logs())
            raise
        print(f"\nimage built in {built:.0f} s, healthy {healthy:.1f} s after `up` returned")
        yield made


def submit(compose: Compose, run_id: str) -> httpx.Response:
    body = {"agent": "tool", "run_id": run_id, "input": {"name": "search_documents", "arguments": {"query": run_id}}}
    return compose.http.post("/runs", json=body)


def deliver(compose: Compose, name: str) -> httpx.Response:
    return compose.http.post("/webhooks/custom", json={"event_type": "data_processed", "data": {"source": name}})


def endings() -> Counter[tuple[str, str]]:
    """Return how often each run ended, by its id and the kind of ending."""
    found: Counter[tuple[str, str]] = Counter()
    for record in read(HOST_LISTENER, "runs"):
        kind = dict(record.headers).get("ce_type") or b""
        if kind in (b"run.succeeded", b"run.failed", b"run.cancelled"):
            found[(record.key or b"").decode(), kind.decode()] += 1
    return found


def test_a_run_and_a_webhook_go_through(compose: Compose) -> None:
    run_id = f"one-{uuid.uuid4().hex}"
    assert submit(compose, run_id).status_code == 202
    seconds_until(lambda: compose.http.get(f"/runs/{run_id}").json()["status"] == "succeeded", 30, "the run succeeds")
    answer = deliver(compose, "first")
    assert answer.status_code == 202, answer.text
    assert compose.http.get("/readyz").status_code == 200


def test_the_workers_scale_to_five(compose: Compose) -> None:
    compose.run("up", "--detach", "--scale", "worker=5", "--no-recreate")

    def spread() -> bool:
        workers = [one for one in compose.http.get("/workers").json()["workers"] if one["state"] == "running"]
        owned = sorted(number for one in workers for number in one["partitions"])
        return len(workers) == 5 and owned == list(range(PARTITIONS)) and all(one["partitions"] for one in workers)

    print(f"five workers own all partitions after {seconds_until(spread, 90, 'five workers'):.1f} s")
    assert compose.is_healthy("worker") or seconds_until(lambda: compose.is_healthy("worker"), 60, "healthy") >= 0


@pytest.mark.parametrize("service", SERVICES)
def test_a_kill_loses_and_repeats_nothing(compose: Compose, service: str) -> None:
    name = uuid.uuid4().hex[:8]
    acknowledged: list[str] = []
    longest, last = 0.0, monotonic()
    pause, end, killed = threading.Event(), monotonic() + LOAD_S, False
    number = 0
    while monotonic() < end or not killed:
        if not killed and monotonic() > end - LOAD_S + 5:
            compose.kill(service)
            killed = True
        run_id = f"{name}-{number}"
        if accepted(compose, run_id):
            acknowledged.append(run_id)
            longest, last = max(longest, monotonic() - last), monotonic()
            number += 1
        pause.wait(PACE_S)
    counts: Counter[tuple[str, str]] = Counter()

    def all_ended() -> bool:
        counts.clear()
        try:
            found = endings()
        except BrokerUnavailableError:
            return False  # the container of the broker that was killed is on its way
        counts.update({key: count for key, count in found.items() if key[0].startswith(name)})
        return {run_id for run_id, _ in counts} >= set(acknowledged)

    seconds_until(all_ended, 120, f"{len(acknowledged)} runs end")
    twice = [key for key, count in counts.items() if count > 1]
    failed = [key for key in counts if key[1] != "run.succeeded"]
    print(
        f"kill -9 of {service}: {len(acknowledged)} acknowledged, {len(counts)} ended, {len(twice)} twice, "
        f"{len(failed)} not succeeded, longest time without an acknowledgement {longest:.1f} s"
    )
    assert (twice, failed) == ([], [])
    seconds_until(lambda: compose.is_healthy(*SERVICES), 90, "healthy again")


def accepted(compose: Compose, run_id: str) -> bool:
    """Submit once; a refused or broken request is sent again under the same id by the caller."""
    try:
        return submit(compose, run_id).status_code == 202
    except httpx.TransportError:
        return False
