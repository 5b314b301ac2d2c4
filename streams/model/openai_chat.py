"""Any OpenAI-compatible endpoint, held so that thousands of calls can wait at once in one process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import httpx2
import openai
import orjson

from streams.model.chat import ChatAnswer, ToolCall, Usage
from streams.model.errors import ModelBusyError, ModelError, ModelRefusedError
from streams.model.pace import Pace
from streams.model.prices import Prices
from streams.model.ramp import Ramp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from streams.model.chat import ChatRequest

PATH = "/chat/completions"
BUSY = frozenset({408, 409, 429, 503, 529})
CLIENT_ERROR, SERVER_ERROR = 400, 500
UNLIMITED = 0  # how aiohttp's connector spells "no limit"; None would leave it at its own 100


class OpenAIChat:
    """One endpoint with its own connections, so that a slow or dead provider never slows the agents of another.

    The openai client runs over aiohttp: its own pool costs time that grows with the number of waiting calls and stalls
    the loop for many seconds at a thousand. What is not streamed is posted by that client's HTTP client itself: what
    its own methods add, options and models that are copied for each request, costs more CPU time than the request.
    No call is repeated here: attempts belong to the run's retry policy, which records them.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        model: str,
        *,
        timeout: float = 120.0,
        prices: Prices | None = None,
        concurrency: int = 0,
    ) -> None:
        """Open nothing yet; `timeout` is in seconds for one request, `concurrency` requests at once (0: any number)."""
        self._pace = Pace(concurrency)
        self._model = model
        self._timeout = timeout
        self._prices = Prices.load() if prices is None else prices
        self._ramp = Ramp()
        # The whole request has a time-out around it, so the one for each read would be a timer more that tells nothing.
        patience = httpx2.Timeout(timeout, connect=min(timeout, 10.0), read=None)
        self._http = openai.DefaultAioHttpClient(
            limits=httpx2.Limits(max_connections=UNLIMITED), base_url=base_url, timeout=patience
        )
        self._client = openai.AsyncOpenAI(
            base_url=base_url, api_key=api_key, max_retries=0, timeout=patience, http_client=self._http
        )
        self._url = httpx2.URL(f"{base_url.rstrip('/')}{PATH}")
        self._headers = httpx2.Headers({**self._client.auth_headers, "content-type": "application/json"})

    @property
    def name(self) -> str:
        """The model that answers when a request names none."""
        return self._model

    async def complete(self, request: ChatRequest, on_delta: Callable[[str], None] | None = None) -> ChatAnswer:
        """Ask once; ModelBusyError, ModelRefusedError or ModelError say whether and when to ask again."""
        await self._pace.enter()
        try:
            await self._ramp.turn()
            model = request.model or self._model
            if on_delta is None:
                reply = self._posted(self._content(request))
            else:
                reply = self._streamed({"model": self._model, **request.to_json()}, on_delta)
            del request  # its texts would be kept, beside the bytes that are sent, for as long as the answer takes
            return self._answer(await self._reply(reply), model)
        finally:
            self._pace.leave()

    async def _reply(self, reply: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self._timeout):
                return await reply
        except (TimeoutError, openai.APITimeoutError, httpx2.TimeoutException) as error:
            if _unreachable(error):
                raise ModelError(f"The model endpoint {self._where} cannot be reached; is it running?") from error
            raise ModelError(
                f"The model endpoint {self._where} gave no answer within {self._timeout:g} s (STREAMS_LLM_TIMEOUT)."
            ) from error
        except openai.APIStatusError as error:
            raise self._failure(error) from error
        except (openai.APIConnectionError, httpx2.TransportError) as error:
            if _unreachable(error):
                raise ModelError(f"The model endpoint {self._where} cannot be reached; is it running?") from error
            raise ModelError(
                f"The model endpoint {self._where} broke off ({error.__cause__ or error}); is it running?"
            ) from error
        except (openai.OpenAIError, httpx2.HTTPError, orjson.JSONDecodeError) as error:
            raise ModelError(f"The model endpoint {self._where} sent something that is no answer ({error}).") from error

    async def aclose(self) -> None:
        """Close the connections; calls that still wait fail."""
        await self._client.close()

    async def __aenter__(self) -> Self:
        """Return itself, to be closed at the end of the block."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self.aclose()

    @property
    def _where(self) -> str:
        return f"{self._client.base_url.scheme}://{self._client.base_url.netloc.decode()}"

    def _content(self, request: ChatRequest) -> bytes:
        """Return the body, as a copy of its size: what orjson returns keeps room for the worst case, ten times that."""
        return bytes(memoryview(orjson.dumps({"model": self._model, **request.to_json()})))

    async def _posted(self, content: bytes) -> Any:
        response = await self._http.post(self._url, content=content, headers=self._headers)
        await self._ramp.turn()  # answers come together, too, where questions were asked together
        if response.status_code >= CLIENT_ERROR:
            raise openai.APIStatusError(response.text, response=response, body=None)
        self._pace.hear(response.headers, refused=False)
        return orjson.loads(response.content)

    async def _streamed(self, body: dict[str, Any], on_delta: Callable[[str], None]) -> dict[str, Any]:
        """Read the answer as server-sent events and put it together to what an unstreamed one would have been."""
        reply: dict[str, Any] = {"usage": {}, "model": body["model"]}
        parts: list[str] = []
        calls: dict[int, dict[str, Any]] = {}
        finish = "stop"
        stream = await self._client.post(
            PATH,
            body={**body, "stream": True, "stream_options": {"include_usage": True}},
            cast_to=object,
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        async with stream:
            self._pace.hear(stream.response.headers, refused=False)
            if not stream.response.headers.get("content-type", "").startswith("text/event-stream"):
                whole = orjson.loads(await stream.response.aread())  # an endpoint that does not stream has said it all
                on_delta(_text(whole))
                return whole  # type: ignore[no-any-return]  # looked at by `_answer`
            async for event in stream:
                chunk: dict[str, Any] = event  # type: ignore[assignment]  # `cast_to=object` leaves the parsed JSON as it is
                reply["model"] = chunk.get("model") or reply["model"]
                reply["usage"] = chunk.get("usage") or reply["usage"]
                for choice in chunk.get("choices") or ():
                    finish = choice.get("finish_reason") or finish
                    delta = choice.get("delta") or {}
                    if text := delta.get("content"):
                        parts.append(text)
                        on_delta(text)
                    _collect(calls, delta.get("tool_calls") or ())
        message = {"content": "".join(parts), "tool_calls": [calls[index] for index in sorted(calls)]}
        return {**reply, "choices": [{"message": message, "finish_reason": finish}]}

    def _answer(self, reply: Any, asked: str) -> ChatAnswer:
        try:
            choice = reply["choices"][0]
            message = choice["message"]
            calls = tuple(
                ToolCall(str(call["id"]), str(call["function"]["name"]), str(call["function"]["arguments"]))
                for call in message.get("tool_calls") or ()
            )
            text, finish, model = (
                message.get("content") or "",
                choice.get("finish_reason") or "stop",
                reply.get("model") or asked,
            )
        except (LookupError, TypeError, AttributeError) as error:
            raise ModelError(
                f"The model endpoint {self._where} sent an answer without a message; is it OpenAI-compatible?"
            ) from error
        usage = self._prices.priced(model, _usage(reply.get("usage") or {}), asked)
        return ChatAnswer(text, usage, model, finish, calls)

    def _failure(self, error: openai.APIStatusError) -> ModelError:
        status = error.status_code
        said = f"The model endpoint {self._where} answered {status}: {' '.join(error.message.split())[:300]}"
        if status in BUSY:
            return ModelBusyError(said, after=self._pace.hear(error.response.headers, refused=True))
        if status >= SERVER_ERROR:
            return ModelError(said)
        return ModelRefusedError(said)


def _text(reply: Any) -> str:
    """Return the text of an answer, empty where it has none."""
    try:
        return str(reply["choices"][0]["message"]["content"] or "")
    except (LookupError, TypeError):
        return ""


def _collect(calls: dict[int, dict[str, Any]], deltas: Any) -> None:
    """Add pieces of tool calls to the calls they belong to."""
    for delta in deltas:
        call = calls.setdefault(delta.get("index", 0), {"id": "", "function": {"name": "", "arguments": ""}})
        call["id"] = delta.get("id") or call["id"]
        for field in ("name", "arguments"):
            call["function"][field] += (delta.get("function") or {}).get(field) or ""


def _unreachable(error: BaseException | None) -> bool:
    """Say whether no connection was made; the client reports that as a timeout, the cause underneath knows better."""
    while error is not None:
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            return True
        error = error.__cause__
    return False


def _usage(usage: dict[str, Any]) -> Usage:
    details = usage.get("prompt_tokens_details") or {}
    return Usage(
        int(usage.get("prompt_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
        int(details.get("cached_tokens") or 0),
    )
