"""Proxies of the environment: none stands between us and what this machine serves, and a bad one is told of."""

from __future__ import annotations

import pytest
from aiohttp import web

from streams.choices import is_loopback
from streams.cli import checks
from streams.model.chat import ChatRequest, Message
from streams.model.errors import ModelRefusedError
from streams.model.openai_chat import OpenAIChat
from streams.query import health
from streams.settings import Settings
from tests.unit.model._endpoint import completion, endpoint

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
BAD = [
    {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"},
    {"ALL_PROXY": "socks5h://127.0.0.1:9"},
    {"ALL_PROXY": "nonsense://x"},
    {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "::1,[::1],localhost"},
]


@pytest.fixture(params=BAD, ids=",".join)
def proxies(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    names: dict[str, str] = request.param
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    return names


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:8080/v1", True),
        ("http://127.8.9.1/v1", True),
        ("http://[::1]:8080/v1", True),
        ("http://LocalHost:1/", True),
        ("http://a.localhost./", True),
        ("https://api.example.com/v1", False),
        ("http://10.0.0.1/v1", False),
        ("http://127.0.0.1.example.com/", False),
        ("nonsense", False),
    ],
)
def test_what_this_machine_serves_is_known_by_its_host(url: str, here: bool) -> None:
    assert is_loopback(url) is here


async def test_a_model_on_this_machine_is_asked_without_a_proxy(proxies: dict[str, str]) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response(completion())

    request = ChatRequest((Message("user", "hi"),))
    async with endpoint(handle) as url, OpenAIChat(url, "k", "m") as model:
        assert (await model.complete(request)).text == "hello"
        assert (await model.complete(request, lambda _: None)).text == "hello"


def test_doctor_reports_a_bad_proxy_as_one_failed_line(
    proxies: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(_env_file=None).changed("test", llm_base_url="http://models.invalid/v1", llm_api_key=None)
    monkeypatch.setattr(checks, "settings_here", lambda: settings)
    found = checks.CHECKS["model"]()
    assert found.state == "fail"
    assert "\n" not in found.detail
    assert "does not answer" in str(health._model(settings))


def test_a_model_elsewhere_needs_proxies_that_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("ALL_PROXY", "nonsense://x")
    with pytest.raises(ModelRefusedError, match="ALL_PROXY"):
        OpenAIChat("https://models.example/v1", "k", "m")
