"""Any OpenAI-compatible endpoint, held so that thousands of calls can wait at once in one process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import httpx2
import openai
import orjson

from streams.choices import is_loopback
from streams.model.chat import ChatAnswer
from streams.model.errors import ModelBusyError, ModelError, ModelRefusedError
from streams.model.formats import Formats
from streams.model.pace import RequestPace
from streams.model.prices import Prices
from streams.model.ramp import Ramp
from streams.model.reply import Deltas, ReplyProblem, calls_of, parsed, problem_of, refusal_of, text_of, usage_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

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
        self._pace = RequestPace(concurrency)
        self._model = model
        self._timeout = timeout
        self._prices = Prices.load() if prices is None else prices
        self._ramp = Ramp()
        # The whole request has a time-out around it, so the one for each read would be a timer more without use.
        patience = httpx2.Timeout(timeout, connect=min(timeout, 10.0), read=None)
        self._formats = Formats()
        try:
            self._http = openai.DefaultAioHttpClient(
                limits=httpx2.Limits(max_connections=UNLIMITED),
                base_url=base_url,
                timeout=patience,
                trust_env=not is_loopback(base_url),  # a proxy elsewhere does not reach what is served here
            )
        except (httpx2.InvalidURL, ImportError, ValueError) as error:
            raise ModelRefusedError(
                f"The environment's proxies (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY) cannot be used: {error}."
            ) from error
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
            del (
                request
            )  # its texts would stay in memory, beside the bytes that are sent, for as long as the answer takes
            return self._answer(await self._reply(reply), model)
        finally:
            self._pace.leave()

    async def _reply(self, reply: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self._timeout):
                return await reply
        except (TimeoutError, openai.APITimeoutError, httpx2.TimeoutException) as error:
            if (why := _broken(error)) is not None:
                raise self._broke_off(why) from error
            raise ModelError(
                f"The model endpoint {self._where} gave no answer within {self._timeout:g} s (STREAMS_LLM_TIMEOUT)."
            ) from error
        except openai.APIStatusError as error:
            raise self._failure(error) from error
        except (openai.APIConnectionError, httpx2.TransportError, aiohttp.ClientError) as error:
            raise self._broke_off(_broken(error) or error) from error
        except openai.APIError as error:  # in the middle of a stream
            problem = problem_of({"error": error.body}) or ReplyProblem(0, error.message)
            raise self._problem(problem, None) from error
        except (openai.OpenAIError, httpx2.HTTPError, ValueError) as error:
            raise ModelError(f"The model endpoint {self._where} sent something that is no answer ({error}).") from error

    def _broke_off(self, why: BaseException) -> ModelError:
        """Return the error for a connection that failed; never with the request in it, whose headers hold the key."""
        if isinstance(why, OSError) and not isinstance(why, aiohttp.ServerDisconnectedError):
            return ModelError(f"The model endpoint {self._where} cannot be reached; is it running?")
        cause = why.message if isinstance(why, aiohttp.ClientResponseError) else why
        return ModelError(f"The model endpoint {self._where} broke off ({' '.join(str(cause).split())[:200]}).")

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
        return bytes(memoryview(orjson.dumps(self._formats.known({"model": self._model, **request.to_json()}))))

    async def _posted(self, content: bytes) -> Any:
        while True:
            response = await self._http.post(self._url, content=content, headers=self._headers)
            await self._ramp.turn()  # answers come together, too, where questions were asked together
            if response.status_code < CLIENT_ERROR:
                break
            other = self._formats.other(orjson.loads(content), response.status_code, response.text)
            if other is None:
                raise openai.APIStatusError(response.text, response=response, body=None)
            content = orjson.dumps(other)
        self._pace.observe(response.headers, refused=False)
        return self._whole(parsed(response.content), response.headers)

    def _whole(self, reply: Any, headers: Mapping[str, str]) -> Any:
        """Return a reply that is one; raises what the error in its place stands for."""
        problem = problem_of(reply)
        if problem is not None:
            raise self._problem(problem, headers)
        return reply

    async def _streamed(self, body: dict[str, Any], on_delta: Callable[[str], None]) -> Any:
        """Read the answer as server-sent events and put it together to what an unstreamed one would have been."""
        deltas = Deltas(body["model"])
        async with await self._stream(self._formats.known(body)) as stream:
            headers = stream.response.headers
            self._pace.observe(headers, refused=False)
            if not headers.get("content-type", "").startswith("text/event-stream"):
                # an endpoint that does not stream has sent the whole answer
                whole = self._whole(parsed(await stream.response.aread()), headers)
                on_delta(self._answer(whole, body["model"]).text)
                return whole
            async for chunk in stream:  # `cast_to=object` leaves the parsed JSON as it is
                if text := deltas.add(chunk):
                    on_delta(text)
        return deltas.reply()

    async def _stream(self, body: dict[str, Any]) -> openai.AsyncStream[object]:
        while True:
            try:
                return await self._client.post(
                    PATH,
                    body={**body, "stream": True, "stream_options": {"include_usage": True}},
                    cast_to=object,
                    stream=True,
                    stream_cls=openai.AsyncStream[object],
                )
            except openai.APIStatusError as error:
                other = self._formats.other(body, error.status_code, f"{error.message} {error.body}")
                if other is None:
                    raise
                body = other

    def _answer(self, reply: Any, asked: str) -> ChatAnswer:
        try:
            choice = reply["choices"][0]
            message = choice["message"]
            calls, text = calls_of(message), text_of(message.get("content"))
            finish, model = str(choice.get("finish_reason") or "stop"), str(reply.get("model") or asked)
        except (LookupError, TypeError, AttributeError) as error:
            raise ModelError(
                f"The model endpoint {self._where} sent an answer without a message; is it OpenAI-compatible?"
            ) from error
        usage = self._prices.priced(model, usage_of(reply), asked)
        return ChatAnswer(text, usage, model, finish, calls, refusal_of(message))

    def _failure(self, error: openai.APIStatusError) -> ModelError:
        words = " ".join(error.message.split())[:300]
        return self._problem(ReplyProblem(error.status_code, words), error.response.headers)

    def _problem(self, problem: ReplyProblem, headers: Mapping[str, str] | None) -> ModelError:
        """Return the error for an HTTP status, or for one that came as the body of an answer; `headers` if it had."""
        status = problem.status
        summary = f"The model endpoint {self._where} answered {status or 'an error'}: {problem.words}"
        if status in BUSY:
            return ModelBusyError(summary, after=self._pace.observe(headers or {}, refused=True))
        if CLIENT_ERROR <= status < SERVER_ERROR:
            return ModelRefusedError(summary)
        return ModelError(summary)


def _broken(error: BaseException | None) -> BaseException | None:
    """Return the cause of a connection that could not be made or was cut; the client reports both as time-outs."""
    while error is not None:
        if isinstance(error, aiohttp.ClientError):
            return None if isinstance(error, aiohttp.ServerTimeoutError) else error
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            return error
        error = error.__cause__
    return None
