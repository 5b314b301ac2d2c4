"""Measures signed deliveries a second through the gateway, beside a bare handler that does the same work by hand.

`uv run python -m benchmarks.gateway_load` starts the embedded Kafka, our gateway and `benchmarks.peers.bare_gateway`,
and posts to both in turn over 32 connections from a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil

from benchmarks.stateful_reaction import cluster, stop
from streams.app import discover
from streams.local.declare import declare_topics
from streams.local.ports import free_ports
from streams.settings import Settings, child_environment

SECRET = "It's a Secret to Everybody"
PARTITIONS = 4


class Side(NamedTuple):
    """One of the two: how it is started, and where."""

    name: str
    port: int
    process: subprocess.Popen[bytes]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", help="an existing cluster; default: the embedded Kafka")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each round on each side")
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    with (
        cluster(options.bootstrap) as bootstrap,
        tempfile.TemporaryDirectory() as folder,
        sides(bootstrap, Path(folder)) as pair,
    ):
        seen: dict[str, list[dict[str, Any]]] = {side.name: [] for side in pair}
        for side in pair:
            drive(side, 2.0, options.connections)  # what is compiled and connected at first use is no part of it
        print(f"{'side':<10}{'deliveries/s':>14}{'p50 ms':>9}{'p99 ms':>9}{'CPU us':>9}{'failed':>8}", flush=True)
        for number in range(options.rounds):
            for side in pair if number % 2 else pair[::-1]:
                told = drive(side, options.seconds, options.connections)
                seen[side.name].append(told)
                line(side.name, told)
        print("medians", flush=True)
        median = {
            name: {what: statistics.median(one[what] for one in told) for what in told[0]}
            for name, told in seen.items()
        }
        for name, told in median.items():
            line(name, told)
        ours, bare = median["streams"], median["bare"]
        print(f"ratio of rates {ours['rate'] / bare['rate']:.2f}, of CPU {bare['cpu_us'] / ours['cpu_us']:.2f}")


def drive(side: Side, seconds: float, connections: int) -> dict[str, Any]:
    """Load one side from a process of its own and return what it says, with the side's CPU time a delivery."""
    process = psutil.Process(side.process.pid)
    before = sum(process.cpu_times()[:2])
    command = [sys.executable, "-m", "benchmarks.load", str(side.port), SECRET]
    command += ["--seconds", str(seconds), "--connections", str(connections)]
    told: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    told.pop("run")
    told["cpu_us"] = (sum(process.cpu_times()[:2]) - before) * 1e6 / max(1, told["answered"])
    return told


def line(name: str, told: dict[str, Any]) -> None:
    """Print one line of the table."""
    print(
        f"{name:<10}{told['rate']:>14,.0f}{told['p50_ms']:>9.1f}{told['p99_ms']:>9.1f}{told['cpu_us']:>9.0f}"
        f"{told['failed']:>8.0f}",
        flush=True,
    )


@contextmanager
def sides(bootstrap: str, folder: Path) -> Iterator[tuple[Side, Side]]:
    """Start both, each with topics of its own."""
    ports = free_ports([0, 0])
    prefixes = [f"load-{name}-{uuid.uuid4().hex[:6]}" for name in ("streams", "bare")]
    given = [
        Settings(
            kafka_bootstrap_servers=bootstrap,
            topic_prefix=prefix,
            partitions=PARTITIONS,
            gateway_port=port,
            state_dir=folder / prefix,
            webhook_secrets={"github": [SECRET]},
        )
        for prefix, port in zip(prefixes, ports, strict=True)
    ]
    for settings in given:
        declare_topics(settings, discover(()))
    commands = [
        ["-m", "streams", "gateway"],
        ["-m", "benchmarks.peers.bare_gateway", bootstrap, prefixes[1], str(ports[1]), SECRET],
    ]
    started = []
    try:
        for name, settings, command, port in zip(("streams", "bare"), given, commands, ports, strict=True):
            with (folder / f"{name}.log").open("wb") as log:
                process = subprocess.Popen(
                    [sys.executable, *command],
                    env={**os.environ, **child_environment(settings)},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            started.append(Side(name, port, process))
        for side in started:
            wait(side, folder / f"{side.name}.log")
        yield started[0], started[1]
    finally:
        for side in started:
            stop(side.process)


def wait(side: Side, log: Path) -> None:
    """Return when a side answers at all."""
    limit = time.monotonic() + 60
    while time.monotonic() < limit and side.process.poll() is None:
        try:
            httpx.post(f"http://127.0.0.1:{side.port}/webhooks/github", content=b"{}", trust_env=False)
        except httpx.TransportError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                side.process.wait(0.1)
        else:
            return
    raise SystemExit(f"{side.name} does not serve: {log.read_text()[-2000:]}")


if __name__ == "__main__":
    main()
