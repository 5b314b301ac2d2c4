"""What `run.llm` makes of the answers that endpoints give: the value, or an error that says why there is none."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from aiohttp import web
from pydantic import BaseModel

from streams.define import Reject
from streams.model.ask import CallMade, ask
from streams.model.chat import ChatAnswer, ChatRequest, Message, ToolSpec
from streams.model.errors import ModelBusyError, ModelError, ModelRefusedError
from streams.model.openai_chat import OpenAIChat
from streams.model.scripted_model import ScriptedModel
from tests.unit.cpu import cpu_seconds
from tests.unit.model._endpoint import endpoint

REQUEST = ChatRequest((Message("user", "hi"),))
ADA = {"name": "Ada", "age": 36}
JSON = orjson.dumps(ADA).decode()
WRONG = '{"name": "WRONG", "age": 1}'


class Person(BaseModel):
    name: str
    age: int


def reply(message: dict[str, Any], finish: str = "stop", usage: Any = None) -> dict[str, Any]:
    return {"model": "m1", "choices": [{"message": message, "finish_reason": finish}], "usage": usage or {}}


async def asked(body: Any, *, status: int = 200, headers: dict[str, str] | None = None, **how: Any) -> Any:
    """Return what one question gives when every request is answered by `body` (JSON, or bytes)."""

    async def handle(_: web.Request) -> web.Response:
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        return web.Response(body=content, status=status, headers=headers, content_type="application/json")

    async with endpoint(handle) as url, OpenAIChat(url, "k", "m") as model:
        return (await ask(model, "hi", **how)).value


async def streamed(*events: Any) -> tuple[ChatAnswer, list[str]]:
    """Return the answer that comes as these events, and the pieces that are seen."""

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            await response.write(b"data: %b\n\n" % (event if isinstance(event, bytes) else orjson.dumps(event)))
        await response.write(b"data: [DONE]\n\n")
        return response

    pieces: list[str] = []
    async with endpoint(handle) as url, OpenAIChat(url, "k", "m") as model:
        return await model.complete(REQUEST, pieces.append), pieces


def piece(**delta: Any) -> dict[str, Any]:
    return {"model": "m1", "choices": [{"delta": delta}]}


@pytest.mark.parametrize(
    "text",
    [
        f"<think>\nMaybe:\n```json\n{WRONG}\n```\n</think>\n```json\n{JSON}\n```",
        f"<think>\nhm\n</think>\n{JSON}",
        f"\n <think>{WRONG}</think>{JSON}",
        f"I think of {WRONG}.\n```json\n{WRONG}\n```\n</think>\n\n{JSON}",
        f"First ```json\n{WRONG}\n``` but then\n```json\n{JSON}\n```",
        f"Sure! {JSON} is the answer.",
        f"```\n{JSON}\n```",
        f"```json\n{JSON}",
        f"```JSON {JSON}```",
        JSON,
    ],
)
async def test_the_value_is_the_answer_and_not_a_draft_of_it(text: str) -> None:
    assert await asked(reply({"content": text}), returns=Person) == ADA


async def test_a_text_that_holds_marks_is_not_cut_at_them() -> None:
    value = {"name": "```json\n{}\n``` </think> <think>", "age": 1}
    assert await asked(reply({"content": orjson.dumps(value).decode()}), returns=Person) == value
    assert await asked(reply({"content": f"```json\n{orjson.dumps(value).decode()}\n```"}), returns=Person) == value


@pytest.mark.parametrize("mark", ["```\n", "<think>", "</think>", "{", "```json\n{", "}{"])
async def test_a_text_made_of_marks_costs_no_more_than_its_length(mark: str) -> None:
    model = ScriptedModel(mark * 200_000, JSON)
    with cpu_seconds(10):
        assert (await ask(model, "who?", returns=Person)).value == ADA


TOOLS = [{"id": "x", "type": "function", "function": {"name": "foo", "arguments": "{}"}}]


@pytest.mark.parametrize(
    ("message", "finish", "words", "again"),
    [
        ({"content": None, "refusal": "I can't help with that."}, "stop", "I can't help with that", False),
        ({"content": [{"type": "refusal", "refusal": "Never."}]}, "stop", "Never", False),
        ({"content": None, "reasoning_content": "..."}, "length", "raise max_tokens", False),
        ({"content": ""}, "content_filter", "content filter", False),
        ({"content": "half a"}, "content_filter", "content filter", False),
        ({"content": None, "tool_calls": TOOLS}, "tool_calls", "foo", True),
        ({"content": " \n"}, "stop", "empty", True),
        ({"content": None}, "stop", "empty", True),
        ({}, "stop", "empty", True),
        ({"content": []}, "stop", "empty", True),
        ({"content": {"text": "odd"}}, "stop", "empty", True),
    ],
)
@pytest.mark.parametrize("returns", [str, Person])
async def test_what_holds_no_answer_is_a_failure_that_says_why(
    message: dict[str, Any], finish: str, words: str, again: bool, returns: Any
) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        await asked(reply(message, finish), returns=returns)
    assert isinstance(caught.value, Reject) is not again


async def test_what_holds_no_answer_is_paid_for_all_the_same() -> None:
    made: list[CallMade] = []
    answer = reply({"content": None, "refusal": "No."}, usage={"prompt_tokens": 7, "completion_tokens": 2})
    with pytest.raises(ModelRefusedError):
        await asked(answer, made=made.append)
    assert [(call.usage.input_tokens, call.usage.output_tokens) for call in made] == [(7, 2)]
    assert made[0].answer["refusal"] == "No."
    assert ChatAnswer.from_json(made[0].answer).refusal == "No."


async def test_tools_that_were_offered_may_be_wished_for_without_a_text() -> None:
    model = ScriptedModel(always=lambda _: ChatAnswer.from_json({
        "text": "", "model": "m", "finish_reason": "tool_calls", "tool_calls": [["x", "foo", "{}"]]
    }))  # fmt: skip
    found = await ask(model, "hi", tools=[ToolSpec("foo", "Foo.", {"type": "object"})])
    assert found.tool_calls == ({"id": "x", "name": "foo", "arguments": "{}"},)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([{"type": "text", "text": "hi"}], "hi"),
        ([{"type": "text", "text": "h"}, {"type": "image_url"}, {"type": "text", "text": "i"}, "!", 3], "hi!"),
    ],
)
async def test_a_content_of_parts_is_their_text(content: Any, text: str) -> None:
    assert await asked(reply({"content": content})) == text
    assert (await streamed(piece(content=content)))[0].text == text
    assert await asked(reply({"content": [{"type": "text", "text": JSON}]}), returns=Person) == ADA


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": 1, "prompt_tokens_details": [{"modality": "TEXT"}]},
        [1, 2],
        "7",
        {"prompt_tokens": "many", "completion_tokens": None},
        {"prompt_tokens": 1e300, "completion_tokens": -5},
        {"prompt_tokens": {"text": 1}},
    ],
)
async def test_a_usage_in_another_form_is_no_reason_to_lose_the_answer(usage: Any) -> None:
    assert await asked(reply({"content": "hi"}, usage=usage)) == "hi"
    assert (await streamed({"usage": usage}, piece(content="hi")))[0].text == "hi"


async def test_half_a_character_is_shown_as_such() -> None:
    cut = b'{"choices": [{"message": {"content": "cut \\ud83d"}, "finish_reason": "length"}]}'
    assert await asked(cut) == "cut \ufffd"
    assert await asked(cut.replace(b"\\ud83d", b"\xff")) == "cut \ufffd"
    answer, pieces = await streamed(
        b'{"choices": [{"delta": {"content": "a \\ud83d"}}]}',
        b'{"choices": [{"delta": {"content": "\\ude00 b \\ud83d"}}]}',
    )
    assert answer.text == "a \U0001f600 b \ufffd"
    assert "".join(pieces) == "a \U0001f600 b "


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        ({"message": "rate limited upstream", "code": 429}, ModelBusyError, "answered 429: rate limited upstream"),
        ({"message": "slow", "code": "rate_limit_exceeded"}, ModelBusyError, "slow"),
        ({"message": "slow", "type": "rate_limit_error"}, ModelBusyError, "slow"),
        ({"message": "bad key", "code": "401"}, ModelRefusedError, "bad key"),
        ({"message": "down", "code": 502}, ModelError, "502: down"),
        ("out of order", ModelError, "out of order"),
        ({"message": "odd", "code": "\u00b2"}, ModelError, "odd"),
    ],
)
async def test_an_error_in_the_place_of_an_answer_is_told_in_the_endpoint_s_words(
    error: Any, kind: type[ModelError], words: str
) -> None:
    for body in ({"error": error}, {"error": error, "choices": []}, {"error": error, "choices": None}):
        with pytest.raises(kind, match=words) as caught:
            await asked(body)
        assert type(caught.value) is kind
    with pytest.raises(ModelError, match=words):
        await streamed(piece(content="h"), {"error": error})


@pytest.mark.parametrize("text", ["inf", "nan", "1e300", "9" * 400])
async def test_a_pause_that_is_no_number_holds_up_no_later_call(text: str) -> None:
    answers = iter([429, 200, 200])

    async def handle(_: web.Request) -> web.Response:
        status = next(answers)
        body = reply({"content": "hi"}) if status == 200 else {"error": {"message": "slow"}}
        return web.json_response(body, status=status, headers={"Retry-After": text})

    async with endpoint(handle) as url, OpenAIChat(url, "k", "m") as model:
        with pytest.raises(ModelBusyError, match="slow") as caught:
            await model.complete(REQUEST)
        assert caught.value.after is None
        for _ in range(2):
            assert (await model.complete(REQUEST)).text == "hi"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("knows", ["json_object", "none"])
async def test_an_endpoint_that_takes_no_schema_is_asked_in_another_form(knows: str, stream: bool) -> None:
    """And from then on at once; a refusal for another reason is told as it is."""
    forms: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        body = await request.json()
        forms.append(body.get("response_format", {}).get("type", "none"))
        if forms[-1] not in (knows, "none"):
            message = f"This response_format type ({forms[-1]}) is unavailable now"
            return web.json_response({"error": {"message": message}}, status=400)
        assert '"required":["name","age"]' in body["messages"][-1]["content"]
        return web.json_response(reply({"content": JSON}))

    watch = (lambda _: None) if stream else None
    async with endpoint(handle) as url, OpenAIChat(url, "k", "m") as model:
        for _ in range(2):
            assert (await ask(model, "who?", returns=Person, on_delta=watch)).value == ADA
        assert (await ask(model, "who?", ["data"], returns=Person, on_delta=watch)).value == ADA
    tried = ["json_schema", "json_object", "none"] if knows == "none" else ["json_schema", "json_object"]
    assert forms == [*tried, knows, knows]


async def test_an_endpoint_that_refuses_for_another_reason_is_asked_once() -> None:
    calls: list[int] = []

    async def handle(_: web.Request) -> web.Response:
        calls.append(1)
        return web.json_response({"error": {"message": "the prompt is too long"}}, status=400)

    async with endpoint(handle) as url, OpenAIChat(url, "k", "m") as model:
        with pytest.raises(ModelRefusedError, match="too long"):
            await ask(model, "who?", returns=Person)
    assert calls == [1]


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize(
    ("sent", "words"),
    [(b"", "broke off .*disconnected"), (b"junk\r\n\r\n", "broke off"), (b"HTTP/1.1 200 OK\r\n", "broke")],
)
async def test_a_server_that_hangs_up_is_told_as_such(sent: bytes, words: str, watched: bool) -> None:
    """Not as a time-out of two minutes that nobody waited for."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(sent)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with (
        server,
        OpenAIChat(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", "sk-canary", "m") as model,
    ):
        with pytest.raises(ModelError, match=words) as caught:
            await model.complete(REQUEST, (lambda _: None) if watched else None)
    assert "sk-canary" not in str(caught.value)
    assert not isinstance(caught.value, Reject)
