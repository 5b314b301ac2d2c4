"""Asks a process of ours whether it is ready, over the HTTP that it serves on loopback."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

TIMEOUT = 5.0  # seconds for one question: a readiness check may itself ask the broker


async def is_ready(url: str) -> bool:
    """Tell whether a GET of the loopback `url` is answered with 200."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return status.split(b" ")[1:2] == [b"200"]
