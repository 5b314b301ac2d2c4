"""A TCP proxy before a broker: a test can drop all connections that go through it, or lose requests of a kind."""

from __future__ import annotations

import asyncio
import struct
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.local.kafka import EmbeddedKafka
from streams.local.ports import LOOPBACK, free_ports

PRODUCE = 0
FETCH = 1  # Kafka's number of the request: https://kafka.apache.org/protocol#protocol_api_keys
_HEAD = struct.Struct(">iHHi")  # of a request: size of what follows, kind, version, number by which it is answered
_ANSWER = struct.Struct(">ii")  # of an answer: size of what follows, number of the request
_SIZE_BYTES = 4  # which the size does not count


class ProxiedKafka(EmbeddedKafka):
    """A broker that tells its clients to come through a proxy's port."""

    def __init__(self, state_dir: Path, cache_dir: Path, through: int) -> None:
        super().__init__(state_dir, cache_dir)
        self._through = through

    @property
    def port(self) -> int:
        """The broker's own port, for the proxy."""
        return self._ports[0]

    def _settle_ports(self) -> None:
        super()._settle_ports()
        settings = self.folder / "server.properties"
        lines = settings.read_text("utf-8").splitlines()
        told = f"advertised.listeners=PLAINTEXT://{LOOPBACK}:{self._through}"
        lines = [told if line.startswith("advertised.listeners=") else line for line in lines]
        settings.write_text("\n".join(lines) + "\n", "utf-8")


class Proxy:
    """Passes bytes on between clients and the broker; has a loop of its own, so that no test holds it up."""

    def __init__(self) -> None:
        """Choose a port."""
        self.port = free_ports([0])[0]
        self.target = 0  # set once the broker has its port
        self.dropped = 0  # connections, over all drops
        self.lost = 0  # requests that were swallowed
        self.losing: int | None = None  # kind of request that never arrives
        self.cutting: int | None = None  # kind of request that arrives, and whose answer is lost with all connections
        self.away = False  # whether new connections are refused
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    @property
    def address(self) -> str:
        """Address for clients."""
        return f"{LOOPBACK}:{self.port}"

    async def __aenter__(self) -> Self:
        """Listen."""
        self._thread.start()
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._begin(), self._loop))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._end(), self._loop))
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()

    async def drop(self, times: int, every_s: float) -> None:
        """Reset all connections that there are, so many times."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._drop(times, every_s), self._loop))

    def back_in(self, seconds: float) -> None:
        """Accept connections again after so many seconds; from any thread."""
        self._loop.call_soon_threadsafe(self._loop.call_later, seconds, self._come_back)

    def _come_back(self) -> None:
        self.away = False

    async def _drop(self, times: int, every_s: float) -> None:
        for turn in range(times):
            if turn:
                await asyncio.sleep(every_s)
            found = list(self._open)
            self.dropped += len(found)
            for writer in found:
                writer.transport.abort()

    async def _begin(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        mine = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() if task is not mine]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.away:
            writer.transport.abort()
            return
        try:
            there, broker = await asyncio.open_connection(LOOPBACK, self.target)
        except OSError:  # the broker is away: so is this connection
            writer.transport.abort()
            return
        self._open |= {writer, broker}
        awaited = set[int]()  # numbers of the requests whose answers are to be lost
        both = [
            asyncio.create_task(self._requests(reader, broker, awaited)),
            asyncio.create_task(self._answers(there, writer, awaited)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:  # one side has gone, or both were dropped: the other goes with it
            self._open -= {writer, broker}
            for task in both:
                task.cancel()
            writer.transport.abort()
            broker.transport.abort()
            await asyncio.gather(*both, return_exceptions=True)

    async def _requests(self, client: asyncio.StreamReader, broker: asyncio.StreamWriter, awaited: set[int]) -> None:
        """Pass whole requests on, but for those that get lost."""
        while True:
            size, kind, _, number = _HEAD.unpack(head := await client.readexactly(_HEAD.size))
            rest = await client.readexactly(size + _SIZE_BYTES - _HEAD.size)
            if kind == self.losing:
                self.lost += 1
                continue
            if kind == self.cutting:
                awaited.add(number)
            broker.write(head + rest)
            await broker.drain()

    async def _answers(self, broker: asyncio.StreamReader, client: asyncio.StreamWriter, awaited: set[int]) -> None:
        """Pass whole answers on; one that is to be lost takes all connections with it, and none is made after it."""
        while True:
            size, number = _ANSWER.unpack(head := await broker.readexactly(_ANSWER.size))
            rest = await broker.readexactly(size + _SIZE_BYTES - _ANSWER.size)
            if number in awaited and self.cutting is not None:
                self.cutting, self.away = None, True
                await self._drop(1, 0)
                return
            client.write(head + rest)
            await client.drain()
