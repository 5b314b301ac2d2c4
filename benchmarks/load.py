"""Signed deliveries over keep-alive connections, as fast as they are answered or at a given rate; prints JSON.

`python -m benchmarks.load PORT SECRET --seconds 5 --connections 32 [--rate 100]` posts opened issues to
`/webhooks/github`. A process of its own and raw sockets, so that the load costs the least that Python can.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import hmac
import time
import uuid
from typing import Any

import orjson

REPOSITORIES = 200


def payload(number: int, **more: Any) -> bytes:
    """Return an opened issue with the members and the size (5 kB) that GitHub gives it."""
    name = f"octo-shop/repository-{number % REPOSITORIES}"
    url = f"https://api.github.com/repos/{name}"
    user = {"login": f"user-{number}", "id": number, "type": "User", "url": f"https://api.github.com/users/{number}"}
    verbs = ("labels", "comments", "events", "forks", "keys", "hooks", "issue_events", "assignees", "branches", "tags")
    repository: dict[str, Any] = {"id": number, "full_name": name, "private": False, "owner": user, "url": url}
    repository |= {f"{verb}_url": f"{url}/{verb}{{/id}}" for verb in verbs}
    issue = {
        "number": number,
        "title": f"Checkout fails for basket {number}",
        "body": "It worked yesterday. The page stays white after the second step and the log has nothing. " * 24,
        "user": user,
        "html_url": f"https://github.com/{name}/issues/{number}",
        "state": "open",
        "labels": [{"id": 1, "name": "bug", "color": "f29513", "url": f"{url}/labels/bug"}],
        "reactions": {"url": f"{url}/issues/{number}/reactions", "total_count": 0},
    }
    return orjson.dumps(
        {"action": "opened", "issue": issue, "repository": repository, "sender": user, "installation": {"id": 7}} | more
    )


def requests(secret: str, count: int) -> list[tuple[bytes, bytes]]:
    """Return requests in two parts, before and after the delivery's id, which no signature covers."""
    made = []
    for number in range(count):
        body = payload(number)
        signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        head = (
            "POST /webhooks/github HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nUser-Agent: GitHub-Hookshot/1\r\nX-GitHub-Event: issues\r\n"
            f"X-Hub-Signature-256: sha256={signature}\r\nX-GitHub-Delivery: "
        )
        made.append((head.encode(), b"\r\n\r\n" + body))
    return made


class Sender(asyncio.Protocol):
    """One connection: posts, reads the whole answer, posts again until the time is over."""

    def __init__(self, load: Load) -> None:
        """Belong to a load."""
        self._load = load
        self._buffer = b""
        self.begun = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless a rate says when."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._load.rate:
            self.post()

    def post(self) -> None:
        """Send the next delivery."""
        assert self._transport is not None
        self.begun = time.perf_counter()
        self._transport.write(self._load.next())

    def data_received(self, data: bytes) -> None:
        """Note an answer when it is whole."""
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        self._load.answered(head[9:12] == b"202", self.begun)
        if self._load.rate:
            self._load.free.append(self)
        elif time.perf_counter() < self._load.end:
            self.post()
        else:
            self.done.set_result(None)

    def connection_lost(self, _: Exception | None) -> None:
        """Count a connection that the server closed as a failure."""
        if not self.done.done():
            self._load.failed += 1
            self.done.set_result(None)

    def close(self) -> None:
        """End."""
        if self._transport is not None:
            self._transport.abort()


class Load:
    """What is sent, and what came of it."""

    def __init__(self, secret: str, rate: float) -> None:
        """Sign before the clock runs."""
        self.rate = rate
        self.run = uuid.uuid4().hex[:12]
        self.made = requests(secret, 2_000)
        self.sent = self.failed = 0
        self.end = 0.0
        self.times: list[float] = []
        self.free: list[Sender] = []
        self.more = asyncio.Event()

    async def idle(self) -> None:
        """Return when no answer is waited for."""
        while len(self.times) < self.sent:
            self.more.clear()
            await self.more.wait()

    def next(self) -> bytes:
        """Return the next request."""
        head, rest = self.made[self.sent % len(self.made)]
        self.sent += 1
        return head + f"{self.run}-{self.sent}".encode() + rest

    def answered(self, good: bool, begun: float) -> None:
        """Note an answer."""
        self.times.append(time.perf_counter() - begun)
        self.failed += not good
        self.more.set()


async def drive(port: int, load: Load, seconds: float, connections: int) -> float:
    """Send for some seconds and return how long it took until the last answer."""
    loop = asyncio.get_running_loop()
    begun = time.perf_counter()
    load.end = begun + seconds
    senders = []
    for _ in range(connections):
        _, sender = await loop.create_connection(lambda: Sender(load), "127.0.0.1", port)
        senders.append(sender)
    load.free = list(senders)
    for number in range(int(load.rate * seconds)):
        await asyncio.sleep(max(0.0, begun + number / load.rate - time.perf_counter()))
        if load.free:
            load.free.pop().post()
        else:
            load.failed += 1
    if load.rate:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(load.idle(), 10)
    else:
        await asyncio.gather(*[sender.done for sender in senders])
    took = time.perf_counter() - begun
    for sender in senders:
        sender.done.cancel()
        sender.close()
    return took


def main() -> None:
    """Drive one load and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("secret")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0, help="deliveries a second; 0: as fast as they are answered")
    options = parser.parse_args()
    load = Load(options.secret, options.rate)
    took = asyncio.run(drive(options.port, load, options.seconds, options.connections))
    times = sorted(load.times) or [0.0]
    shown = {
        "answered": len(load.times),
        "failed": load.failed,
        "rate": len(load.times) / took,
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[int(len(times) * 0.99)] * 1000,
        "run": load.run,
    }
    print(orjson.dumps(shown).decode())


if __name__ == "__main__":
    main()
