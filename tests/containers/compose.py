"""The compose file run for real: a project of its own, images that this machine can make, requests with a key."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import httpx

from streams.clock import monotonic
from streams.local.ports import free_ports
from tests.containers import images
from tests.house.files import ROOT

KEY: Final = f"admin-{uuid.uuid4().hex}"


class Container(NamedTuple):
    """One container of the project."""

    id: str
    service: str
    health: str
    pid: int


class Compose:
    """One project: up, scaled, killed, down."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.port = free_ports([0])[0]
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"authorization": f"Bearer {KEY}"}, timeout=15
        )
        self._environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": project,
            "PYTHON_IMAGE": images.PYTHON,
            "KAFKA_IMAGE": images.KAFKA,
            "GATEWAY_PORT": str(self.port),
            "STREAMS_API_KEYS": json.dumps({KEY: ["submit", "read", "admin"]}),
            "STREAMS_CLUSTER_SECRET": uuid.uuid4().hex,
        }

    def run(self, *arguments: str, timeout: float = 900) -> str:
        """Run docker-compose on the repository's file; AssertionError with its output when it fails."""
        done = subprocess.run(
            ["docker-compose", *arguments],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    def containers(self, service: str | None = None) -> list[Container]:
        """Return the project's running containers, by service if one is named."""
        chosen = [f"label=com.docker.compose.project={self.project}"]
        if service is not None:
            chosen.append(f"label=com.docker.compose.service={service}")
        filters = [part for label in chosen for part in ("--filter", label)]
        found = images.docker("ps", "--quiet", *filters).split()
        if not found:
            return []
        return [
            Container(
                one["Id"],
                one["Config"]["Labels"]["com.docker.compose.service"],
                one["State"].get("Health", {}).get("Status", ""),
                one["State"]["Pid"],
            )
            for one in json.loads(images.docker("inspect", *found))
        ]

    def is_healthy(self, *services: str) -> bool:
        """Return whether every container of the services is healthy, and each service has one."""
        found = [one for one in self.containers() if one.service in services]
        return {one.service for one in found} == set(services) and all(one.health == "healthy" for one in found)

    def kill(self, service: str) -> None:
        """End one container's process as a crash does (kill -9), so that its restart policy starts it again."""
        os.kill(self.containers(service)[0].pid, signal.SIGKILL)

    def logs(self) -> str:
        """Return the last lines of every service."""
        return self.run("logs", "--no-color", "--tail", "30")


@contextmanager
def project() -> Iterator[Compose]:
    """Yield a project that is not up yet, and remove its containers, networks and volumes afterwards."""
    made = Compose(f"streamstest{uuid.uuid4().hex[:6]}")
    try:
        yield made
    finally:
        made.run("down", "--volumes", "--timeout", "5")
        made.http.close()


def seconds_until(done: Callable[[], Any], limit: float, what: str) -> float:
    """Return the seconds until `done` returns something true; AssertionError after `limit`."""
    began = monotonic()
    pause = threading.Event()
    while not done():
        assert monotonic() - began < limit, f"{what}: not within {limit:.0f} s"
        pause.wait(0.5)
    return monotonic() - began
