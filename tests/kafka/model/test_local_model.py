"""The real model that ships, behind the real client: small, but it must obey a schema and do its agent's work."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest

from streams.agents.triage import Issue, triage
from streams.local.llm import base_url, command, model_file
from streams.local.ports import free_ports
from streams.local.trial import serving, trial
from streams.model.ask import ask
from streams.model.openai_chat import OpenAIChat
from streams.settings import load
from tests.flow.agents._drive import drive
from tests.unit.tools._site import html, network, site

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.kafka

PAGE = html(
    "<html><head><title>Guide</title></head><body><article><p>The server keeps one thread.</p></article></body></html>"
)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Serve the model that ships; the server says when it is ready."""
    (port,) = free_ports([0])
    file = model_file(None, load().cache_dir)
    with subprocess.Popen(command(file, port), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert "answers at" in server.stdout.readline()
        try:
            yield base_url(port)
        finally:
            server.terminate()


async def test_triage_with_the_real_model(endpoint: str) -> None:
    async with site({"/guide": PAGE}) as (origin, _), OpenAIChat(endpoint, "none", "local") as model:
        with network(origin.removeprefix("http://")):
            issue = Issue(repository="a/b", number=1, title="Server hangs", body=f"It answers nothing. {origin}/guide")
            ended = await drive(triage, issue, model)
    assert ended.status == "succeeded"
    assert ended.result["summary"]
    assert ended.result["pages"] == [f"{origin}/guide"]
    assert len(ended.events) == 2


async def test_tokens_are_counted_streamed_or_not(endpoint: str) -> None:
    pieces: list[str] = []
    async with OpenAIChat(endpoint, "none", "local") as model:
        whole, streamed = await asyncio.gather(
            ask(model, "Say hello.", params={"max_tokens": 20, "temperature": 0}),
            ask(model, "Say hello.", params={"max_tokens": 20, "temperature": 0}, on_delta=pieces.append),
        )
    assert whole.value
    assert "".join(pieces) == streamed.value
    for answered in (whole, streamed):
        assert answered.usage.input_tokens > 0
        assert 0 < answered.usage.output_tokens <= 20
        assert answered.usage.cost_usd == 0


def test_a_trial_of_the_model_that_ships_tells_its_speed() -> None:
    file = model_file(None, load().cache_dir)
    with serving(file) as url:
        found = trial(url, file.stem)
    assert found.text
    assert 0 < found.tokens <= 64
    assert found.tokens_per_second > 0


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_pages_of_other_sites_cannot_read_the_model(endpoint: str, origin: str) -> None:
    async with httpx.AsyncClient() as http:
        for method in ("GET", "OPTIONS"):
            answer = await http.request(method, f"{endpoint}/models", headers={"origin": origin})
            assert answer.headers.get("access-control-allow-origin") not in (origin, "*")
            assert answer.headers.get("access-control-allow-credentials") != "true"


async def test_a_page_that_does_not_know_the_path_cannot_use_the_model() -> None:
    """A page whose name is rebound to loopback has the origin of the model; it can only guess the path."""
    file = model_file(None, load().cache_dir)
    with serving(file) as url:
        port = urlsplit(url).port
        async with httpx.AsyncClient() as http:
            for path in ("/v1/models", "/models", "/health", "/v1/chat/completions", "/props", "/slots", "/"):
                for method in ("GET", "POST"):
                    answer = await http.request(
                        method, f"http://127.0.0.1:{port}{path}", headers={"host": "evil.example"}, json={}
                    )
                    assert answer.status_code == 404, path
            assert (await http.get(f"{url}/models")).status_code == 200
