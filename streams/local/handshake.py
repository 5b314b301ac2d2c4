"""Asks a broker the first question of Kafka's protocol, because an open port alone does not mean that it answers."""

from __future__ import annotations

import socket
import struct

API_VERSIONS = 18  # the request that every broker answers before any login


def answers(host: str, port: int, *, timeout: float = 5) -> bool:
    """Return whether a broker on `host` and `port` answers an ApiVersions request within `timeout` seconds."""
    request = struct.pack(">hhih", API_VERSIONS, 0, 1, -1)  # key, version, correlation id, no client id
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            return len(connection.recv(8)) > 0
    except OSError:
        return False
