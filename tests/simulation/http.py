"""HTTP between simulated processes: straight to the ASGI application of another process, over links that fail."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random
from typing import Any
from urllib.parse import urlsplit

import orjson

from streams.query.cluster import authorization
from streams.query.wire import PARTITIONS, REFUSED, WorkerResponse, _partitions
from tests.simulation.loop import SimLoop
from tests.simulation.scheduler import Scheduler, SimProcess


class ConnectionLostError(OSError):
    """Raised for a request whose connection was refused or broke: nobody knows whether it was handled."""


@dataclass(frozen=True)
class Answer:
    """An answer of HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class _Served:
    process: SimProcess
    loop: SimLoop
    app: Any


class HttpNetwork:
    """Who serves at which address, and which links fail."""

    def __init__(self, scheduler: Scheduler, chance: Random) -> None:
        self._scheduler = scheduler
        self._chance = chance
        self._served: dict[str, _Served] = {}
        self._ports = 9000
        self.cut: set[tuple[str, str]] = set()  # names of two processes: nothing gets from the first to the second
        self.loss = 0.0  # share of messages that are lost with their connection
        self.slow_s = 0.0  # added to every message
        self.requests = 0

    def serve(self, process: SimProcess, loop: SimLoop, app: Any, address: str | None = None) -> str:
        """Serve an application at an address, a new one if none is given; return its URL."""
        if address is None:
            self._ports += 1
            address = f"127.0.0.1:{self._ports}"
        self._served[address] = _Served(process, loop, app)
        process.on_end.append(lambda: self._gone(address, process))
        return f"http://{address}"

    def stop(self, process: SimProcess) -> None:
        """Serve nothing of a process any more."""
        for address, served in list(self._served.items()):
            if served.process is process:
                del self._served[address]

    async def request(
        self, method: str, url: str, *, headers: dict[str, str] | None = None, body: bytes = b"", seconds: float = 30.0
    ) -> Answer:
        """Return the answer; raises ConnectionLostError, and TimeoutError after so many seconds."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        source = self._scheduler.process
        parts = urlsplit(url)
        self.requests += 1
        target = self._served.get(parts.netloc)

        def settle(answer: Answer | None) -> None:
            def take() -> None:
                if future.done():
                    return
                if answer is None:
                    future.set_exception(ConnectionLostError(f"no connection to {parts.netloc}"))
                else:
                    future.set_result(answer)

            if source.alive and isinstance(loop, SimLoop):
                loop.post(take)

        def arrive() -> None:
            if target is None or not target.process.alive or self._served.get(parts.netloc) is not target:
                self._carry(None, source, lambda: settle(None))
                return
            breaks = [lambda: self._carry(None, source, lambda: settle(None))]
            target.process.on_end.append(breaks[0])
            target.loop.post(self._start, target, method, parts, headers or {}, body, source, settle)

        self._carry(source, None if target is None else target.process, arrive, lost=lambda: settle(None))
        async with asyncio.timeout(seconds):
            return await future

    def _carry(
        self,
        source: SimProcess | None,
        target: SimProcess | None,
        arrive: Callable[[], None],
        lost: Callable[[], None] | None = None,
    ) -> None:
        """Let a message arrive, or nothing: a cut link swallows it."""
        if source is not None and target is not None and (source.name, target.name) in self.cut:
            return
        delay = self._chance.uniform(0.0002, 0.002) + self.slow_s * self._chance.random()
        if self.loss and self._chance.random() < self.loss:
            arrive = lost or (lambda: None)
        self._scheduler.after(delay, arrive)

    def _start(
        self,
        target: _Served,
        method: str,
        parts: Any,
        headers: dict[str, str],
        body: bytes,
        source: SimProcess,
        settle: Callable[[Answer | None], None],
    ) -> None:
        target.loop.create_task(self._handle(target, method, parts, headers, body, source, settle))

    async def _handle(
        self,
        target: _Served,
        method: str,
        parts: Any,
        headers: dict[str, str],
        body: bytes,
        source: SimProcess,
        settle: Callable[[Answer | None], None],
    ) -> None:
        answer: Answer | None
        try:
            answer = await asgi(target.app, method, parts.path, parts.query, {"host": parts.netloc} | headers, body)
        except Exception:  # noqa: BLE001 - what a server does with it: the connection ends, or 500
            answer = Answer(500, {}, b"")
        self._carry(target.process, source, lambda: settle(answer), lost=lambda: settle(None))

    def _gone(self, address: str, process: SimProcess) -> None:
        served = self._served.get(address)
        if served is not None and served.process is process:
            del self._served[address]


async def asgi(app: Any, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
    """Return what an ASGI application answers."""
    from urllib.parse import unquote

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        + ([(b"content-length", str(len(body)).encode())] if body else []),
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    given = [{"type": "http.request", "body": body, "more_body": False}]
    closed = asyncio.Event()
    status, found, parts = 500, {}, []

    async def receive() -> dict[str, Any]:
        if given:
            return given.pop()
        await closed.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            found.update({name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]})
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    closed.set()
    return Answer(status, found, b"".join(parts))


def wire_over(network: HttpNetwork) -> type:
    """Return a class with the interface of `streams.query.wire.Wire` over the simulated network."""

    class SimWire:
        def __init__(self, secret: str) -> None:
            self._headers = {"content-type": "application/json", "authorization": authorization(secret)}

        async def get(self, url: str, seconds: float) -> WorkerResponse | None:
            return await self._ask("GET", url, b"", seconds)

        async def post(self, url: str, body: bytes, seconds: float) -> WorkerResponse | None:
            return await self._ask("POST", url, body, seconds)

        async def aclose(self) -> None:
            return

        async def _ask(self, method: str, url: str, body: bytes, seconds: float) -> WorkerResponse | None:
            try:
                said = await network.request(method, url, headers=self._headers, body=body, seconds=seconds)
            except OSError:  # a TimeoutError is one
                return None
            if said.status == 401:
                return WorkerResponse(503, orjson.dumps({"detail": REFUSED}))
            return WorkerResponse(
                said.status, said.body, said.headers.get("retry-after"), _partitions(said.headers.get(PARTITIONS))
            )

    return SimWire


def server_over(network: HttpNetwork, scheduler: Scheduler) -> type:
    """Return a class with the interface of `streams.worker.http.app.Server` over the simulated network."""

    class SimServer:
        def __init__(self, app: Any, host: str, port: int, url: str | None = None) -> None:
            self._app = app
            self._process = scheduler.process

        async def start(self, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> str:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, SimLoop)
            return network.serve(self._process, loop, self._app)

        def stop(self) -> None:
            network.stop(self._process)

    return SimServer


__all__ = ["Answer", "ConnectionLostError", "HttpNetwork", "asgi", "contextlib", "server_over", "wire_over"]
