"""Measures the time from sending a signed delivery to the first line of the agent that it starts, at a steady rate.

`uv run python -m benchmarks.webhook_latency` starts the embedded Kafka, a gateway and workers. Three ways: a source
that starts the run itself; one whose event a reaction answers with the run; and GitHub's, a comment of 8 kB on an issue
of one of many repositories, which a reaction answers. Notes are by the machine's monotonic clock.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson

from benchmarks.apps.hooks import NOTES
from benchmarks.stateful_reaction import cluster, stop
from streams.app import discover
from streams.local.declare import declare_topics
from streams.local.ports import free_ports
from streams.settings import Settings, child_environment

APP = "benchmarks.apps.hooks"
SECRET = "It's a Secret to Everybody"
WAYS = {"source": "hook_at_once", "event": "hook_by_event", "github": "github"}
FILLER = "x" * 8000  # GitHub's examples have a median of 8 kB
REPOSITORIES = 50
CONNECTIONS = 16


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--rate", type=float, default=100, help="deliveries a second")
    parser.add_argument("--seconds", type=float, default=15, help="of each way in each round")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    with (
        cluster(options.bootstrap) as bootstrap,
        tempfile.TemporaryDirectory() as folder,
        pipeline(bootstrap, Path(folder), options.workers) as (url, notes),
    ):
        print(f"{'way':<9}{'deliveries':>11}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'202, p50':>10}", flush=True)
        for way in WAYS:
            await drive(url, notes, way, options.rate, 3)
        for _ in range(options.rounds):
            for way in WAYS:
                times, answered = await drive(url, notes, way, options.rate, options.seconds)
                p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
                line = f"{way:<9}{len(times):>11}{p50:>9.1f}{p99:>9.1f}{times[-1]:>9.1f}"
                print(f"{line}{answered[len(answered) // 2]:>10.1f}", flush=True)


async def drive(url: str, notes: Path, way: str, rate: float, seconds: float) -> tuple[list[float], list[float]]:
    """Send at a rate; return milliseconds to the agent's first line, and to the gateway's answer, both sorted."""
    begun, count = time.monotonic(), int(rate * seconds)
    answered: list[float] = []
    first = int(time.monotonic_ns())
    places = asyncio.Semaphore(CONNECTIONS)

    async def post(http: httpx.AsyncClient, number: int) -> None:
        sent = time.monotonic_ns()
        body, headers = delivery(way, number, sent)
        answer = await http.post(f"{url}/webhooks/{WAYS[way]}", content=body, headers=headers)
        assert answer.status_code == 202, answer.text
        answered.append((time.monotonic_ns() - sent) / 1e6)
        places.release()

    async with httpx.AsyncClient(trust_env=False, timeout=20) as http, asyncio.TaskGroup() as group:
        for step in range(count):
            await asyncio.sleep(max(0.0, begun + step / rate - time.monotonic()))
            await places.acquire()
            group.create_task(post(http, first + step))
    wanted = set(range(first, first + count))
    limit = time.monotonic() + 30
    times: dict[int, float] = {}
    while len(times) < count:
        if time.monotonic() > limit:
            raise SystemExit(f"{count - len(times)} of {count} runs did not begin")
        await asyncio.sleep(0.2)
        times = await asyncio.to_thread(noted, notes, wanted)
    return sorted(times.values()), sorted(answered)


def delivery(way: str, number: int, sent_ns: int) -> tuple[bytes, dict[str, str]]:
    """Return a body and its headers, signed."""
    if way != "github":
        body = orjson.dumps({"number": number, "sent_ns": sent_ns})
        return body, {"x-signature": signed(body), "x-delivery": str(number)}
    comment = {"id": 1, "body": f"{number} {sent_ns} {FILLER}", "user": {"login": "octocat"}, "html_url": ""}
    repository = {"full_name": f"octo/repository-{number % REPOSITORIES}"}
    payload = {"action": "created", "issue": {"number": 1}, "comment": comment, "repository": repository}
    body = orjson.dumps(payload)
    headers = {"x-github-event": "issue_comment", "x-github-delivery": str(number)}
    return body, headers | {"x-hub-signature-256": f"sha256={signed(body)}"}


def signed(body: bytes) -> str:
    """Return the signature of a body."""
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def noted(notes: Path, wanted: set[int]) -> dict[int, float]:
    """Return the milliseconds of the deliveries that are wanted, as far as they are noted."""
    lines = [line.split() for line in notes.read_text().splitlines()]
    return {int(number): int(took) / 1e6 for _, number, took in lines if int(number) in wanted}


@contextmanager
def pipeline(bootstrap: str, folder: Path, workers: int) -> Iterator[tuple[str, Path]]:
    """Start a gateway and workers; yield the gateway's URL and the file with the agents' notes."""
    port, *worker_ports = free_ports([0] * (1 + workers))
    settings = Settings(
        kafka_bootstrap_servers=bootstrap,
        topic_prefix=f"latency-{uuid.uuid4().hex[:6]}",
        gateway_port=port,
        state_dir=folder,
        apps=(APP,),
        webhook_secrets={name: [SECRET] for name in WAYS.values()},
    )
    declare_topics(settings, discover(settings.apps))
    notes = folder / "notes"
    notes.touch()
    roles = [("worker", {"worker_port": one, "slot": str(one)}) for one in worker_ports] + [("gateway", {})]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for role, values in roles:
            environment = {**os.environ, **child_environment(settings, **values), NOTES: str(notes)}
            with (folder / f"{role}-{len(started)}.log").open("wb") as log:
                command = [sys.executable, "-m", "streams", role]
                started.append(
                    subprocess.Popen(
                        command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                    )
                )
        places = [*(f"{one}/readyz" for one in worker_ports), f"{port}/healthz"]
        for process, ready_at in zip(started, places, strict=True):
            ready(process, f"http://127.0.0.1:{ready_at}")
        yield f"http://127.0.0.1:{port}", notes
    finally:
        for process in started:
            stop(process)


def ready(process: subprocess.Popen[bytes], url: str) -> None:
    """Return when a process says that it is ready."""
    limit = time.monotonic() + 60
    while time.monotonic() < limit and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
    raise SystemExit(f"nothing is ready at {url}")


if __name__ == "__main__":
    asyncio.run(main())
