"""A gateway on a real port, for what only a socket shows."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from streams.app import discover
from streams.gateway.serve import application
from streams.local.declare import declare_topics
from tests.kafka.gateway._served import OnAPort, listening, settings


@pytest.fixture
def on_a_port(bootstrap: str, prefix: str) -> Iterator[OnAPort]:
    """Serve a gateway in a thread."""
    given = settings(bootstrap, prefix)
    declare_topics(given, discover(given.apps))
    app = application(given)
    with socket.create_server(("127.0.0.1", 0)) as held, listening(app, held):
        yield OnAPort(f"http://127.0.0.1:{held.getsockname()[1]}", app)
