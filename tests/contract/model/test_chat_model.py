"""What every chat model promises: the scripted, the recorded and the real client answer the same suite."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from streams.model.ask import ask
from streams.model.chat import ChatAnswer, ChatModel, ChatRequest, Message, ToolCall, ToolSpec
from streams.model.errors import ModelError
from streams.model.openai_chat import OpenAIChat
from streams.model.recorded_model import RecordedModel
from streams.model.scripted_model import ScriptedModel
from tests.unit.model._endpoint import completion, endpoint

WISH = {"id": "t", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def answer(request: ChatRequest) -> Any:
    """Say the last message again in capitals; wish for a tool if there is one; fail when told so."""
    said = request.messages[-1].content
    if said == "fail":
        return ModelError("told to")
    return ChatAnswer("", tool_calls=(ToolCall("t", "look", "{}"),)) if request.tools else said.upper()


async def over_http(request: web.Request) -> web.StreamResponse:
    """Answer as `answer` does, streamed if that is asked for."""
    body = await request.json()
    said = body["messages"][-1]["content"]
    if said == "fail":
        return web.Response(status=500)
    if not body.get("stream"):
        return web.json_response(completion(None, tool_calls=[WISH]) if "tools" in body else completion(said.upper()))
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(
        b'data: {"choices": [{"delta": {"content": "%s"}}]}\n\ndata: [DONE]\n\n' % said.upper().encode()
    )
    return response


@pytest.fixture(params=["scripted", "recorded", "openai"])
async def model(request: pytest.FixtureRequest) -> AsyncIterator[ChatModel]:
    async def nothing(_: str) -> None:
        return None

    if request.param == "scripted":
        yield ScriptedModel(always=answer)
    elif request.param == "recorded":
        yield RecordedModel(ScriptedModel(always=answer), nothing, "hybrid")
    else:
        async with endpoint(over_http) as url, OpenAIChat(url, "k", "m") as client:
            yield client


async def test_it_answers_and_says_who_it_is(model: ChatModel) -> None:
    answered = await model.complete(ChatRequest((Message("user", "hello"),)))
    assert (answered.text, answered.finish_reason, answered.tool_calls) == ("HELLO", "stop", ())
    assert model.name
    assert answered.model
    assert answered.usage.output_tokens > 0


async def test_it_shows_the_text_while_it_comes(model: ChatModel) -> None:
    pieces: list[str] = []
    answered = await model.complete(ChatRequest((Message("user", "hello"),)), pieces.append)
    assert "".join(pieces) == answered.text == "HELLO"


async def test_it_hands_wishes_for_tools_back(model: ChatModel) -> None:
    tools = (ToolSpec("look", "Look.", {"type": "object"}),)
    answered = await model.complete(ChatRequest((Message("user", "hello"),), tools=tools))
    assert answered.tool_calls == (ToolCall("t", "look", "{}"),)


async def test_it_fails_with_a_model_error_only(model: ChatModel) -> None:
    with pytest.raises(ModelError):
        await model.complete(ChatRequest((Message("user", "fail"),)))


async def test_what_it_said_can_be_said_again_from_its_record(model: ChatModel) -> None:
    first = await ask(model, "hello")
    (call,) = first.calls

    async def lookup(digest: str) -> Any:
        return call.answer if digest == call.hash else None

    again = await ask(RecordedModel(model, lookup), "hello")
    assert (again.value, again.usage.output_tokens) == (first.value, 0)
