"""What `run.llm` does outside the run: one question to a model, validated, with everything that has to be recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from schemas.typedjson import to_json
from streams import clock
from streams.model.chat import ChatRequest, Message, Usage
from streams.model.fence import RULE, fenced
from streams.model.hash import meant, request_hash
from streams.model.structured_reply import complete, wanted
from streams.model.usable import require_usable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streams.model.chat import ChatAnswer, ChatModel, ToolSpec


@dataclass(frozen=True, slots=True)
class CallMade:
    """One request with its answer, as it is on the topic `calls`; times are milliseconds since the epoch."""

    hash: str
    kind: str
    name: str
    version: int
    request: Any
    answer: Any
    usage: Usage
    started_ms: int
    finished_ms: int


@dataclass(frozen=True, slots=True)
class Answered:
    """The outcome of `ask`: JSON for the journal, the usage of all requests together, and each of them.

    If the model wants tools instead, `tool_calls` has what it asked for (`[{"id", "name", "arguments"}]`, unvalidated),
    `value` is its text, and the caller decides: the journal, not this function, remembers how far a loop has come.
    """

    value: Any
    usage: Usage
    calls: tuple[CallMade, ...]
    tool_calls: tuple[dict[str, str], ...] = ()


async def ask(
    model: ChatModel,
    prompt: object,
    args: Sequence[Any] = (),
    *,
    returns: Any = str,
    params: Mapping[str, Any] | None = None,
    tools: Sequence[ToolSpec] = (),
    history: Sequence[Message] = (),
    on_delta: Callable[[str], None] | None = None,
    made: Callable[[CallMade], None] | None = None,
) -> Answered:
    """Ask `model` once (twice if the answer must be repaired) and return its answer, of type `returns`, as JSON.

    `prompt` is a text or Prompt, `args` are data for it, fenced; `history` are earlier rounds with tools, answered.
    `made` sees each request once it is answered, also if the answer is no good in the end. `params` go to the endpoint
    as they are (`temperature`, `max_tokens`, …), except `model`: a role, or a model by its own name.
    An answer that holds none (a refusal, an empty text, one that a filter stopped) is a ModelError.
    Raises ModelError and its subclasses; TypeError when `returns` is no describable type.
    """
    expected = wanted(returns)

    def asked() -> ChatRequest:
        return question(prompt, args, returns=returns, params=params, tools=tools, history=history)

    calls: list[CallMade] = []
    started = clock.now_ms()

    def record(request: ChatRequest, answer: ChatAnswer) -> None:
        nonlocal started
        finished = clock.now_ms()
        name, digest = answer.model or model.name, request_hash(meant(model, request), model.name)
        call = CallMade(digest, "llm", name, 1, request.to_json(), answer.to_json(), answer.usage, started, finished)
        calls.append(call)
        if made is not None:
            made(call)
        started = finished

    # Made again after the answer: thousands wait for theirs, and the texts of a request would stay in memory for each.
    first = await model.complete(asked(), on_delta)
    request = asked()
    record(request, first)
    require_usable(first, tools=bool(tools))
    wishes = tuple({"id": call.id, "name": call.name, "arguments": call.arguments} for call in first.tool_calls)
    if expected is None or (wishes and tools):
        value: Any = first.text
    else:
        value = to_json(await complete(model, request, expected, record, on_delta, first=first), returns, by_alias=None)
    usage = sum((call.usage for call in calls), Usage())
    return Answered(value, usage, tuple(calls), wishes if tools else ())


def question(
    prompt: object,
    args: Sequence[Any] = (),
    *,
    returns: Any = str,
    params: Mapping[str, Any] | None = None,
    tools: Sequence[ToolSpec] = (),
    history: Sequence[Message] = (),
) -> ChatRequest:
    """Return the first request that `ask` makes."""
    rest = dict(params or {})
    expected = wanted(returns)
    return ChatRequest(
        messages=(*messages(str(prompt), args), *history),
        model=str(rest.pop("model", None) or ""),
        params=rest,
        returns=None if expected is None else expected.schema,
        tools=tuple(tools),
    )


def messages(prompt: str, args: Sequence[Any]) -> tuple[Message, ...]:
    """Return the conversation that a prompt opens: the prompt is the system's word, the data is the user's."""
    if not args:
        return (Message("user", prompt),)
    return (Message("system", f"{prompt}\n\n{RULE}"), Message("user", "\n\n".join(fenced(arg) for arg in args)))
