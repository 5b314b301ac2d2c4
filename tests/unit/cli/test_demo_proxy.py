"""The demo's proxy before the model tells answered calls from those that nobody waited for any more."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import httpx
import pytest

from streams.cli.demo.counting import CountingProxy
from tests.faults.rig.waiting import until

PATH = "/v1/chat/completions"


@pytest.fixture
def go() -> Iterator[threading.Event]:
    """Return the event at which the model answers."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def proxy(go: threading.Event) -> Iterator[CountingProxy]:
    """Return a proxy before a model that answers when it is let."""

    class Model(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            go.wait()
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with CountingProxy(f"http://127.0.0.1:{server.server_address[1]}/v1") as made:
        yield made
        go.set()
    server.shutdown()
    server.server_close()
    thread.join()


def test_an_answered_call_is_counted_and_delivered(proxy: CountingProxy, go: threading.Event) -> None:
    go.set()
    with httpx.Client(trust_env=False) as client:
        assert client.post(f"{proxy.url}/chat/completions", json={}).json() == {}
    assert (proxy.total, proxy.undelivered) == (1, 0)


async def test_a_call_whose_sender_has_gone_is_not_delivered(
    proxy: CountingProxy, go: threading.Event
) -> None:
    address = urlsplit(proxy.url)
    with socket.create_connection((address.hostname, address.port)) as sender:
        sender.sendall(f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{{}}".encode())
        await until(lambda: proxy.under_way == 1)
    go.set()
    await until(lambda: proxy.under_way == 0)
    assert (proxy.total, proxy.undelivered) == (1, 1)
