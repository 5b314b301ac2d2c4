"""Asks a process of ours whether it is ready, over the HTTP that it serves on loopback."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

TIMEOUT = 5.0  # seconds for one question: a readiness check may itself ask the broker
SHOWN = 300  # characters of an answer


async def not_ready(url: str) -> str | None:
    """Return None when a GET of the loopback `url` is answered with 200, else what it answers."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                request = f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                status = await reader.readline()
                if status.split(b" ")[1:2] == [b"200"]:
                    return None
                response = await reader.read()
            finally:
                writer.close()
    except TimeoutError:
        return f"no answer within {TIMEOUT:g} s"
    except OSError as error:
        return error.strerror or str(error)
    body = response.partition(b"\r\n\r\n")[2]
    return (body or status).decode("utf-8", "replace").strip()[:SHOWN]
