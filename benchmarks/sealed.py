"""Runs a command in a network of its own, from which one broker can be reached and nothing else, and counts who tried.

`python -m benchmarks.sealed PORT SOCKET COMMAND…`, started in new namespaces (`unshare -rn`), makes 127.0.0.1:PORT lead
to the broker by a Unix socket that a relay outside serves. The last line on standard error is what the kernel counted.
"""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import orjson

UNSHARE: Final = ("unshare", "--map-root-user", "--net")
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 0x1
_BYTES: Final = 1 << 16

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def possible() -> bool:
    """Say whether this machine lets us have a network of our own."""
    if shutil.which(UNSHARE[0]) is None:
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


@asynccontextmanager
async def relay(path: Path, port: int) -> AsyncIterator[None]:
    """Lead from a Unix socket to a port of this network while the block runs."""
    serving = await asyncio.start_unix_server(_to(lambda: asyncio.open_connection("127.0.0.1", port)), path)
    async with serving:
        yield


def command(port: int, path: Path, inside: Sequence[str]) -> list[str]:
    """Return the command that runs another one sealed."""
    return [*UNSHARE, sys.executable, "-m", "benchmarks.sealed", str(port), str(path), *inside]


def tried(stderr: str) -> dict[str, int]:
    """Return what a sealed command tried, by the last line that its seal wrote."""
    found: dict[str, int] = orjson.loads(stderr.strip().rpartition("\n")[2])
    return found


def _to(other: Callable[[], Awaitable[Pair]]) -> Callable[..., Awaitable[None]]:
    """Return a handler that joins each connection with another one, both ways."""

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await other()
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(reader, back))
            group.create_task(_copy(there, writer))

    return join


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):  # the other end is gone: so is this one
        while data := await reader.read(_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_:
        ask = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_, _SIOCGIFFLAGS, ask))[1]
        fcntl.ioctl(any_, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def _counters() -> dict[str, int]:
    """Return this network's counters by protocol and name."""
    lines = [line.split() for line in Path("/proc/net/snmp").read_text(encoding="ascii").splitlines()]
    return {
        names[0] + name: int(value)
        for names, values in zip(lines[::2], lines[1::2], strict=True)
        for name, value in zip(names[1:], values[1:], strict=True)
    }


async def _run(port: int, path: str, inside: Sequence[str]) -> int:
    """Run the command beside the relay; return its status."""
    joined = 0

    async def broker() -> Pair:
        nonlocal joined
        joined += 1
        return await asyncio.open_unix_connection(path)

    async with await asyncio.start_server(_to(broker), "127.0.0.1", port):
        before = _counters()
        process = await asyncio.create_subprocess_exec(*inside)
        status = await process.wait()
        after = _counters()
    count = {name: after[name] - before[name] for name in after}
    found = {
        "refused on loopback": count["Tcp:AttemptFails"],
        "had no route": count["Ip:OutNoRoutes"],
        "datagrams": count["Udp:OutDatagrams"],
        "to the broker": joined,
    }
    sys.stderr.write(f"\n{orjson.dumps(found).decode()}\n")
    return status


if __name__ == "__main__":
    _loopback_up()
    sys.exit(asyncio.run(_run(int(sys.argv[1]), sys.argv[2], sys.argv[3:])))
