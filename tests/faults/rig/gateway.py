"""A gateway as a process, asked over HTTP as users do."""

from __future__ import annotations

import runpy
import uuid
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from streams import clock
from streams.local.ports import free_ports
from streams.settings import child_environment
from tests.faults.rig.asker import Asker
from tests.faults.rig.forked import fork
from tests.faults.rig.pipeline import ROOT, Pipeline
from tests.faults.rig.waiting import PATIENCE_S, until


def _streams(_arguments: Sequence[str]) -> None:
    """Run the command line as `python -m streams` does."""
    runpy.run_module("streams", run_name="__main__", alter_sys=True)


class Gateway:
    """One gateway of a pipeline, and the ledger of what it has acknowledged."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Start it."""
        self._pipeline = pipeline
        port = free_ports([0])[0]
        self.log = pipeline.folder / "gateway.log"
        environment = child_environment(pipeline.settings, gateway_port=port)
        self.process = fork(_streams, ["gateway"], output=self.log, environment=environment, folder=ROOT)
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S, limits=httpx.Limits())
        self.asker = Asker(f"http://127.0.0.1:{port}")
        self.acknowledged: list[str] = []
        self.acknowledged_at: list[float] = []  # when each of them was told so

    async def __aenter__(self) -> Self:
        """Wait until it serves."""

        async def alive() -> bool:
            assert self.process.poll() is None, self.log.read_text("utf-8", "replace")[-2000:]
            try:
                return (await self.http.get("/healthz")).status_code == 200
            except httpx.TransportError:
                return False

        await until(alive, what=lambda: self.log.read_text("utf-8", "replace")[-2000:])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        await self.http.aclose()
        await self.asker.aclose()
        self.process.kill()
        self.process.wait()

    async def submit(self, run_id: str | None = None) -> httpx.Response:
        """Ask for a run and note it if it was acknowledged."""
        run_id = run_id or f"r{uuid.uuid4().hex[:16]}"
        body: dict[str, Any] = {"agent": "work", "input": self._pipeline.task(steps=2), "run_id": run_id}
        answer = await self.http.post("/runs", json=body)
        if answer.status_code == 202:
            self.acknowledged.append(answer.json()["run_id"])
            self.acknowledged_at.append(clock.monotonic())
        return answer

    async def submit_until_acknowledged(self, run_id: str | None = None, seconds: float = PATIENCE_S) -> None:
        """Repeat with the same id until it is acknowledged, as the problem of a 503 says."""
        wanted = run_id or f"r{uuid.uuid4().hex[:16]}"

        async def done() -> bool:
            answer = await self.submit(wanted)
            assert answer.status_code in (202, 503), answer.text
            return answer.status_code == 202

        await until(done, seconds, lambda: self.log.read_text("utf-8", "replace")[-2000:])
