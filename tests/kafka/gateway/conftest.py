"""A gateway on a real port, for what only a socket shows."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import uvicorn

from streams.app import discover
from streams.gateway.serve import application
from streams.local.declare import declare_topics
from streams.local.ports import free_ports
from tests.kafka.gateway._served import OnAPort, settings


@pytest.fixture
def on_a_port(bootstrap: str, prefix: str) -> Iterator[OnAPort]:
    """Serve a gateway in a thread."""
    given, port = settings(bootstrap, prefix), free_ports([0])[0]
    declare_topics(given, discover(given.apps))
    app = application(given)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    for _ in range(1_000):
        if server.started:  # uvicorn has no event for it
            break
        threading.Event().wait(0.02)
    assert server.started, "the gateway listens"
    yield OnAPort(f"http://127.0.0.1:{port}", app)
    app.state.streams.close()
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()
