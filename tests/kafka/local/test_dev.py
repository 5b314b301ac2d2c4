"""A pipeline starts as a whole, heals, and leaves nothing behind; broker, topics and model are real ones."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from pathlib import Path

import pytest

from streams.local import dev, llm
from streams.local.dev import local_pipeline, ready_line
from streams.local.errors import AlreadyRunningError, LocalError
from streams.local.folder import running
from streams.local.merged_log import MergedLog
from streams.local.ports import LOOPBACK
from streams.local.spawn import Process
from streams.settings import Settings, load
from tests.faults.rig.waiting import PATIENCE_S
from topics.admin import topic_names

# Stands in for `python -m streams worker` and `gateway`, whose own tests start them for real.
STAND_IN = """
import http.server, os, sys
port = sys.argv[sys.argv.index("--port") + 1] if "--port" in sys.argv else os.environ["STREAMS_GATEWAY_PORT"]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *args): pass
print("Kafka at", os.environ["STREAMS_KAFKA_BOOTSTRAP_SERVERS"], flush=True)
http.server.HTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings of a machine on which nothing is set but a folder and a free port."""
    for name in [name for name in os.environ if name.startswith(("STREAMS_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dev, "PROGRAM", (sys.executable, "-c", STAND_IN))
    return load(state_dir=tmp_path / "state", gateway_port=0)


async def test_a_pipeline_comes_up_whole_and_heals_and_leaves_nothing(settings: Settings) -> None:
    out = io.StringIO()
    processes: list[Process] = []
    async with local_pipeline(settings, crew={"default": 2}, log=MergedLog(out)) as up:
        assert up.kafka is not None
        bootstrap = up.kafka.bootstrap
        assert {"events", "runs", "signals", "dead-letters"} <= set(topic_names(up.settings.kafka()))
        assert up.settings.llm_base_url is not None
        assert up.settings.llm_model is not None
        assert await asyncio.to_thread(llm.check, up.settings.llm_base_url, up.settings.llm_model) > 0
        found = running(settings.state_dir)
        assert found is not None
        assert (found.kafka, found.gateway, found.model) == (bootstrap, up.url, up.settings.llm_base_url)
        with pytest.raises(AlreadyRunningError, match="STREAMS_STATE_DIR"):
            async with local_pipeline(settings, crew={}, log=MergedLog(io.StringIO())):
                pass

        worker = up.workers[1]
        assert worker.process is not None
        processes.append(worker.process)
        worker.process.kill()
        async with asyncio.timeout(PATIENCE_S):
            await up.supervisor.wait_restarted(worker)
        await up.supervisor.wait_ready(worker)
        up.kafka.process.kill()
        kafka = up.supervisor.children["kafka"]
        async with asyncio.timeout(PATIENCE_S):
            await up.supervisor.wait_restarted(kafka)
        await asyncio.to_thread(up.kafka.wait_ready)
        assert up.kafka.bootstrap == bootstrap
        assert "events" in topic_names(up.settings.kafka())
        assert up.url in ready_line(up)
        processes += [child.process for child in up.supervisor.children.values() if child.process is not None]
    assert all(process.poll() is not None for process in processes)
    assert running(settings.state_dir) is None
    assert f"worker-0  │ Kafka at {bootstrap}" in out.getvalue()


async def test_a_taken_gateway_port_is_named(settings: Settings) -> None:
    taken = await asyncio.start_server(lambda *_: None, LOOPBACK, 0)
    async with taken:
        port = taken.sockets[0].getsockname()[1]
        with pytest.raises(LocalError, match=f"Port {port} is taken: set STREAMS_GATEWAY_PORT"):
            async with local_pipeline(settings.changed(gateway_port=port), crew={}, log=MergedLog(io.StringIO())):
                pass


async def test_a_cluster_and_a_model_of_ones_own_are_used(
    settings: Settings, kafka: object, bootstrap: str, prefix: str
) -> None:
    mine = settings.changed(
        kafka_bootstrap_servers=bootstrap, llm_base_url="http://127.0.0.1:1/v1", topic_prefix=prefix
    )
    async with local_pipeline(mine, crew={}, log=MergedLog(io.StringIO())) as up:
        assert up.kafka is None
        assert list(up.supervisor.children) == ["gateway"]
        assert f"{prefix}.events" in topic_names(up.settings.kafka())
        assert up.settings.llm_base_url == "http://127.0.0.1:1/v1"
