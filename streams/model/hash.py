"""Names a call by everything that determines its answer, so that a recorded answer can stand in for the call."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import orjson

if TYPE_CHECKING:
    from streams.model.chat import ChatModel, ChatRequest


@runtime_checkable
class Naming(Protocol):
    """A chat model with names for models."""

    def model_of(self, request: ChatRequest) -> str:
        """Return the name of the model that a request means."""


def call_hash(kind: str, name: str, version: int | str, payload: Any) -> str:
    """Return 64 hex digits, equal for equal JSON whatever the order of its keys.

    Raises TypeError (of orjson) when `payload` is not JSON.
    """
    text = orjson.dumps([kind, name, str(version), payload], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()


def request_hash(request: ChatRequest, model: str) -> str:
    """Return the hash of a model call: model, parameters, messages, answer schema and tool schemas."""
    return call_hash("llm", request.model or model, 1, request.to_json())


def meant(model: ChatModel, request: ChatRequest) -> ChatRequest:
    """Return `request` with the model's own name in the place of a role: a role that means another model asks anew."""
    if not request.model or not isinstance(model, Naming):
        return request
    return replace(request, model=model.model_of(request))


def tool_hash(name: str, version: int, arguments: Any) -> str:
    """Return the hash of a tool call: its name, its version and the validated arguments."""
    return call_hash("tool", name, version, arguments)
