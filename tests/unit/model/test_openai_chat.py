"""The client over a real socket: what is sent, what is read, and what each failure means."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web

from streams.define import Reject, Retry
from streams.model.chat import ChatRequest, Message, Schema, ToolCall, ToolSpec, Usage
from streams.model.errors import ModelBusyError, ModelError, ModelRefusedError
from streams.model.openai_chat import OpenAIChat
from tests.unit.model._endpoint import completion, endpoint
from tests.unit.refusing import refusing

REQUEST = ChatRequest((Message("user", "hi"),))
UNPRICED = Usage(3, 2, cost_usd=None)


async def test_an_answer_comes_with_usage_and_cost() -> None:
    seen: list[Any] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append((request.headers["Authorization"], await request.json()))
        return web.json_response(completion())

    request = ChatRequest((Message("user", "hi"),), params={"temperature": 0}, returns=Schema("S", {"type": "object"}))
    async with endpoint(handle) as url, OpenAIChat(url, "key", "gpt-4o-mini") as model:
        answer = await model.complete(request)
    assert (answer.text, answer.model, answer.finish_reason) == ("hello", "gpt-4o-mini-2024-07-18", "stop")
    assert answer.usage == Usage(1000, 500, 200, (800 * 0.15 + 200 * 0.075 + 500 * 0.6) / 1e6)
    authorization, body = seen[0]
    assert authorization == "Bearer key"
    assert body == {
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "S", "schema": {"type": "object"}, "strict": True},
        },
    }


async def test_tool_calls_are_read() -> None:
    wish = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}

    async def handle(request: web.Request) -> web.Response:
        assert (await request.json())["tools"][0]["function"]["name"] == "look"
        return web.json_response(completion(None, tool_calls=[wish]))

    request = ChatRequest((Message("user", "hi"),), tools=(ToolSpec("look", "Look.", {"type": "object"}),))
    async with endpoint(handle) as url, OpenAIChat(url, "k", "m") as model:
        answer = await model.complete(request)
    assert answer.tool_calls == (ToolCall("t1", "look", '{"at": 1}'),)
    assert answer.text == ""


async def test_a_streamed_answer_is_the_same_answer_and_its_pieces_are_seen() -> None:
    chunks = [
        '{"model": "m1", "choices": [{"delta": {"role": "assistant", "content": "Hel"}}]}',
        '{"model": "m1", "choices": [{"delta": {"content": "lo"}}]}',
        '{"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f", "arguments": "{"}}]}}]}',  # noqa: E501
        '{"choices": [{"delta": {"tool_calls": [{"function": {"arguments": "}"}}]}, "finish_reason": "tool_calls"}]}',
        '{"model": "m1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}',
        "[DONE]",
    ]

    async def handle(request: web.Request) -> web.StreamResponse:
        assert (await request.json())["stream"] is True
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(f"data: {chunk}\n\n".encode())
        return response

    pieces: list[str] = []
    async with endpoint(handle) as url, OpenAIChat(url, "k", "m") as model:
        answer = await model.complete(REQUEST, pieces.append)
    assert pieces == ["Hel", "lo"]
    assert (answer.text, answer.model, answer.finish_reason, answer.usage) == ("Hello", "m1", "tool_calls", UNPRICED)
    assert answer.tool_calls == (ToolCall("t", "f", "{}"),)


@pytest.mark.parametrize(
    ("headers", "after"),
    [({"Retry-After": "7"}, 7.0), ({"retry-after-ms": "250"}, 0.25), ({"Retry-After": "soon"}, None), ({}, None)],
)
async def test_a_busy_endpoint_asks_for_another_attempt_later(headers: dict[str, str], after: float | None) -> None:
    calls = []

    async def handle(request: web.Request) -> web.Response:
        calls.append(request)
        return web.json_response({"error": {"message": "slow down"}}, status=429, headers=headers)

    async with endpoint(handle) as url, OpenAIChat(url, "k", "m") as model:
        with pytest.raises(ModelBusyError, match="slow down") as caught:
            await model.complete(REQUEST)
    assert isinstance(caught.value, Retry)
    assert caught.value.after == after
    assert len(calls) == 1, "attempts belong to the run's policy, not to the client"


@pytest.mark.parametrize(("status", "kind"), [(401, ModelRefusedError), (400, ModelRefusedError), (500, ModelError)])
async def test_a_status_says_whether_another_attempt_helps(status: int, kind: type[ModelError]) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "no"}}, status=status)

    async with endpoint(handle) as url, OpenAIChat(url, "sk-canary", "m") as model:
        with pytest.raises(kind) as caught:
            await model.complete(REQUEST)
    assert isinstance(caught.value, Reject) == (kind is ModelRefusedError)
    assert "sk-canary" not in str(caught.value)


@pytest.mark.parametrize("body", ["not json", "[]", '{"choices": []}', '{"choices": [{"message": null}]}'])
async def test_what_is_no_answer_is_an_error(body: str) -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    async with endpoint(handle) as url, OpenAIChat(url, "k", "m") as model:
        with pytest.raises(ModelError):
            await model.complete(REQUEST)


async def test_a_silent_endpoint_ends_at_the_timeout() -> None:
    async def handle(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with endpoint(handle) as url, OpenAIChat(url, "k", "m", timeout=0.1) as model:
        with pytest.raises(ModelError, match="LLM_TIMEOUT"):
            await model.complete(REQUEST)


async def test_an_endpoint_that_is_not_there_is_named() -> None:
    with refusing() as where:
        async with OpenAIChat(f"http://{where}/v1", "k", "m") as model:
            with pytest.raises(ModelError, match="cannot be reached"):
                await model.complete(REQUEST)


async def test_an_endpoint_that_does_not_stream_is_heard_all_the_same() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response(completion())

    pieces: list[str] = []
    async with endpoint(handle) as url, OpenAIChat(url, "k", "gpt-4o-mini") as model:
        answer = await model.complete(REQUEST, pieces.append)
    assert (answer.text, pieces, answer.usage.input_tokens) == ("hello", ["hello"], 1000)


async def test_hundreds_of_calls_wait_at_once() -> None:
    """No answer comes before all calls have arrived: a cap on connections would never let that happen."""
    count, arrived, everyone = 300, [0], asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        arrived[0] += 1
        if arrived[0] == count:
            everyone.set()
        await everyone.wait()
        return web.json_response(completion())

    async with endpoint(handle) as url, OpenAIChat(url, "k", "m", timeout=300) as model:
        answers = await asyncio.gather(*(model.complete(REQUEST) for _ in range(count)))
    assert {answer.text for answer in answers} == {"hello"}
