"""Keys, scopes, binds and foreign pages."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from streams.gateway.access import UnsafeBindError
from streams.gateway.app import build
from streams.gateway.deps import Deps
from streams.serving.hosts import host_name, host_of, is_foreign, is_loopback
from tests.unit.gateway._gateway import FakeLog, FakeOwners, Settings, api_key, catalog, problem, world
from topics.names import Names

READER, WRITER, BOSS = "r" * 22, "w" * 22, "b" * 22
KEYS = (api_key(READER, "read"), api_key(WRITER, "submit"), api_key(BOSS, "admin"))
TASK = {"agent": "research", "input": {"topic": "kafka"}}


def built(settings: Settings) -> None:
    build(Deps(settings, catalog(), FakeLog(), FakeOwners(), Names()))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org"])
def test_an_open_address_without_keys_refuses_to_start(host: str) -> None:
    with pytest.raises(UnsafeBindError, match="STREAMS_API_KEYS"):
        built(Settings(gateway_host=host))
    built(Settings(gateway_host=host, api_keys=KEYS))


@pytest.mark.parametrize("secrets", [(), (SecretStr(""),), (SecretStr("good"), SecretStr("  "))])
def test_an_empty_webhook_secret_refuses_to_start(secrets: tuple[SecretStr, ...]) -> None:
    with pytest.raises(UnsafeBindError, match="github"):
        built(Settings(webhook_secrets={"github": secrets}))


def test_an_empty_key_refuses_to_start() -> None:
    with pytest.raises(UnsafeBindError):
        built(Settings(api_keys=(api_key(" ", "read"),)))


def test_what_is_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "localhost", "::1", "127.9.9.9")))
    assert not any(map(is_loopback, ("0.0.0.0", "", "localhost.example.org")))
    assert (host_name("[::1]:80"), host_name("LocalHost:80")) == ("[::1]", "localhost")
    assert (host_name("localhost."), host_name("[::1].evil")) == ("localhost", "[::1].evil")
    assert host_of("https://user@Streams.example:8443/path") == "streams.example"
    assert is_foreign("null", "")
    assert is_foreign("null", "127.0.0.1")
    assert not is_foreign("http://LOCALHOST:80", "localhost:80")
    assert not is_foreign(None, "127.0.0.1")


async def test_without_a_key_401_with_a_wrong_one_401_with_too_little_403() -> None:
    async with world(Settings(api_keys=KEYS)) as it:
        answer = await it.post("/runs", TASK)
        problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        problem(await it.post("/runs", TASK, authorization="Bearer nonsense"), 401, "unauthenticated")
        problem(await it.post("/runs", TASK, authorization=f"Bearer {READER}"), 403, "forbidden")
        problem(await it.client.get("/agents", headers={"x-api-key": WRITER}), 403, "forbidden")
        assert it.log.written == []


async def test_each_scope_opens_its_door_and_admin_opens_all() -> None:
    async with world(Settings(api_keys=KEYS)) as it:
        assert (await it.post("/runs", TASK, authorization=f"Bearer {WRITER}")).status_code == 202
        assert (await it.client.get("/agents", headers={"x-api-key": READER})).status_code == 200
        assert (await it.post("/runs", TASK, x_api_key=BOSS)).status_code == 202
        assert (await it.client.get("/agents", headers={"x-api-key": BOSS})).status_code == 200


async def test_probes_need_no_key_and_a_key_in_the_query_is_none() -> None:
    async with world(Settings(api_keys=KEYS)) as it:
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
            assert (await it.client.get(path)).status_code == 200
        problem(await it.client.get(f"/agents?api_key={BOSS}"), 401, "unauthenticated")


async def test_pages_of_other_sites_give_no_orders() -> None:
    async with world() as it:
        problem(await it.post("/runs", TASK, origin="https://evil.example"), 403, "foreign-origin")
        problem(await it.post("/runs", TASK, host="evil.example:8000"), 403, "foreign-origin")
        problem(await it.client.get("/agents", headers={"host": "rebound.example"}), 403, "foreign-origin")
        problem(await it.post("/webhooks/custom", {}, origin="https://evil.example"), 401, "bad-signature")
        assert it.log.written == []
        assert (await it.post("/runs", TASK, origin="http://127.0.0.1:8000")).status_code == 202


async def test_probes_and_documents_are_shut_under_a_name_rebound_to_loopback() -> None:
    async with world() as it:
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/"):
            assert (await it.client.get(path)).status_code == 200
            for host in ("rebound.example", "127.0.0.1.rebound.example:8000", "[::1].rebound.example"):
                problem(await it.client.get(path, headers={"host": host}), 403, "foreign-origin")
            for origin in ("null", "https://evil.example"):
                problem(await it.client.get(path, headers={"origin": origin}), 403, "foreign-origin")
        two = [("host", "127.0.0.1"), ("host", "rebound.example")]
        problem(await it.client.get("/agents", headers=two), 400, "malformed-request")
    async with world(Settings(api_keys=KEYS)) as it:  # a proxy in front may use any name: the keys guard
        assert (await it.client.get("/readyz", headers={"host": "streams.example"})).status_code == 200


async def test_the_advertised_name_is_one_of_ours() -> None:
    async with world(Settings(advertised_url="https://streams.example/")) as it:
        assert (await it.client.get("/agents", headers={"host": "streams.example"})).status_code == 200
