"""Talks to the gateway, and turns what it refuses into one line that says what to do next."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

import httpx
import orjson
from pydantic import BaseModel, ValidationError

from streams.clock import monotonic
from streams.errors import StreamsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

M = TypeVar("M", bound=BaseModel)

PATIENCE = 10.0
"""Seconds for which a reading command asks again while the answer is 503: a partition moves, a worker restores."""

_MOVING = frozenset({502, 503, 504})
_UNAUTHENTICATED = 401


class GatewayDown(StreamsError):
    """Raised when no gateway answers where the command line looks for one."""


class Refused(StreamsError):
    """Raised for an answer of 400 and above; `status` and `problem` are the gateway's."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(_sentence(status, problem))
        self.status = status
        self.problem = problem


class UnexpectedAnswer(StreamsError):
    """Raised for an answer that is not as the HTTP contract describes it: a gateway of another version."""


class ServerEvent(NamedTuple):
    """One server-sent event: its id (resumable), its name and its data as JSON."""

    id: str
    name: str
    data: Any


class Gateway:
    """A connection to the gateway at `url`; every method raises GatewayDown or Refused."""

    def __init__(self, url: str, api_key: str | None = None, *, timeout: float = 30) -> None:
        headers = {"accept": "application/json", "user-agent": "streams-cli"}
        if api_key:
            headers["authorization"] = f"Bearer {api_key}"
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()

    def read(self, kind: type[M], path: str, /, **params: Any) -> M:
        """Return the answer at `path` as its model; asks again for a while as long as the answer is 503."""
        return as_model(kind, self.get(path, **params))

    def send(self, kind: type[M], path: str, /, body: Any = None, *, key: str | None = None) -> M:
        """Send JSON and return the answer as its model; `key` is the Idempotency-Key."""
        return as_model(kind, self.post(path, body, key=key))

    def get(self, path: str, /, **params: Any) -> Any:
        """Return the JSON at `path`; asks again for a while as long as the answer is 503."""
        return self.answer(path, **params)[1]

    def answer(self, path: str, /, **params: Any) -> tuple[int, Any]:
        """Return status (below 400) and JSON at `path`; asks again for a while as long as the answer is 503."""
        asked = {name: value for name, value in params.items() if value is not None}
        limit = monotonic() + PATIENCE
        while True:
            response = self._send("GET", path, params=asked)
            if response.status_code not in _MOVING or monotonic() > limit:
                return response.status_code, _body(response)
            pause(min(float(response.headers.get("retry-after", 0.2)), 0.5))

    def post(self, path: str, /, body: Any = None, *, key: str | None = None) -> Any:
        """Send JSON and return the answer's; `key` is the Idempotency-Key."""
        headers = {"idempotency-key": key} if key else {}
        if body is not None:
            headers["content-type"] = "application/json"
        content = b"" if body is None else orjson.dumps(body)
        return _body(self._send("POST", path, content=content, headers=headers))

    def post_raw(self, path: str, /, content: bytes, headers: Mapping[str, str]) -> Any:
        """Send bytes as they are, as a webhook's sender does, and return the answer's JSON."""
        return _body(self._send("POST", path, content=content, headers=dict(headers)))

    def events(self, path: str, *, last: str | None = None) -> Iterator[ServerEvent]:
        """Yield server-sent events until the stream ends; `last` is the id after which to resume."""
        headers = {"accept": "text/event-stream", **({"last-event-id": last} if last else {})}
        try:
            with self._http.stream("GET", path, headers=headers, timeout=httpx.Timeout(30, read=60)) as response:
                if response.status_code >= 400:
                    response.read()
                    _body(response)
                yield from parse_events(response.iter_lines())
        except httpx.TransportError as error:
            raise self._down(error) from None

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise self._down(error) from None

    def _down(self, error: httpx.TransportError) -> GatewayDown:
        if isinstance(error, httpx.TimeoutException):
            return GatewayDown(f"The gateway at {self.url} did not answer in time: see its log, or `streams doctor`.")
        return GatewayDown(
            f"No gateway answers at {self.url}: start a pipeline with `streams dev`, or set STREAMS_ADVERTISED_URL."
        )


def as_model(kind: type[M], body: Any) -> M:
    """Return an answer's JSON as its model; UnexpectedAnswer for JSON that does not fit."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        member = ".".join(map(str, first["loc"])) or "body"
        message = (
            f"The gateway's answer is not a {kind.__name__} ({member}: {first['msg']}): "
            "run the same version of streams here and at the gateway."
        )
        raise UnexpectedAnswer(message) from None


def parse_events(lines: Iterator[str]) -> Iterator[ServerEvent]:
    """Yield the events of an event stream (WHATWG HTML, 9.2.6); comments and unnamed fields are left out."""
    fields: dict[str, list[str]] = {}
    for line in lines:
        if not line:
            if fields.get("data"):
                text = "\n".join(fields["data"])
                yield ServerEvent(fields.get("id", [""])[-1], fields.get("event", ["message"])[-1], _loads(text))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))


def _loads(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _body(response: httpx.Response) -> Any:
    body = _loads(response.text) if response.content else None
    if response.status_code >= 400:
        raise Refused(response.status_code, body if isinstance(body, dict) else {"detail": response.text[:200]})
    return body


def _sentence(status: int, problem: Mapping[str, Any]) -> str:
    text = str(problem.get("detail") or problem.get("title") or "The gateway refused.")
    errors = problem.get("errors")
    if isinstance(errors, list):
        named = [f"{item.get('field')}: {item.get('message')}" for item in errors]
        text = " ".join([text, *(f"{name}." for name in named if name not in text)])
    if status == _UNAUTHENTICATED:
        text += " This command line sends STREAMS_API_KEY: set it to a live key of the gateway."
    return f"{' '.join(text.split())} (HTTP {status})"


def pause(seconds: float) -> None:
    """Wait between two questions; the condition is the gateway's answer."""
    threading.Event().wait(seconds)
