"""Servers on addresses of IPv6: what is bound, and the URL under which the commands of this machine reach it."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest

from streams.cli.pipeline import gateway_url
from streams.local import dev
from streams.local.ports import free_ports
from streams.serving.hosts import url_here
from streams.settings import SettingsError, child_environment, load
from streams.worker.http.app import Server
from tests.unit.gateway._gateway import Settings, world


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("::1", "http://[::1]:8000"),
        ("[::1]", "http://[::1]:8000"),
        (" 0:0:0:0:0:0:0:1 ", "http://[::1]:8000"),
        ("::", "http://[::1]:8000"),  # a socket bound to :: takes no IPv4
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("fd00::7", "http://[fd00::7]:8000"),
        ("10.0.0.7", "http://10.0.0.7:8000"),
        ("localhost", "http://localhost:8000"),
    ],
)
def test_commands_and_dev_reach_a_server_where_it_is_bound(
    host: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMS_GATEWAY_HOST", host)
    monkeypatch.setenv("STREAMS_WORKER_HOST", host)
    settings = load()
    assert gateway_url(settings) == url
    assert dev._gateway(settings, None).ready == f"{url}/readyz"
    assert dev._worker(settings, "default", 0, 8000, None).ready == f"{url}/readyz"
    assert httpx.URL(url).port == 8000
    child = child_environment(settings)
    assert child["STREAMS_GATEWAY_HOST"] == settings.gateway_host == settings.worker_host


@pytest.mark.parametrize("host", ["http://[::1]", "127.0.0.1:8000", "[::1]:8000", "localhost/", "[::1"])
def test_a_host_that_no_socket_binds_stops_the_start(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STREAMS_GATEWAY_HOST", "STREAMS_WORKER_HOST"):
        monkeypatch.setenv(name, host)
        with pytest.raises(SettingsError, match=f"{name}.*for example 127.0.0.1 or ::1"):
            load()
        monkeypatch.delenv(name)


def test_a_port_is_free_on_the_address_that_will_be_bound() -> None:
    with socket.socket(socket.AF_INET6) as holder:
        holder.bind(("::1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        (elsewhere,) = free_ports([taken], ["::1"])
    assert elsewhere != taken


async def test_a_worker_on_ipv6_answers_at_the_url_that_it_announces() -> None:
    import asyncio

    async def app(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body"})  # type: ignore[operator]

    server, tasks = Server(app, "::1", 0), []
    url = await server.start(lambda work: tasks.append(asyncio.ensure_future(work)))
    try:
        assert url.startswith("http://[::1]:")
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(url)).status_code == 204
    finally:
        server.stop()
        await asyncio.gather(*tasks)
    assert url == url_here("::1", int(url.rpartition(":")[2]))


@pytest.mark.parametrize("host", ["::1", "127.0.0.2"])
async def test_a_gateway_without_keys_answers_under_its_own_address(host: str) -> None:
    base = url_here(host, 8000)
    async with world(settings=Settings(gateway_host=host)) as here:
        assert (await here.client.get("/healthz", headers={"host": base.removeprefix("http://")})).status_code == 200
        assert (await here.client.get("/healthz", headers={"host": "rebound.example"})).status_code == 403
