"""Models by role: who is asked, who stands in, and that a dead provider slows nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from aiohttp import web
from pydantic import SecretStr

from streams.model import roles as module
from streams.model.ask import ask
from streams.model.chat import ChatAnswer, ChatRequest, Message
from streams.model.errors import ModelBusyError, ModelError, ModelRefusedError
from streams.model.model_from_settings import chat_model
from streams.model.roles import USUAL, Role, RoledModel
from streams.model.scripted_model import ScriptedModel
from streams.settings import Settings
from tests.unit.model._endpoint import completion, endpoint

REQUEST = ChatRequest((Message("user", "hi"),))


def roled(*first: object, fallback: object = "from the second") -> tuple[RoledModel, ScriptedModel, ScriptedModel]:
    one, two = ScriptedModel(*first, name="one"), ScriptedModel(fallback, name="two")
    return RoledModel({USUAL: Role(USUAL, one, ("smart",)), "smart": Role("smart", two)}), one, two


@pytest.mark.parametrize("error", [ModelError("connection, 5xx or time-out"), ModelBusyError("429", after=3600)])
async def test_the_next_in_line_answers_for_one_that_does_not(error: ModelError) -> None:
    model, _, _ = roled(error)
    assert (await model.complete(REQUEST)).text == "from the second"
    assert model.fallbacks == 1


async def test_a_refused_request_is_shown_to_nobody_else() -> None:
    model, _, second = roled(ModelRefusedError("400"))
    with pytest.raises(ModelRefusedError):
        await model.complete(REQUEST)
    assert second.requests == []


async def test_a_busy_endpoint_is_asked_again_before_another_is() -> None:
    model, first, second = roled(ModelBusyError("429", after=0.0), "after a pause")
    assert (await model.complete(REQUEST)).text == "after a pause"
    assert (len(first.requests), second.requests) == (2, [])


async def test_a_busy_endpoint_is_asked_so_often_and_no_more() -> None:
    model, first, _ = roled(*[ModelBusyError("429", after=0.0)] * module.BUSY_TRIES)
    assert (await model.complete(REQUEST)).text == "from the second"
    assert len(first.requests) == module.BUSY_TRIES


async def test_the_last_error_is_told() -> None:
    model, _, _ = roled(ModelError("one"), fallback=ModelError("two"))
    with pytest.raises(ModelError, match="two"):
        await model.complete(REQUEST)


async def test_a_role_is_asked_by_its_name_and_any_model_by_its_own() -> None:
    model, first, second = roled("usual")
    assert (await model.complete(ChatRequest(REQUEST.messages, model="smart"))).text == "from the second"
    await model.complete(ChatRequest(REQUEST.messages, model="some-model"))
    assert [asked.model for asked in (*second.requests, *first.requests)] == ["", "some-model"]


async def test_a_role_that_means_another_model_is_another_call() -> None:
    hashes = set()
    for name in ("small-1", "small-2"):
        fast = ScriptedModel("yes", name=name)
        model = RoledModel({USUAL: Role(USUAL, ScriptedModel()), "fast": Role("fast", fast)})
        hashes.add((await ask(model, "Is it?", params={"model": "fast"})).calls[0].hash)
    plain = await ask(ScriptedModel("yes", name="x"), "Is it?", params={"model": "small-1"})
    assert len(hashes) == 2
    assert plain.calls[0].hash in hashes


async def test_the_whole_call_has_its_time() -> None:
    class Never(ScriptedModel):
        async def complete(self, request: ChatRequest, on_delta: Callable[[str], None] | None = None) -> ChatAnswer:
            await asyncio.Event().wait()
            return ChatAnswer("never")

    model = RoledModel({USUAL: Role(USUAL, Never())}, total=0.05)
    with pytest.raises(ModelError, match="TOTAL_TIMEOUT"):
        await model.complete(REQUEST)


def settings(**values: object) -> Settings:
    return Settings(_env_file=None).changed("test", llm_base_url=None, llm_api_key=None, **values)


async def test_each_role_has_its_own_endpoint_and_key() -> None:
    seen: list[tuple[str, str]] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(((await request.json())["model"], request.headers["authorization"]))
        return web.json_response(completion())

    async with endpoint(handle) as one, endpoint(handle) as two:
        chosen = settings(
            llm_roles={"fast": {"base_url": two, "api_key": "second", "model": "small"}}, llm_model="big"
        ).changed("test", llm_base_url=one, llm_api_key=SecretStr("first"))
        model = chat_model(chosen)
        for name in ("", "fast", "smart"):
            await model.complete(ChatRequest(REQUEST.messages, model=name))
        await model.aclose()
    assert seen == [("big", "Bearer first"), ("small", "Bearer second"), ("big", "Bearer first")]


async def test_a_key_is_never_sent_to_the_endpoint_of_another_role() -> None:
    seen: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request.headers["authorization"])
        return web.json_response(completion())

    async with endpoint(handle) as url:
        chosen = settings(llm_roles={"fast": {"base_url": url}}).changed("test", llm_api_key=SecretStr("openai"))
        model = chat_model(chosen)
        await model.complete(ChatRequest(REQUEST.messages, model="fast"))
        await model.aclose()
    assert "openai" not in seen[0]


def test_a_fallback_must_be_a_role() -> None:
    with pytest.raises(ModelRefusedError, match="nobody"):
        chat_model(settings(llm_fallback="nobody").changed("test", llm_base_url="http://127.0.0.1:1/v1"))


async def test_a_dead_provider_slows_nobody_of_another() -> None:
    """They do not stand behind its calls, and do not pay for them: in processor time, whoever else uses the machine."""
    held, full, arrived = asyncio.Event(), asyncio.Event(), 0

    async def dead(request: web.Request) -> web.Response:
        nonlocal arrived
        await request.read()
        arrived += 1
        if arrived == 50:
            full.set()
        await held.wait()
        return web.json_response(completion())

    async def alive(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response(completion())

    async with endpoint(dead) as slow, endpoint(alive) as fast:
        chosen = settings(llm_roles={"fast": {"base_url": fast}}, llm_concurrency=50).changed("test", llm_base_url=slow)
        model = chat_model(chosen)
        stuck = [asyncio.ensure_future(model.complete(REQUEST)) for _ in range(300)]
        await full.wait()
        times = []
        for _ in range(100):
            began = time.thread_time()
            await model.complete(ChatRequest(REQUEST.messages, model="fast"))
            times.append(time.thread_time() - began)
        assert arrived == 50
        assert not any(one.done() for one in stuck), "a call of another provider waited for one of these"
        held.set()
        assert len(await asyncio.gather(*stuck)) == 300
        await model.aclose()
    assert sorted(times)[90] < 0.5, "calls of another provider pay for those that wait"
