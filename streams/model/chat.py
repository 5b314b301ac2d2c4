"""Requests to a chat model and its answers, in types that belong to no provider."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model's wish to have a tool called; `arguments` is the JSON text as the model wrote it, not yet validated."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; `tool_call_id` says which call a message of role `tool` answers."""

    role: Role
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the message in the form of the chat-completions protocol, without empty fields."""
        message: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
                for call in self.tool_calls
            ]
        if self.tool_call_id is not None:
            message["tool_call_id"] = self.tool_call_id
        return message


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model sees it: `parameters` is the JSON schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the tool in the form of the chat-completions protocol."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Schema:
    """A JSON schema that the answer must follow; `strict` when the endpoint may enforce it token by token."""

    name: str
    schema: Mapping[str, Any]
    strict: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the schema as a `response_format` of the chat-completions protocol."""
        schema = {"name": self.name, "schema": dict(self.schema), "strict": self.strict}
        return {"type": "json_schema", "json_schema": schema}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call consumed: tokens, of which `cached_tokens` are part of `input_tokens`, and US dollars.

    `cost_usd` is None when the model has no price; so is a sum with such a call in it.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_usd: float | None = 0.0

    def __add__(self, other: Usage) -> Usage:
        """Return the sum, for calls that belong to one step."""
        known = self.cost_usd is not None and other.cost_usd is not None
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            (self.cost_usd or 0.0) + (other.cost_usd or 0.0) if known else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the figures by name, as journal and `calls` hold them."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "cost_usd": self.cost_usd,
            **({} if self.cost_usd is not None else {"unpriced": 1}),
        }


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """Everything that determines an answer; an empty `model` means the one that the endpoint is configured with."""

    messages: tuple[Message, ...]
    model: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    returns: Schema | None = None
    tools: tuple[ToolSpec, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the body of a chat-completions request, the model's name left to the endpoint if it is empty."""
        body: dict[str, Any] = {"messages": [message.to_json() for message in self.messages], **self.params}
        if self.model:
            body["model"] = self.model
        if self.returns is not None:
            body["response_format"] = self.returns.to_json()
        if self.tools:
            body["tools"] = [tool.to_json() for tool in self.tools]
        return body


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """The answer of a model; `finish_reason` is `stop`, `length`, `tool_calls` or the provider's own word.

    `refusal` are the words in which it refuses to answer, in the place of a text.
    """

    text: str
    usage: Usage = Usage()
    model: str = ""
    finish_reason: str = "stop"
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the answer as it is on `calls`, enough to give it again without a model."""
        return {
            "text": self.text,
            "model": self.model,
            "finish_reason": self.finish_reason,
            "tool_calls": [[call.id, call.name, call.arguments] for call in self.tool_calls],
            **({"refusal": self.refusal} if self.refusal else {}),
        }

    @classmethod
    def from_json(cls, answer: Mapping[str, Any], usage: Usage = Usage()) -> ChatAnswer:
        """Return the answer that `to_json` wrote; its usage is zero unless given, since nothing is paid again."""
        calls = tuple(ToolCall(*call) for call in answer["tool_calls"])
        refusal = answer.get("refusal", "")
        return cls(answer["text"], usage, answer["model"], answer["finish_reason"], calls, refusal)


class ChatModel(Protocol):
    """Anything that answers; implementations raise ModelError and its subclasses only."""

    @property
    def name(self) -> str:
        """The name of the model that answers a request which names none."""

    async def complete(self, request: ChatRequest, on_delta: Callable[[str], None] | None = None) -> ChatAnswer:
        """Return the whole answer; `on_delta`, if given, sees the text piece by piece while it comes."""
